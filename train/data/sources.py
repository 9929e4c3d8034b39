"""Data sources: labelled images in NumPy arrays, checked on loading."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.data import digits, offline, parts
from train.data.dataset import Dataset, check_batch
from train.errors import InputError
from train.paths import expand, printable
from train.settings.experiment import Experiment
from train.settings.options import Data

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# Labels are class numbers; a larger one is a mistake (a hash, a timestamp), and would
# ask for a classifier of that many outputs.
MAX_CLASSES = 100_000


def load_fitting(experiment: Experiment) -> Dataset:
    """Loads the data of an experiment, and makes sure that they fill a batch.

    Raises:
      InputError: they do not, or see `load_dataset`.
    """
    dataset = load_dataset(experiment.data)
    check_batch(experiment, dataset)
    return dataset


def load_dataset(config: Data) -> Dataset:
    """Loads a data set, or the part of it that is asked for.

    Raises:
      InputError: no such source, or its data are missing or unusable.
    """
    dataset = _load(config.data, config.data_dir)
    reduced = parts.choose(dataset, config)
    labels = dataset.train_targets
    lost = len(np.unique(labels)) - len(np.unique(reduced.train_targets))
    if labels.ndim == 1 and dataset.num_classes and lost:
        raise InputError(
            f"--every {config.every} leaves {lost} of the classes of {config.data} "
            "without a training example: the examples are not in random order. Shuffle "
            "them, or take a smaller --every."
        )
    return reduced


def _load(source: str, data_dir: Path) -> Dataset:
    if source == "npz:":
        raise InputError("--data npz: needs a path behind it, as in npz:mine.npz.")
    if source.startswith("npz:"):
        return load_npz(expand(Path(source.removeprefix("npz:"))))
    if source in ("cifar10", "cifar100"):
        from train.data.cifar import load_cifar  # the only part that needs tfds

        return load_cifar(source, data_dir)
    return {
        "digits": digits.load_digits,
        "breast_cancer": offline.load_breast_cancer,
        "diabetes": offline.load_diabetes,
        "english": offline.load_english,
    }[source]()


def load_npz(path: Path) -> Dataset:
    """Anyone's own images, from an .npz file in the layout of Keras' data sets.

    Args:
      path: holds `x_train`, `x_test`: uint8 [size, height, width, channels] or
        [size, height, width], and `y_train`, `y_test`: integers [size] or [size, 1],
        from 0. There are as many classes as the largest training label says.

    Raises:
      InputError: the file is missing, unreadable, or not of this layout.
    """
    x_train, y_train, x_test, y_test = _read_npz(path, ARRAYS).values()
    x_train = _check_images(path, "x_train", x_train)
    x_test = _check_images(path, "x_test", x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(
            f"{path}: images in x_train are {_size(x_train)} and in x_test "
            f"{_size(x_test)} (height x width x channels); they must be of one size."
        )
    y_train = _check_labels(path, "y_train", y_train, len(x_train))
    y_test = _check_labels(path, "y_test", y_test, len(x_test))
    num_classes = int(y_train.max()) + 1
    if len(np.unique(y_train)) < 2:
        raise InputError(f"{path}: y_train holds one class; expected two or more.")
    if y_test.max() >= num_classes:
        raise InputError(
            f"{path}: y_test holds the label {y_test.max()}, but the largest in "
            f"y_train is {num_classes - 1}: every tested class must also be trained."
        )
    return Dataset(x_train, y_train, x_test, y_test, num_classes)


def load_test_images(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The test set of an .npz file as in `load_npz`, which may lack all else.

    Returns:
      Images, uint8 [size, height, width, channels], and labels, int32 [size]; None if
      the file has no `y_test`.

    Raises:
      InputError: the file is missing, unreadable, or not of this layout.
    """
    arrays = _read_npz(path, ("x_test",), ("y_test",))
    x_test = _check_images(path, "x_test", arrays["x_test"])
    if "y_test" not in arrays:
        return x_test, None
    return x_test, _check_labels(path, "y_test", arrays["y_test"], len(x_test))


def _read_npz(
    path: Path, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays from an .npz file; see `load_npz` for what it raises."""
    expected = f"an .npz file of numpy.savez holding {', '.join(names)}"
    try:
        if not path.is_file():
            raise InputError(f"no file {path}: --data npz:PATH takes {expected}.")
        # Pickled objects are refused: a data file cannot run code. An array gets its
        # memory as it is read, whatever its header says.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is an .npy file, of one array")
            found = [name for name in (*names, *optional) if name in archive.files]
            if missing := [name for name in names if name not in found]:
                held = printable(", ".join(map(repr, archive.files)) or "none")
                raise InputError(
                    f"{path} lacks {', '.join(missing)}: expected {expected}, found "
                    f"{held}."
                )
            return {name: np.asarray(archive[name]) for name in found}
    except InputError:
        raise
    except Exception as error:  # of NumPy and zipfile, for files that are damaged
        # Some say nothing, and some repeat thousands of letters of the file.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        # NumPy's own words on pickles advise to load them all the same.
        if "pickle" in reason:
            reason = "it is not an .npz file, or has pickled objects"
        raise InputError(
            f"cannot read {path}: {reason}. Expected {expected}."
        ) from None


def _check_images(path: Path, name: str, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        raise InputError(
            f"{path}: {name} must be uint8, from 0 to 255, got {images.dtype}. Pixels "
            "from 0 to 1 become that by numpy.uint8(255 * x)."
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"{path}: {name} must be [size, height, width, channels] or "
            f"[size, height, width], none of them 0, got the shape {images.shape}."
        )
    return images


def _check_labels(path: Path, name: str, labels: np.ndarray, size: int) -> np.ndarray:
    if labels.shape not in ((size,), (size, 1)):
        advice = "One-hot labels become that by x.argmax(axis=1)."
        raise InputError(
            f"{path}: {name} must hold one label for each image, the shape ({size},), "
            f"got {labels.shape}. {advice if labels.ndim == 2 else ''}".rstrip()
        )
    if labels.dtype.kind not in "iu":  # NumPy counts time spans as integers
        # Each part for itself would be numbered otherwise if a class is missing in one.
        raise InputError(
            f"{path}: {name} must be integers, got {labels.dtype}. Whole numbers become"
            " that by x.astype(int). Number other classes by classes, y_train = "
            "numpy.unique(y_train, return_inverse=True) and y_test = "
            "numpy.searchsorted(classes, y_test)."
        )
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise InputError(
            f"{path}: labels in {name} must be from 0 to {MAX_CLASSES - 1}, got "
            f"{labels.min()} to {labels.max()}. Number the classes 0, 1, 2, ..."
        )
    return labels.reshape(size).astype(np.int32)


def _size(images: np.ndarray) -> str:
    return "x".join(map(str, images.shape[1:]))

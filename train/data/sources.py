"""Loads data: those that have a name, and files; all, or the part that is asked for."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train import notes
from train.data.dataset import Dataset, check_batch, stratified
from train.data.description import odd_options
from train.errors import InputError
from train.paths import expand, printable
from train.settings.experiment import Experiment
from train.settings.options import VALIDATION_SEED, Data

# Labels are class numbers; a larger one is a mistake (a hash, a timestamp), and would
# ask for a classifier of that many outputs.
MAX_CLASSES = 100_000


def load_fitting(experiment: Experiment) -> Dataset:
    """Loads the data of an experiment, whose options must fit them."""
    dataset = load_dataset(experiment.data)
    check_batch(experiment, dataset)
    for oddity in odd_options(experiment, dataset):
        notes.say(f"warning: {oddity}")
    return dataset


def load_dataset(config: Data) -> Dataset:
    """Loads a data set, or the part of it that is asked for."""
    kind, is_file, path = config.data.partition(":")
    if is_file and not path:
        mine = f"{kind}:mine{'' if kind == 'folder' else '.' + kind}"
        raise InputError(f"--data {kind}: needs a path behind it, as in {mine}.")
    # Imported where it is asked for: TensorFlow Datasets takes seconds.
    module, _, function = config.data_set.loader.partition(":")
    load = getattr(importlib.import_module(f"train.data.{module}"), function)
    if is_file:
        dataset = load(expand(Path(path)), config)
    else:
        dataset = load(kind, config.data_dir) if config.data_set.from_tfds else load()
    reduced = choose(dataset, config)
    labels, size = dataset.train_targets, len(reduced.train_targets)
    lost = len(np.unique(labels)) - len(np.unique(reduced.train_targets))
    if labels.ndim == 1 and dataset.num_classes and lost:
        reason = f"{size} examples are left. Take"
        if size >= dataset.num_classes:
            reason = "the examples are not in random order. Shuffle them, or take"
        raise InputError(
            f"--every {config.every} leaves {lost} of the classes of {config.data} "
            f"without a training example: {reason} a smaller --every."
        )
    return reduced


def choose(dataset: Dataset, config: Data) -> Dataset:
    """Takes the part of a data set that is asked for."""
    inputs, targets = dataset.train_inputs, dataset.train_targets
    test_inputs, test_targets = dataset.test_inputs, dataset.test_targets
    if config.test_rest:
        left_out = np.arange(len(inputs)) % config.every != 0
        test_inputs = np.concatenate([test_inputs, inputs[left_out]])
        test_targets = np.concatenate([test_targets, targets[left_out]])
    inputs, targets = inputs[:: config.every], targets[:: config.every]
    if config.validation:
        has_classes = dataset.num_classes and targets.ndim == 1
        classes = targets if has_classes else np.zeros(len(targets))
        size, number = len(targets), len(np.unique(classes))
        if config.validation > size - number:
            one = "one of each class" if number > 1 else "one"
            raise InputError(
                f"--validation must be at most {size - number}, so that of the {size} "
                f"training examples {one} is left to train on; got "
                f"{config.validation}."
            )
        held = stratified(classes, config.validation, VALIDATION_SEED)
        inputs, test_inputs = inputs[~held], inputs[held]
        targets, test_targets = targets[~held], targets[held]
    if dataset.kind == "images":
        inputs = shrink_images(inputs, config.shrink)
        test_inputs = shrink_images(test_inputs, config.shrink)
    _, _, _, _, *facts, files = vars(dataset).values()
    facts.append(() if config.test_rest or config.validation else files)
    return Dataset(inputs, targets, test_inputs, test_targets, *facts)


def shrink_images(images: np.ndarray, shrink: int) -> np.ndarray:
    """Averages squares of pixels into one; `shrink` is their side, at least 1."""
    height, width, channels = images.shape[1:]
    if height % shrink or width % shrink:
        raise InputError(
            f"--shrink {shrink} does not divide images of {height} x {width} pixels "
            "evenly. (A study with --quick shrinks your own images by 2.)"
        )
    if shrink == 1:
        return images
    tiles = (-1, height // shrink, shrink, width // shrink, shrink, channels)
    means = np.mean(images.reshape(tiles), axis=(2, 4), dtype=np.float32)
    return np.round(means).astype(np.uint8)


def load_npz(path: Path, _: Data | None = None) -> Dataset:
    """Anyone's own images, from an .npz file in the layout of Keras' data sets.

    It holds `x_train`, `x_test`: uint8 [size, height, width, channels] or [size,
    height, width], and `y_train`, `y_test`: integers [size] or [size, 1], from 0. There
    are as many classes as the largest training label says.
    """
    arrays = _read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    if x_train.shape[1:] != x_test.shape[1:]:
        sizes = ["x".join(map(str, images.shape[1:])) for images in (x_train, x_test)]
        raise InputError(
            f"{path}: images in x_train are {sizes[0]} and in x_test {sizes[1]} "
            "(height x width x channels); they must be of one size."
        )
    y_train, y_test = arrays["y_train"], arrays["y_test"]
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
    """Images and labels of the test set of such a file; None where it has no labels."""
    arrays = _read_npz(path, ("x_test",), ("y_test",))
    return arrays["x_test"], arrays.get("y_test")


def _read_npz(
    path: Path, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads images and labels from an .npz file, as `Dataset` has them."""
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
            arrays = {name: np.asarray(archive[name]) for name in found}
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
    for name, array in arrays.items():
        images = arrays.get(f"x{name[1:]}")
        arrays[name] = (
            _images(f"{path}: {name}", array)
            if name.startswith("x")
            else _labels(f"{path}: {name}", array, len(images))
        )
    return arrays


def _images(name: str, images: np.ndarray) -> np.ndarray:
    """Images that can be used, [size, height, width, channels]."""
    if images.dtype != np.uint8:
        raise InputError(
            f"{name} must be uint8, from 0 to 255, got {images.dtype}{_advice(images)}."
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"{name} must be [size, height, width, channels] or "
            f"[size, height, width], none of them 0, got the shape {images.shape}."
        )
    _, height, width, channels = images.shape
    if height == 3 and width == channels > 4:
        raise InputError(
            f"{name} has the shape {images.shape}, with channels first. Images are "
            "[size, height, width, channels]: x.transpose(0, 2, 3, 1) makes them so."
        )
    return images


def _advice(images: np.ndarray) -> str:
    """How numbers become pixels from 0 to 255, by what they are."""
    if images.dtype.kind not in "buif" or not images.size:
        return ""
    low, high = images.min(), images.max()
    if low >= 0 and high <= 1:
        how = "become that by numpy.uint8(255 * x)"
    elif low >= 0 and high <= 255:
        how = "become that by numpy.uint8(x)"
    else:
        how = "must be scaled to that, those of all arrays alike"
    return f". Numbers from {low:.5g} to {high:.5g} {how}"


def _labels(name: str, labels: np.ndarray, size: int) -> np.ndarray:
    """Labels that can be used, int32 [size]."""
    if labels.shape not in ((size,), (size, 1)):
        advice = "One-hot labels become that by x.argmax(axis=1)."
        raise InputError(
            f"{name} must hold one label for each image, the shape ({size},), "
            f"got {labels.shape}. {advice if labels.ndim == 2 else ''}".rstrip()
        )
    if labels.dtype.kind not in "iu":  # NumPy counts time spans as integers
        # Each part for itself would be numbered otherwise if a class is missing in one.
        raise InputError(
            f"{name} must be integers, got {labels.dtype}. Whole numbers become that by"
            " x.astype(int). Number other classes by classes, y_train = "
            "numpy.unique(y_train, return_inverse=True) and y_test = "
            "numpy.searchsorted(classes, y_test)."
        )
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise InputError(
            f"{name} must be from 0 to {MAX_CLASSES - 1}, got {labels.min()} to "
            f"{labels.max()}. Number the classes 0, 1, 2, ..."
        )
    return labels.reshape(size).astype(np.int32)

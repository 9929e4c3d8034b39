"""What every data source gives, and the draw of a test set."""

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from train import notes
from train.errors import InputError
from train.paths import printable
from train.settings.experiment import Experiment


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """What is learned, split for training and testing.

    Equal only to itself, so that what is worked out of it can be cached: its arrays
    must not be changed.
    """

    # Images, uint8 [size, height, width, channels]; rows of a table, float32 [size,
    # columns]; or text, int32 [size, length].
    train_inputs: np.ndarray
    # Classes, int32 [size], from 0 to `num_classes - 1`; numbers, float32 [size]; or
    # for text each next token, int32 [size, length].
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    num_classes: int  # at least 2; 0 for numbers
    class_names: tuple[str, ...] = ()  # as many; none where they have no names
    # Of a table, JSON: its `target`, with `mean` and `std` if it is standardised, and
    # the `columns` by which `models.tables` encodes rows.
    table: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    test_files: tuple[str, ...] = ()  # of the test images, where each has its own

    @property
    def kind(self) -> str:
        """The kind of inputs: "images", "rows" or "tokens"."""
        if self.train_inputs.ndim == 4:
            return "images"
        is_text = np.issubdtype(self.train_inputs.dtype, np.integer)
        return "tokens" if is_text else "rows"


class Examples(NamedTuple):
    """What a trained network is tested on; without targets if they are not known."""

    inputs: np.ndarray
    targets: np.ndarray | None
    class_names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # of images, where each has its own
    name: str = ""  # as in `--data`
    batch_size: int = 500
    split: str = "test"  # or "validation"


def check_batch(experiment: Experiment, dataset: Dataset) -> None:
    """Makes sure that the training set fills a batch."""
    size, usual = len(dataset.train_inputs), Experiment.batch_size
    if size < experiment.batch_size:
        raise InputError(
            f"--batch-size must be at most {size}, the number of training examples, "
            f"got {experiment.batch_size} (the default is {usual}). Type, for example, "
            f"--batch-size {min(max(size // 4, 1), usual)}."
        )


def stratified(classes: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Which examples are drawn: so many, of each class alike, and never all of one."""
    size, (_, counts) = len(classes), np.unique(classes, return_counts=True)
    rng = np.random.default_rng(seed)
    by_class = np.lexsort((rng.permutation(size), classes))
    # The share of a class that has come when half of an example has; its last stays.
    shares = [[*(np.arange(count - 1) + 0.5) / count, np.inf] for count in counts]
    order = np.lexsort((rng.permutation(size), np.concatenate(shares)))
    drawn = np.zeros(size, bool)
    drawn[by_class[order[:number]]] = True
    return drawn


def keep_fifth(
    labels: Sequence, whole: str, thing: str, advice: str
) -> tuple[np.ndarray, np.ndarray]:
    """Keeps a fifth of the examples for the test, always the same."""
    counts, number = Counter(labels), -(-len(labels) // 5)
    *_, (label, fewest) = [("all", 0), *counts.most_common()]
    if fewest < 2 or number < len(counts):
        raise InputError(
            f"{whole} has too few {thing}s to keep a fifth of each class for the test "
            f"({label}: {fewest}). {advice}."
        )
    places = {label: place for place, label in enumerate(counts)}
    drawn = stratified(np.array([places[each] for each in labels]), number, seed=0)
    train, test = np.flatnonzero(~drawn), np.flatnonzero(drawn)
    notes.say(f"note: a fifth of the {thing}s, {len(test):,}, is kept for the test")
    return train, test


def in_units(table: Mapping[str, Any], error: float) -> dict[str, str]:
    """A squared error, in percent of the variance, in the target's units if known."""
    if "std" not in table:
        return {}
    root = float(f"{np.sqrt(error / 100) * table['std']:.4g}")
    shown = f"{root:,.12g}".replace("nan", "-")
    return {f"RMSE in {printable(table['target'])}": shown}


@functools.lru_cache(maxsize=4)  # the runs of a study share their data
def fingerprint(dataset: Dataset) -> str:
    """The SHA-256 sum of shapes and contents: equal for equal data only."""
    digest = hashlib.sha256()
    for array in (x for x in vars(dataset).values() if isinstance(x, np.ndarray)):
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()

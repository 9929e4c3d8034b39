"""What every data source gives."""

import dataclasses
import functools
import hashlib

import numpy as np

from train.errors import InputError
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

    @property
    def kind(self) -> str:
        """The kind of inputs: "images", "rows" or "tokens"."""
        if self.train_inputs.ndim == 4:
            return "images"
        is_text = np.issubdtype(self.train_inputs.dtype, np.integer)
        return "tokens" if is_text else "rows"


def check_batch(experiment: Experiment, dataset: Dataset) -> None:
    """Makes sure that the training set fills a batch."""
    size, usual = len(dataset.train_inputs), Experiment.batch_size
    if size < experiment.batch_size:
        raise InputError(
            f"--batch-size must be at most {size}, the number of training examples, "
            f"got {experiment.batch_size} (the default is {usual}). Type, for example, "
            f"--batch-size {min(max(size // 4, 1), usual)}."
        )


@functools.lru_cache(maxsize=4)  # the runs of a study share their data
def fingerprint(dataset: Dataset) -> str:
    """The SHA-256 sum of shapes and contents: equal for equal data only."""
    digest = hashlib.sha256()
    *arrays, _, _ = vars(dataset).values()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()

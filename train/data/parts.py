"""The parts of a data set that are trained and tested on, as the options say."""

import dataclasses

import numpy as np

from train.data.dataset import Dataset
from train.errors import InputError
from train.settings.options import Data


def choose(dataset: Dataset, config: Data) -> Dataset:
    """Takes the part of a data set that is asked for.

    Raises:
      InputError: the options do not fit the data.
    """
    chosen = dataset
    if config.test_rest:
        chosen = _test_rest(dataset, config.every)
    chosen = reduce(chosen, config.every, config.shrink)
    if config.validation:
        chosen = _validate(chosen, config.validation)
    return chosen


def reduce(dataset: Dataset, every: int, shrink: int) -> Dataset:
    """Takes every n-th training example, and averages squares of pixels into one.

    Args:
      dataset: the whole.
      every: of the training examples, beginning with the first; at least 1.
      shrink: side of the squares in pixels, at least 1.

    Raises:
      InputError: the images do not divide into such squares.
    """
    if not dataset.is_images:
        return dataclasses.replace(
            dataset,
            train_inputs=dataset.train_inputs[::every],
            train_targets=dataset.train_targets[::every],
        )
    return Dataset(
        shrink_images(dataset.train_inputs[::every], shrink),
        dataset.train_targets[::every],
        shrink_images(dataset.test_inputs, shrink),
        dataset.test_targets,
        dataset.num_classes,
    )


def shrink_images(images: np.ndarray, shrink: int) -> np.ndarray:
    """Averages squares of pixels into one; see `reduce`."""
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


def _test_rest(dataset: Dataset, every: int) -> Dataset:
    """Adds the training examples that are left out to the test set, behind it."""
    left_out = np.arange(len(dataset.train_inputs)) % every != 0
    inputs, targets = dataset.train_inputs[left_out], dataset.train_targets[left_out]
    return dataclasses.replace(
        dataset,
        test_inputs=np.concatenate([dataset.test_inputs, inputs]),
        test_targets=np.concatenate([dataset.test_targets, targets]),
    )


def _validate(dataset: Dataset, size: int) -> Dataset:
    """Keeps the last training examples from training, and tests on them alone."""
    rest = len(dataset.train_inputs) - size
    if rest < 1:
        raise InputError(
            f"--validation must be below {len(dataset.train_inputs)}, the number of "
            f"training examples, got {size}."
        )
    return dataclasses.replace(
        dataset,
        train_inputs=dataset.train_inputs[:rest],
        train_targets=dataset.train_targets[:rest],
        test_inputs=dataset.train_inputs[rest:],
        test_targets=dataset.train_targets[rest:],
    )

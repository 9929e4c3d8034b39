"""Handwritten digits that come with scikit-learn, one by one and in pairs."""

import dataclasses

import numpy as np

from train.data.dataset import Dataset

NUM_PAIRS = 20_000  # for training, and as many for the test
_SEED = 0  # of the pairs, which are part of the data, the same for every run


def load_digits() -> Dataset:
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn carries.

    A fixed, stratified fifth (360 images) is the test set.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    # Pixels are counts from 0 to 16.
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=360, stratify=labels, random_state=0
    )
    return Dataset(x_train, y_train, x_test, y_test, num_classes=10)


def load_pairs(label: str) -> Dataset:
    """Pairs of digits side by side, 8x16 pixels: 20,000 to train, 20,000 to test.

    The images are the same whatever the label, so that only the number of classes
    differs. Pairs of the test set are made of other digits than those of the training
    set.

    Args:
      label: `left`, the left digit (10 classes); `sum`, that of both (19); or `pair`,
        both of them (100).
    """
    digits = load_digits()
    rng = np.random.default_rng(_SEED)
    x_train, y_train = _pair(digits.train_inputs, digits.train_targets, label, rng)
    x_test, y_test = _pair(digits.test_inputs, digits.test_targets, label, rng)
    return dataclasses.replace(
        digits,
        train_inputs=x_train,
        train_targets=y_train,
        test_inputs=x_test,
        test_targets=y_test,
        num_classes={"left": 10, "sum": 19, "pair": 100}[label],
    )


def _pair(
    images: np.ndarray, labels: np.ndarray, label: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    left, right = rng.integers(0, len(images), (2, NUM_PAIRS))
    tens, ones = labels[left], labels[right]
    targets = {"left": tens, "sum": tens + ones, "pair": 10 * tens + ones}[label]
    return np.concatenate([images[left], images[right]], axis=2), targets

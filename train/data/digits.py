"""Handwritten digits that come with scikit-learn."""

import numpy as np

from train.data.dataset import Dataset


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

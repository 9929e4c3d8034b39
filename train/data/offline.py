"""Data that come inside installed packages: no download."""

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from train.data.dataset import Dataset

TEXT_LENGTH = 64


def load_digits() -> Dataset:
    """1,797 handwritten digits of 8x8 pixels (scikit-learn).

    A fixed, stratified fifth (360 images) is the test set.
    """
    bunch = datasets.load_digits()
    # Pixels are counts from 0 to 16.
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=360, stratify=labels, random_state=0
    )
    return Dataset(x_train, y_train, x_test, y_test, num_classes=10)


def load_breast_cancer() -> Dataset:
    """569 tumours by 30 measurements, two classes (scikit-learn).

    A fixed, stratified 30 % (171 rows) are the test set.
    """
    rows, labels = datasets.load_breast_cancer(return_X_y=True)
    labels = labels.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(
        rows, labels, test_size=171, stratify=labels, random_state=0
    )
    x_train, x_test = standardize(x_train, x_test)
    return Dataset(x_train, y_train, x_test, y_test, num_classes=2)


def load_diabetes() -> Dataset:
    """442 patients, 10 measurements, and a year's progress to predict (scikit-learn).

    A fixed 30 % (133 rows) are the test set. The numbers are standardised like the
    measurements: a squared error of 1 is that of always guessing the training mean.
    """
    rows, numbers = datasets.load_diabetes(return_X_y=True, scaled=False)
    x_train, x_test, y_train, y_test = train_test_split(
        rows, numbers, test_size=133, random_state=0
    )
    x_train, x_test = standardize(x_train, x_test)
    scale = {"mean": float(y_train.mean()), "std": float(y_train.std())}
    y_train, y_test = standardize(y_train, y_test)
    table = {"target": "progression", **scale}
    return Dataset(x_train, y_train, x_test, y_test, num_classes=0, table=table)


def load_english() -> Dataset:
    """Python's own help texts, by characters: 465,000 of English prose.

    The texts of `pydoc_data.topics`, in the order of their names, are cut into pieces
    of 64 characters, each to be followed by its next. A fixed tenth of the pieces, from
    all texts, is the test set. What is neither printable ASCII nor a newline is left
    out. The texts differ a little between versions of Python.
    """
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    codes = np.frombuffer(text.encode("ascii", "ignore"), np.uint8)
    codes = codes[((codes >= 32) & (codes < 127)) | (codes == 10)]
    vocabulary, tokens = np.unique(codes, return_inverse=True)
    tokens = tokens.astype(np.int32)
    pieces = (len(tokens) - 1) // TEXT_LENGTH
    inputs, targets = (
        tokens[start : start + pieces * TEXT_LENGTH].reshape(pieces, TEXT_LENGTH)
        for start in (0, 1)
    )
    x_train, x_test, y_train, y_test = train_test_split(
        inputs, targets, test_size=pieces // 10, random_state=0
    )
    return Dataset(x_train, y_train, x_test, y_test, num_classes=len(vocabulary))


def standardize(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, ...]:
    """To mean 0 and deviation 1 over the training rows, as float32."""
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    return tuple(((part - mean) / std).astype(np.float32) for part in (train, test))

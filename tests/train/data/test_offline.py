import numpy as np
import pytest

from train.data.offline import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_english,
)


def test_digits_are_split_by_class_and_never_overlap():
    dataset = load_digits()
    assert dataset.train_inputs.shape == (1437, 8, 8, 1)
    assert dataset.test_inputs.shape == (360, 8, 8, 1)
    assert dataset.train_inputs.max() == 255
    counts = np.bincount(dataset.test_targets)
    assert len(counts) == 10
    assert counts.min() >= 34  # a fifth of the 174 of the rarest digit
    everything = {image.tobytes() for image in dataset.train_inputs}
    assert not everything & {image.tobytes() for image in dataset.test_inputs}


def test_table_of_two_classes_is_standardised_by_its_training_rows():
    data = load_breast_cancer()
    assert data.train_inputs.shape == (398, 30)
    assert data.test_inputs.shape == (171, 30)
    assert data.num_classes == 2
    np.testing.assert_allclose(data.train_inputs.mean(axis=0), np.zeros(30), atol=1e-6)
    np.testing.assert_allclose(data.train_inputs.std(axis=0), np.ones(30), rtol=1e-5)
    assert np.abs(data.test_inputs.mean(axis=0)).max() > 1e-3
    # 357 of 569 are benign.
    assert np.sum(data.train_targets) + np.sum(data.test_targets) == 357


def test_numbers_are_standardised_like_the_table():
    data = load_diabetes()
    assert data.train_inputs.shape == (309, 10)
    assert data.test_inputs.shape == (133, 10)
    assert data.num_classes == 0
    assert data.train_targets.dtype == np.float32
    # Guessing the mean has a squared error of 1.
    np.testing.assert_allclose(np.mean(data.train_targets**2), 1.0, rtol=1e-5)


def test_text_is_to_be_followed_by_its_next_characters():
    data = load_english()
    for inputs, targets in (
        (data.train_inputs, data.train_targets),
        (data.test_inputs, data.test_targets),
    ):
        assert inputs.dtype == targets.dtype == np.int32
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    assert (
        len(data.test_inputs) == (len(data.train_inputs) + len(data.test_inputs)) // 10
    )
    # From all texts: the shares of spaces agree. (The last have more.)
    train, test = (np.mean(part == 1) for part in (data.train_inputs, data.test_inputs))
    assert test == pytest.approx(train, rel=0.1)
    # Every character of the vocabulary occurs, and English has most spaces.
    everything = np.concatenate([data.train_inputs.ravel(), data.test_inputs.ravel()])
    counts = np.bincount(everything, minlength=data.num_classes)
    assert data.num_classes > 60
    assert np.argmax(counts) == 1  # the newline is 0

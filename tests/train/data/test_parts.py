import dataclasses

import numpy as np
import pytest

from train.data.dataset import Dataset
from train.data.parts import choose
from train.errors import InputError
from train.settings.options import Data

# Twelve numbered examples for training, three for testing.
WHOLE = Dataset(
    np.arange(12, dtype=np.float32)[:, np.newaxis],
    np.arange(12, dtype=np.int32) % 4,
    np.arange(100, 103, dtype=np.float32)[:, np.newaxis],
    np.zeros(3, np.int32),
    4,
)


def test_rest_is_tested_behind_the_test_set():
    found = choose(WHOLE, Data(every=3, test_rest=True))
    assert found.train_inputs[:, 0].tolist() == [0, 3, 6, 9]
    expected = [100, 101, 102, 1, 2, 4, 5, 7, 8, 10, 11]
    assert found.test_inputs[:, 0].tolist() == expected
    assert found.test_targets[3:].tolist() == [1, 2, 0, 1, 3, 0, 2, 3]


def test_validation_takes_the_last_training_examples_in_place_of_the_test_set():
    found = choose(WHOLE, Data(every=2, validation=2))
    assert found.train_inputs[:, 0].tolist() == [0, 2, 4, 6]
    assert found.test_inputs[:, 0].tolist() == [8, 10]
    assert found.test_targets.tolist() == [0, 2]


def test_validation_leaves_something_to_train_on():
    with pytest.raises(InputError, match="--validation must be below 12, the number"):
        choose(WHOLE, Data(validation=12))


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_label_noise_replaces_a_share_of_the_training_labels(share):
    found = choose(WHOLE, Data(label_noise=share))
    assert np.sum(found.train_targets != WHOLE.train_targets) == 12 * share
    assert set(found.train_targets.tolist()) <= set(range(4))
    assert found.train_targets.dtype == np.int32
    np.testing.assert_array_equal(found.test_targets, WHOLE.test_targets)


def test_label_noise_is_part_of_the_data():
    once, again = (choose(WHOLE, Data(label_noise=0.5)) for _ in range(2))
    np.testing.assert_array_equal(once.train_targets, again.train_targets)


def test_wrong_labels_are_other_classes_equally_often():
    many = dataclasses.replace(
        WHOLE,
        train_inputs=np.zeros((9000, 1), np.float32),
        train_targets=np.ones(9000, np.int32),
    )
    found = choose(many, Data(label_noise=0.99)).train_targets
    counts = np.bincount(found, minlength=4)
    assert counts[1] == 90
    # 2970 each, with a standard deviation of 45.
    assert np.abs(counts[[0, 2, 3]] - 2970).max() < 200


def test_numbers_have_no_labels_to_be_wrong():
    numbers = dataclasses.replace(WHOLE, num_classes=0)
    with pytest.raises(InputError, match="--label-noise needs examples with one class"):
        choose(numbers, Data(label_noise=0.5))

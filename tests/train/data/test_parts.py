import numpy as np
import pytest

from train.data.dataset import Dataset
from train.data.sources import choose
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

import dataclasses

import numpy as np
import pytest

from train.data.dataset import Dataset
from train.data.description import describe, oddities, remark
from train.data.offline import load_diabetes, load_digits


def images(*shape):
    return np.full((6, *shape), 200, np.uint8)


LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)
GOOD = Dataset(images(4, 5, 3), LABELS, images(4, 5, 3), LABELS, 3)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (
            load_digits(),
            "1,437 images of 8 x 8 pixels, 1 channel, 10 classes; 360 test images",
        ),
        (
            load_diabetes(),
            "309 rows of 10 columns, a number to predict; 133 test rows",
        ),
        (
            Dataset(*2 * [np.zeros((1, 3), np.float32), LABELS[:1]], 2),
            "1 row of 3 columns, 2 classes; 1 test row",
        ),
        (
            Dataset(*4 * [np.zeros((1200, 64), np.int32)], 97),
            "1,200 texts of 64 tokens, 97 different tokens; 1,200 test texts",
        ),
    ],
)
def test_data_are_described_by_size_shape_and_what_is_learned(dataset, expected):
    assert describe(dataset) == expected
    assert len(f"data: {expected}") <= 80


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_inputs": images(3, 8, 9)}, "3 x 8 pixels with 9 channels: are these"),
        (
            {"train_targets": LABELS * 4000, "num_classes": 8001},
            "8,001 classes, of which 3 occur",
        ),
    ],
)
def test_likely_mistake_in_the_data_is_named(changes, expected):
    [oddity] = oddities(dataclasses.replace(GOOD, **changes))
    assert oddity.startswith(expected)


@pytest.mark.parametrize(
    "dataset",
    [
        GOOD,
        load_digits(),
        load_diabetes(),
        # Fewer test examples than classes.
        dataclasses.replace(GOOD, test_targets=LABELS[:2]),
        # Flat images with few channels.
        dataclasses.replace(GOOD, train_inputs=images(1, 50, 4)),
    ],
)
def test_good_data_have_no_oddity(dataset):
    assert oddities(dataset) == []


def test_warnings_follow_what_was_understood():
    # Validation examples are not called those of a test.
    dataset = dataclasses.replace(GOOD, test_targets=np.ones(6, np.int32))
    first, second = remark(dataset, "mine", tested="validation").splitlines()
    assert first.startswith("mine: 6 images of 4 x 5 pixels, 3 channels, 3 classes")
    assert first.endswith("; 6 validation images")
    assert second.startswith("warning: the validation set has 1 of 3 classes")

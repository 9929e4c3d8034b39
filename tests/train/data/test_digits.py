import numpy as np
import pytest

from train.data.digits import load_digits, load_pairs


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


@pytest.fixture(scope="module")
def pairs():
    return {label: load_pairs(label) for label in ("left", "sum", "pair")}


def test_pairs_are_two_digits_side_by_side_with_their_labels(pairs):
    digits = load_digits()
    known = {
        image.tobytes(): label
        for image, label in zip(
            digits.train_inputs, digits.train_targets.tolist(), strict=True
        )
    }
    for place in range(100):
        image = pairs["pair"].train_inputs[place]
        assert image.shape == (8, 16, 1)
        left, right = known[image[:, :8].tobytes()], known[image[:, 8:].tobytes()]
        labels = {name: each.train_targets[place] for name, each in pairs.items()}
        assert labels == {"left": left, "sum": left + right, "pair": 10 * left + right}


def test_kinds_of_pairs_differ_in_their_labels_alone(pairs):
    for each in pairs.values():
        np.testing.assert_array_equal(each.train_inputs, pairs["left"].train_inputs)
        np.testing.assert_array_equal(each.test_inputs, pairs["left"].test_inputs)
        assert len(each.train_inputs) == len(each.test_inputs) == 20_000
        assert np.unique(each.train_targets).tolist() == list(range(each.num_classes))


def test_tested_pairs_are_made_of_other_digits(pairs):
    def halves(images):
        parts = (images[:, :, :8], images[:, :, 8:])
        return {half.tobytes() for part in parts for half in part}

    pair = pairs["pair"]
    assert not halves(pair.train_inputs) & halves(pair.test_inputs)

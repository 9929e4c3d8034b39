import numpy as np

from train.data.offline import load_digits


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

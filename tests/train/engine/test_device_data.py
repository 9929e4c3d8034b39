"""The data set on the devices."""

import types

import jax
import numpy as np
import pytest

from tests.train.engine.test_calls import dataset
from train.engine.device_data import make_data, pixel_statistics
from train.errors import InputError


def test_pixel_statistics_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3)).astype(np.uint8)
    mean, std = pixel_statistics(images)
    np.testing.assert_allclose(mean, np.mean(images / 255, axis=(0, 1, 2)))
    np.testing.assert_allclose(std, np.std(images / 255, axis=(0, 1, 2)))


def test_constant_channel_is_not_divided_by_zero():
    mean, std = pixel_statistics(np.full((2, 3, 3, 1), 51, np.uint8))
    np.testing.assert_allclose(mean, [0.2])
    assert np.all(std == 1)


def test_runs_of_one_data_set_share_it_on_the_device():
    first, equal = dataset(), dataset()

    def inputs(dataset, padding):
        return make_data(dataset, "none", padding, 5, 1).train_inputs

    assert inputs(first, 1) is inputs(first, 1)
    assert inputs(first, 1).shape == (12, 6, 6, 3)
    assert inputs(first, 0).shape == (12, 4, 4, 3)
    assert inputs(equal, 0) is not inputs(first, 0)


# 12 training images of 8 x 8 x 3 bytes with their padding, and labels of 4: 2,352. The
# test has 5 images of 4 x 4 x 3 and labels, the fixed batch all 12, and the statistics
# 24 bytes: 908. Of 3,260 together, 80 % of 4,075 is the last that fits.
@pytest.mark.parametrize(
    ("memory", "advice"),
    [
        (None, None),  # JAX does not say
        (4075, None),
        (4074, "About 11 of the 12 training examples would fit: --every 2 takes"),
        (2605, "About 6 of the 12 training examples would fit: --every 2 takes"),
        (1500, "About 1 of the 12 training examples would fit: --every 12 takes"),
        (1100, "The test set alone is too large: use fewer test examples"),
    ],
)
def test_data_that_do_not_fit_are_told_with_how_much_would(monkeypatch, memory, advice):
    stats = memory and {"bytes_limit": memory}
    device = types.SimpleNamespace(memory_stats=lambda: stats)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    if advice is None:
        assert make_data(dataset(), "train", 2, 5, 1).train_inputs.shape[0] == 12
    else:
        with pytest.raises(InputError, match=f"the data take .* memory.* {advice}"):
            make_data(dataset(), "train", 2, 5, 1)


@pytest.mark.parametrize("number", [1, 2])
def test_data_must_fit_on_each_device_that_is_used(monkeypatch, number):
    fakes = [
        types.SimpleNamespace(memory_stats=lambda limit=limit: {"bytes_limit": limit})
        for limit in (4075, 4074)
    ]
    monkeypatch.setattr(jax, "local_devices", lambda: fakes)
    if number == 1:
        assert make_data(dataset(), "train", 2, 5, 1).train_inputs.shape[0] == 12
    else:
        with pytest.raises(InputError, match="the data take"):
            make_data(dataset(), "train", 2, 5, 2)

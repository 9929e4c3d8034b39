import jax.numpy as jnp
import numpy as np
import pytest

from train.config import Model
from train.dataset import Dataset
from train.networks import NetworkSpec
from train.optimizers import Method
from train.program import Call, epoch_calls, pixel_statistics, put_on_device
from train.step import Spec


def spec(**changes):
    return Spec(
        network=NetworkSpec(Model("wide_resnet"), (4, 4, 3), 10),
        train_shape=(100, 4, 4, 3),
        test_shape=(10, 4, 4, 3),
        method=Method(False, False, False, False, False),
        crop_padding=0,
        flip=False,
        batch_size=10,
        drop_last=True,
        eval_batch_size=10,
        steps_per_call=10,
    )._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, [Call(0, 10, 10)]),
        (
            {"steps_per_call": 4},
            [Call(0, 4, 10), Call(4, 4, 10), (8, 1, 10), (9, 1, 10)],
        ),
        ({"batch_size": 30, "steps_per_call": 3}, [Call(0, 3, 30)]),
        (
            {"batch_size": 30, "steps_per_call": 3, "drop_last": False},
            [Call(0, 3, 30), Call(3, 1, 10)],
        ),
    ],
)
def test_epoch_is_split_into_calls(changes, calls):
    assert epoch_calls(spec(**changes)) == calls


def test_last_batch_counts_as_a_step():
    assert spec(batch_size=30).steps_per_epoch == 3
    assert spec(batch_size=30, drop_last=False).steps_per_epoch == 4
    assert spec(drop_last=False).steps_per_epoch == 10


def test_pixel_statistics_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3)).astype(np.uint8)
    mean, std = pixel_statistics(images)
    np.testing.assert_allclose(mean, np.mean(images / 255, axis=(0, 1, 2)))
    np.testing.assert_allclose(std, np.std(images / 255, axis=(0, 1, 2)))


def test_constant_channel_is_not_divided_by_zero():
    mean, std = pixel_statistics(np.full((2, 3, 3, 1), 51, np.uint8))
    np.testing.assert_allclose(mean, [0.2])
    assert jnp.all(std == 1)


def test_runs_of_one_data_set_share_it_on_the_device():
    images = np.zeros((4, 3, 3, 1), np.uint8)
    labels = np.zeros(4, np.int32)
    dataset, equal = (Dataset(images, labels, images, labels, 2) for _ in range(2))
    first = put_on_device(dataset, "none", 1, 2)
    assert put_on_device(dataset, "none", 1, 2).train_inputs is first.train_inputs
    assert put_on_device(dataset, "none", 0, 2).train_inputs.shape == (4, 3, 3, 1)
    assert put_on_device(equal, "none", 1, 2).train_inputs is not first.train_inputs

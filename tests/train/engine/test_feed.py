"""Where the examples lie changes nothing but where they lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.engine.test_spec import spec
from train.data.dataset import Dataset
from train.engine import feed
from train.engine.feed import make_feed, pixel_statistics
from train.engine.spec import Call
from train.engine.types import EpochPlan
from train.errors import InputError


def dataset(size=12):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 4, 4, 3)).astype(np.uint8)
    labels = np.arange(size, dtype=np.int32)
    return Dataset(images, labels, images[:5], labels[:5], size)


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
    first, equal = dataset(), dataset()

    def inputs(dataset, **changes):
        return make_feed(dataset, spec(**changes), "none").data.train_inputs

    assert inputs(first, crop_padding=1) is inputs(first, crop_padding=1)
    assert inputs(first, crop_padding=1).shape == (12, 6, 6, 3)
    assert inputs(first).shape == (12, 4, 4, 3)
    assert inputs(equal) is not inputs(first)


@pytest.mark.parametrize("crop_padding", [0, 2])
def test_host_sends_each_call_its_examples_in_order(crop_padding):
    data = dataset()
    shape = {
        "crop_padding": crop_padding,
        "batch_size": 3,
        "train_shape": (12, 4, 4, 3),
    }
    sizes = spec(**shape)
    on_device = make_feed(data, sizes, "none")
    from_host = make_feed(data, spec(**shape, from_host=True), "none")
    assert len(from_host.data.train_inputs) == 0
    order = jnp.array([7, 2, 11, 0, 1, 3, 10, 4, 6, 5, 9, 8], jnp.int32)
    plan = EpochPlan(order, jnp.zeros(4), jnp.zeros(4), jax.random.key(0))
    calls = [Call(0, 2, 3), Call(2, 1, 3), Call(3, 1, 2)]

    def examples(feed):
        """Inputs and targets that the steps of each call pick, one after another."""
        for call, data, part in feed.calls(calls, plan, sizes):
            inputs, targets = data.train_inputs, data.train_targets
            if feed.host is not None:
                assert targets.shape == call[1:]
                yield inputs.reshape(-1, *inputs.shape[2:]), targets.ravel()
                continue
            size = call.num_steps * call.batch_size
            chosen = part.order[3 * call.first :][:size]
            yield inputs[chosen], targets[chosen]

    expected = [order[:6], order[6:9], order[9:11]]
    for wanted, ours, theirs in zip(
        expected, examples(from_host), examples(on_device), strict=True
    ):
        np.testing.assert_array_equal(ours[1], wanted)  # labels are numbers of images
        np.testing.assert_array_equal(ours[1], theirs[1])
        np.testing.assert_array_equal(ours[0], theirs[0])


def test_no_more_examples_are_on_the_device_than_a_call_needs():
    data = dataset()
    sizes = spec(batch_size=3, from_host=True)
    fed = make_feed(data, sizes, "none")
    plan = EpochPlan(jnp.arange(12), jnp.zeros(4), jnp.zeros(4), jax.random.key(0))
    calls = [Call(0, 2, 3), Call(2, 1, 3)]
    sent = [part.train_inputs.shape for _, part, _ in fed.calls(calls, plan, sizes)]
    assert sent == [(2, 3, 4, 4, 3), (1, 3, 4, 4, 3)]


def test_counted_calls_get_room_for_the_most_steps_and_zeros_after_their_own():
    sizes = spec(batch_size=3, from_host=True, counted=True, steps_per_call=3)
    fed = make_feed(dataset(), sizes, "none")
    plan = EpochPlan(jnp.arange(12), jnp.zeros(4), jnp.zeros(4), jax.random.key(0))
    calls = [Call(1, 2, 3), Call(3, 1, 2)]  # and a smaller last batch
    first, last = (part for _, part, _ in fed.calls(calls, plan, sizes))
    np.testing.assert_array_equal(
        first.train_targets, [[3, 4, 5], [6, 7, 8], [0, 0, 0]]
    )
    assert last.train_targets.shape == (1, 2)


# 12 training images of 8 x 8 x 3 bytes with their padding, and labels of 4: 2,352; five
# test images of 4 x 4 x 3 and labels: 260. Together 2,612.
@pytest.mark.parametrize(
    ("memory", "from_host"), [(None, False), (5224, False), (5223, True)]
)
def test_data_that_take_more_than_half_of_the_memory_stay_on_the_host(
    monkeypatch, memory, from_host
):
    monkeypatch.setattr(feed, "_device_memory", lambda: memory)
    assert feed.is_too_large(dataset(), crop_padding=2) is from_host


def test_test_set_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(feed, "_device_memory", lambda: 519)
    with pytest.raises(InputError, match="use fewer test examples"):
        feed.is_too_large(dataset(), crop_padding=0)


def test_host_says_once_that_the_examples_stay(capsys):
    data = dataset()
    for _ in range(2):
        make_feed(data, spec(from_host=True), "none")
    assert capsys.readouterr().err.count("stay on the host") == 1

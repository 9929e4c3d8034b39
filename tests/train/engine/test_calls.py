"""How long the calls of a program are."""

import jax
import numpy as np
import pytest

from train.data.dataset import Dataset
from train.engine import calls
from train.engine.calls import Pace, steps_per_call, training_flops
from train.engine.networks import NetworkSpec
from train.engine.optimizers import method_of
from train.engine.program import make_spec
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Model


def dataset(size=12):
    """Images of noise, each with a label of its own."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 4, 4, 3)).astype(np.uint8)
    labels = np.arange(size, dtype=np.int32)
    return Dataset(images, labels, images[:5], labels[:5], size)


def longest_call(size):
    experiment = Experiment(model=Model("mlp"), batch_size=1)
    made = make_spec(experiment, method_of(Optimizer()), dataset(size))
    steps_per_call.cache_clear()
    return steps_per_call(made)


# An epoch has 12 or 7 steps of 1 image. Of the numbers up to what is allowed, and more
# than half of it, a divisor of the steps is preferred.
@pytest.mark.parametrize(
    ("size", "allowed", "expected"),
    [(12, 100, 12), (12, 11.5, 6), (12, 5.5, 4), (7, 5.5, 5), (12, 1.5, 1), (12, 0, 1)],
)
def test_call_on_an_accelerator_takes_what_is_done_in_bounded_time(
    monkeypatch, size, allowed, expected
):
    flops = training_flops(NetworkSpec(Model("mlp"), (4, 4, 3), size))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(calls, "CALL_FLOPS", int(allowed * flops))
    assert longest_call(size) == expected


def test_program_for_a_cpu_takes_any_number_of_steps_up_to_an_epoch():
    assert longest_call(12) == 12


@pytest.mark.parametrize(
    ("timed", "expected"),
    [
        # A call takes about two seconds, and a step however long that is.
        (((1, 0.5), (4, 1.0), (8, 2.0), (8, 4.0)), [4, 8, 8, 4]),
        (((1, 30.0), (1, 30.0)), [1, 1]),
        # One fast call, or a clock that does not move, does not make a long one.
        (((1, 0.001), (4, 0.004)), [4, 16]),
        (((1, 0.0),), [4]),
    ],
)
def test_calls_on_a_cpu_are_sized_by_how_long_the_ones_before_took(timed, expected):
    pace, found = Pace(), []
    assert pace.size() == 1
    for num_steps, seconds in timed:
        pace.took(num_steps, seconds)
        found.append(pace.size())
    assert found == expected


# By hand, two operations for each product, and backward twice as many but for those of
# the first layer of numbers. A Wide ResNet for 8x8 images:
#   stem 3x3x3x16 on 64 pixels: 55,296; group of 16: two 3x3x16x16 on 64: 589,824;
#   group of 32, 16 pixels: 3x3x16x32 and 3x3x32x32: 442,368, shortcut 16x32: 16,384;
#   group of 64, 4 pixels: 3x3x32x64 and 3x3x64x64: 442,368, shortcut 32x64: 16,384;
#   classifier 64x10: 1,280. Together 1,563,904.
# A perceptron of 4 inputs, 5 and 3 units: 40 and 30. A text of 5 tokens out of 7, width
# 4, a layer of two heads: queries, keys and values 3 x 2x5x4x4, scores and their sums
# 2 x 2x(2x5x5x2), their output 2x5x4x4, the layers 2x5x4x16 twice, the logits 2x5x4x7.
# Looking tokens up is no product.
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NetworkSpec(Model("wide_resnet"), (8, 8, 3), 10), 3 * 1_563_904 - 55_296),
        (NetworkSpec(Model("mlp", hidden=(5,)), (4,), 3), 3 * (40 + 30) - 40),
        (
            NetworkSpec(Model("transformer", width=4, layers=1, heads=2), (5,), 7),
            3 * (480 + 400 + 160 + 1280 + 280),
        ),
    ],
)
def test_arithmetic_of_a_network_is_counted_as_by_hand(spec, expected):
    assert training_flops(spec) == expected

"""How long the calls of a program are."""

import jax
import numpy as np
import pytest

from train.data.dataset import Dataset
from train.engine import calls
from train.engine.calls import Pace, steps_per_call
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


# An epoch has 12 or 7 steps of 1 image. Nearest to what is allowed, by their ratio, is
# the divisor of the steps that is expected.
@pytest.mark.parametrize(
    ("size", "allowed", "expected"),
    [(12, 100, 12), (12, 5, 6), (12, 4.5, 4), (7, 3, 7), (7, 2, 1), (12, 0.1, 1)],
)
def test_call_on_an_accelerator_takes_what_is_done_in_bounded_time(
    monkeypatch, size, allowed, expected
):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(calls, "CALL_NUMBERS", int(allowed * 4 * 4 * 3))
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

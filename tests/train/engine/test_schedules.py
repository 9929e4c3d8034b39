import math

import numpy as np
import pytest

from train.engine.schedules import learning_rates
from train.settings.optimizer import Schedule


def rates(epochs, steps_per_epoch, **options):
    sizes = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    actual = learning_rates(Schedule(**options), 0.1, **sizes)
    assert actual.shape == (epochs, steps_per_epoch)
    return actual.ravel()


def test_constant_schedule_stays():
    np.testing.assert_array_equal(
        rates(2, 2, schedule="constant"), np.float32([0.1] * 4)
    )


def test_step_schedule_drops_after_its_milestones():
    # The authors change the rate at the end of 0-based epoch m - 1: epoch m has it.
    actual = rates(4, 2, schedule="step", milestones=(1, 3), milestone_factor=0.2)
    expected = [0.1, 0.1, 0.02, 0.02, 0.02, 0.02, 0.004, 0.004]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_exponential_schedule_decays_every_step_after_its_epoch():
    actual = rates(
        3, 2, schedule="exponential", exponential_after=1, exponential_rate=0.5
    )
    expected = [0.1, 0.1, 0.05, 0.025, 0.0125, 0.00625]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_cosine_schedule_is_half_a_cosine():
    expected = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    np.testing.assert_allclose(rates(4, 2, schedule="cosine"), expected, rtol=1e-5)


def test_warm_up_rises_linearly_and_keeps_the_milestones():
    actual = rates(
        4, 2, schedule="step", milestones=(3,), milestone_factor=0.5, warmup_epochs=2
    )
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "step", "exponential", "cosine"])
def test_rates_are_float32_one_a_step(schedule):
    actual = rates(3, 5, schedule=schedule)
    assert (actual.shape, actual.dtype) == ((15,), np.float32)

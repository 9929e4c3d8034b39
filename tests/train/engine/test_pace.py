"""How calls are sized on a CPU."""

import pytest

from train.engine.pace import Pace


def sizes(*calls):
    pace = Pace()
    found = [pace.size()]
    for num_steps, seconds in calls:
        pace.took(num_steps, seconds)
        found.append(pace.size())
    return found


def test_call_takes_about_two_seconds():
    assert sizes((1, 0.5), (4, 1.0), (8, 2.0), (8, 4.0)) == [1, 4, 8, 8, 4]


def test_call_takes_a_step_however_long_that_is():
    assert sizes((1, 30.0), (1, 30.0)) == [1, 1, 1]


def test_size_grows_slowly_so_that_one_fast_call_does_not_make_a_long_one():
    assert sizes((1, 0.001), (4, 0.004)) == [1, 4, 16]


@pytest.mark.parametrize("seconds", [0.0, 1e-12])
def test_clock_that_does_not_move_does_no_harm(seconds):
    assert sizes((1, seconds)) == [1, 4]

import pytest

from train.studies.trials import Clock


@pytest.fixture
def now(monkeypatch):
    """The time, in a list of one number of seconds."""
    seconds = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: seconds[0])
    return seconds


def test_runs_that_wait_take_as_long_as_the_mean_of_those_so_far(now):
    clock = Clock()
    now[0] += 30
    assert clock.after_run(3) == pytest.approx(90)
    now[0] += 10
    assert clock.after_run(2) == pytest.approx(40)


@pytest.mark.parametrize(("budget", "over"), [(None, False), (2, False), (1, True)])
def test_budget_is_minutes(now, budget, over):
    clock = Clock(budget)
    now[0] += 61
    assert clock.is_over() == over

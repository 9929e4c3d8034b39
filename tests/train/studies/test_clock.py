import pytest

from train.studies.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """The time, in a list of one number of seconds."""
    seconds = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: seconds[0])
    return seconds


def count(clock, now, program, seconds, *epochs):
    now[0] += seconds
    clock.count(program, [{"seconds": epoch} for epoch in epochs])


def test_time_left_counts_compilation_once_a_program(now):
    clock = Clock(None)
    count(clock, now, "a", 32, 1, 1)  # compiles for 30 s, then two epochs of 1 s
    assert clock.left(["a", "a"]) == pytest.approx(4)
    # A program that was not run yet is compiled once.
    assert clock.left(["a", "b", "b"]) == pytest.approx(2 + 32 + 2)
    count(clock, now, "b", 40, 5, 5)
    assert clock.left(["a", "b"]) == pytest.approx(2 + 10)


def test_slow_first_epoch_is_not_taken_for_all(now):
    clock = Clock(None)
    count(clock, now, "a", 60, 40, 1, 1)
    assert clock.left(["a"]) == pytest.approx(3)


def test_start_of_the_program_is_not_taken_for_compiling(now):
    clock = Clock(None)
    count(clock, now, "a", 90, 1)
    count(clock, now, "b", 20, 1)
    assert clock.left(["c"]) == pytest.approx(20)


def test_repeated_run_takes_all_its_time_not_that_of_its_epochs(now):
    clock = Clock(None)
    count(clock, now, "a", 32, 1, 1)
    count(clock, now, "a", 5, 1, 1)
    assert clock.left(["a", "a"]) == pytest.approx(10)


def test_diverged_run_without_an_epoch_counts(now):
    clock = Clock(None)
    count(clock, now, "a", 7)
    assert clock.left(["a", "b"]) == pytest.approx(0 + 7)


@pytest.mark.parametrize(("budget", "over"), [(None, False), (2, False), (1, True)])
def test_budget_is_minutes(now, budget, over):
    clock = Clock(budget)
    now[0] += 61
    assert clock.is_over() == over

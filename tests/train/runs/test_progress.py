"""How far a run is, by a clock that the tests set."""

import pytest

from train.runs.progress import LongRun, Progress, as_clock, as_hours, as_rate


@pytest.fixture
def clock():
    """A clock whose `now` is what it tells."""

    def tell():
        return tell.now

    tell.now = 100.0
    return tell


def after(clock, *calls, epochs=3, steps_per_epoch=10, done=0):
    """Progress after calls: each the seconds it took, and the steps done at its end."""
    progress = Progress(epochs, steps_per_epoch, done, clock)
    for seconds, done in calls:
        clock.now += seconds
        progress.advance(done, loss=2.0, rate=8.0)
    return progress


@pytest.mark.parametrize(
    ("done", "place"), [(0, (1, 0)), (1, (1, 1)), (10, (1, 10)), (11, (2, 1))]
)
def test_last_step_of_an_epoch_belongs_to_it(done, place):
    progress = Progress(3, 10, done)
    assert (progress.epoch, progress.step) == place


def test_time_left_is_that_of_the_steps_after_the_first_call(clock):
    # 4 steps in 8 s after the first call, which took a minute; 25 steps are left.
    assert after(clock, (60, 1), (8, 5)).seconds_left() == 50


def test_time_left_counts_down_between_two_calls(clock):
    progress = after(clock, (60, 1), (8, 5))
    clock.now += 3
    assert progress.seconds_left() == 47


@pytest.mark.parametrize("calls", [[], [(60, 1)], [(60, 1), (1, 20)]])
def test_time_left_is_not_told_too_soon(clock, calls):
    assert after(clock, *calls).seconds_left() is None


def test_run_that_goes_on_counts_its_own_steps_only(clock):
    # One step in 4 s; 30 - 22 are left.
    assert after(clock, (9, 21), (4, 22), done=20).seconds_left() == 32


def test_long_run_is_told_once_with_what_to_do(clock):
    # 30 s a step; 150 epochs of 10 steps but 2: 12.48 hours.
    progress = after(clock, (40, 1), (30, 2), epochs=150)
    long_run = LongRun()
    said = long_run.said_once(progress, "CPU")
    assert said.startswith("This run takes about 12 hours on this CPU. Fewer --epochs")
    assert long_run.said_once(progress, "CPU") is None


def test_gpu_is_advised_to_those_who_have_none_only(clock):
    progress = after(clock, (40, 1), (30, 2), epochs=150)
    assert "a GPU" in LongRun().said_once(progress, "CPU")
    assert "a GPU" not in LongRun().said_once(progress, "GPU").partition(".")[2]


def test_run_of_less_than_an_hour_is_not_called_long(clock):
    assert LongRun().said_once(after(clock, (60, 1), (8, 5)), "CPU") is None


def test_run_is_called_long_as_soon_as_it_is_known_or_never(clock):
    progress = after(clock, (40, 1))
    long_run = LongRun()
    assert long_run.said_once(progress, "CPU") is None  # too soon
    clock.now += 4
    progress.advance(2, 2.0, 8.0)
    assert long_run.said_once(progress, "CPU") is None  # two minutes
    clock.now += 10_000
    progress.advance(3, 2.0, 8.0)  # a computer that slept
    assert long_run.said_once(progress, "CPU") is None


def test_times_and_rates_are_written_as_one_reads_them():
    assert [as_clock(s) for s in (0, 59.6, 3661)] == ["0:00:00", "0:01:00", "1:01:01"]
    assert [as_hours(s) for s in (4000, 280800)] == ["1.1 hours", "78 hours"]
    assert [as_rate(r) for r in (4.26, 12345.6)] == ["4.3", "12,346"]

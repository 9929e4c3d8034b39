"""How far a run is, and how long it will take."""

import math
import time
from collections.abc import Callable

# Seconds of training after which the time left can be told.
SOON = 3.0

# Seconds from which a run is called long.
LONG = 3600.0


class Progress:
    """Follows a run by the steps that are done.

    Args:
      epochs: of the run.
      steps_per_epoch: its steps.
      done: steps that were taken before, by a run that goes on.
      clock: tells seconds.

    Attributes:
      done: steps of the run.
      total: all of them.
      loss: of the last step; NaN before the first.
      rate: examples a second in this epoch; NaN before the first step.
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        done: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.done = done
        self.total = epochs * steps_per_epoch
        self.loss = self.rate = math.nan
        self._clock = clock
        self._first: tuple[int, float] | None = None  # steps and time
        self._last = 0.0

    def advance(self, done: int, loss: float, rate: float) -> None:
        """Notes that so many steps of the run are done."""
        self.done, self.loss, self.rate = done, loss, rate
        self._last = self._clock()
        if self._first is None:  # what comes first is slower than the rest
            self._first = done, self._last

    @property
    def epoch(self) -> int:
        """The epoch of the last step that is done, counted from 1."""
        return max(0, self.done - 1) // self.steps_per_epoch + 1

    @property
    def step(self) -> int:
        """Steps of this epoch that are done."""
        return self.done - (self.epoch - 1) * self.steps_per_epoch

    def seconds_left(self) -> float | None:
        """Until the last step, tests between included; None if it is too soon to say.

        It counts down between two calls.
        """
        if self._first is None:
            return None
        steps, start = self._first
        if self.done == steps or self._last - start < SOON:
            return None
        left = (self._last - start) / (self.done - steps) * (self.total - self.done)
        return max(0.0, left - (self._clock() - self._last))


class LongRun:
    """Says once how long a run takes, if that is long."""

    def __init__(self):
        self._is_known = False

    def said_once(self, progress: Progress, device: str) -> str | None:
        """What to say, at the first call at which it is known; else None.

        Args:
          progress: of the run.
          device: CPU, GPU or TPU.
        """
        left = progress.seconds_left()
        if self._is_known or left is None:
            return None
        self._is_known = True
        if left < LONG:
            return None
        faster = " or a GPU" if device == "CPU" else ""
        return (
            f"This run takes about {as_hours(left)} on this {device}. Fewer --epochs, "
            f"a smaller network{faster} take less.\n"
            "Ctrl-C saves it. The message then says how to go on."
        )


def as_clock(seconds: float) -> str:
    """Seconds as H:MM:SS."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def as_hours(seconds: float) -> str:
    """Seconds as hours, as exactly as such a guess is."""
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:,.0f} hours"


def as_rate(rate: float) -> str:
    """Examples a second: few of them with a digit more; NaN is a dash."""
    if math.isnan(rate):
        return "-"
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"

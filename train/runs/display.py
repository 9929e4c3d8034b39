"""What a run shows while it is at work: nothing, lines, or a live terminal.

This module loads no JAX, so that something is on the screen while that is loaded.
"""

import contextlib
import errno
import os
import sys
import time
from typing import Any, TextIO

from train.runs.progress import LongRun, Progress, as_clock, as_rate

# Seconds between two lines within an epoch, where there is no terminal.
BETWEEN_LINES = 30.0

# Stages between which a run's progress stays on the screen.
OF_TRAINING = ("training", "testing")

STOPPING = "stopping and saving; once more to stop at once"


class Display:
    """Shows nothing. The others show more."""

    def stage(self, text: str) -> None:
        """What is being done now."""

    def line(self, text: str) -> None:
        """A line that stays."""

    def note(self, text: str) -> None:
        """A remark that stays."""

    def begin(self, progress: Progress, device: str) -> None:
        """Training begins. `progress` follows it; `device` is CPU, GPU or TPU."""

    def advanced(self) -> None:
        """More steps are done."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done: its row of `metrics.jsonl`."""

    def stopping(self) -> None:
        """A signal came. Called in the midst of anything: it takes no lock."""
        say_at_once(f"\n{STOPPING}\n")

    def summary(self, lines: list[str]) -> None:
        """The run is done.

        Raises:
          OSError: a part of the output is lost, as on a full disk.
        """


class Summary(Display):
    """Shows what a run came to, and nothing else."""

    def __init__(self):
        self._out = Patient(sys.stdout)

    def summary(self, lines: list[str]) -> None:
        """Prints it."""
        for line in lines:
            self._out.print(line)
        if self._out.lost is not None:
            raise self._out.lost


class Lines(Summary):
    """A line for each epoch, and some in long ones: for a file or a pipe."""

    def __init__(self):
        super().__init__()
        self._progress: Progress | None = None
        self._long_run = LongRun()
        self._printed = time.monotonic()

    def line(self, text: str) -> None:
        """Prints it."""
        self._out.print(text)
        self._printed = time.monotonic()

    def note(self, text: str) -> None:
        """Prints it on stderr."""
        Patient(sys.stderr).print(text)

    def begin(self, progress: Progress, device: str) -> None:
        """Follows `progress`."""
        self._progress, self._device = progress, device
        self._printed = time.monotonic()

    def advanced(self) -> None:
        """Prints a line if the last one is old."""
        progress = self._progress
        if text := self._long_run.said_once(progress, self._device):
            self.note(text)
        is_last = progress.step == progress.steps_per_epoch  # its epoch's line comes
        if is_last or time.monotonic() - self._printed < BETWEEN_LINES:
            return
        left = progress.seconds_left()
        self.line(
            f"epoch {progress.epoch}/{progress.epochs}: "
            f"step {progress.step:,} of {progress.steps_per_epoch:,}, "
            f"loss {progress.loss:.4f}, {as_rate(progress.rate)} images/s"
            + (f", {as_clock(left)} left" if left is not None else "")
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """Prints a line."""
        test = "no test"
        if "test_error" in row:
            test = f"test error {row['test_error']:.2f} %"
        self.line(
            f"epoch {row['epoch']}/{self._progress.epochs}: "
            f"train loss {row['train_loss']:.4f}, "
            f"train error {row['train_error']:.2f} %, {test}, "
            f"{as_rate(row['images_per_second'])} images/s"
        )


class Patient:
    """A stream that nobody need read: training is worth more than its output.

    Attributes:
      lost: why what somebody may want to read is lost, as for a full disk; else None.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes, or gives up."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flushes, or gives up."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def print(self, text: str) -> None:
        """Prints a line."""
        self.write(text + "\n")
        self.flush()

    def _give_up(self, error: OSError) -> None:
        # After `| tee` died, or of a terminal that is gone, there is no reader.
        if error.errno not in (errno.EPIPE, errno.EIO):
            self.lost = error
        discard(self._stream)


def discard(stream: TextIO) -> None:
    """Lets what is left in a stream's buffer go nowhere, at Python's end too."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say_at_once(text: str) -> None:
    """Writes to stderr past all buffers, if somebody reads: Ctrl-C ends `tee` too."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))  # paths too

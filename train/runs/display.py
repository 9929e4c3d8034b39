"""What a run shows while it is at work: lines, a live terminal, or a summary only.

This module loads no JAX, so that something is on the screen while that is loaded.
"""

import contextlib
import errno
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from train import notes
from train.paths import on_screen

# Of the table of epochs: title, and what a row shows.
_SHOWS = {
    "epoch": lambda row: f"{row['epoch']}",
    "train loss": lambda row: as_loss(row["train_loss"]),
    "train error": lambda row: f"{row['train_error']:.2f} %",
    "test error": lambda row: f"{row['test_error']:.2f} %",
    "low-loss": lambda row: f"{row['low_loss_share']:.0%}",
    "switches": lambda row: f"{row['phase_switches']:,}",
    "examples/s": lambda row: as_rate(row["images_per_second"]),
}
# What a narrow terminal does without, one after another.
_DISPENSABLE = ("train error", "examples/s", "switches", "low-loss", "train loss")

BETWEEN_LINES = 30.0  # seconds, within an epoch, where there is no terminal
SOON = 3.0  # seconds of training after which the time left can be told
LONG = 3600.0  # seconds from which a run is called long
STOPPING = "stopping and saving; once more to stop at once"


class Display(contextlib.ExitStack):
    """Shows how far a run is. A context.

    Args:
      quiet: show what the run came to, and remarks on stderr; nothing else.
      bar_only: of one of many runs, show only what vanishes again.
      tested: what the examples are that it is tested on: "test" or "validation".
    """

    def __init__(
        self, *, quiet: bool = False, bar_only: bool = False, tested: str = "test"
    ):
        # Imported late: `--help` needs none of it, and it takes a tenth of a second.
        from rich.console import Console
        from rich.progress import BarColumn, Progress

        super().__init__()
        self._bar_only, self._says = bar_only, not (quiet or bar_only)
        self._shows = {n.replace("test", tested): show for n, show in _SHOWS.items()}
        is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._is_live = is_terminal and not quiet
        self._out = Patient(sys.stdout)
        self._console = Console(file=self._out, highlight=False)
        self._bar = Progress(
            "{task.description}",
            BarColumn(None),
            "{task.fields[step]}",
            console=self._console,
            disable=not self._is_live,
            expand=True,
            get_time=lambda: time.monotonic(),
            redirect_stderr=sys.stderr.isatty(),
            refresh_per_second=4,
            speed_estimate_period=float("inf"),
            transient=True,
        )
        self._bar.get_renderables = self._live_lines
        self._bar.add_task("", total=None, visible=False, step="")
        [self._task] = self._bar.tasks
        self._stage, self._about, self._device = "", "", ""
        self._since = self._printed = time.monotonic()
        self._epochs = self._steps = 0
        self._first: float | None = None  # when the first steps were done
        self._columns: list[str] = []
        self._is_stopping = self._is_length_known = False

    def __enter__(self) -> "Display":
        """Begins to show."""
        if self._is_live:
            self.enter_context(self._bar)
            # Rich hides the cursor, and a killed process could not bring it back.
            self._console.show_cursor(True)
        self.enter_context(notes.shown_by(self._note, self.stage))
        return self

    def stage(self, text: str) -> None:
        """What is being done now; the bar is there in training and in its tests."""
        self._stage, self._since = text, time.monotonic()
        if text not in ("training", "testing"):
            self._bar.update(self._task.id, visible=False)
        self._bar.refresh()

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self._says:
            return
        self._printed = time.monotonic()
        if self._is_live:
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            self._out.print(text)

    def _note(self, text: str) -> None:
        """A remark, on stderr; rich shows it above the live lines."""
        if not self._bar_only:
            Patient(sys.stderr).print(on_screen(text))

    def begin(self, epochs: int, steps_per_epoch: int, done: int, device: str) -> None:
        """Training goes on after `done` steps; `device` is CPU, GPU or TPU."""
        self._epochs, self._steps, self._device = epochs, steps_per_epoch, device
        total = epochs * steps_per_epoch
        self._bar.reset(self._task.id, total=total, completed=done, visible=True)
        self._place(done)
        self.stage("training")

    def advanced(self, done: int, loss: float, rate: float) -> None:
        """So many steps of the run are done; the rate is examples a second."""
        self._stage = "training"
        self._about = f"{as_rate(rate)} examples/s  loss {as_loss(loss)}"
        self._bar.update(self._task.id, completed=done)
        epoch, step = self._place(done)
        if self._first is None:  # what comes first is slower than the rest
            self._first = time.monotonic()
        left = self._seconds_left()
        if left is not None and not self._is_length_known:
            self._is_length_known = True
            if left >= LONG:
                hours, faster = left / 3600, " or a GPU" * (self._device == "CPU")
                self._note(
                    f"This run takes about {hours:,.{1 if hours < 10 else 0}f} hours "
                    f"on this {self._device}. Fewer --epochs, a smaller network{faster}"
                    " take less.\nCtrl-C saves it. The message then says how to go on."
                )
        is_old = time.monotonic() - self._printed >= BETWEEN_LINES
        if not self._is_live and is_old and step < self._steps:  # else its row comes
            about = self._about.replace("  ", ", ")
            until = "" if left is None else f", {as_clock(left)} left"
            self.line(
                f"epoch {epoch}/{self._epochs}: step {step:,} of {self._steps:,}, "
                f"{about}{until}"
            )

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done: its row of `metrics.jsonl`."""
        self._stage = "training"  # again
        cells = dict.fromkeys(self._shows, "-")
        for name, show in self._shows.items():
            with contextlib.suppress(KeyError, TypeError):  # no test, or no phases
                cells[name] = show(row)
        units = {name: x for name, x in row.items() if name.startswith("RMSE in ")}
        cells |= units
        if not self._is_live:
            parts = [f"{name} {cells[name]}" for name in [*cells][1:4]]
            if "test_error" not in row:
                parts[-1] = "no test"
            parts += [f"{name} {x}" for name, x in units.items() if x != "-"]
            parts.append(f"{cells['examples/s']} examples/s")
            self.line(f"epoch {row['epoch']}/{self._epochs}: {', '.join(parts)}")
            return
        if not self._columns:
            self._columns = list(cells)
            for name in _DISPENSABLE:
                if len("  ".join(self._columns)) > self._console.width:
                    self._columns.remove(name)
            self.line("  ".join(self._columns))
        self.line("  ".join(cells[name].rjust(len(name)) for name in self._columns))

    def stopping(self) -> None:
        """A signal came. Called in the midst of anything: it takes no lock."""
        self._is_stopping = True  # which the next refresh shows
        if not self._is_live:
            say_at_once(f"\n{STOPPING}\n")

    def summary(self, lines: list[str]) -> None:
        """What the run came to; raises `OSError` if a part of the output is lost."""
        self._bar.stop()
        for line in lines:
            self._out.print(line)
        if self._out.lost is not None:
            raise self._out.lost

    def _place(self, done: int) -> tuple[int, int]:
        """Epoch and step after so many steps; the bar shows them."""
        epoch = max(0, done - 1) // self._steps
        step = done - epoch * self._steps
        self._bar.update(
            self._task.id,
            description=f"epoch {epoch + 1}/{self._epochs}",
            step=f"step {step:,} of {self._steps:,}",
        )
        return epoch + 1, step

    def _seconds_left(self) -> float | None:
        """Until the last step, tests between included; None if it is too soon."""
        if self._first is None or time.monotonic() - self._first < SOON:
            return None
        return self._task.time_remaining

    def _live_lines(self) -> list[Any]:
        """What is live at the moment: a bar in training, and a line."""
        from rich.text import Text

        parts, lines = [STOPPING if self._is_stopping else self._stage], []
        if self._task.visible:
            lines.append(self._bar.make_tasks_table([self._task]))
            parts.append(self._about)
            if (left := self._seconds_left()) is not None:
                parts.append(f"{as_clock(left)} left")
        elif self._stage:
            parts.append(f"{time.monotonic() - self._since:.0f} s")
        text = "  ".join(filter(None, parts))
        return [*lines, Text(text, no_wrap=True, overflow="ellipsis")]


def as_clock(seconds: float) -> str:
    """Seconds as H:MM:SS."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def as_rate(rate: float) -> str:
    """Examples a second: few of them with a digit more; NaN is a dash."""
    if rate != rate:
        return "-"
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def as_loss(loss: float | None) -> str:
    """A loss; a huge one with few digits. None stands for NaN in files."""
    if loss is None or not math.isfinite(loss):
        return "not finite"
    return f"{loss:.4f}" if loss < 1e5 else f"{loss:.3g}"


class Patient:
    """A stream that nobody need read: training is worth more than its output.

    Once it fails, all that follows goes nowhere. `lost` is then the error, if somebody
    may want to read what is lost, as for a full disk.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes, or gives up."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flushes, or gives up."""
        self._try(self._stream.flush)

    def print(self, text: str) -> None:
        """Prints a line."""
        self.write(text + "\n")
        self.flush()

    def _try(self, act: Callable[..., Any], *words: str) -> None:
        try:
            act(*words)
        except OSError as error:
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

"""A live terminal: what is being done now, below what is done."""

import sys
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from train.runs.display import OF_TRAINING, STOPPING, Display, Patient
from train.runs.progress import LongRun, Progress, as_clock, as_rate

# Of the table of epochs: title, and what a row shows.
_COLUMNS = {
    "epoch": lambda row: f"{row['epoch']}",
    "train loss": lambda row: f"{row['train_loss']:.4f}",
    "train error": lambda row: f"{row['train_error']:.2f} %",
    "test error": lambda row: (
        f"{row['test_error']:.2f} %" if "test_error" in row else "-"
    ),
    "low-loss": lambda row: (
        "-" if row["phase_switches"] is None else f"{row['low_loss_share']:.0%}"
    ),
    "switches": lambda row: (
        "-" if row["phase_switches"] is None else f"{row['phase_switches']:,}"
    ),
    "images/s": lambda row: as_rate(row["images_per_second"]),
}
# What a narrow terminal does without, one after another.
_DISPENSABLE = ("train error", "images/s", "switches", "low-loss", "train loss")


class Terminal(Display):
    """Shows a live line or two, and above them a table of epochs.

    Args:
      bar_only: show only what vanishes again.
    """

    def __init__(self, *, bar_only: bool):
        self._bar_only = bar_only
        self._console = Console(file=Patient(sys.stdout), highlight=False)
        self._stage, self._since = "", time.monotonic()
        self._is_stopping = False
        self._progress: Progress | None = None
        self._device = ""
        self._columns: list[str] = []
        self._long_run = LongRun()
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=4,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> "Terminal":
        """Begins to show."""
        self._live.start()
        # Rich hides the cursor, and a process that is killed could not bring it back.
        self._console.show_cursor(True)
        return self

    def __exit__(self, *exception: object) -> None:
        """Takes the live lines away."""
        self._live.stop()

    def stage(self, text: str) -> None:
        """Shows it: with the bar if it is a part of training, else with its seconds."""
        self._stage, self._since = text, time.monotonic()
        if text not in OF_TRAINING:
            self._progress = None
        self._live.refresh()

    def line(self, text: str) -> None:
        """Prints it above the live lines."""
        if not self._bar_only:
            self._console.print(Text(text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Prints it above the live lines."""
        if not self._bar_only:
            self._console.print(Text(text), soft_wrap=True)

    def begin(self, progress: Progress, device: str) -> None:
        """Follows `progress`."""
        self._progress, self._device = progress, device
        self.stage("training")

    def advanced(self) -> None:
        """Says once how long the run takes, if that is long."""
        self._stage = "training"
        if text := self._long_run.said_once(self._progress, self._device):
            self.note(text)

    def epoch(self, row: dict[str, Any]) -> None:
        """Prints a row of the table."""
        self._stage = "training"  # again
        if not self._columns:
            self._columns = _fitting(self._console.width)
            self.line("  ".join(self._columns))
        cells = [_COLUMNS[name](row).rjust(len(name)) for name in self._columns]
        self.line("  ".join(cells))

    def stopping(self) -> None:
        """The next refresh shows it."""
        self._is_stopping = True

    def summary(self, lines: list[str]) -> None:
        """Prints it in place of the live lines."""
        self.stage("")
        self._live.stop()
        self.line("")
        for line in lines:
            self.line(line)

    def _render(self) -> RenderableType:
        """What is live at the moment."""
        stage = STOPPING if self._is_stopping else self._stage
        if self._progress is None:
            seconds = time.monotonic() - self._since
            return Text(f"{stage}  {seconds:.0f} s" if stage else "", no_wrap=True)
        progress = self._progress
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_row(
            f"epoch {progress.epoch}/{progress.epochs}",
            ProgressBar(total=progress.total, completed=progress.done),
            f"step {progress.step:,} of {progress.steps_per_epoch:,}",
        )
        parts = [stage]
        if progress.loss == progress.loss:  # not NaN, as before the first step
            parts += [f"{as_rate(progress.rate)} images/s", f"loss {progress.loss:.4f}"]
        left = progress.seconds_left()
        if left is not None:
            parts.append(f"{as_clock(left)} left")
        return Group(bar, Text("  ".join(parts), no_wrap=True, overflow="ellipsis"))


def _fitting(width: int) -> list[str]:
    """The columns that fit such a terminal."""
    names = list(_COLUMNS)
    for name in _DISPENSABLE:
        if len("  ".join(names)) <= width:
            break
        names.remove(name)
    return names

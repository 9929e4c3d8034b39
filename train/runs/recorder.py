"""Writes rows and checkpoints of a run during training, and tells the display."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from train import notes
from train.engine import networks
from train.engine.program import Program
from train.errors import DivergedError, InputError
from train.runs import records
from train.runs.checkpoint import Checkpoints, Snapshot
from train.runs.display import Display
from train.runs.events import Events
from train.runs.folder import add_provenance
from train.runs.phases import same_phase
from train.runs.progress import Progress
from train.settings.experiment import Run


class Recorder:
    """Writes into a run's folder. A context: leaving it waits for the disk.

    Args:
      folder: of the run.
      config: the run.
      compiled: its program.
      display: what shows how far the run is.
      light: leave no checkpoint when the run has finished.
    """

    def __init__(
        self,
        folder: Path,
        config: Run,
        compiled: Program,
        *,
        display: Display,
        light: bool,
    ):
        self._folder = folder
        self._light = light
        self._config = config
        self._compiled = compiled
        self._display = display
        self._total = config.epochs * compiled.spec.steps_per_epoch
        self._has_remarked = False
        self._events: Events | None = None
        self._saved = time.monotonic()  # a clock that nobody sets
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Recorder":
        """Opens the checkpoints.

        Raises:
          InputError: their folder cannot be made.
        """
        self._checkpoints = self._stack.enter_context(
            Checkpoints(self._folder, self._config.keep_checkpoints)
        )
        return self

    def __exit__(self, kind: Any, *exception: Any) -> None:
        """Waits for checkpoints on their way to the disk."""
        self._stack.__exit__(kind, *exception)
        if kind is DivergedError and self._light:  # the run has ended
            self._checkpoints.discard()

    def last(self, like: Snapshot) -> tuple[int, bool, Snapshot]:
        """Where the run was at the last checkpoint.

        Rows that came after it, or are half written, are dropped.

        Returns:
          The steps taken, 0 without a checkpoint; whether the last epoch that is done
          was tested, which a signal may have ended; and the snapshot, or `like`.

        Raises:
          InputError: the checkpoint or the rows are damaged; nothing is dropped then.
        """
        spec = self._compiled.spec
        done = self._checkpoints.last_step() or 0
        if not done and records.has_finished(self._folder):  # and left none
            records.keep_rows(self._folder, self._config.epochs, spec.steps_per_epoch)
            return self._total, True, like
        if done > self._total:
            raise InputError(
                f"{self._folder} has a checkpoint of step {done}, but the run has "
                f"{self._total} steps: it belongs to another run. Move it away."
            )
        snapshot = self._checkpoints.restore(done, like) if done else like
        epochs, rest = divmod(done, spec.steps_per_epoch)
        tested = (
            not done
            or rest > 0
            or not records.lacks_last(self._folder, epochs, spec.steps_per_epoch)
        )
        records.keep_rows(self._folder, epochs - (not tested), spec.steps_per_epoch)
        return done, tested, snapshot

    def begin(self, done: int) -> None:
        """Notes what goes on from the step `done`, and with what."""
        spec, seconds = self._compiled.spec, self._compiled.compile_seconds
        network = networks.describe(spec.network)
        num_parameters = networks.num_parameters(spec.network)
        add_provenance(
            self._folder,
            first_step=done + 1,
            num_devices=spec.num_devices,
            network=network,
            arrays=networks.array_names(spec.network),
            num_parameters=num_parameters,
            num_test_predictions=networks.num_predictions(
                spec.network, spec.test_shape
            ),
            compile_seconds=round(seconds, 1),
        )
        if self._config.tensorboard:
            self._events = self._stack.enter_context(Events(self._folder))
        devices = f" on {spec.num_devices} devices" if spec.num_devices > 1 else ""
        self._display.line(
            f"{network}, {num_parameters:,} parameters{devices}, compiled in "
            f"{seconds:.1f} s"
        )
        if done:
            self._display.line(f"continues after step {done} of {self._total}")
        self._progress = Progress(self._config.epochs, spec.steps_per_epoch, done)
        self._display.begin(self._progress, jax.default_backend().upper())

    def stage(self, text: str) -> None:
        """Shows what is being done now."""
        self._display.stage(text)

    def advance(self, done: int, loss: float, rate: float) -> None:
        """Shows that `done` steps of the run are done.

        Args:
          done: steps.
          loss: of the last of them.
          rate: examples a second in this epoch.
        """
        self._progress.advance(done, loss, rate)
        self._display.advanced()

    def write(self, row: dict[str, Any], steps: list[tuple]) -> None:
        """Writes an epoch's row, and those of its steps; shows the epoch's."""
        records.append_metrics(self._folder, row)
        records.append_steps(self._folder, steps)
        if self._events is not None:
            self._events.write(row)
        acts = self._config.optimizer.by_phase  # SGD's phases do nothing
        self._display.epoch(row if acts else row | {"phase_switches": None})
        remark = same_phase(row, self._config.optimizer)
        if remark and not self._has_remarked:
            notes.say(remark)
            self._has_remarked = True

    def is_due(self) -> bool:
        """Whether the time since the last checkpoint asks for one."""
        minutes = self._config.checkpoint_minutes
        return 0 < 60 * minutes <= time.monotonic() - self._saved

    def is_due_after(self, epoch: int) -> bool:
        """Whether there is to be a checkpoint after `epoch` epochs."""
        every = self._config.checkpoint_every
        if epoch == self._config.epochs:
            return not self._light
        return (every > 0 and epoch % every == 0) or self.is_due()

    def save(self, done: int, snapshot: Snapshot) -> None:
        """Saves where the run is after `done` steps.

        Raises:
          InputError: this checkpoint, or one before, cannot be written.
        """
        self._checkpoints.save(done, snapshot)
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Notes that the run came to its end, when the context has been left."""
        records.write_finished(self._folder, self._total)
        if self._light:
            self._checkpoints.discard()


class SilentRecorder:
    """Stands for `Recorder` where another process writes: every method does nothing."""

    def __enter__(self) -> "SilentRecorder":
        """Returns itself."""
        return self

    def __exit__(self, *exception: Any) -> None:
        """Nothing is on its way."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None

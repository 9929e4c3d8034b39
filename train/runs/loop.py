"""Trains one network with one optimizer."""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from train.data.dataset import Dataset, fingerprint
from train.engine import devices, optimizers, program
from train.engine.feed import Feed, make_feed
from train.engine.spec import Call, Spec
from train.engine.types import StepMetrics, TestMetrics
from train.errors import DivergedError, StoppedError
from train.runs import processes, records
from train.runs.display import Display
from train.runs.epochs import change_epochs
from train.runs.folder import digest, locked, open_folder
from train.runs.recorder import Recorder, SilentRecorder
from train.runs.showing import showing
from train.runs.stop import Stop
from train.runs.trained import write_network
from train.runs.training import Training
from train.settings.experiment import Run


def run(
    config: Run,
    dataset: Dataset,
    *,
    display: Display | None = None,
    quiet: bool = False,
    light: bool = False,
) -> Path | None:
    """Trains, and writes everything into the run's folder.

    Args:
      config: the experiment.
      dataset: its data.
      display: shows how far the run is; None: one of its own, if not quiet.
      quiet: one of many runs, which prints nothing (a terminal has a live line as long
        as the run lasts). A signal at its end says that no other is to begin.
      light: leave no checkpoint when the run has finished.

    Returns:
      The folder; None in a process that leaves writing to another.

    Raises:
      InputError: the folder cannot be used, or an option does not fit the data or the
        device's memory.
      BusyError: another process is at work in the folder.
      DivergedError: a loss was not finite; the epoch's rows are written.
      StoppedError: a signal ended it; where it was is saved.
      PeerError: another process that trains with this one is gone.
    """
    with contextlib.ExitStack() as stack:
        if display is None:
            display = stack.enter_context(showing(bar_only=quiet))
        stop = stack.enter_context(Stop(display.stopping))
        stack.enter_context(processes.among_peers())
        stack.enter_context(devices.enough_memory())
        # Refused before anything is written.
        prepared = processes.by_each_process(partial(_prepare, config, dataset))
        processes.check_same(digest(config, **prepared.facts))

        def claim() -> Path:
            folder = open_folder(
                config, _name(config), free=config.changeable, **prepared.facts
            )
            stack.enter_context(locked(folder))
            change_epochs(
                folder, config, prepared.spec.steps_per_epoch, **prepared.facts
            )
            data = prepared.feed.data
            write_network(folder, prepared.spec.network, data.mean, data.std)
            return folder

        folder = processes.by_first_process(claim)
        try:
            _train(config, prepared, folder, stop, display=display, light=light)
            if quiet and stop.signal is not None:  # of many runs: no other is to begin
                raise StoppedError(
                    f"{stop.signal.name}: stopped after the end of a run.",
                    code=128 + stop.signal,
                )
        except StoppedError as error:
            error.folder = folder
            raise
    return folder


class _Prepared(NamedTuple):
    spec: Spec
    feed: Feed
    phases: np.ndarray | None  # of every step, for --phases-of
    facts: dict[str, str]  # that a resumed run must agree with


def _prepare(config: Run, dataset: Dataset) -> _Prepared:
    method = optimizers.method_of(config.optimizer)
    spec = program.make_spec(config, method, dataset)
    feed = make_feed(dataset, spec, config.data.normalize)
    facts, phases = {"data_sha256": fingerprint(dataset)}, None
    if config.optimizer.phases_of is not None:
        phases = records.read_phases(
            config.optimizer.phases_of, config.epochs * spec.steps_per_epoch
        )
        # The folder may be moved; what it says may not change.
        facts["phases_sha256"] = hashlib.sha256(phases.tobytes()).hexdigest()
    return _Prepared(spec, feed, phases, facts)


def _name(config: Run) -> str:
    """Of the folder, if none is named."""
    kind = config.data.data.partition(":")[0]
    what = config.preset or f"{kind}-{config.optimizer.optimizer}"
    return f"{what}-seed{config.seed}"


def _train(
    config: Run,
    prepared: _Prepared,
    folder: Path | None,
    stop: Stop,
    *,
    display: Display,
    light: bool,
) -> None:
    """Trains from the last checkpoint, or from nothing."""
    spec, feed, phases, _ = prepared
    display.stage("compiling")
    training = Training(config, spec, feed, phases)
    with (
        SilentRecorder()
        if folder is None
        else Recorder(folder, config, training.compiled, display=display, light=light)
    ) as recorder:
        done, tested = _restore(training, recorder)
        total = config.epochs * spec.steps_per_epoch
        if stop.is_due() and not (done == total and tested):
            raise StoppedError(
                f"{stop.signal.name}: stopped before training, after step {done} of "
                f"{total}.",
                code=128 + stop.signal,
            )
        recorder.begin(done)
        loop = _Loop(config, spec, training, recorder, stop)
        epoch, taken = divmod(done, spec.steps_per_epoch)
        if done and not tested:  # a signal came during its test
            epoch, taken = epoch - 1, spec.steps_per_epoch
        for number in range(epoch, config.epochs):
            loop.train_epoch(number, taken)
            taken = 0
    recorder.finish()


def _restore(
    training: Training, recorder: Recorder | SilentRecorder
) -> tuple[int, bool]:
    """Goes back to the last checkpoint, if there is one.

    Returns:
      The steps taken there, and whether the epochs that are done were tested.
    """
    template = training.template()
    found = processes.by_first_process(partial(recorder.last, template))
    done, tested, snapshot = found or (0, True, template)
    [done, tested] = processes.from_first_process(np.array([done, tested]))
    if done:
        training.restore(processes.from_first_process(snapshot))
    return int(done), bool(tested)


class _Loop(NamedTuple):
    config: Run
    spec: Spec
    training: Training
    recorder: Recorder | SilentRecorder
    stop: Stop

    def train_epoch(self, epoch: int, taken: int) -> None:
        """Takes what is left of an epoch after `taken` of its steps, and tests.

        Raises:
          DivergedError: a loss was not finite; the rows are written.
          StoppedError: a signal came; where the run was is saved.
        """
        steps_per_epoch = self.spec.steps_per_epoch
        clock = _Clock()
        must_stop = False
        for call in self.training.take_steps(epoch, taken):
            taken = call.first + call.num_steps
            is_finite = self._note(epoch, self.training.arrived(), clock)
            must_stop = self.stop.is_due()
            if not is_finite and self.config.on_nan == "stop":
                break
            if taken < steps_per_epoch:
                if must_stop:
                    self._stop(epoch * steps_per_epoch + taken)
                if self.recorder.is_due():
                    with clock.halted():
                        self._save(epoch * steps_per_epoch + taken)
        self._note(epoch, self.training.rest(), clock)
        steps = self.training.metrics(taken)
        rate = clock.rate()
        tests = self.config.is_tested(epoch)
        self.recorder.stage("testing" if tests else "training")
        done = epoch * steps_per_epoch + taken
        if tests:
            test = self.training.test(self.stop.is_due)
            if test is None:
                self._stop(done, " in the test")
        else:
            test = None
        row = _epoch_row(epoch, self.spec, steps, test, self.training.phase_before)
        row |= {
            "learning_rate": self.training.learning_rate(epoch),
            "images_per_second": round(rate, 1),
            "seconds": round(clock.seconds(), 3),
        }
        if observed := self.training.observed():
            # Means in a phase without steps are NaN, which JSON has not.
            row["observed"] = {
                name: np.where(np.isfinite(x), x, None).tolist()
                for name, x in observed.items()
            }
        self.recorder.write(row, _step_rows(epoch * steps_per_epoch, steps))
        if self.config.on_nan == "stop":
            _check_finite(epoch, self.spec, steps, test)
        if must_stop and epoch + 1 < self.config.epochs:
            self._stop(done)
        if self.recorder.is_due_after(epoch + 1):
            self._save(done)

    def _note(self, epoch: int, calls: list[tuple[Call, StepMetrics]], clock: "_Clock"):
        """Shows what is done of an epoch; returns whether all its losses are finite."""
        for call, metrics in calls:
            clock.num_examples += call.num_steps * call.batch_size
            first = epoch * self.spec.steps_per_epoch + call.first
            self.recorder.advance(
                first + call.num_steps, float(metrics.loss[-1]), clock.rate()
            )
        return all(np.isfinite(metrics.loss).all() for _, metrics in calls)

    def _save(self, done: int) -> bool:
        """Saves, but nothing that is spoiled: the last good checkpoint stays the last.

        The losses so far may be finite and the weights not any more.
        """
        snapshot = self.training.snapshot()
        is_good = self.config.on_nan == "continue" or snapshot.is_finite()
        if is_good:
            self.recorder.save(done, snapshot)
        return is_good

    def _stop(self, done: int, when: str = "") -> NoReturn:
        """Saves and ends the run."""
        saved = "and saved" if self._save(done) else "with weights that are not finite"
        total = self.config.epochs * self.spec.steps_per_epoch
        raise StoppedError(
            f"{self.stop.signal.name}: stopped {saved}{when} after step {done} of "
            f"{total}.",
            code=128 + self.stop.signal,
        )


class _Clock:
    """Measures an epoch, or what is left of it.

    Attributes:
      num_examples: that have been trained on.
    """

    def __init__(self):
        self.num_examples = 0
        self._start = time.perf_counter()
        self._halted = 0.0

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start

    def rate(self) -> float:
        """Examples a second, without the time in which training was halted.

        NaN if none was trained on: a run that was stopped in a test begins with it.
        """
        return self.num_examples / (self.seconds() - self._halted) or np.nan

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Leaves out what is done in the context."""
        since = time.perf_counter()
        yield
        self._halted += time.perf_counter() - since


def _epoch_row(
    epoch: int,
    spec: Spec,
    steps: StepMetrics,
    test: TestMetrics | None,
    phase_before: float,
) -> dict[str, Any]:
    """An epoch's row of `metrics.jsonl`; errors in percent, losses in nats."""
    sizes = np.full(len(steps.loss), spec.batch_size)
    if spec.last_batch_size and len(sizes) == spec.steps_per_epoch:
        sizes[-1] = spec.last_batch_size
    phases = np.append(phase_before, steps.phase)
    # LOW_LOSS is 1, HIGH_LOSS is 0.
    low_loss_share = float(np.mean(steps.phase, dtype=np.float64))
    has_phase = not np.isnan(low_loss_share)
    return {
        "epoch": epoch + 1,
        "step": epoch * spec.steps_per_epoch + len(steps.loss),
        "train_loss": float(np.average(steps.loss.astype(np.float64), weights=sizes)),
        "train_error": 100 * float(np.average(steps.error.astype("f8"), weights=sizes)),
        **(test_columns(spec, test) if test else {}),
        "low_loss_share": low_loss_share,
        "high_loss_share": 1 - low_loss_share,
        "phase_switches": int(np.sum(np.diff(phases) != 0)) if has_phase else None,
        "mean_momentum": float(np.mean(steps.momentum.astype(np.float64))),
    }


def test_columns(spec: Spec, test: TestMetrics) -> dict[str, float]:
    """Loss in nats and error in percent, as in `metrics.jsonl`."""
    loss, error = (
        float(np.sum(sums, dtype=np.float64)) / spec.test_shape[0] for sums in test
    )
    return {"test_loss": loss, "test_error": 100 * error}


def _step_rows(first: int, steps: StepMetrics) -> list[tuple]:
    """Rows of `steps.csv`; steps are counted from 1."""
    columns = (steps.loss, steps.average_loss, steps.phase, steps.momentum)
    return [
        (first + number, *(f"{cell:.9g}" for cell in cells))  # float32, whole
        for number, cells in enumerate(zip(*columns, strict=True), start=1)
    ]


def _check_finite(
    epoch: int, spec: Spec, steps: StepMetrics, test: TestMetrics | None
) -> None:
    bad = np.flatnonzero(~np.isfinite(steps.loss))
    if len(bad):
        number = epoch * spec.steps_per_epoch + bad[0] + 1
        what = f"the training loss is {steps.loss[bad[0]]} at step {number}"
    elif test and not np.isfinite(test.loss).all():
        what = f"the test loss is {np.sum(test.loss)}"
    else:
        return
    raise DivergedError(
        f"{what} (epoch {epoch + 1}): training diverged. Try a smaller "
        "--learning-rate, or --warmup-epochs."
    )

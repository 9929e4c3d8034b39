"""Trains one network with one optimizer, and writes everything into a folder."""

import contextlib
import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from train import notes
from train.data.dataset import Dataset, fingerprint, in_units
from train.engine import devices, networks, optimizers
from train.engine.calls import Pace, steps_per_call
from train.engine.device_data import make_data
from train.engine.program import (
    EpochPlan,
    Spec,
    StepMetrics,
    TestMetrics,
    compile_program,
    is_counted,
    make_spec,
    no_scores,
)
from train.errors import DivergedError, InputError, StoppedError
from train.runs import checkpoint, processes, records
from train.runs.checkpoint import Checkpoints, Snapshot
from train.runs.display import Display
from train.runs.events import Events
from train.runs.folder import add_provenance, digest, locked, open_folder, renew_claim
from train.runs.remarks import CALMER, oddity
from train.runs.stop import Stop
from train.runs.trained import write_network
from train.runs.writing import replace as replace_file
from train.runs.writing import writing
from train.settings.experiment import Run
from train.settings.optimizer import parse_optimizer
from train.settings.options import read_own


def run(
    config: Run,
    dataset: Dataset,
    *,
    display: Display | None = None,
    quiet: bool = False,
    light: bool = False,
    is_due: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Trains, from the last checkpoint or from nothing, to the end.

    Returns the folder; None in a process that leaves writing to another.

    Args:
      config: the experiment.
      dataset: its data.
      display: shows how far the run is; None: one of its own.
      quiet: one of many runs: a terminal has a live line, and nothing stays. A signal
        at its end says that no other is to begin.
      light: leave no checkpoint when the run has finished.
      is_due: whether it is to be saved and ended, as by a signal.

    Raises:
      DivergedError: a loss was not finite; the epoch's rows are written.
      StoppedError: a signal ended it; where it was is saved.
    """
    config = replace(config, threads=devices.threads())
    with contextlib.ExitStack() as stack:
        display = display or stack.enter_context(Display(bar_only=quiet))
        stop = stack.enter_context(Stop(display.stopping, is_due))
        stack.enter_context(devices.enough_memory())
        # What cannot be is refused here, before anything is written.
        training = _Training(config, dataset, display, stop, light)
        if jax.process_index() == 0:  # which writes for all
            stack.enter_context(training.claim())
        try:
            training.run()
            if quiet and stop.signal is not None:  # of many runs: no other is to begin
                raise stop.error("stopped after the end of a run.")
        except StoppedError as error:
            error.folder = training.folder
            raise
    return training.folder


class _Training:
    """A run: what it is made of, and how far it is."""

    def __init__(
        self, config: Run, dataset: Dataset, display: Display, stop: Stop, light: bool
    ):
        self._config, self._light = config, light
        self._display, self._stop = display, stop
        method = optimizers.method_of(config.optimizer)
        self._spec = spec = make_spec(config, method, dataset)
        if spec.num_devices > 1:
            work = networks.facts_of(spec.network, spec.test_size)["num_parameters"]
            work *= math.prod(spec.network.input_shape)
            devices.remark_share(spec.batch_size, work, spec.num_devices)
        sizes = (spec.crop_padding, spec.eval_batch_size, spec.num_devices)
        self._data = make_data(dataset, config.data.normalize, *sizes)
        self._about = {"class_names": dataset.class_names, "table": dataset.table}
        self._total = config.epochs * spec.steps_per_epoch
        self._rates = _rates(config, spec.steps_per_epoch)
        # What a resumed run must agree with, besides its options.
        self._facts, self._phases = {"data_sha256": fingerprint(dataset)}, None
        if (lender := config.optimizer.phases_of) is not None:
            self._phases = records.read_phases(lender, self._total)
            # Its folder may be moved; what it says may not change.
            sha256 = hashlib.sha256(self._phases.tobytes()).hexdigest()
            self._facts["phases_sha256"] = sha256
        self._digest = digest(config, **self._facts)
        processes.check_same(digest(config, **self._facts, all_epochs=config.epochs))
        self.folder: Path | None = None  # of a process that leaves writing to another
        self._saved = time.monotonic()  # a clock that nobody sets
        self._epoch = self._taken = 0  # epochs that are done; steps of the next
        self._metrics = _no_metrics(spec)  # of the next epoch's steps
        self._phase_before = np.nan  # of the epoch's first step
        self._under_way: deque[tuple[slice, int, StepMetrics]] = deque()
        self._events: Events | None = None
        self._has_remarked = False

    # --- The folder -------------------------------------------------------------------

    @contextlib.contextmanager
    def claim(self) -> Any:
        """Makes the run's folder, or finds it, and keeps other processes out of it."""
        config = self._config
        kind = config.data.data.partition(":")[0]
        name = config.preset or f"{kind}-{config.optimizer.short_name}"
        folder = open_folder(config, f"{name}-seed{config.seed}", **self._facts)
        with locked(folder):
            change_epochs(folder, config, self._spec.steps_per_epoch, **self._facts)
            about = self._data.mean, self._data.std, self._about
            write_network(folder, self._spec.network, *about)
            if mine := parse_optimizer(config.optimizer.optimizer):
                replace_file(folder / "optimizer.py", read_own(mine.path))
            self.folder = folder
            yield

    # --- From the beginning to the end ------------------------------------------------

    def run(self) -> None:
        """Trains what is left, and leaves what the run came to."""
        self._find_place()
        try:
            if self._epoch < self._config.epochs:
                self._display.stage("compiling")
                self._compile()
                with contextlib.ExitStack() as stack:
                    self._begin(stack)
                    while self._epoch < self._config.epochs:
                        self._train_epoch()
            if self.folder is not None:
                records.write_finished(self.folder, self._total)
        except DivergedError:
            self._end_light()
            raise
        self._end_light()

    def _end_light(self) -> None:
        """Deletes the checkpoints of a run that has ended, if nobody wants them."""
        if self._light and self.folder is not None:
            checkpoint.discard(self.folder)

    def _find_place(self) -> None:
        """Where the last checkpoint is; rows that came after it are dropped."""
        done = epoch = 0
        if self.folder is not None:
            done, seals = max(records.steps_in(self.folder), default=0), {}
            if done:
                epoch, seals = checkpoint.read_about(self.folder, done, self._digest)
            elif records.has_finished(self.folder):  # and left none
                done, epoch = self._total, self._config.epochs
            if seals or not epoch:
                records.cut_rows(self.folder, seals)
        done, epoch = processes.from_first_process(np.array([done, epoch])).tolist()
        self._epoch, self._taken = epoch, done - epoch * self._spec.steps_per_epoch

    @property
    def _done(self) -> int:
        """Steps of the run that are taken, or handed to the device."""
        return self._epoch * self._spec.steps_per_epoch + self._taken

    def _compile(self) -> None:
        """Makes what the steps need, and compiles all that they call."""
        start = time.perf_counter()
        spec, config = self._spec, self._config
        self._program = compile_program(spec)
        seed = config.seed if config.init_seed is None else config.init_seed
        self._state = self._program.init(np.uint32(seed))
        self._hyperparameters = devices.put(
            optimizers.hyperparameters_of(config.optimizer, spec.steps_per_epoch),
            spec.num_devices,
        )
        self._pace, self._test_pace = Pace(), Pace()
        most = config.steps_per_call or steps_per_call(spec)
        self._most = min(most, spec.full_steps)
        sizes = {(self._most, spec.batch_size)}
        if not is_counted() and (rest := spec.full_steps % self._most):
            sizes.add((rest, spec.batch_size))
        if spec.last_batch_size:
            sizes.add((1, spec.last_batch_size))
        plan = self._plan(0)
        for count, batch_size in sizes:
            self._program.train.lower(
                *(self._state, self._data, plan, self._hyperparameters, np.int32(0)),
                count=count,
                batch_size=batch_size,
            ).compile()
        self._scores = devices.put(no_scores(spec), spec.num_devices)
        self._program.test.lower(
            self._state, self._data, self._scores, first=0, count=spec.test_batches
        ).compile()
        self._program.observed(self._state)
        self._compile_seconds = time.perf_counter() - start

    def _begin(self, stack: contextlib.ExitStack) -> None:
        """Takes up the last checkpoint, and notes what goes on from here."""
        spec, config = self._spec, self._config
        if self.folder is not None:
            self._checkpoints = stack.enter_context(
                Checkpoints(self.folder, config, self._digest)
            )
        if self._done:
            snapshot = self._snapshot()
            if self.folder is not None:
                snapshot = checkpoint.restore(self.folder, self._done, snapshot)
            snapshot = processes.from_first_process(snapshot)
            self._state = devices.put(snapshot.state, spec.num_devices)
            self._metrics = StepMetrics(*map(np.array, snapshot.metrics))
            self._phase_before = float(snapshot.phase_before)
        if self._stop.is_due():
            raise self._stop.error(
                f"stopped before training, after step {self._done} of {self._total}."
            )
        if self.folder is None:
            return
        facts = networks.facts_of(spec.network, spec.test_size)
        add_provenance(
            self.folder,
            first_step=self._done + 1,
            num_devices=spec.num_devices,
            **facts,
            compile_seconds=round(self._compile_seconds, 1),
        )
        if config.tensorboard:
            kept = self._epoch * spec.steps_per_epoch
            self._events = stack.enter_context(Events(self.folder, kept))
        many = f" on {spec.num_devices} devices" if spec.num_devices > 1 else ""
        self._display.line(
            f"{facts['network']}, {facts['num_parameters']:,} parameters{many}, "
            f"compiled in {self._compile_seconds:.1f} s"
        )
        if self._done:
            self._display.line(f"continues after step {self._done} of {self._total}")
        backend = jax.default_backend().upper()
        self._display.begin(config.epochs, spec.steps_per_epoch, self._done, backend)

    # --- An epoch ---------------------------------------------------------------------

    def _train_epoch(self) -> None:
        """Takes what is left of an epoch, tests, and writes what it came to."""
        spec, config, epoch = self._spec, self._config, self._epoch
        if not self._taken:
            self._metrics = _no_metrics(spec)
            seen = optimizers.seen_in(spec.method, self._state.opt_state)
            self._phase_before = float(jax.device_get(seen.get("phase", np.nan)))
        self._examples, self._halted = 0, 0.0
        self._start = time.perf_counter()
        plan = self._plan(epoch)
        must_stop = False
        while self._taken < spec.steps_per_epoch:
            self._hand_over(plan)
            # Nothing is gained on a CPU by handing over more. An accelerator is at work
            # on the call while the host looks at the one before.
            is_finite = self._collect(ahead=0 if is_counted() else 1)
            must_stop = self._stop.is_due()
            if not is_finite and config.on_nan == "stop":
                break
            if self._taken < spec.steps_per_epoch:
                if must_stop:
                    self._end()
                if self._is_due():
                    self._save()
        self._collect()
        rate, test = self._rate(), None
        if config.is_tested(epoch):
            self._display.stage("testing")
            test = self._test()
            if test is None:
                self._end(" in the test")
        steps = StepMetrics(*(column[: self._taken] for column in self._metrics))
        self._write(steps, test, rate)
        if config.on_nan == "stop":
            self._check_finite(steps, test)
        self._epoch, self._taken = epoch + 1, 0
        if must_stop and self._epoch < config.epochs:
            self._end()
        if self._is_due(self._epoch):
            self._save()

    def _plan(self, epoch: int) -> EpochPlan:
        """What an epoch's steps draw on."""
        steps = self._spec.steps_per_epoch
        order, key, noise, noise_key = self._program.draw(
            np.uint32(self._config.seed), np.int32(epoch)
        )
        if self._phases is not None:
            # 0 is below the share, 1/2, for the low-loss phase; 3/4 is not.
            is_low = self._phases[epoch * steps : (epoch + 1) * steps] == 1
            noise = np.where(is_low, np.float32(0), np.float32(0.75))
            if self._config.optimizer.phase == "shuffled":
                noise = jax.random.permutation(noise_key, noise)
        plan = EpochPlan(order, self._rates[epoch], noise, key)
        return devices.put(plan, self._spec.num_devices)

    def _hand_over(self, plan: EpochPlan) -> None:
        """Gives the device the next call of an epoch."""
        spec, first = self._spec, self._taken
        left = spec.full_steps - first
        batch_size = spec.batch_size if left else spec.last_batch_size
        if not left:
            count = 1
        elif is_counted():
            count = min(left, self._config.steps_per_call or _same_size(self._pace))
        else:
            count = min(left, self._most)
        self._handed_over = time.perf_counter()
        self._state, metrics = self._program.train(
            *(self._state, self._data, plan, self._hyperparameters, np.int32(first)),
            count=count,
            batch_size=batch_size,
        )
        self._taken += count
        self._under_way.append((slice(first, first + count), batch_size, metrics))

    def _collect(self, ahead: int = 0) -> bool:
        """Waits for all calls but the last `ahead`; says whether losses are finite."""
        is_finite = True
        while len(self._under_way) > ahead:
            steps, batch_size, metrics = self._under_way.popleft()
            devices.wait(metrics)
            for column, new in zip(self._metrics, jax.device_get(metrics), strict=True):
                column[steps] = new[steps]
            count = steps.stop - steps.start
            if batch_size == self._spec.batch_size:
                self._pace.took(count, time.perf_counter() - self._handed_over)
            self._examples += count * batch_size
            losses = self._metrics.loss[steps]
            is_finite &= bool(np.isfinite(losses).all())
            if self.folder is not None:
                done = self._epoch * self._spec.steps_per_epoch + steps.stop
                self._display.advanced(done, float(losses[-1]), self._rate())
        return is_finite

    def _rate(self) -> float:
        """Examples a second in this epoch, without the time that saving took.

        NaN if none was trained on: a run that was stopped in a test begins with it.
        """
        seconds = time.perf_counter() - self._start - self._halted
        return self._examples / seconds or np.nan

    def _test(self) -> TestMetrics | None:
        """Scores the whole test set; None if a signal came before that was done."""
        scores, done, total = self._scores, 0, self._spec.test_batches
        while done < total:
            if done and self._stop.is_due():
                return None
            count = total
            if is_counted():
                count = min(_same_size(self._test_pace), total - done)
            start = time.perf_counter()
            scores = self._program.test(
                self._state, self._data, scores, first=done, count=count
            )
            devices.wait(scores)
            self._test_pace.took(count, time.perf_counter() - start)
            done += count
        return jax.device_get(scores)

    # --- What is written --------------------------------------------------------------

    def _write(self, steps: StepMetrics, test: TestMetrics | None, rate: float) -> None:
        """Writes an epoch's row, and those of its steps; shows the epoch's."""
        row = self._row(steps, test) | {
            "learning_rate": float(self._rates[self._epoch, -1]),
            "images_per_second": round(rate, 1),
            "seconds": round(time.perf_counter() - self._start, 3),
        }
        if seen := jax.device_get(self._program.observed(self._state)):
            # Means in a phase without steps are NaN, which JSON has not.
            row["observed"] = {
                name: np.where(np.isfinite(x), x, None).tolist()
                for name, x in seen.items()
            }
        if self.folder is None:
            return
        records.append_metrics(self.folder, row)
        columns = (steps.loss, steps.average_loss, steps.phase, steps.momentum)
        first = self._epoch * self._spec.steps_per_epoch + 1
        rows = [
            (number, *(f"{cell:.9g}" for cell in cells))  # float32, whole
            for number, cells in enumerate(zip(*columns, strict=True), start=first)
        ]
        records.append_steps(self.folder, rows)
        if self._events is not None:
            self._events.write(row)
        shown = row | in_units(self._about["table"], row.get("test_error", np.nan))
        acts = self._config.optimizer.by_phase  # SGD's phases do nothing
        self._display.epoch(shown if acts else shown | {"phase_switches": None})
        remark = oddity(row, self._config, records.first_loss(self.folder))
        if remark and not self._has_remarked:
            notes.say(remark)
            self._has_remarked = True

    def _row(self, steps: StepMetrics, test: TestMetrics | None) -> dict[str, Any]:
        """An epoch's row but for speed; errors in percent, losses in nats."""
        spec = self._spec
        sizes = np.full(self._taken, spec.batch_size)
        if spec.last_batch_size and self._taken == spec.steps_per_epoch:
            sizes[-1] = spec.last_batch_size
        loss, error = (
            float(np.average(column.astype("f8"), weights=sizes))
            for column in (steps.loss, steps.error)
        )
        # LOW_LOSS is 1, HIGH_LOSS is 0.
        share, phases = float(np.mean(steps.phase, dtype="f8")), steps.phase
        switches = np.sum(np.diff(phases, prepend=self._phase_before) != 0)
        return {
            "epoch": self._epoch + 1,
            "step": self._done,
            "train_loss": loss,
            "train_error": 100 * error,
            **(test_columns(spec.test_size, test) if test else {}),
            "low_loss_share": share,
            "high_loss_share": 1 - share,
            "phase_switches": None if np.isnan(share) else int(switches),
            "mean_momentum": float(np.mean(steps.momentum.astype("f8"))),
        }

    def _check_finite(self, steps: StepMetrics, test: TestMetrics | None) -> None:
        """Raises `DivergedError` if a loss of the epoch is not finite."""
        bad = np.flatnonzero(~np.isfinite(steps.loss))
        if len(bad):
            number = self._epoch * self._spec.steps_per_epoch + bad[0] + 1
            what = f"the training loss is {steps.loss[bad[0]]} at step {number}"
        elif test and not np.isfinite(test.loss).all():
            what = f"the {self._config.data.tested} loss is {np.sum(test.loss)}"
        else:
            return
        raise DivergedError(
            f"{what} (epoch {self._epoch + 1}): training diverged. {CALMER}."
        )

    def _is_due(self, epoch: int = 0) -> bool:
        """Whether to save now: by the clock, or after so many epochs."""
        if epoch == self._config.epochs:
            return not self._light
        if epoch and self.folder and self._checkpoints.best(self._done) == self._done:
            return True
        every, minutes = self._config.checkpoint_every, self._config.checkpoint_minutes
        if every and epoch and epoch % every == 0:
            return True
        return 0 < 60 * minutes <= time.monotonic() - self._saved

    def _save(self) -> bool:
        """Saves, but nothing that is spoiled: the last good checkpoint stays the last.

        The losses so far may be finite and the weights not any more.
        """
        if self.folder is None:
            return True
        start = time.perf_counter()
        self._collect()
        snapshot = self._snapshot()
        is_good = self._config.on_nan == "continue" or all(
            np.isfinite(array).all() for array in jax.tree.leaves(snapshot.state)
        )
        if is_good:
            self._checkpoints.save(self._done, self._epoch, snapshot)
            self._saved = time.monotonic()
        self._halted += time.perf_counter() - start
        return is_good

    def _snapshot(self) -> Snapshot:
        """Where the run is. Copied: the next call takes the memory back."""
        return Snapshot(
            jax.tree.map(np.array, self._state),
            StepMetrics(*map(np.array, self._metrics)),
            np.array(self._phase_before, np.float32),
        )

    def _end(self, when: str = "") -> NoReturn:
        """Saves and ends the run on a signal."""
        saved = "and saved" if self._save() else "with weights that are not finite"
        raise self._stop.error(
            f"stopped {saved}{when} after step {self._done} of {self._total}."
        )


def change_epochs(
    folder: Path, config: Run, steps_per_epoch: int, **facts: Any
) -> None:
    """Notes the run's number of epochs in its folder, if it was another.

    What is trained must be the same with both numbers: the run then ends as if it had
    been begun with the new one.
    """
    saved = json.loads((folder / "config.json").read_text())["epochs"]
    if saved == config.epochs:
        return
    done = max(records.steps_in(folder), default=0)
    was, now = f"--epochs {saved}", f"--epochs {config.epochs}"
    if not done and records.has_finished(folder):
        raise InputError(
            f"the run in {folder} has finished with {was} and kept no checkpoint, so "
            f"{now} cannot continue it. Name another --out to train anew."
        )
    before = replace(config, epochs=saved)
    has_same_tests = all(
        before.is_tested(epoch) == config.is_tested(epoch)
        for epoch in range(done // steps_per_epoch)
    )
    rates = [_rates(run, steps_per_epoch).ravel()[:done] for run in (before, config)]
    if not has_same_tests or not np.array_equal(*rates):
        raise InputError(
            f"the run in {folder} has trained {done} steps with {was}, in epochs of "
            f"{steps_per_epoch}. With {now} they would be fewer, or have other rates "
            "or tests: --schedule cosine and --test-epochs go by the last epoch. "
            f"Continue it with {was}, or name another --out to train anew. With "
            "--schedule constant, step or exponential a run can be made longer."
        )
    with writing(folder):
        (folder / records.FINISHED).unlink(missing_ok=True)
    renew_claim(folder, config, **facts)


def _rates(run: Run, steps_per_epoch: int) -> np.ndarray:
    """The learning rates of a run, [epochs, steps per epoch]."""
    return optimizers.learning_rates(
        run.schedule,
        run.optimizer.learning_rate,
        epochs=run.epochs,
        steps_per_epoch=steps_per_epoch,
    )


def test_columns(test_size: int, test: TestMetrics) -> dict[str, float]:
    """Loss in nats and error in percent, as in `metrics.jsonl`."""
    loss, error = (float(np.sum(sums, dtype=np.float64)) / test_size for sums in test)
    return {"test_loss": loss, "test_error": 100 * error}


def _same_size(pace: Pace) -> int:
    """Of the next call: the same in several processes, whatever their clocks say."""
    return int(processes.from_first_process(np.array([pace.size()]))[0])


def _no_metrics(spec: Spec) -> StepMetrics:
    """Of an epoch before its first step, [steps per epoch]."""
    shape = len(StepMetrics._fields), spec.steps_per_epoch
    return StepMetrics(*np.full(shape, np.nan, np.float32))

"""A run under way: takes its steps, writes its rows and checkpoints, and shows it."""

import contextlib
import functools
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
import optax

from train import notes
from train.engine import devices, networks, optimizers
from train.engine.calls import Pace, steps_per_call
from train.engine.device_data import DeviceData
from train.engine.program import (
    EpochPlan,
    Spec,
    StepMetrics,
    TestMetrics,
    compile_program,
    is_counted,
    no_scores,
)
from train.errors import DivergedError, StoppedError
from train.runs import processes, records
from train.runs.checkpoint import Checkpoints, Snapshot
from train.runs.display import Display
from train.runs.epoch_rows import check_finite, epoch_row, step_rows
from train.runs.events import Events
from train.runs.folder import add_provenance, digest
from train.runs.phases import same_phase
from train.runs.stop import Stop
from train.settings.experiment import Run


class Task(NamedTuple):
    """What a run is made of, besides its options.

    Attributes:
      spec: what its program is compiled for.
      data: on the devices.
      phases: 0 or 1 for each step of the run, for --phases-of; else None.
      facts: what a resumed run must agree with.
    """

    spec: Spec
    data: DeviceData
    phases: np.ndarray | None
    facts: dict[str, str]


class Training:
    """Trains from the last checkpoint, or from nothing, to the end.

    Args:
      config: the run.
      task: what it is made of.
      folder: its own, locked; None in a process that leaves writing to another.
      display: what shows how far it is.
      stop: says whether a signal came.
      light: leave no checkpoint when the run has finished.
    """

    def __init__(
        self,
        config: Run,
        task: Task,
        folder: Path | None,
        display: Display,
        stop: Stop,
        *,
        light: bool,
    ):
        self._config, self._folder, self._light = config, folder, light
        self._spec, self._data, self._phases, self._facts = task
        self._display, self._stop = display, stop
        self._total = config.epochs * self._spec.steps_per_epoch
        self._saved = time.monotonic()  # a clock that nobody sets
        self._epoch = self._taken = 0  # epochs that are done; steps of the next
        self._phase_before = np.nan  # of the epoch's first step
        self._metrics = _no_metrics(self._spec)
        self._under_way: deque[tuple[slice, int, StepMetrics]] = deque()
        self._events: Events | None = None
        self._has_remarked = False

    def run(self) -> None:
        """Trains.

        Raises:
          InputError: a checkpoint or the rows are damaged, or the disk is full.
          DivergedError: a loss was not finite; the rows are written.
          StoppedError: a signal came; where the run was is saved.
        """
        self._display.stage("compiling")
        self._compile()
        try:
            with contextlib.ExitStack() as stack:
                if self._folder is not None:
                    self._checkpoints = stack.enter_context(
                        Checkpoints(
                            self._folder,
                            self._config.keep_checkpoints,
                            digest(self._config, **self._facts),
                        )
                    )
                self._restore()
                if self._stop.is_due() and self._epoch < self._config.epochs:
                    raise StoppedError(
                        f"{self._stop.signal.name}: stopped before training, after "
                        f"step {self._done} of {self._total}.",
                        code=128 + self._stop.signal,
                    )
                self._begin(stack)
                while self._epoch < self._config.epochs:
                    self._train_epoch()
        except DivergedError:
            if self._light and self._folder is not None:  # the run has ended
                self._checkpoints.discard()
            raise
        if self._folder is not None:
            records.write_finished(self._folder, self._total)
            if self._light:
                self._checkpoints.discard()

    @property
    def _done(self) -> int:
        """Steps of the run that are taken, or handed to the device."""
        return self._epoch * self._spec.steps_per_epoch + self._taken

    # --- The beginning ----------------------------------------------------------------

    def _compile(self) -> None:
        """Makes what the steps need, and compiles all that they call."""
        start = time.perf_counter()
        spec, config = self._spec, self._config
        self._program = compile_program(spec)
        own = config.init_seed is not None
        self._state = self._program.init(
            np.uint32(config.init_seed if own else config.seed)
        )
        self._hyperparameters = devices.put(
            optimizers.hyperparameters_of(config.optimizer, spec.steps_per_epoch),
            spec.num_devices,
        )
        self._rates = optimizers.learning_rates(
            config.schedule,
            config.optimizer.learning_rate,
            epochs=config.epochs,
            steps_per_epoch=spec.steps_per_epoch,
        )
        self._pace, self._test_pace = _paces(spec)
        most = config.steps_per_call or steps_per_call(spec)
        self._most = min(most, spec.full_steps)
        plan = self._plan(0)
        sizes = {(self._most, spec.batch_size)}
        if not is_counted() and spec.full_steps % self._most:
            sizes.add((1, spec.batch_size))
        if spec.last_batch_size:
            sizes.add((1, spec.last_batch_size))
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

    def _restore(self) -> None:
        """Goes back to the last checkpoint, if there is one."""
        like = Snapshot(
            jax.tree.map(lambda x: np.empty(x.shape, x.dtype), self._state),
            _no_metrics(self._spec),
            np.empty((), np.float32),
        )
        done, epoch, snapshot = 0, 0, like
        if self._folder is not None:
            done, epoch, snapshot = self._last(like)
        done, epoch = processes.from_first_process(np.array([done, epoch])).tolist()
        self._epoch, self._taken = epoch, done - epoch * self._spec.steps_per_epoch
        if done and self._epoch < self._config.epochs:
            snapshot = processes.from_first_process(snapshot)
            self._state = devices.put(snapshot.state, self._spec.num_devices)
            self._metrics = StepMetrics(*(np.array(x) for x in snapshot.metrics))
            self._phase_before = float(snapshot.phase_before)

    def _last(self, like: Snapshot) -> tuple[int, int, Snapshot]:
        """Steps and epochs that are done at the last checkpoint, and the snapshot.

        Rows that came after it, or are half written, are dropped.

        Raises:
          InputError: the checkpoint or the rows are damaged; nothing is dropped then.
        """
        done = self._checkpoints.last_step()
        if not done and records.has_finished(self._folder):  # and left none
            return self._total, self._config.epochs, like
        snapshot, epochs, seals = like, 0, {}
        if done:
            snapshot, epochs, seals = self._checkpoints.restore(done, like)
        records.cut_rows(self._folder, seals)
        return done, epochs, snapshot

    def _begin(self, stack: contextlib.ExitStack) -> None:
        """Notes what goes on from here, and with what."""
        spec = self._spec
        if self._folder is None:
            return
        facts = networks.facts_of(spec.network, spec.test_size)
        add_provenance(
            self._folder,
            first_step=self._done + 1,
            num_devices=spec.num_devices,
            **facts,
            compile_seconds=round(self._compile_seconds, 1),
        )
        if self._config.tensorboard:
            self._events = stack.enter_context(
                Events(self._folder, self._epoch * spec.steps_per_epoch)
            )
        devices = f" on {spec.num_devices} devices" if spec.num_devices > 1 else ""
        self._display.line(
            f"{facts['network']}, {facts['num_parameters']:,} parameters{devices}, "
            f"compiled in {self._compile_seconds:.1f} s"
        )
        if self._done:
            self._display.line(f"continues after step {self._done} of {self._total}")
        self._display.begin(
            self._config.epochs,
            spec.steps_per_epoch,
            self._done,
            jax.default_backend().upper(),
        )

    # --- An epoch ---------------------------------------------------------------------

    def _train_epoch(self) -> None:
        """Takes what is left of an epoch, and tests."""
        spec, config, epoch = self._spec, self._config, self._epoch
        if not self._taken:
            self._metrics = _no_metrics(spec)
            phase = optax.tree.get(self._state.opt_state, "phase", np.nan)
            self._phase_before = float(jax.device_get(phase))
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
        steps = StepMetrics(*(column[: self._taken] for column in self._metrics))
        rate = self._rate()
        test = None
        self._display.stage("testing" if config.is_tested(epoch) else "training")
        if config.is_tested(epoch):
            test = self._test()
            if test is None:
                self._end(" in the test")
        row = epoch_row(epoch, spec, steps, test, self._phase_before)
        row |= {
            "learning_rate": float(self._rates[epoch, -1]),
            "images_per_second": round(rate, 1),
            "seconds": round(time.perf_counter() - self._start, 3),
        }
        if seen := jax.device_get(self._program.observed(self._state)):
            # Means in a phase without steps are NaN, which JSON has not.
            row["observed"] = {
                name: np.where(np.isfinite(x), x, None).tolist()
                for name, x in seen.items()
            }
        self._write(row, step_rows(epoch * spec.steps_per_epoch, steps))
        if config.on_nan == "stop":
            check_finite(epoch, spec, steps, test)
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
        else:  # what is left over comes in single steps, which have one program
            count = self._most if left >= self._most else 1
        self._handed_over = time.perf_counter()
        self._state, metrics = self._program.train(
            *(self._state, self._data, plan, self._hyperparameters, np.int32(first)),
            count=count,
            batch_size=batch_size,
        )
        self._taken += count
        self._under_way.append((slice(first, first + count), batch_size, metrics))

    def _collect(self, ahead: int = 0) -> bool:
        """Waits for all calls but the last `ahead`, and shows what they came to.

        Returns:
          Whether their losses are finite.
        """
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
            done = self._epoch * self._spec.steps_per_epoch + steps.stop
            self.advanced(done, float(losses[-1]))
        return is_finite

    def advanced(self, done: int, loss: float) -> None:
        """Shows that `done` steps of the run are done; `loss` is that of the last."""
        if self._folder is not None:
            self._display.advanced(done, loss, self._rate())

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

    def _write(self, row: dict[str, Any], steps: list[tuple]) -> None:
        """Writes an epoch's row, and those of its steps; shows the epoch's."""
        if self._folder is None:
            return
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

    def _is_due(self, epoch: int = 0) -> bool:
        """Whether to save now: by the clock, or after so many epochs."""
        if epoch == self._config.epochs:
            return not self._light
        every, minutes = self._config.checkpoint_every, self._config.checkpoint_minutes
        if every and epoch and epoch % every == 0:
            return True
        return 0 < 60 * minutes <= time.monotonic() - self._saved

    def snapshot(self) -> Snapshot:
        """Where the run is; waits for the device."""
        self._collect()
        return Snapshot(
            # Copied: the next call takes the memory back.
            jax.tree.map(np.array, self._state),
            StepMetrics(*(column.copy() for column in self._metrics)),
            np.array(self._phase_before, np.float32),
        )

    def _save(self) -> bool:
        """Saves, but nothing that is spoiled: the last good checkpoint stays the last.

        The losses so far may be finite and the weights not any more.
        """
        if self._folder is None:
            return True
        start = time.perf_counter()
        snapshot = self.snapshot()
        is_good = self._config.on_nan == "continue" or snapshot.is_finite()
        if is_good:
            self._checkpoints.save(self._done, self._epoch, snapshot)
            self._saved = time.monotonic()
        self._halted += time.perf_counter() - start
        return is_good

    def _end(self, when: str = "") -> NoReturn:
        """Saves and ends the run on a signal."""
        saved = "and saved" if self._save() else "with weights that are not finite"
        raise StoppedError(
            f"{self._stop.signal.name}: stopped {saved}{when} after step {self._done} "
            f"of {self._total}.",
            code=128 + self._stop.signal,
        )


def _same_size(pace: Pace) -> int:
    """Of the next call: the same in several processes, whatever their clocks say."""
    return int(processes.from_first_process(np.array([pace.size()]))[0])


@functools.cache
def _paces(spec: Spec) -> tuple[Pace, Pace]:
    """Of training and testing, kept from run to run."""
    return Pace(), Pace()


def _no_metrics(spec: Spec) -> StepMetrics:
    """Of an epoch before its first step, [steps per epoch]."""
    shape = len(StepMetrics._fields), spec.steps_per_epoch
    return StepMetrics(*np.full(shape, np.nan, np.float32))

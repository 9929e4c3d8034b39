"""A run under way: weights, optimizer state, and the metrics of the epoch."""

import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
import optax

from train.engine import devices, optimizers
from train.engine.feed import Feed
from train.engine.pace import Pace
from train.engine.plan import Planner
from train.engine.program import compile_program
from train.engine.spec import Call, Spec, epoch_calls
from train.engine.types import StepMetrics, TestMetrics
from train.runs import processes
from train.runs.checkpoint import Snapshot
from train.settings.experiment import Run


class Training:
    """Takes a run's steps. Knows nothing of files.

    Args:
      config: the run.
      spec: what its program is compiled for.
      feed: its data.
      phases: 0 or 1 for each step of the run, for --phases-of; else None.

    Attributes:
      compiled: its program.
      phase_before: the phase before the epoch's first step, as in `StepMetrics`.
    """

    def __init__(self, config: Run, spec: Spec, feed: Feed, phases: np.ndarray | None):
        self.compiled = compile_program(spec, feed.data)
        self._spec = spec
        self._feed = feed
        self._fixed_size = config.steps_per_call
        self._handed_over = 0.0
        self._planner = Planner(config, spec, self.compiled.draw, phases)
        self._hyperparameters = devices.put(
            optimizers.hyperparameters_of(config.optimizer, spec.steps_per_epoch),
            spec.num_devices,
        )
        self._state = self.compiled.init(self._planner.init_key())
        self._metrics = _no_metrics(spec)
        self.phase_before = np.nan
        self._outputs: list[tuple[Call, StepMetrics]] = []

    def template(self) -> Snapshot:
        """A snapshot's structure, shapes and dtypes, with any content."""
        state = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), self._state)
        return Snapshot(state, _no_metrics(self._spec), np.empty((), np.float32))

    def snapshot(self) -> Snapshot:
        """Where the run is; waits for the device."""
        self._collect(ahead=0)
        metrics = StepMetrics(*(column.copy() for column in self._metrics))
        state = devices.fetch(self._state)
        return Snapshot(state, metrics, np.array(self.phase_before, np.float32))

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to where a run was."""
        self._state = devices.put(snapshot.state, self._spec.num_devices)
        self._metrics = StepMetrics(*(np.array(column) for column in snapshot.metrics))
        self.phase_before = float(snapshot.phase_before)

    def learning_rate(self, epoch: int) -> float:
        """Of the last step of an epoch, counted from 0."""
        return self._planner.last_rate(epoch)

    def take_steps(self, epoch: int, done: int) -> Iterator[Call]:
        """Takes the steps of an epoch, counted from 0, that are left after `done`.

        Yields each call as soon as the device has it. Ask for what has arrived then,
        before the next: that sizes calls on a CPU.
        """
        if not done:
            self._metrics = _no_metrics(self._spec)
            phase = optax.tree.get(self._state.opt_state, "phase", np.nan)
            self.phase_before = float(jax.device_get(phase))
        plan = self._planner.plan(epoch)
        calls = epoch_calls(self._spec, done, self._next_size)
        for call, data, part in self._feed.calls(calls, plan, self._spec):
            self._handed_over = time.perf_counter()
            self._state, metrics = self.compiled.train(
                call, self._state, data, part, self._hyperparameters
            )
            self._outputs.append((call, metrics))
            yield call

    def _next_size(self) -> int:
        return self._fixed_size or _same_size(self.compiled.pace)

    def arrived(self) -> list[tuple[Call, StepMetrics]]:
        """The calls that are done and were not told before, with their metrics.

        It waits for the last on a CPU, where nothing is gained by handing over more.
        Elsewhere it waits for the one before, while the device is at work on the last:
        more examples from the host would fill its memory, and a signal wait for all.
        """
        counted = self._spec.counted
        done = self._collect(ahead=0 if counted else 1)
        if counted and done:
            [*_, (call, _)] = done
            seconds = time.perf_counter() - self._handed_over
            if call.batch_size == self._spec.batch_size:
                self.compiled.pace.took(call.num_steps, seconds)
        return done

    def rest(self) -> list[tuple[Call, StepMetrics]]:
        """As `arrived`, but waits for every call that was handed over."""
        return self._collect(ahead=0)

    def metrics(self, taken: int) -> StepMetrics:
        """Of the epoch's first `taken` steps, which have arrived."""
        return StepMetrics(*(column[:taken] for column in self._metrics))

    def test(self, halts: Callable[[], bool] = lambda: False) -> TestMetrics | None:
        """Scores the whole test set; waits for it.

        Args:
          halts: asked between calls, of which there are several on a CPU.

        Returns:
          The scores; None if `halts` said so before they were complete.
        """
        scores, done, total = None, 0, self._spec.test_batches
        while done < total:
            if done and halts():
                return None
            pace, count = self.compiled.test_pace, total
            if self._spec.counted:
                count = min(_same_size(pace), total - done)
            start = time.perf_counter()
            scores = self.compiled.test(
                self._state, self._feed.data, scores, done, count
            )
            devices.wait(scores)
            pace.took(count, time.perf_counter() - start)
            done += count
        return jax.device_get(scores)

    def observed(self) -> dict[str, np.ndarray]:
        """What was watched of the epoch; empty for nothing."""
        return jax.device_get(self.compiled.observed(self._state))

    def _collect(self, ahead: int) -> list[tuple[Call, StepMetrics]]:
        """Waits for all calls but the last `ahead`, and copies their metrics."""
        number = max(0, len(self._outputs) - ahead)
        waiting, self._outputs = self._outputs[:number], self._outputs[number:]
        done = []
        for call, outputs in waiting:
            devices.wait(outputs)
            metrics = StepMetrics(
                *(column[: call.num_steps] for column in jax.device_get(outputs))
            )
            steps = slice(call.first, call.first + call.num_steps)
            for column, part in zip(self._metrics, metrics, strict=True):
                column[steps] = part
            done.append((call, metrics))
        return done


def _same_size(pace: Pace) -> int:
    """Of the next call: the same in several processes, whatever their clocks say."""
    [size] = processes.from_first_process(np.array([pace.size()]))
    return int(size)


def _no_metrics(spec: Spec) -> StepMetrics:
    shape = len(StepMetrics._fields), spec.steps_per_epoch
    return StepMetrics(*np.full(shape, np.nan, np.float32))

"""Seeds together or one after another: what a study's runs cost, in one process.

    python -m benchmarks.seeds [--out FILE.json]

S runs of a small network, with different seeds, take an epoch each. They run one after
another, as in a study; side by side in one program (unrolled); as one program over a
batch of runs (`vmap`); and at the same time, each in a process of its own. Sides
alternate, and the result is the time per run and epoch. At the end comes a whole run of
the study with all that it writes. The share of it that is training bounds what running
seeds together could save.

Runs unchanged on a GPU.
"""

import dataclasses
import multiprocessing
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Other processes must find memory left on a GPU.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.command import check_counts, check_names, run
from benchmarks.loops import make_plan
from benchmarks.timing import Report, alternate, ratio
from train.data.sources import load_dataset
from train.engine import optimizers
from train.engine.device_data import make_data
from train.engine.program import (
    EpochPlan,
    StepMetrics,
    TrainState,
    compile_program,
    compiler_options,
    make_spec,
    train_steps,
)
from train.errors import InputError
from train.runs import loop
from train.runs.records import read_metrics
from train.settings.experiment import Experiment, make_run
from train.settings.optimizer import Optimizer
from train.settings.options import Data, Model


@dataclasses.dataclass(frozen=True)
class Config:
    """Measures runs with several seeds: together, and one after another."""

    #: Timed rounds; each runs every side once, in turn.
    rounds: int = 9
    #: Numbers of seeds, each at least 1.
    seeds: tuple[int, ...] = (1, 2, 4, 8)
    #: Cases to run.
    cases: tuple[str, ...] = ("table", "digits", "images")
    #: File to write the results into as JSON. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check_counts(self, "rounds", "seeds")
        check_names("--cases", self.cases, CASES)


# As in the quick form of the study `domains`, and of the others.
CASES = {
    "table": Experiment(
        data=Data("breast_cancer"), model=Model("mlp"), epochs=40, batch_size=16
    ),
    "digits": Experiment(
        data=Data("digits"), model=Model("mlp"), epochs=20, batch_size=32
    ),
    "images": Experiment(data=Data("digits"), epochs=12, batch_size=32),
}


def _jit(function: Callable) -> Callable:
    """Compiles as the program does."""
    return jax.jit(function, donate_argnums=0, compiler_options=compiler_options())


class Bench:
    """A case with some seeds: the states and plans that its sides work on."""

    def __init__(self, experiment: Experiment, seeds: Sequence[int]):
        dataset = load_dataset(experiment.data)
        config = Optimizer("lcam")
        spec = make_spec(experiment, optimizers.method_of(config), dataset)
        self.data = make_data(
            dataset,
            experiment.data.normalize,
            spec.crop_padding,
            spec.eval_batch_size,
            spec.num_devices,
        )
        self.hyperparameters = optimizers.hyperparameters_of(
            config, spec.steps_per_epoch
        )
        compiled = compile_program(spec)
        self.states = [compiled.init(np.uint32(seed)) for seed in seeds]
        self.plans = [make_plan(spec, jax.random.key(seed)) for seed in seeds]
        self.train = partial(
            train_steps, spec, count=spec.full_steps, batch_size=spec.batch_size
        )

    def sides(self) -> dict[str, Callable[[], Any]]:
        """Epochs of all runs, in this process."""
        return {
            "one after another": self.make_sequential(),
            "unrolled": self._make_unrolled(),
            "vmap": self._make_vmapped(),
        }

    def _epoch(self, run: Callable, states: Any, plans: Any) -> tuple[Any, Any]:
        """An epoch's steps, with the states copied: they are given up."""
        states = jax.tree.map(jnp.copy, states)
        return run(states, self.data, plans, self.hyperparameters, np.int32(0))

    def make_sequential(self) -> Callable[[], Any]:
        """Run after run, by one program."""
        run = _jit(self.train)
        return lambda: [
            self._epoch(run, state, plan)
            for state, plan in zip(self.states, self.plans, strict=True)
        ]

    def _make_unrolled(self) -> Callable[[], Any]:
        def together(
            states: list[TrainState], data, plans: list[EpochPlan], *rest
        ) -> tuple[list[TrainState], list[StepMetrics]]:
            pairs = zip(states, plans, strict=True)
            done = [self.train(state, data, plan, *rest) for state, plan in pairs]
            return [state for state, _ in done], [metrics for _, metrics in done]

        run = _jit(together)
        return lambda: self._epoch(run, self.states, self.plans)

    def _make_vmapped(self) -> Callable[[], Any]:
        run = _jit(jax.vmap(self.train, in_axes=(0, None, 0, None, None)))
        states = jax.tree.map(lambda *xs: jnp.stack(xs), *self.states)
        plans = jax.tree.map(lambda *xs: jnp.stack(xs), *self.plans)
        return lambda: self._epoch(run, states, plans)


class Processes:
    """A process for each seed, which take their epochs at the same time.

    A context, whose end ends them. A call is an epoch of all of them.
    """

    def __init__(self, experiment: Experiment, seeds: Sequence[int]):
        spawn = multiprocessing.get_context("spawn")  # JAX has threads: no fork
        pipes = [spawn.Pipe() for _ in seeds]
        self._pipes = [ours for ours, _ in pipes]
        self._their_ends = [theirs for _, theirs in pipes]
        self._processes = [
            spawn.Process(target=_work, args=(experiment, seed, end), daemon=True)
            for seed, end in zip(seeds, self._their_ends, strict=True)
        ]

    def __enter__(self) -> "Processes":
        """Starts the processes, which compile."""
        for process, end in zip(self._processes, self._their_ends, strict=True):
            process.start()
            end.close()  # so that ours tells when the process has ended
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.terminate()
            process.join()

    def __call__(self) -> np.ndarray:
        """Returns the last loss of every seed.

        Raises:
          InputError: a process has ended.
        """
        try:
            for pipe in self._pipes:
                pipe.send("go")
            return np.array([pipe.recv() for pipe in self._pipes], np.float32)
        except (EOFError, OSError):
            raise InputError(
                f"one of the processes of {len(self._pipes)} seeds has ended; the "
                "system ends those that want too much memory. Take fewer --seeds."
            ) from None


def _work(experiment: Experiment, seed: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run = Bench(experiment, [seed]).make_sequential()
    while pipe.recv():
        [loss] = last_losses(jax.block_until_ready(run()))
        pipe.send(float(loss))


def _end_with_parent() -> None:
    """Ends this process if its parent was killed, lest it keep the device's memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def last_losses(outputs: Any) -> np.ndarray:
    """The last loss of every seed, whatever the side's layout; float32 [seeds]."""
    if isinstance(outputs, np.ndarray):  # of the processes
        return outputs
    if isinstance(outputs, list):  # one after another
        return np.array([metrics.loss[-1] for _, metrics in outputs])
    last = outputs[1]
    if isinstance(last, list):  # unrolled
        return np.array([metrics.loss[-1] for metrics in last])
    return np.array(last.loss[:, -1])


def measure(experiment: Experiment, num_seeds: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of an epoch of one run: each side's median, and paired ratios."""
    seeds = range(num_seeds)
    sides = Bench(experiment, seeds).sides()
    with Processes(experiment, seeds) as processes:
        sides["processes"] = processes
        compile_seconds, losses = {}, {}
        for name, side in sides.items():
            start = time.perf_counter()
            losses[name] = last_losses(jax.block_until_ready(side()))
            compile_seconds[name] = round(time.perf_counter() - start, 1)
        calls = {
            name: lambda side=side: jax.block_until_ready(side())
            for name, side in sides.items()
        }
        times = alternate(calls, rounds)
    base = "one after another"
    return {
        name: {
            "median_ms": 1e3 * statistics.median(times[name]) / num_seeds,
            "ratio": ratio(times[name], times[base]),
            "first_call_seconds": compile_seconds[name],
            "loss_difference": float(np.max(np.abs(losses[name] - losses[base]))),
        }
        for name in sides
    }


def whole_run(experiment: Experiment, rounds: int) -> dict[str, float]:
    """Seconds of a run as a study makes it, compiled before; and of its training."""
    dataset = load_dataset(experiment.data)
    seconds, training = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            out = Path(folder) / str(number)
            start = time.perf_counter()
            loop.run(make_run(experiment, seed=number, out=out), dataset, quiet=True)
            seconds.append(time.perf_counter() - start)
            training.append(sum(row["seconds"] for row in read_metrics(out)))
    return {  # the first run compiles
        "seconds": statistics.median(seconds[1:]),
        "training_seconds": statistics.median(training[1:]),
    }


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.seeds")
    report = Report(config.out, rounds=config.rounds)
    for case in config.cases:
        result: dict[str, Any] = {"seeds": {}}
        print(f"{case}: ms of an epoch of one run (ratio to one after another)")
        for number in config.seeds:
            found = measure(CASES[case], number, config.rounds)
            result["seeds"][number] = found
            report.add(case, result)
            cells = [
                f"{name} {side['median_ms']:.2f} ({side['ratio']['median']:.2f})"
                for name, side in found.items()
            ]
            print(f"  {number} seeds: {', '.join(cells)}", flush=True)
        whole = whole_run(CASES[case], config.rounds)
        report.add(case, result | {"whole_run": whole})
        print(
            f"  a whole run of {CASES[case].epochs} epochs: {whole['seconds']:.2f} s, "
            f"{whole['training_seconds']:.2f} s of it training and testing\n",
            flush=True,
        )


if __name__ == "__main__":
    run(main)

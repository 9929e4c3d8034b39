"""Seeds together or one after another: what a study's runs cost, in one process.

    python -m benchmarks.seeds [--out FILE.json]

S runs of a small network that differ in their seed take an epoch each: one after
another, as the study does it; side by side in one program (unrolled); and as one
program over a batch of runs (`vmap`). Sides alternate, every side goes first equally
often, and what counts is the time of an epoch of one run. Below, a whole run of the
study with everything it writes: what training costs of it, and so what running seeds
together could save.

Runs unchanged on a GPU.
"""

import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from train import loop, optimizers, program, step
from train.config import Data, Experiment, Model, Optimizer, make_run
from train.data import load_dataset
from train.provenance import environment
from train.run_folder import read_metrics
from train.step import EpochPlan, StepMetrics, TrainState


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


class Bench:
    """A case with S seeds, its sides compiled."""

    def __init__(self, experiment: Experiment, num_seeds: int):
        dataset = load_dataset(experiment.data)
        config = Optimizer("lcam")
        spec = program.make_spec(experiment, optimizers.method_of(config), dataset)
        self.data = program.put_on_device(
            dataset, experiment.data.normalize, spec.crop_padding, spec.eval_batch_size
        )
        self.hyperparameters = optimizers.hyperparameters_of(
            config, spec.steps_per_epoch
        )
        self.calls = program.epoch_calls(spec)
        compiled = program.compile_program(spec, self.data)
        keys = [jax.random.key(seed) for seed in range(num_seeds)]
        self.states = [compiled.init(key) for key in keys]
        size = spec.train_shape[0]
        self.plans = [
            EpochPlan(
                order=jax.random.permutation(key, size).astype(jnp.int32),
                learning_rates=jnp.full(spec.steps_per_epoch, 0.01),
                noise=jnp.zeros(spec.steps_per_epoch),
                key=key,
            )
            for key in keys
        ]
        self.sizes = {(call.num_steps, call.batch_size) for call in self.calls}
        self.train = {
            size: step.make_train(spec, num_steps=size[0], batch_size=size[1])
            for size in self.sizes
        }
        self.sides: dict[str, Callable[[], Any]] = {
            "one after another": self._make_sequential(),
            "unrolled": self._make_unrolled(),
            "vmap": self._make_vmapped(),
        }

    def _epoch(
        self, run: dict[tuple[int, int], Callable], states: Any, plans: Any
    ) -> tuple[Any, list[StepMetrics]]:
        """An epoch's calls, with the states copied: they are given up."""
        states = jax.tree.map(jnp.copy, states)
        outputs = []
        for call in self.calls:
            states, metrics = run[call.num_steps, call.batch_size](
                states, self.data, plans, self.hyperparameters, np.int32(call.first)
            )
            outputs.append(metrics)
        return states, outputs

    def _make_sequential(self) -> Callable[[], Any]:
        run = {size: jax.jit(self.train[size], donate_argnums=0) for size in self.sizes}
        return lambda: [
            self._epoch(run, state, plan)
            for state, plan in zip(self.states, self.plans, strict=True)
        ]

    def _make_unrolled(self) -> Callable[[], Any]:
        def make(train: Callable) -> Callable:
            def together(
                states: list[TrainState], data, plans: list[EpochPlan], *rest
            ) -> tuple[list[TrainState], list[StepMetrics]]:
                pairs = zip(states, plans, strict=True)
                done = [train(state, data, plan, *rest) for state, plan in pairs]
                return [state for state, _ in done], [metrics for _, metrics in done]

            return jax.jit(together, donate_argnums=0)

        run = {size: make(self.train[size]) for size in self.sizes}
        return lambda: self._epoch(run, self.states, self.plans)

    def _make_vmapped(self) -> Callable[[], Any]:
        axes = (0, None, 0, None, None)
        run = {
            size: jax.jit(jax.vmap(self.train[size], in_axes=axes), donate_argnums=0)
            for size in self.sizes
        }
        states = jax.tree.map(lambda *xs: jnp.stack(xs), *self.states)
        plans = jax.tree.map(lambda *xs: jnp.stack(xs), *self.plans)
        return lambda: self._epoch(run, states, plans)


def last_losses(outputs: Any) -> np.ndarray:
    """The last loss of every seed, whatever the side's layout; float32 [seeds]."""
    if isinstance(outputs, list):  # one after another
        return np.array([metrics[-1].loss[-1] for _, metrics in outputs])
    last = outputs[1][-1]
    if isinstance(last, list):  # unrolled
        return np.array([metrics.loss[-1] for metrics in last])
    return np.array(last.loss[:, -1])


def measure(experiment: Experiment, num_seeds: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of an epoch of one run: each side's median, and paired ratios."""
    bench = Bench(experiment, num_seeds)
    compile_seconds, losses = {}, {}
    for name, side in bench.sides.items():
        start = time.perf_counter()
        losses[name] = last_losses(jax.block_until_ready(side()))
        compile_seconds[name] = round(time.perf_counter() - start, 1)
    names = list(bench.sides)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            jax.block_until_ready(bench.sides[name]())
            times[name].append(1e3 * (time.perf_counter() - start) / num_seeds)
    base = losses["one after another"]
    return {
        name: {
            "median_ms": statistics.median(times[name]),
            "ratio": float(
                np.median(np.divide(times[name], times["one after another"]))
            ),
            "first_call_seconds": compile_seconds[name],
            "loss_difference": float(np.max(np.abs(losses[name] - base))),
        }
        for name in names
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
    provenance = environment()
    results: dict[str, Any] = {}
    for case in config.cases:
        results[case] = {"seeds": {}}
        print(f"{case}: ms of an epoch of one run (ratio to one after another)")
        for number in config.seeds:
            found = measure(CASES[case], number, config.rounds)
            results[case]["seeds"][number] = found
            cells = [
                f"{name} {side['median_ms']:.2f} ({side['ratio']:.2f})"
                for name, side in found.items()
            ]
            print(f"  {number} seeds: {', '.join(cells)}", flush=True)
        whole = whole_run(CASES[case], config.rounds)
        results[case]["whole_run"] = whole
        print(
            f"  a whole run of {CASES[case].epochs} epochs: {whole['seconds']:.2f} s, "
            f"{whole['training_seconds']:.2f} s of it training and testing\n",
            flush=True,
        )
    if config.out:
        report = provenance | {"rounds": config.rounds, "results": results}
        config.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

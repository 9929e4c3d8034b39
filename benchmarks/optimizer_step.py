"""The optimizer's step: LCAM against optax.sgd, in one process, alternating.

    python -m benchmarks.optimizer_step [--out FILE.json]

Four cases: one array of 36.5 M parameters, the 80 arrays of WRN-28-10, one array of
100 M, and one of 1,000. Reported are what the compiled programs do (floating-point
operations, bytes accessed, operations, temporary memory) and how long they take:
medians, and the median of the paired ratios to SGD.

A second SGD shows the noise. An SGD whose state carries six more scalars, as LCAM's
does, shows what passing these in and out costs. With weight decay, as in training, LCAM
is compared with `torch.optim.SGD`, as the authors call it and fused, if torch is there.

The floor is 20 bytes a parameter (read gradient, trace and parameter; write trace and
parameter) at the bandwidth measured by scaling an array in place.

Runs unchanged on a GPU.
"""

import dataclasses
import importlib.util
import os
import re
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# PyTorch must find memory left on a GPU.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

import lcam_optax
from benchmarks.command import check_counts, check_names, run
from benchmarks.timing import Report, alternate, median_of, ratio, shown
from models import WideResNet
from train.reports.tables import aligned

FLOOR_BYTES = 20  # a parameter, float32


@dataclasses.dataclass(frozen=True)
class Config:
    """Measures the optimizer's step: LCAM against optax.sgd."""

    #: Timed rounds; each runs every side once, in turn.
    rounds: int = 30
    #: Steps timed together in a round; of the smallest case 300 times as many.
    steps: int = 3
    #: Cases to run.
    cases: tuple[str, ...] = ("one array", "WRN-28-10", "100 M", "1 k")
    #: File to write the results into as JSON. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check_counts(self, "rounds", "steps")
        check_names("--cases", self.cases, CASES)


def wrn_shapes() -> list[tuple[int, ...]]:
    """Shapes of the 80 parameter arrays of WRN-28-10."""
    network = nnx.eval_shape(lambda: WideResNet(28, 10, 10, rngs=nnx.Rngs(0)))
    leaves = jax.tree.leaves(nnx.as_pure(nnx.state(network, nnx.Param)))
    return [leaf.shape for leaf in leaves]


CASES: dict[str, Callable[[], list[tuple[int, ...]]]] = {
    "one array": lambda: [(36_479_194,)],
    "WRN-28-10": wrn_shapes,
    "100 M": lambda: [(100_000_000,)],
    "1 k": lambda: [(1000,)],
}


def sgd_with_scalars(count: int) -> optax.GradientTransformation:
    """SGD whose state carries `count` more scalars, each changing in every step."""

    def init_fn(params):
        del params
        return [jnp.zeros(()) for _ in range(count)]

    def update_fn(updates, state, params=None):
        del params
        return updates, [scalar + 1 for scalar in state]

    scalars = optax.GradientTransformation(init_fn, update_fn)
    return optax.chain(scalars, optax.sgd(0.1, momentum=0.9))


class Side:
    """One optimizer with parameters of its own, compiled, its buffers donated."""

    def __init__(
        self, optimizer: optax.GradientTransformation, shapes: list[tuple[int, ...]]
    ):
        optimizer = optax.with_extra_args_support(optimizer)
        self.params = [jnp.ones(shape) for shape in shapes]
        self.grads = [jnp.full(shape, 1e-6) for shape in shapes]
        self.state = optimizer.init(self.params)

        def step(params, state, grads, loss):
            updates, state = optimizer.update(grads, state, params, value=loss)
            return optax.apply_updates(params, updates), state

        self.loss = jnp.float32(1.0)
        self.compiled = (
            jax.jit(step, donate_argnums=(0, 1))
            .lower(self.params, self.state, self.grads, self.loss)
            .compile()
        )

    def run(self, steps: int) -> None:
        """Takes steps and waits for them."""
        for _ in range(steps):
            self.params, self.state = self.compiled(
                self.params, self.state, self.grads, self.loss
            )
        jax.block_until_ready(self.params)

    def costs(self) -> dict[str, float]:
        """What the compiled program does, as XLA counts it."""
        analysis = self.compiled.cost_analysis() or {}
        entry = self.compiled.as_text().split("ENTRY ")[-1]
        kernels = re.findall(r"= \S+ (fusion|copy|custom-call|call)\(", entry)
        return {
            "flops": analysis.get("flops", float("nan")),
            "bytes": analysis.get("bytes accessed", float("nan")),
            "kernels": len(kernels),
            "temporary_bytes": self.compiled.memory_analysis().temp_size_in_bytes,
        }


def bandwidth() -> float:
    """Bytes a second of an array scaled in place: read and written once."""
    array = jnp.ones(50_000_000)
    scale = jax.jit(lambda x: x * 1.0001, donate_argnums=0)

    def run() -> None:
        nonlocal array
        array = jax.block_until_ready(scale(array))

    return 2 * array.nbytes / median_of(run, repeats=10)


def measure(shapes: list[tuple[int, ...]], config: Config) -> dict[str, Any]:
    """Measures one case."""
    count = sum(int(np.prod(shape)) for shape in shapes)
    # Microseconds are timed in bulk.
    steps = config.steps * (300 if count < 100_000 else 1)
    figures: dict[str, dict[str, float]] = {}

    def times_of(sides: dict[str, Any]) -> dict[str, list[float]]:
        for side in sides.values():
            side.run(2)
        calls = {name: partial(side.run, steps) for name, side in sides.items()}
        times = alternate(calls, config.rounds)
        for name, side in sides.items():
            costs = side.costs() if isinstance(side, Side) else {}
            median = 1e3 * statistics.median(times[name]) / steps
            figures[name] = costs | {"median_ms": median}
        return times

    lcam = lcam_optax.lcam(0.1, 0.9, 0.93)
    times = times_of(
        {
            "sgd": Side(optax.sgd(0.1, momentum=0.9), shapes),
            "sgd again": Side(optax.sgd(0.1, momentum=0.9), shapes),
            "sgd + 6": Side(sgd_with_scalars(6), shapes),
            "lcam": Side(lcam, shapes),
        }
    )
    result = {
        "parameters": count,
        "arrays": len(shapes),
        "sides": figures,
        "ratio_to_sgd": {
            name: ratio(times[name], times["sgd"]) for name in times if name != "sgd"
        },
    }
    # Apart: torch's arrays and threads shall not weigh on the ratios above.
    if importlib.util.find_spec("torchvision"):
        from benchmarks.torch_loops import SgdStep

        with_decay = optax.chain(optax.add_decayed_weights(5e-4), lcam)
        ours, *theirs = sides = {
            "lcam + decay": Side(with_decay, shapes),
            "torch + decay": SgdStep(shapes),
            "torch, fused + decay": SgdStep(shapes, fused=True),
        }
        times = times_of(sides)
        result["ratio_to_torch"] = {
            side: ratio(times[ours], times[side]) for side in theirs
        }
    return result


def table(results: dict[str, dict[str, Any]], bytes_per_second: float) -> str:
    """The results as text."""
    lines = []
    for case, result in results.items():
        count = result["parameters"]
        floor_ms = 1e3 * FLOOR_BYTES * count / bytes_per_second
        rows = [
            [
                "",
                "ms",
                "ratio to sgd (quartiles)",
                "flop/param",
                "bytes/param",
                "kernels",
                "temporary",
            ]
        ]
        for name, side in result["sides"].items():
            found = result["ratio_to_sgd"].get(name)
            versus = shown(found, 3) if found else ("1" if name == "sgd" else "")
            row = [name, f"{side['median_ms']:.3f}", versus]
            if "flops" in side:
                row += [
                    f"{side['flops'] / count:.3f}",
                    f"{side['bytes'] / count:.3f}",
                    f"{side['kernels']}",
                    f"{side['temporary_bytes']} B",
                ]
            rows.append(row + [""] * (len(rows[0]) - len(row)))
        arrays = f"{result['arrays']} array{'s' * (result['arrays'] > 1)}"
        lines += [
            f"{case}: {count:,} parameters in {arrays}; floor "
            f"{floor_ms:.2f} ms ({FLOOR_BYTES} bytes a parameter at "
            f"{bytes_per_second / 1e9:.1f} GB/s)",
            *aligned(rows),
        ]
        for side, found in result.get("ratio_to_torch", {}).items():
            lines.append(f"lcam + decay / {side}: {shown(found, 3)}")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.optimizer_step")
    report = Report(
        config.out, packages=["torch"], rounds=config.rounds, steps=config.steps
    )
    bytes_per_second = bandwidth()
    report.note(bytes_per_second=bytes_per_second)
    for case in config.cases:
        report.add(case, measure(CASES[case](), config))
        print(table({case: report.results[case]}, bytes_per_second), flush=True)


if __name__ == "__main__":
    run(main)

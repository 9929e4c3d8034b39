"""The optimizer's step: LCAM against optax.sgd, in one process, alternating.

    python -m benchmarks.optimizer_step [--out FILE.json]

For one array of 36.5 M parameters, the 80 arrays of WRN-28-10, one array of 100 M and
one of a mere 1,000: what the compiled programs do (floating-point operations, bytes
accessed, operations, temporary memory) and how long they take: medians, and the median
of the paired ratios to SGD. Beside LCAM stand, as the noise to hold it against, another
SGD, and an SGD whose state carries six more scalars, as LCAM's does: what handing them
in and out costs, whatever is computed. The floor is 20 bytes a parameter (read
gradient, trace and parameter; write trace and parameter) at the bandwidth measured by
scaling an array in place.

Runs unchanged on a GPU.
"""

import dataclasses
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

import lcam_optax
from models import WideResNet
from train.provenance import environment

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

    def run(self, steps: int) -> float:
        """Takes steps and returns the seconds each took."""
        start = time.perf_counter()
        for _ in range(steps):
            self.params, self.state = self.compiled(
                self.params, self.state, self.grads, self.loss
            )
        jax.block_until_ready(self.params)
        return (time.perf_counter() - start) / steps

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
    array = jax.block_until_ready(scale(array))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        array = jax.block_until_ready(scale(array))
        times.append(time.perf_counter() - start)
    return 2 * array.nbytes / statistics.median(times)


def measure(shapes: list[tuple[int, ...]], config: Config) -> dict[str, Any]:
    """Measures one case."""
    sides = {
        "sgd": Side(optax.sgd(0.1, momentum=0.9), shapes),
        "sgd again": Side(optax.sgd(0.1, momentum=0.9), shapes),
        "sgd + 6": Side(sgd_with_scalars(6), shapes),
        "lcam": Side(lcam_optax.lcam(0.1, 0.9, 0.93), shapes),
    }
    count = sum(int(np.prod(shape)) for shape in shapes)
    # Microseconds are timed in bulk.
    steps = config.steps * (300 if count < 100_000 else 1)
    for side in sides.values():
        side.run(2)
    times: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(config.rounds):
        # Each side goes first equally often.
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(sides[name].run(steps))
    ratios = {name: np.divide(times[name], times["sgd"]) for name in names[1:]}
    return {
        "parameters": count,
        "arrays": len(shapes),
        "sides": {
            name: side.costs() | {"median_ms": 1e3 * statistics.median(times[name])}
            for name, side in sides.items()
        },
        "ratio_to_sgd": {
            name: {
                "median": float(np.median(ratio)),
                "quartiles": np.quantile(ratio, [0.25, 0.75]).tolist(),
            }
            for name, ratio in ratios.items()
        },
    }


def table(results: dict[str, dict[str, Any]], bytes_per_second: float) -> str:
    """The results as text."""
    lines = []
    for case, result in results.items():
        count = result["parameters"]
        floor_ms = 1e3 * FLOOR_BYTES * count / bytes_per_second
        lines += [
            f"{case}: {count:,} parameters in {result['arrays']} arrays; floor "
            f"{floor_ms:.2f} ms ({FLOOR_BYTES} bytes a parameter at "
            f"{bytes_per_second / 1e9:.1f} GB/s)",
            f"{'':12}{'ms':>9}{'ratio to sgd (quartiles)':>28}{'flop/param':>12}"
            f"{'bytes/param':>13}{'kernels':>9}{'temporary':>11}",
        ]
        for name, side in result["sides"].items():
            ratio = result["ratio_to_sgd"].get(name)
            shown = "1"
            if ratio:
                low, high = ratio["quartiles"]
                shown = f"{ratio['median']:.3f} ({low:.3f} to {high:.3f})"
            lines.append(
                f"{name:12}{side['median_ms']:9.3f}{shown:>28}"
                f"{side['flops'] / count:12.3f}{side['bytes'] / count:13.3f}"
                f"{side['kernels']:9d}{side['temporary_bytes']:9d} B"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.optimizer_step")
    provenance = environment()
    results = {}
    bytes_per_second = bandwidth()
    for case in config.cases:
        results[case] = measure(CASES[case](), config)
        print(table({case: results[case]}, bytes_per_second), flush=True)
    if config.out:
        report = provenance | {
            "rounds": config.rounds,
            "steps": config.steps,
            "bytes_per_second": bytes_per_second,
            "results": results,
        }
        config.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""How the time of a training step grows: it should be a line.

    python -m benchmarks.scaling [--out FILE.json]
    python -m benchmarks.scaling --plan [--chip tpu-v5e|tpu-v6e|h200]

Wide ResNets in the compiled steps of `python -m train run`, with LCAM. Along each axis
its points are timed in turn, in one process:

- widening: the network's arithmetic grows. The line goes through 0, so the exponent of
  time over arithmetic is 1; below 1 the small networks leave the machine idle;
- batch: so do the images of a step; the exponent is again 1 at best;
- images: the training set grows, and a step does not: the exponent is 0, and an epoch
  takes as long as it has images;
- devices: the same batch is split among more. With as many GPUs the exponent is -1 at
  best. The devices of a CPU are made up and share its cores: 0 at best, and what is
  above is the price of splitting.

Runs unchanged on a GPU. `--plan` measures nothing: it prints the tables of
docs/scale.md, how far a run and a study go on chips that are not here.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro

from benchmarks import loops, plan
from benchmarks.command import check_counts, check_names, run
from benchmarks.flops import training_flops
from benchmarks.timing import Report, alternate
from train.reports.tables import aligned, markdown
from train.settings.experiment import Experiment
from train.settings.options import Model


@dataclasses.dataclass(frozen=True)
class Config:
    """Measures how the time of a training step grows."""

    #: Timed rounds; each runs every point of an axis once, in turn.
    rounds: int = 9
    #: Training steps in a round, and in a call.
    steps: int = 3
    #: Depth of the networks, 6n + 4.
    depth: int = 10
    #: What they compute in.
    dtype: str = "float32"
    #: Points of the widening; the first is that of the other axes.
    widen: tuple[int, ...] = (1, 2, 4)
    #: Points of the batch; the first is that of the other axes.
    batch: tuple[int, ...] = (64, 128, 256)
    #: Points of the training images, at least a round's; the first is that of the other
    #: axes, unless a round of the largest batch takes more.
    images: tuple[int, ...] = (1_000, 10_000, 50_000)
    #: Points of the devices; those beyond the GPUs there are are left out.
    devices: tuple[int, ...] = (1, 2, 4, 8)
    #: Print how far a run and a study go, on paper; nothing is measured.
    plan: bool = False
    #: The chip of the plan.
    chip: Literal["tpu-v5e", "tpu-v6e", "h200"] = "tpu-v5e"
    #: File to write the results into as JSON. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check_counts(self, "rounds", "steps", "widen", "batch", "images", "devices")
        for axis in AXES:
            if len(set(getattr(self, axis))) < 2:
                raise ValueError(f"--{axis} must be two numbers or more that differ.")
        check_names("--dtype", [self.dtype], ("float32", "bfloat16"))
        a_round = self.steps * self.batch[0]
        if min(self.images) < a_round:
            raise ValueError(f"--images must be at least a round's {a_round}.")


# What of a point its time is held against.
AXES: dict[str, Callable[[dict[str, Any]], float]] = {
    "widen": lambda point: point["flops"],
    "batch": lambda point: point["batch"],
    "images": lambda point: point["images"],
    "devices": lambda point: point["devices"],
}


def make_loop(
    config: Config, widen: int, batch: int, images: int, devices: int
) -> loops.OurLoop:
    """The loop of a point."""
    model = Model("wide_resnet", config.depth, widen, dtype=config.dtype)
    experiment = Experiment(
        model=model,
        batch_size=batch,
        steps_per_call=config.steps,
        eval_batch_size=100,
        devices=devices,
    )
    return loops.OurLoop(experiment, loops.made_up_images(images))


def measure(axis: str, config: Config) -> dict[str, Any]:
    """Measures the points of an axis."""
    base = {"widen": config.widen[0], "batch": config.batch[0], "devices": 1}
    base["images"] = max(config.images[0], config.steps * max(config.batch))
    points, calls = [], {}
    for number in getattr(config, axis):
        if axis == "devices" and number > jax.device_count():
            continue
        point = base | {axis: number}
        loop = make_loop(config, **point)
        loop.run(config.steps)
        flops = training_flops(loop.spec.network) * point["batch"]
        points.append(point | {"flops": flops})
        calls[str(number)] = partial(loop.run, config.steps)
    times = alternate(calls, config.rounds)
    for point in points:
        seconds = np.divide(times[str(point[axis])], config.steps)
        low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        point["ms_per_step"] = 1e3 * float(median)
        point["ms_quartiles"] = [1e3 * float(low), 1e3 * float(high)]
        point["gflops_per_second"] = point["flops"] / float(median) / 1e9
    sizes = [AXES[axis](point) for point in points]
    medians = [point["ms_per_step"] for point in points]
    exponent = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    return {"points": points, "exponent": float(exponent)}


def table(axis: str, result: dict[str, Any]) -> str:
    """The results of an axis as text."""
    rows = [[axis, "ms a step (quartiles)", "GFLOP/s"]]
    for point in result["points"]:
        low, high = point["ms_quartiles"]
        rows.append(
            [
                f"{point[axis]:,}",
                f"{point['ms_per_step']:.2f} ({low:.2f} to {high:.2f})",
                f"{point['gflops_per_second']:.1f}",
            ]
        )
    return "\n".join(
        [*aligned(rows), f"exponent of the time: {result['exponent']:.2f}", ""]
    )


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.scaling")
    options = dataclasses.asdict(config)
    del options["out"]
    with contextlib.suppress(RuntimeError):  # too late where JAX has begun already
        jax.config.update("jax_num_cpu_devices", max(config.devices))
    if config.plan:  # which needs no accelerator
        jax.config.update("jax_platforms", "cpu")
    report = Report(config.out, **options)
    if config.plan:
        for title, rows in plan.tables(config.chip).items():
            report.add(title, rows)
            print(f"{title}:\n\n{markdown(rows)}\n")
        return
    for axis in AXES:
        if axis == "devices" and jax.device_count() < 2:
            print("devices: there is one")
            continue
        report.add(axis, measure(axis, config))
        print(table(axis, report.results[axis]), flush=True)
        jax.clear_caches()  # memory of programs that are not needed again


if __name__ == "__main__":
    run(main)

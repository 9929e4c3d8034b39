"""What the host takes for a training step, inside an epoch.

    python -m benchmarks.overhead [--out FILE.json]

A deep and thin Wide ResNet (WRN-28-1, as many arrays as WRN-28-10) on two images of
4x4, so that the device has next to nothing to do. In turn, in one process: an epoch in
one call, a call a step, and a plain loop in Flax (`nnx.jit`). "Host" is the time until
the steps are handed to the device, which then works alone; "wall" until they are done.

The epoch's calls run under a guard that lets no array come back to the host: a loop
that waited for a loss would fail. (On a CPU, where arrays lie in the host's memory
anyway, the guard does not bite.)

Runs unchanged on a GPU.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from benchmarks import loops
from benchmarks.command import check_counts, run
from benchmarks.timing import Report, alternate, ratio, shown
from train.reports.tables import aligned
from train.settings.experiment import Experiment
from train.settings.options import Model


@dataclasses.dataclass(frozen=True)
class Config:
    """Measures the host's time for a training step."""

    #: Timed rounds; each runs every side once, in turn.
    rounds: int = 15
    #: Steps of an epoch, and of a round.
    steps: int = 200
    #: Depth of the network, 6n + 4.
    depth: int = 28
    #: File to write the results into as JSON. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check_counts(self, "rounds", "steps")


class Side:
    """A loop, and how long its steps took to be handed over."""

    def __init__(self, dispatch: Callable[[int], Any], steps: int):
        self._dispatch, self._steps = dispatch, steps
        self.host: list[float] = []

    def __call__(self) -> None:
        """Takes the steps of a round."""
        start = time.perf_counter()
        with jax.transfer_guard_device_to_host("disallow"):
            last = self._dispatch(self._steps)
        self.host.append(time.perf_counter() - start)
        jax.block_until_ready(last)


def make_sides(config: Config) -> dict[str, Side]:
    """Makes the loops, and lets each take the steps of a round."""
    batch_size = 2
    dataset = loops.made_up_images(batch_size * config.steps, side=4, num_classes=2)
    model = Model("wide_resnet", depth=config.depth)

    def ours(steps_per_call: int) -> loops.OurLoop:
        experiment = Experiment(
            model=model, batch_size=batch_size, steps_per_call=steps_per_call
        )
        return loops.OurLoop(experiment, dataset)

    epoch, single = ours(config.steps), ours(1)
    plain = loops.FlaxLoop(epoch.spec.network, dataset, batch_size)
    sides = {
        "an epoch a call": Side(epoch.dispatch, config.steps),
        "a step a call": Side(single.dispatch, config.steps),
        "plain flax": Side(plain.dispatch, config.steps),
    }
    for side in sides.values():
        side()
        side.host.clear()
    return sides


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.overhead")
    report = Report(
        config.out, rounds=config.rounds, steps=config.steps, depth=config.depth
    )
    sides = make_sides(config)
    walls = alternate(sides, config.rounds)
    first = next(iter(sides))
    rows = [["side", "host, ms a step", "wall, ms a step", "wall / the first's"]]
    for name, side in sides.items():
        report.add(
            name,
            {
                "host_ms_per_step": 1e3 * float(np.median(side.host)) / config.steps,
                "wall_ms_per_step": 1e3 * float(np.median(walls[name])) / config.steps,
                "wall_ratio": ratio(walls[name], walls[first]),
            },
        )
        result = report.results[name]
        figures = [result["host_ms_per_step"], result["wall_ms_per_step"]]
        cells = [f"{figure:.4f}" for figure in figures]
        rows.append([name, *cells, shown(result["wall_ratio"])])
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    run(main)

"""How far a run and a study go, on paper: the tables and formulas of docs/scale.md.

A step's time on one chip is what `benchmarks.compiled` estimated for a batch of 128. To
it come the sums over chips, by the network's figures. Units are bytes and seconds.
"""

import itertools
import json
import math
from functools import cache
from pathlib import Path

import jax

from benchmarks.compiled import BATCH_SIZE, PADDING, TARGETS
from train.engine.device_data import DATA_SHARE
from train.engine.networks import NetworkSpec, make_network_init
from train.settings.options import Model

# Memory, what a chip sends to others, the same in a whole pod (a host of GPUs), chips
# in a pod, what a chip sends to other pods, and the time to a neighbour.
CHIPS = {
    "tpu-v5e": (16e9, 100e9, 200e9, 256, 3.125e9, 1e-6),
    "tpu-v6e": (32e9, 200e9, 400e9, 256, 3.125e9, 1e-6),
    "h200": (141e9, 450e9, 450e9, 8, 50e9, 6e-6),
}
Case = tuple[int, int, int]  # depth, widening factor, pixels
CASES = [(*net, size) for net in ((16, 4), (28, 10)) for size in (32, 64, 224)]
CIFAR, IMAGENET = (50_000, 10), (1_281_167, 1000)  # training images, classes
BATCHES = (128, 1024, 8192, 65_536)
RUNS = (  # places among the cases, batches, and chips
    *((0, 128, 8), (0, 1024, 8), (0, 8192, 256), (3, 128, 8)),
    *((3, 1024, 64), (4, 8192, 256), (2, 8192, 256), (5, 65_536, 1024)),
)
STUDIES = (20, 1000, 100_000)  # runs of 30 epochs of CIFAR
STEPS, STEP_BYTES, RUN_BYTES = 30 * 390, 40, 15_000  # a line of steps.csv; other files
HEADS = (  # behind "network, pixels"
    "M weights|µs an image|MB an image|batch|seeds|GB",
    "batch|chips|MB sent|alone, ms|network|pays|GB",
    "|".join(f"batch {batch:,}" for batch in BATCHES),
    "runs|chip hours|chips for a day|files, GB",
)


@cache
def step_seconds(chip: str, depth: int, widen: int) -> float:
    """A step of 128 images of CIFAR. An H200's estimate leaves products out."""
    path = Path(__file__).with_name("results") / f"compiled_{chip}.json"
    name = f"WRN-{depth}-{widen} in bfloat16, one of 390 steps"
    row = json.loads(path.read_text())["results"][name]
    return max(1e-6 * row["microseconds"], row["flops"] / TARGETS[chip].flops)


@cache
def sizes(depth: int, widen: int, size: int) -> tuple[int, int, int]:
    """Weights, bytes of an image's activations, and bytes of all images."""
    images, classes = CIFAR if size == 32 else IMAGENET
    model = Model("wide_resnet", depth, widen)
    make = make_network_init(NetworkSpec(model, (size, size, 3), classes))
    params, _ = jax.eval_shape(make, jax.eval_shape(jax.random.key, 0))
    count = sum(array.size for array in jax.tree.leaves(params))
    activations = 2 * size**2 * (16 + 56 * (depth - 4) // 6 * widen)
    return count, activations, images * 3 * (size + 2 * PADDING) ** 2


def step(chip: str, case: Case, batch: int, chips: int) -> tuple[float, ...]:
    """A chip's seconds alone and for the network, bytes sent, and bytes of memory."""
    _, in_part, in_pod, pod, beyond, hop = CHIPS[chip]
    (depth, widen, size), (count, image, _) = case, sizes(*case)
    near = min(chips, pod)
    sent, far = 8 * count * (1 - 1 / near), 8 * count / near * (1 - near / chips)
    short = 2 ** (int(math.log2(near)) // 2)  # side of a torus; sides of 16 are rings
    sides = [side / 2 if side == 16 else side - 1 for side in (short, near // short)]
    hops = float(near > 1) if chip == "h200" else 2 * sum(sides)
    alone = step_seconds(chip, depth, widen) / BATCH_SIZE * (size / 32) ** 2
    wait = (2 * depth - 5) * hops * hop
    wait += sent / (in_pod if near == pod else in_part) + far / beyond
    return alone * batch / chips, wait, sent + far, 8 * count + image * batch / chips


def tables(chip: str) -> dict[str, list[list[str]]]:
    """The rows of the tables; the first is the head."""
    work, runs, pay, study = ([f"network, pixels|{x}".split("|")] for x in HEADS)
    memory = CHIPS[chip][0]
    for case in CASES:
        count, image, data = sizes(*case)
        held = data if data <= DATA_SHARE * memory else 0
        free = memory - held
        numbers = (count / 1e6, 1e6 * step(chip, case, 1, 1)[0], image / 1e6)
        most = ((free - 8 * count) // image, free // (8 * count + image * BATCH_SIZE))
        work.append(_row(case, *numbers, *most, data / 1e9))
        work[-1][-1] += ", refused" * (not held)
        pay.append(_row(case))
        for batch in BATCHES:
            largest = 0 if case[2] == 32 and batch > CIFAR[0] else batch
            good = []
            for chips in [2**power for power in range(11) if 2**power <= largest]:
                alone, wait, _, used = step(chip, case, batch, chips)
                if alone >= wait and used <= free:
                    good.append(chips)
            pay[-1].append(f"{good[0]:,} to {good[-1]:,}" if good else "none")
    for place, batch, chips in RUNS:
        alone, wait, sent, used = step(chip, CASES[place], batch, chips)
        numbers = (batch, chips, sent / 1e6, 1e3 * alone, 1e3 * wait)
        share = f"{alone / (alone + wait):.0%}"
        runs.append([*_row(CASES[place], *numbers), share, _shown(used / 1e9)])
    for case, count in itertools.product(CASES[::3], STUDIES):
        hours = count * STEPS * step_seconds(chip, *case[:2]) / 3600
        gigabytes = count * (STEPS * STEP_BYTES + RUN_BYTES) / 1e9
        study.append(_row(case, count, hours, hours / 24, gigabytes))
    return {"work": work, "one run": runs, "chips that pay": pay, "a study": study}


def _row(case: Case, *numbers: float) -> list[str]:
    return ["WRN-{}-{}, {}".format(*case), *map(_shown, numbers)]


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.2g}"

"""The augmentation of a batch: on the device, by NumPy, and by torchvision's loader.

    python -m benchmarks.augmentation [--out FILE.json]

Random crop out of 4 pixels of padding, flip and normalisation of 128 images of 32x32,
in turn, in one process: compiled as in the training step; as a user of NumPy writes it;
and with the authors' transforms in PyTorch's loader, in this process as theirs, if
torch and torchvision are there.

Runs unchanged on a GPU.
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro

from benchmarks import loops
from benchmarks.command import check_counts, run
from benchmarks.timing import Report, alternate, ratio, shown
from train.data import augmentation
from train.data.dataset import Dataset
from train.engine.device_data import IMAGENET_MEAN, IMAGENET_STD
from train.reports.tables import aligned


@dataclasses.dataclass(frozen=True)
class Config:
    """Measures the augmentation of a batch."""

    #: Timed rounds; each runs every side once, in turn.
    rounds: int = 30
    #: Batches timed together in a round; of the compiled side 20 times as many.
    batches: int = 2
    #: Images in a batch.
    batch_size: int = 128
    #: Images to choose from.
    images: int = 50_000
    #: File to write the results into as JSON. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check_counts(self, "rounds", "batches", "batch_size", "images")
        if self.images < self.batch_size:
            raise ValueError(f"--images must be at least a batch's {self.batch_size}.")


def make_ours(dataset: Dataset, batch_size: int) -> Callable[[int], None]:
    """The augmentation that the training step holds, compiled alone."""
    padded = jax.device_put(augmentation.pad(dataset.train_inputs, loops.PADDING))
    mean, std = np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD)
    size = dataset.train_inputs.shape[1:]

    @jax.jit
    def augment(images: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, rows_key, crop_key = jax.random.split(key, 3)
        rows = jax.random.randint(rows_key, (batch_size,), 0, len(images))
        batch = augmentation.crop_and_flip(
            images, rows, crop_key, size=size, padding=loops.PADDING, flip=True
        )
        return augmentation.normalize(batch, mean, std), key

    def run(batches: int) -> None:
        key = jax.random.key(0)
        for _ in range(batches):
            batch, key = augment(padded, key)
        jax.block_until_ready(batch)

    return run


def make_numpy(dataset: Dataset, batch_size: int) -> Callable[[int], None]:
    """The same, vectorised in NumPy."""
    padded = augmentation.pad(dataset.train_inputs, loops.PADDING)
    rng = np.random.default_rng(0)

    def run(batches: int) -> None:
        for _ in range(batches):
            rows = rng.integers(0, len(padded), batch_size)
            loops.numpy_augmented(padded, rows, rng)

    return run


def make_torchvision(dataset: Dataset, batch_size: int) -> Callable[[int], None]:
    """The authors' loader."""
    from benchmarks import torch_loops

    batches = torch_loops.authors_batches(
        dataset.train_inputs, dataset.train_targets, batch_size
    )

    def run(number: int) -> None:
        for _ in range(number):
            next(batches)

    return run


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.augmentation")
    report = Report(
        config.out,
        packages=["torch", "torchvision"],
        rounds=config.rounds,
        batches=config.batches,
        batch_size=config.batch_size,
        images=config.images,
    )
    dataset = loops.made_up_images(config.images)
    sides = {
        "ours": make_ours(dataset, config.batch_size),
        "numpy": make_numpy(dataset, config.batch_size),
    }
    if importlib.util.find_spec("torchvision"):
        sides["torchvision"] = make_torchvision(dataset, config.batch_size)
    else:
        print("without PyTorch: torch or torchvision is missing")
    batches = {side: config.batches for side in sides}
    batches["ours"] *= 20  # so short that the clock would tell
    calls = {side: partial(sides[side], batches[side]) for side in sides}
    for call in calls.values():
        call()
    totals = alternate(calls, config.rounds)
    times = {side: np.divide(totals[side], batches[side]) for side in sides}
    rows = [["side", "ms a batch", "time / ours (quartiles)"]]
    for side, seconds in times.items():
        report.add(
            side,
            {
                "ms_per_batch": 1e3 * float(np.median(seconds)),
                "ratio_to_ours": ratio(seconds, times["ours"]),
            },
        )
        result = report.results[side]
        figures = [f"{result['ms_per_batch']:.3f}", shown(result["ratio_to_ours"], 1)]
        rows.append([side, *figures])
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    run(main)

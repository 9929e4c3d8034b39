"""Images a second in training: this program against what people would use instead.

    python -m benchmarks.throughput [--out FILE.json]

The same Wide ResNet, weights, batch and images in turn, in one process:

- ours: the compiled calls of `python -m train run`, with LCAM: a loop of many steps, as
  the program has it; and on a CPU also a call a step;
- authors: the loop of LCAM's authors in PyTorch as they wrote it: batches from
  torchvision, one picture after another, float32, the loss fetched at every step;
- tuned torch: the fastest loop a user of PyTorch would write: images on the device,
  channels last, autocast to bfloat16 unless the machine is slow in it, `torch.compile`,
  a fused optimizer, and a fixed momentum, as it never waits for a loss;
- plain flax: `nnx.jit`, `nnx.Optimizer` with LCAM, batches made by NumPy, in the dtype
  of our first.

Our order of the images is drawn beforehand, as the program does it once an epoch; the
others draw theirs where they need it.

MFU is the share of the machine's rate of matrix products, measured here in the dtype
of each side (by JAX and PyTorch, the faster), that the network's arithmetic takes. The
sides in PyTorch need torch and torchvision, and are left out without them. A side that
fails is named and left out.

Runs unchanged on a GPU.
"""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

# PyTorch must find memory left on a GPU.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import numpy as np
import tyro

from benchmarks import loops
from benchmarks.command import check_counts, check_names, run
from benchmarks.flops import make_product, matrix_rate, training_flops
from benchmarks.timing import Report, alternate, median_of, ratio, shown
from models.torch_weights import to_torch
from train.data.dataset import Dataset
from train.data.sources import load_dataset
from train.engine.networks import NetworkSpec
from train.errors import InputError
from train.reports.tables import aligned
from train.settings.experiment import Experiment
from train.settings.options import Data, Model

DTYPES = ("float32", "bfloat16")
TORCH_MODES = (
    "default",
    "reduce-overhead",
    "max-autotune",
    "max-autotune-no-cudagraphs",
)
EPOCH = 50_000  # images, as in CIFAR


@dataclasses.dataclass(frozen=True)
class Config:
    """Measures images a second in training."""

    #: Networks, each WRN-DEPTH-WIDEN. None: WRN-10-1 and WRN-16-1, on an accelerator
    #: WRN-16-4 and WRN-28-10.
    networks: tuple[str, ...] | None = None
    #: What our side computes in. None: float32, on an accelerator bfloat16 and float32
    #: (on a CPU bfloat16 is no faster).
    dtypes: tuple[str, ...] | None = None
    #: Timed rounds; each runs every side once, in turn.
    rounds: int = 7
    #: Training steps in a round. None: 10, on an accelerator 100.
    steps: int | None = None
    #: Images a step.
    batch_size: int = 128
    #: Data as in `python -m train run`, of colour images. None: 50,000 of 32x32, made
    #: up.
    data: str | None = None
    #: Whether to run the sides in PyTorch, if it is there.
    torch: bool = True
    #: Modes of torch.compile, each a side: default, reduce-overhead, max-autotune,
    #: max-autotune-no-cudagraphs.
    torch_modes: tuple[str, ...] = ("default",)
    #: File to write the results into as JSON. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Fills in what depends on the machine."""
        on_cpu = jax.default_backend() == "cpu"
        defaults = {
            "networks": ("WRN-10-1", "WRN-16-1")
            if on_cpu
            else ("WRN-16-4", "WRN-28-10"),
            "dtypes": ("float32",) if on_cpu else ("bfloat16", "float32"),
            "steps": 10 if on_cpu else 100,
        }
        for option, default in defaults.items():
            if getattr(self, option) is None:
                object.__setattr__(self, option, default)
        check_counts(self, "rounds", "steps", "batch_size")
        check_names("--dtypes", self.dtypes, DTYPES)
        check_names("--torch-modes", self.torch_modes, TORCH_MODES)
        if not self.networks:
            raise ValueError("--networks must be one or more.")
        for name in self.networks:
            model_of(name)


class Side(NamedTuple):
    """A loop to be timed.

    Attributes:
      run: takes so many training steps, and returns when they are done.
      dtype: of its products.
    """

    run: Callable[[int], object]
    dtype: str


def model_of(name: str) -> Model:
    """The options of WRN-DEPTH-WIDEN.

    Raises:
      ValueError: the name is no such one.
    """
    match = re.fullmatch(r"WRN-(\d+)-(\d+)", name)
    if match is None:
        raise ValueError(f"--networks must be like WRN-16-4, got {name!r}.")
    try:
        return Model("wide_resnet", depth=int(match[1]), widen=int(match[2]))
    except InputError as error:
        raise ValueError(f"--networks {name}: {error}") from None


@cache
def why_no_torch(config: Config) -> str | None:
    """Why the sides in PyTorch are left out; None if they are not."""
    if not config.torch:
        return "not asked for"
    if importlib.util.find_spec("torchvision") is None:
        return "torch or torchvision is missing"
    from benchmarks import torch_loops

    kinds = {"cpu": "cpu", "gpu": "cuda"}
    theirs, ours = torch_loops.device().type, jax.default_backend()
    if theirs != kinds.get(ours):
        return f"it would run on {theirs}, JAX on {ours}"
    return None


def make_ours(
    model: Model, config: Config, dataset: Dataset
) -> dict[str, loops.OurLoop]:
    """Makes our loops for a network."""
    first, *others = config.dtypes
    kinds = [(first, config.steps)]
    if jax.default_backend() == "cpu" and config.steps > 1:
        kinds.append((first, 1))
    kinds += [(dtype, config.steps) for dtype in others]
    ours = {}
    for dtype, steps_per_call in kinds:
        experiment = Experiment(
            model=dataclasses.replace(model, dtype=dtype),
            batch_size=config.batch_size,
            steps_per_call=steps_per_call,
        )
        loop = loops.OurLoop(experiment, dataset)
        name = f"ours, {dtype}, {steps_per_call} a call"
        ours[name] = loop
        print(f"  {name}: compiled in {loop.compile_seconds:.1f} s", flush=True)
    return ours


def make_sides(
    ours: dict[str, loops.OurLoop], config: Config, dataset: Dataset
) -> dict[str, Side]:
    """Makes the sides for a network, and lets each take the steps of a round.

    One of the others that fails is left out, as the rest is worth having.
    """
    sides = {
        name: Side(loop.run, loop.spec.network.model.dtype)
        for name, loop in ours.items()
    }
    loop = list(ours.values())[-1]
    dtype = config.dtypes[0]
    model = dataclasses.replace(loop.spec.network.model, dtype=dtype)
    plain = loops.FlaxLoop(
        loop.spec.network._replace(model=model), dataset, config.batch_size
    )
    sides[f"plain flax, {dtype}"] = Side(plain.run, dtype)
    if why_no_torch(config) is None:
        sides |= make_torch_sides(loop, config, dataset)
    for name, side in list(sides.items()):
        try:
            side.run(config.steps)
        except Exception as error:
            if name in ours:
                raise
            del sides[name]
            print(f"  {name}: left out, as it failed: {error!r}", flush=True)
        else:
            print(f"  {name}: warm", flush=True)
    return sides


def make_torch_sides(
    loop: loops.OurLoop, config: Config, dataset: Dataset
) -> dict[str, Side]:
    """Makes the sides in PyTorch, with the weights of ours.

    Raises:
      RuntimeError: both networks do not give the same logits.
    """
    from benchmarks import torch_loops

    network, model = loop.network(), loop.spec.network.model
    make = partial(
        torch_loops.make_network,
        model.depth,
        model.widen,
        dataset.num_classes,
        to_torch(network),
    )
    images = dataset.train_inputs[:4].astype(np.float32) / 255
    ours = np.asarray(network(images, train=False))
    theirs = torch_loops.logits(make(), images)
    error = float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))
    print(f"  logits of torch differ from ours by {error:.1e} of the largest")
    if error > (1e-2 if model.dtype == "float32" else 0.1):  # TF32 is not that exact
        raise RuntimeError("the network in PyTorch differs from ours.")
    examples = dataset.train_inputs, dataset.train_targets, config.batch_size
    authors = torch_loops.AuthorsLoop(make(), *examples)
    sides = {"authors": Side(authors.run, "float32")}
    dtype = torch_loops.fast_dtype()
    for mode in config.torch_modes:
        tuned = torch_loops.TunedLoop(make(), *examples, mode=mode)
        name = f"tuned torch, {dtype}" + ("" if mode == "default" else f", {mode}")
        sides[name] = Side(tuned.run, dtype)
    return sides


def measure_rates(config: Config) -> dict[str, float]:
    """The machine's operations a second in matrix products, by dtype."""
    makers = [make_product]
    if why_no_torch(config) is None:
        from benchmarks import torch_loops

        makers.append(torch_loops.make_product)
    rates = {}
    for dtype in DTYPES:
        rate = max(matrix_rate(maker, dtype) for maker in makers)
        print(f"matrix products in {dtype}: {rate / 1e12:.3f} TFLOP/s", flush=True)
        rates[dtype] = rate
    return rates


def measure(
    name: str,
    config: Config,
    dataset: Dataset,
    rates: dict[str, float],
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Measures a network.

    Args:
      name: of the network.
      config: what to measure.
      dataset: what the sides train on.
      rates: of matrix products, operations a second by dtype.
      save: is given the result so far after each round.

    Returns:
      The result.
    """
    model = model_of(name)
    our_loops = make_ours(model, config, dataset)
    sides = make_sides(our_loops, config, dataset)
    calls = {side: partial(sides[side].run, config.steps) for side in sides}
    images = config.steps * config.batch_size
    spec = NetworkSpec(model, dataset.train_inputs.shape[1:], dataset.num_classes)
    flops = training_flops(spec)
    ours = next(iter(sides))

    def figures(side: str, times: dict[str, list[float]]) -> dict[str, Any]:
        seconds = float(np.median(times[side])) / images
        return {
            "images_per_second": 1 / seconds,
            "seconds_per_epoch": EPOCH * seconds,
            "mfu": flops / seconds / rates[sides[side].dtype],
            "ratio_to_ours": ratio(times[side], times[ours]),
        }

    test_seconds = median_of(our_loops[ours].test, repeats=3)

    def result(times: dict[str, list[float]]) -> dict[str, Any]:
        return {
            "flops_per_image": flops,
            "rounds": len(times[ours]),
            "sides": {side: figures(side, times) for side in sides},
            "evaluation_images_per_second": len(dataset.test_inputs) / test_seconds,
        }

    return result(alternate(calls, config.rounds, lambda times: save(result(times))))


def table(name: str, result: dict[str, Any]) -> str:
    """The results of a network as text."""
    rows = [["side", "images/s", f"s per {EPOCH:,}", "MFU", "time / ours (quartiles)"]]
    rows += [
        [
            side,
            f"{figures['images_per_second']:.0f}",
            f"{figures['seconds_per_epoch']:.2f}",
            f"{figures['mfu']:.1%}",
            shown(figures["ratio_to_ours"]),
        ]
        for side, figures in result["sides"].items()
    ]
    title = f"{name}: {result['flops_per_image'] / 1e9:.3f} GFLOP an image"
    rate = result["evaluation_images_per_second"]
    evaluation = f"evaluation of the first: {rate:.0f} images/s"
    return "\n".join(["", title, *aligned(rows), evaluation, ""])


def main() -> None:
    """Runs the benchmark."""
    config = tyro.cli(Config, prog="python -m benchmarks.throughput")
    report = Report(
        config.out,
        packages=["torch", "torchvision"],
        data=config.data or "made up",
        rounds=config.rounds,
        steps=config.steps,
        batch_size=config.batch_size,
    )
    dataset = (
        loops.made_up_images(EPOCH)
        if config.data is None
        else load_dataset(Data(config.data))
    )
    if dataset.kind != "images" or dataset.train_inputs.shape[-1] != 3:
        raise InputError(f"--data must be colour images; {config.data} is not.")
    if len(dataset.train_inputs) < config.steps * config.batch_size:
        raise InputError(
            f"--data must hold a round's {config.steps} times {config.batch_size} "
            f"images, has {len(dataset.train_inputs)}: take fewer --steps or a smaller "
            "--batch-size."
        )
    rates = measure_rates(config)
    report.note(matrix_flops_per_second=rates)
    if why := why_no_torch(config):
        print(f"without PyTorch: {why}", flush=True)
    for name in config.networks:
        print(name, flush=True)
        save = partial(report.add, name)
        print(table(name, measure(name, config, dataset, rates, save)), flush=True)


if __name__ == "__main__":
    run(main)

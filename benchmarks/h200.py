"""Compiles the programs for an H200, on a machine without a GPU, and reads the result.

    python -m benchmarks.h200 [--out FILE.json]

XLA can compile for a GPU that is absent. The text of the program says what would run:
kernels, the bytes they read and write, convolutions with their layouts and dtypes, and
memory. It does not say how long that takes. Kernels called small move less than a
kilobyte, and take as long as their launch. Compiled are

- the optimizer's step: SGD, LCAM, and LCAM as training has it, with weight decay and
  all coefficients traced. The floor is 20 bytes a parameter (read gradient, trace and
  parameter; write trace and parameter);
- the augmentation of a batch;
- the training step, alone and in a scan, where a step is the loop's body. Of N
  convolutions there must be N forward, N gradients of weights and N - 1 of inputs, of
  which cuDNN may run some as forward ones.

Needs the CUDA plugin of the installed JAX, gigabytes that nothing else here needs.
"""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import optax
import tyro

import lcam_optax
from benchmarks.command import run
from benchmarks.hlo import find_loop, none_lost, read_hlo, summarize
from benchmarks.optimizer_step import CASES
from benchmarks.timing import Report
from train.data import augmentation
from train.engine.device_data import DeviceData
from train.engine.networks import NetworkSpec, describe, make_network_init
from train.engine.optimizers import any_hyperparameters, make_optimizer, method_of
from train.engine.program import EpochPlan, Spec, make_state, train_steps
from train.errors import InputError
from train.settings.optimizer import Optimizer
from train.settings.options import Model

TARGET = Path(__file__).with_suffix(".txtpb")
PACKAGES = ("jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cudnn-cu13")
BATCH_SIZE = 128
NUM_IMAGES, SIZE, CHANNELS, PADDING = 50_000, 32, 3, 4  # CIFAR
METHOD = method_of(Optimizer("lcam"))
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": lambda *_: optax.sgd(0.1, momentum=0.9),
    "lcam": lambda *_: lcam_optax.lcam(0.1, 0.9, 0.95),
    "training's lcam": partial(make_optimizer, METHOD),
}
HEADING = (
    f"{'':34}{'kernels':>8}{'small':>6}{'MB':>10}{'B/param':>9}{'copies':>8}"
    f"{'transposes':>12}{'temp MB':>9}{'compile s':>11}"
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Compiles the programs for an H200 that is not there, and reads what would run."""

    #: Training steps in the scan, at least 2; CIFAR's epoch has 390.
    steps: int = 390
    #: File to write the results into as JSON, after each of them. None: only print.
    out: Path | None = None


def find_device() -> jax.Device:
    """The H200 that is not there.

    Raises:
      InputError: what compiles for it is missing.
    """
    try:
        from jax.experimental import topologies

        return topologies.get_topology_desc(
            "h200", "cuda", target_config=TARGET.read_text(), topology="1x1x1"
        ).devices[0]
    except (ImportError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"JAX cannot compile for an absent GPU here: {error}. It needs "
            "jax.experimental.topologies, and a CUDA plugin of the same version: "
            f'pip install "jax[cuda13]=={jax.__version__}"'
        ) from None


def compile_row(
    device: jax.Device, name: str, function: Callable, *args: Any, donate: Any = ()
) -> dict[str, Any]:
    """Compiles a function of such arrays; what runs once, or in each turn of a loop."""
    sharding = jax.sharding.SingleDeviceSharding(device)
    args = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), args
    )
    start = time.perf_counter()
    compiled = jax.jit(function, donate_argnums=donate).lower(*args).compile()
    seconds = time.perf_counter() - start
    program = read_hlo(compiled.as_text())
    computation, trips = find_loop(program) or ("ENTRY", 1)
    return (
        {"program": name, "trips": trips}
        | summarize(program, computation)
        | {
            "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
            "compile_seconds": round(seconds, 2),
        }
    )


def rows(device: jax.Device, steps: int) -> Iterator[dict[str, Any]]:
    """All results, each as soon as it is there."""
    yield from optimizer_rows(device)
    yield augmentation_row(device)
    for depth, widen in ((16, 4), (28, 10)):
        for dtype in ("float32", "bfloat16"):
            model = Model("wide_resnet", depth=depth, widen=widen, dtype=dtype)
            network = NetworkSpec(model, (SIZE, SIZE, CHANNELS), 10)
            yield training_row(device, network, 1)
            yield training_row(device, network, steps)


def optimizer_rows(device: jax.Device) -> Iterator[dict[str, Any]]:
    """The optimizer's step alone, its parameters and state given up."""

    def update(make, params, state, grads, loss, *numbers):
        optimizer = optax.with_extra_args_support(make(*numbers))
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    numbers = (any_hyperparameters(METHOD), _array(jnp.float32))
    for case in ("one array", "WRN-28-10"):
        params = [_array(jnp.float32, *shape) for shape in CASES[case]()]
        count = sum(math.prod(array.shape) for array in params)
        for name, make in OPTIMIZERS.items():
            state = jax.eval_shape(make(any_hyperparameters(METHOD), 0.1).init, params)
            args = (params, state, params, _array(jnp.float32), *numbers)
            row = compile_row(
                device, f"{name}, {case}", partial(update, make), *args, donate=(0, 1)
            )
            yield row | {"bytes_per_parameter": row["bytes"] / count}


def augmentation_row(device: jax.Device) -> dict[str, Any]:
    """Crops, flips and normalises a batch."""

    def augment(data, indices, key):
        batch = augmentation.crop_and_flip(
            data.train_inputs,
            indices,
            key,
            size=(SIZE, SIZE, CHANNELS),
            padding=PADDING,
            flip=True,
        )
        return augmentation.normalize(batch, data.mean, data.std)

    data, plan = _data_and_plan()
    indices = _array(jnp.int32, BATCH_SIZE)
    return compile_row(device, "augmentation", augment, data, indices, plan.key)


def training_row(
    device: jax.Device, network: NetworkSpec, num_steps: int
) -> dict[str, Any]:
    """One training program."""
    spec = Spec(
        network=network,
        method=METHOD,
        train_size=NUM_IMAGES,
        test_size=NUM_IMAGES,
        batch_size=BATCH_SIZE,
        eval_batch_size=BATCH_SIZE,
        crop_padding=PADDING,
        flip=True,
    )
    data, plan = _data_and_plan()
    params, stats = jax.eval_shape(make_network_init(network), plan.key)
    state = jax.eval_shape(partial(make_state, spec), params, stats)
    name = f"{describe(network)}, {num_steps} step{'s' * (num_steps > 1)}"
    args = (state, data, plan, any_hyperparameters(METHOD), _array(jnp.int32))
    train = partial(train_steps, spec, count=num_steps, batch_size=spec.batch_size)
    # A CPU's networks have a convolution that only a CPU needs: models.wide_resnet.
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        row = compile_row(device, name, train, *args, donate=0)
    count = sum(x.ndim == 4 for x in jax.tree.leaves(params))
    return row | {
        "network_convolutions": count,
        "no_convolution_lost": none_lost(row["convolutions"], count),
    }


def _array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _data_and_plan() -> tuple[DeviceData, EpochPlan]:
    padded = SIZE + 2 * PADDING
    images = _array(jnp.uint8, NUM_IMAGES, padded, padded, CHANNELS)
    integers, numbers = _array(jnp.int32, NUM_IMAGES), _array(jnp.float32, CHANNELS)
    steps = _array(jnp.float32, NUM_IMAGES // BATCH_SIZE)
    key = jax.eval_shape(jax.random.key, 0)
    data = DeviceData(
        train_inputs=images,
        train_targets=integers,
        test_inputs=images,  # a step that trains does not look at them
        test_targets=integers,
        mean=numbers,
        std=numbers,
    )
    return data, EpochPlan(
        order=integers,
        learning_rates=steps,
        noise=steps,
        key=key,
    )


def table_line(row: dict[str, Any]) -> str:
    """A result as text, in the columns of `HEADING`."""
    per_parameter = row.get("bytes_per_parameter")
    line = (
        f"{row['program']:34}{row['kernels']:8}{row['small_kernels']:6}"
        f"{row['bytes'] / 1e6:10.2f}"
        f"{f'{per_parameter:.3f}' if per_parameter else '-':>9}"
        f"{row['copies']:8}{row['transposes']:12}"
        f"{row['temporary_bytes'] / 1e6:9.1f}{row['compile_seconds']:11.1f}"
    )
    if "network_convolutions" in row:
        lost = "none" if row["no_convolution_lost"] else "SOME"
        line += f"\n    {row['network_convolutions']} convolutions, {lost} lost: "
        line += ", ".join(f"{n} {kind}" for kind, n in row["convolutions"].items())
        line += f"; the loop turns {row['trips']} times" if row["trips"] != 1 else ""
    return line


def main() -> None:
    """Compiles the programs."""
    config = tyro.cli(Config, prog="python -m benchmarks.h200")
    # JAX reads these with its first array. Without a GPU no kernels can be tried out.
    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_autotune_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_autotune_level=0"
    if config.steps < 2:
        raise InputError(f"--steps must be at least 2, got {config.steps}.")
    report = Report(config.out, packages=PACKAGES, target=TARGET.name)
    device = find_device()
    print(HEADING)
    for row in rows(device, config.steps):
        print(table_line(row), flush=True)
        report.add(row["program"], row)


if __name__ == "__main__":
    run(main)

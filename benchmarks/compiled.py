"""Compiles the programs for a TPU or an H200 that is not here, and reads the result.

    python -m benchmarks.compiled --target tpu-v5e|tpu-v6e|h200 [--chips 4]
      [--out FILE.json]

XLA can compile for a device that is absent, and the text says what would run: kernels,
the bytes they read and write, collectives, memory. Nothing runs, so **times are
estimates**. For a TPU they are the cycles that its compiler expects, at the chip's
clock, without copies in the background and collectives. For an H200 they are the least
that the memory's bandwidth allows, without products and the start of each kernel. What
is in a loop counts as often as the loop turns. Compiled are

- for a TPU the product of two large matrices: what share of its peak can be reached;
- the optimizer's step: SGD, LCAM, and LCAM as training has it, with weight decay and
  all coefficients traced. The floor is 20 bytes a parameter (read gradient, trace and
  parameter; write trace and parameter);
- the augmentation of a batch;
- many training steps in one call. A network of N convolutions takes N forward, N
  gradients of kernels, and N - 1 of inputs.

Needs a package that nothing else here needs: `pip install --group tpu` (0.7 GB), or for
an H200 the CUDA plugin of the installed JAX (gigabytes). A Wide ResNet takes minutes.
"""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import lcam_optax
from benchmarks import hlo
from benchmarks.command import check_counts, check_names, run
from benchmarks.flops import training_flops
from benchmarks.optimizer_step import CASES
from benchmarks.timing import Report
from train.data import augmentation
from train.engine import devices
from train.engine.device_data import DeviceData
from train.engine.networks import NetworkSpec, describe, make_network_init
from train.engine.optimizers import any_hyperparameters, make_optimizer, method_of
from train.engine.program import EpochPlan, Spec, make_state, train_steps
from train.errors import InputError
from train.settings.optimizer import Optimizer
from train.settings.options import Model


class Target(NamedTuple):
    """A chip: what its data sheet says, and how JAX names it."""

    backend: str  # as `jax.default_backend` calls it
    flops: float  # peak of bfloat16 products a second
    clock: float = 0  # hertz, of the compiler's cycles
    bandwidth: float = 0  # bytes a second
    package: str = "jax[tpu]"


# Peaks: cloud.google.com/tpu/docs/v5e and /v6e, NVIDIA's data sheet of the H200 SXM.
# A TPU's clock is its peak over the operations of a cycle: an estimate of 9,557,312
# cycles for the product of 8192x8192 on a v5e is 115,047 a cycle. The next number that
# four arrays of multipliers give is 4 x 128 x 128 x 2 = 131,072: 1.503 GHz. A v6e's
# arrays are of 256 x 256: 1.751 GHz.
TARGETS = {
    "tpu-v5e": Target("tpu", 197e12, clock=197e12 / 2**17),
    "tpu-v6e": Target("tpu", 918e12, clock=918e12 / 2**19),
    "h200": Target("gpu", 989e12, bandwidth=4.8e12, package="jax[cuda13]"),
}
# Several processes may load libtpu: none of them has a TPU. It looks for none either.
LIBTPU = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
H200 = Path(__file__).with_name("h200.txtpb")
BATCH_SIZE = 128
NUM_IMAGES, SIZE, CHANNELS, PADDING = 50_000, 32, 3, 4  # CIFAR
METHOD = method_of(Optimizer("lcam"))
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": lambda *_: optax.sgd(0.1, momentum=0.9),
    "lcam": lambda *_: lcam_optax.lcam(0.1, 0.9, 0.95),
    "training's lcam": partial(make_optimizer, METHOD),
}
NETWORKS = {
    f"WRN-{depth}-{widen}-{dtype}": Model(
        "wide_resnet", depth=depth, widen=widen, dtype=dtype
    )
    for depth, widen in ((10, 1), (16, 4), (28, 10))
    for dtype in ("float32", "bfloat16")
}
PROGRAMS = ("product", "optimizer", "augmentation", *NETWORKS)


@dataclasses.dataclass(frozen=True)
class Config:
    """Compiles the programs for a chip that is not there, and reads what would run."""

    #: The chip.
    target: Literal["tpu-v5e", "tpu-v6e", "h200"]
    #: Chips that share each batch; with several only training is compiled.
    chips: Literal[1, 4, 8] = 1
    #: What to compile. None: all, but with several chips only training.
    programs: tuple[str, ...] | None = None
    #: Training steps in a call, at least 2; CIFAR's epoch has 390.
    steps: int = 390
    #: Runs that are trained at once, as one batch of runs (`jax.vmap`).
    seeds: int = 1
    #: File to write the results into as JSON, after each of them. None: only print.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check_counts(self, "seeds")
        if self.programs is not None:
            check_names("--programs", self.programs, PROGRAMS)
        if self.steps < 2:
            raise ValueError(f"--steps must be at least 2, got {self.steps}.")


class Chips(NamedTuple):
    """What is compiled for."""

    target: Target
    devices: list[jax.Device]


def find_chips(name: str, count: int) -> Chips:
    """The chips that are not there.

    Raises:
      InputError: what compiles for them is missing.
    """
    target = TARGETS[name]
    names, options = (f"{name[4:]}:2x{max(2, count // 2)}", "tpu"), {}
    if target.backend == "gpu":
        options = {"target_config": H200.read_text(), "topology": f"1x1x{count}"}
        names = (name, "cuda")
    try:
        from jax.experimental import topologies

        found = topologies.get_topology_desc(*names, **options)
        return Chips(target, found.devices[:count])
    except (ImportError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"JAX cannot compile for an absent {name} here: {reason}. It needs "
            "jax.experimental.topologies, and a plugin of the same version: "
            f'pip install "{target.package}=={jax.__version__}"'
        ) from None


@contextlib.contextmanager
def pretending(chips: Chips) -> Iterator[None]:
    """Lets the program see these chips as those it runs on."""
    devices.everywhere.cache_clear()
    with (
        mock.patch.object(jax, "default_backend", return_value=chips.target.backend),
        mock.patch.object(jax, "devices", return_value=chips.devices),
    ):
        yield
    devices.everywhere.cache_clear()


def compile_row(
    chips: Chips,
    name: str,
    function: Callable,
    *args: Any,
    steps: int = 1,
    donate: Any = (),
) -> dict[str, Any]:
    """Compiles a function of such arrays; a loop of `steps` is told from the rest."""
    with pretending(chips):
        sharding = devices.everywhere(len(chips.devices))
        args = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), args
        )
        jitted = jax.jit(function, donate_argnums=donate, out_shardings=sharding)
        lowered = jitted.lower(*args)
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    program = hlo.read_hlo(compiled.as_text())
    memory = compiled.memory_analysis()
    row: dict[str, Any] = {"program": name, "chips": len(chips.devices), "trips": 1}
    if loop := hlo.find_loop(program, steps):
        row["trips"] = hlo.turns(program, loop)
        rest = hlo.summarize(program, hlo.runs(program, "ENTRY", but=loop))
        kept = {name: rest[name] for name in ("kernels", "copies", "bytes", "cycles")}
        row["once_a_call"] = kept | _time(chips.target, rest)
    work = hlo.runs(program, hlo.body_of(loop) if loop else "ENTRY")
    summary = hlo.summarize(program, work)
    for kind in summary["kinds"].values():
        kind |= _time(chips.target, kind)
    row |= summary | _time(chips.target, summary)
    return row | {
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "compile_seconds": round(seconds, 2),
    }


def _time(target: Target, row: dict[str, Any]) -> dict[str, float]:
    """Estimated microseconds."""
    cycles, size = row["cycles"], row["bytes"]
    seconds = cycles / target.clock if target.clock else size / target.bandwidth
    return {"microseconds": round(seconds * 1e6, 3)}


def rows(chips: Chips, config: Config) -> Iterator[dict[str, Any]]:
    """All results, each as soon as it is there."""
    alone = config.chips == config.seeds == 1
    chosen = config.programs or (PROGRAMS if alone else tuple(NETWORKS))
    if "product" in chosen and chips.target.clock:
        matrix = _array(jnp.bfloat16, 8192, 8192)
        row = compile_row(chips, "product of matrices", jnp.matmul, matrix, matrix)
        yield row | _at_peak(chips, row, 2 * 8192**3)
    if "optimizer" in chosen:
        yield from optimizer_rows(chips)
    if "augmentation" in chosen:
        yield augmentation_row(chips)
    for name in NETWORKS:
        if name in chosen:
            network = NetworkSpec(NETWORKS[name], (SIZE, SIZE, CHANNELS), 10)
            yield training_row(chips, network, config.steps, config.seeds)


def _at_peak(chips: Chips, row: dict[str, Any], flops: int) -> dict[str, float]:
    """The time of so many operations at the peak; a TPU's share of it."""
    least = round(flops / chips.target.flops / len(chips.devices) * 1e6, 3)
    found = {"flops": flops, "microseconds_at_peak": least}
    if chips.target.clock:
        found["share_of_peak"] = round(least / row["microseconds"], 4)
    return found


def optimizer_rows(chips: Chips) -> Iterator[dict[str, Any]]:
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
                chips, f"{name}, {case}", partial(update, make), *args, donate=(0, 1)
            )
            yield row | {"bytes_per_parameter": row["bytes"] / count}


def augmentation_row(chips: Chips) -> dict[str, Any]:
    """Crops, flips and normalises a batch."""

    def augment(data, indices, key):
        options = {"size": (SIZE, SIZE, CHANNELS), "padding": PADDING, "flip": True}
        batch = augmentation.crop_and_flip(data.train_inputs, indices, key, **options)
        return augmentation.normalize(batch, data.mean, data.std)

    data, plan = _data_and_plan(chips)
    indices = _array(jnp.int32, BATCH_SIZE)
    return compile_row(chips, "augmentation", augment, data, indices, plan.key)


def training_row(
    chips: Chips, network: NetworkSpec, num_steps: int, num_seeds: int = 1
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
        num_devices=len(chips.devices),
    )
    data, plan = _data_and_plan(chips)
    params, stats = jax.eval_shape(make_network_init(network), plan.key)
    state = jax.eval_shape(partial(make_state, spec), params, stats)
    train = partial(train_steps, spec, count=num_steps, batch_size=spec.batch_size)
    name = f"{describe(network)}, one of {num_steps} steps"
    name += f", {spec.num_devices} chips" * (spec.num_devices > 1)
    if num_seeds > 1:
        name += f", {num_seeds} seeds"
        state, plan = jax.tree.map(
            lambda x: _array(x.dtype, num_seeds, *x.shape), (state, plan)
        )
        train = jax.vmap(train, in_axes=(0, None, 0, None, None))
    args = (state, data, plan, any_hyperparameters(METHOD), _array(jnp.int32))
    row = compile_row(chips, name, train, *args, steps=num_steps, donate=0)
    row |= _at_peak(chips, row, training_flops(network) * BATCH_SIZE * num_seeds)
    count = sum(x.ndim == 4 for x in jax.tree.leaves(params))
    return row | {"network_convolutions": count}


def _array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _data_and_plan(chips: Chips) -> tuple[DeviceData, EpochPlan]:
    padded = np.zeros((1, *[SIZE + 2 * PADDING] * 2, CHANNELS), np.uint8)
    if chips.target.backend == "tpu":
        padded = augmentation.flatten(padded)
    images = _array(jnp.uint8, NUM_IMAGES, *padded.shape[1:])
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
    return data, EpochPlan(order=integers, learning_rates=steps, noise=steps, key=key)


def table(row: dict[str, Any]) -> str:
    """A result as text."""
    heading = f"{'kernels':>40}{'MB':>10}{'us':>11}{'share':>8}"
    lines = ["", f"{row['program']}:", heading]
    total = row["microseconds"]
    for name, kind in row["kinds"].items():
        share = kind["microseconds"] / total if total else 0
        lines.append(_line(name, kind) + f"{share:8.1%}")
    lines.append(_line("all", row))
    if "once_a_call" in row:
        lines.append(_line("besides, once a call", row["once_a_call"]))
    memory = [row[f"{name}_bytes"] / 1e6 for name in ("argument", "temporary")]
    notes = ["memory: arguments {:.0f} MB, temporary {:.0f} MB".format(*memory)]
    if "flops" in row:
        notes.append(
            f"products alone, at the peak: {row['microseconds_at_peak']:.1f} us"
        )
    if "share_of_peak" in row:
        notes[-1] += f", {row['share_of_peak']:.1%}"
    if "bytes_per_parameter" in row:
        notes.append(f"{row['bytes_per_parameter']:.3f} bytes a parameter")
    if "loops_without_turns" in row:
        notes.append(f"{row['loops_without_turns']} loops of unknown turns count once")
    notes += [f"{count} {name}" for name, count in row["collectives"].items()]
    return "\n".join(lines + [f"  {note}" for note in notes])


def _line(name: str, row: dict[str, Any]) -> str:
    kernels, megabytes, time = row["kernels"], row["bytes"] / 1e6, row["microseconds"]
    return f"  {name:30}{kernels:8}{megabytes:10.2f}{time:11.1f}"


def main() -> None:
    """Compiles the programs."""
    config = tyro.cli(Config, prog="python -m benchmarks.compiled")
    # JAX reads these with its first array. Without a GPU no kernels can be tried out.
    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")
    flags = os.environ.get("XLA_FLAGS", "")
    if config.target == "h200" and "xla_gpu_autotune_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_autotune_level=0"
    for name, value in LIBTPU.items():
        os.environ.setdefault(name, value)
    # What was compiled for an absent device can't be read back.
    jax.config.update("jax_enable_compilation_cache", False)
    report = Report(config.out, target=config.target)
    chips = find_chips(config.target, config.chips)
    print(
        f"What {config.target} would run, by its compiler: nothing runs, and times are "
        "estimates. docs/speed.md explains them. A minute or more for each program."
    )
    for row in rows(chips, config):
        print(table(row), flush=True)
        report.add(row["program"], row)


if __name__ == "__main__":
    run(main)

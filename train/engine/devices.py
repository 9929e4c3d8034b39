"""The devices: JAX is started on them, and they share each batch.

JAX does the work: a mesh of one axis, weights on every device, examples split among
them. XLA turns means over the batch into means over all devices, so loss, phase and
batch statistics are those of the whole batch.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from train import notes
from train.engine import reasons
from train.errors import InputError
from train.paths import cache_folder

AXIS = "data"
# XLA takes no sums in the order in which a GPU's threads happen to come, and no kernels
# by how long each took.
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"

# Words of JAX's, cuDNN's and cuBLAS's where a device's memory is full.
FULL = ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "ALLOC_FAILED", "DNN library init")
SMALLER = (
    "Take a smaller network, --batch-size or --eval-batch-size, or fewer examples "
    "(--every 2). Name a new --out."
)

# What an accelerator should have of a step: its inputs, in numbers (pixels, cells of a
# table, tokens), times the parameters. With 16 images of CIFAR WRN-16-4 has more, and
# is 4 times as fast on eight v5e. With 32 WRN-10-1 has less, and gains nothing on four
# (docs/scale.md).
ENOUGH = 1e11

_waiter = ThreadPoolExecutor(1, "waiter")


def start_jax(config: Any) -> None:
    """Starts JAX before anything is compiled; refuses an environment that cannot be.

    Without `threads` a CPU has one for each core that this process may use.
    """
    keep_compiled(getattr(config, "compile_cache", True))
    # XLA takes the first that is there.
    threads = getattr(config, "threads", None) or cores()
    os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(threads)
    flags = os.environ.get("XLA_FLAGS", "")
    if getattr(config, "deterministic", False) and DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}"
    if jax.config.jax_enable_x64:
        raise InputError(
            "JAX_ENABLE_X64 makes JAX compute in float64, and this program computes in "
            "float32: unset JAX_ENABLE_X64."
        )
    _start(getattr(config, "device", "cpu"))  # export leaves a GPU to others


def _start(asked: str | None) -> None:
    """Starts the devices that are asked for; says if the CPU stands in for others."""
    if asked is not None:
        jax.config.update("jax_platforms", "cpu" if asked == "cpu" else None)
    wanted, found = asked or jax.config.jax_platforms, None
    with reasons.listening() as told:
        try:
            found = jax.default_backend()
        except (RuntimeError, AssertionError) as error:  # no GPU: it has no words
            told.append(str(error))
    told = reasons.of(told, asked, wanted)
    why = reasons.why(told or [reasons.NO_GPU])
    if found is None or asked not in (None, found):
        on = f" on {wanted}" if wanted else ""
        raise InputError(f"JAX cannot start{on}: {why}")
    is_missed = told or wanted or importlib.util.find_spec("jax_plugins") is not None
    if found == "cpu" != wanted and is_missed:
        notes.say(f"note: this runs on the CPU: {why} --device cpu hides this note.")


def threads() -> int | None:
    """Threads that compute on a CPU; None on an accelerator, which does the sums."""
    if jax.default_backend() != "cpu":
        return None
    return int(os.environ.get("NPROC", cores()))


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_compiled(wanted: bool) -> None:
    """Lets JAX keep what it compiles: in the folder that the user gave it, or in ours.

    A folder that cannot be read or written costs time, and is told.
    """
    if not wanted:
        jax.config.update("jax_enable_compilation_cache", False)
    elif jax.config.jax_compilation_cache_dir is None:
        folder = cache_folder("jax") / _processor()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            notes.say(
                f"note: compiled programs cannot be kept in {folder} "
                f"({error.strerror}): every start compiles anew. --no-compile-cache "
                "hides this note."
            )
            return keep_compiled(False)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", 2**30)  # bytes
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _processor() -> str:
    """Names the CPU's abilities: a program for another CPU's could crash."""
    abilities = ""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:  # Linux has it
        abilities = next((x for x in file if x.startswith(("flags", "Features"))), "")
    return hashlib.sha256(abilities.encode()).hexdigest()[:16]


def count(asked: int | None) -> int:
    """The number of devices to use, those of all processes; all if none is asked."""
    available = jax.device_count()
    if asked is None:
        return available
    if asked > available:
        raise InputError(
            f"--devices must be at most {available}, the number of devices that JAX "
            f"finds, got {asked}."
        )
    if jax.process_count() > 1 and asked != available:
        raise InputError(
            f"with several processes --devices must be {available}, all of their "
            f"devices, got {asked}: leave the option out."
        )
    return asked


@functools.cache  # the first of several runs says it
def remark_share(batch_size: int, work: int, num_devices: int) -> None:
    """Says where a step, of so much work an example, hardly suffices for them all."""
    each = batch_size / num_devices
    can_choose = num_devices > 1 == jax.process_count()
    is_virtual = jax.default_backend() == "cpu"
    if can_choose and each * work <= ENOUGH and not is_virtual:
        notes.say(
            f"note: each of {num_devices} devices has {each:g} of a step's {batch_size}"
            " examples. Sums over the devices may take much of so short a step: "
            "--devices 1 may be as fast, and leaves the others to other runs."
        )


@contextlib.contextmanager
def enough_memory(advice: str = SMALLER) -> Iterator[None]:
    """Says what to do where a device's memory does not hold what is asked of it."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if not any(words in str(error) for words in FULL):
            raise
        reason = str(error).partition("\n")[0][:200].rstrip(". ")
        advice += f" {reasons.SHARED}" * (jax.default_backend() == "gpu")
        raise InputError(
            f"a device's memory is too small: {reason}. {advice}"
        ) from None


@functools.cache
def everywhere(num_devices: int, *axes: str) -> NamedSharding:
    """The whole array on every device, but for the axes that are split among them."""
    # `jax.make_mesh` refuses three of four chips of a TPU. Only sums cross devices, so
    # that their order does not matter.
    devices = np.asarray(jax.devices()[:num_devices])
    mesh = Mesh(devices, (AXIS,), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec(*axes))


def share(batch: jax.Array, num_devices: int) -> jax.Array:
    """Splits the first axis among devices, inside a compiled function.

    A batch that does not divide is padded by XLA, which leaves the padding out.
    """
    if num_devices == 1:
        return batch
    return jax.lax.with_sharding_constraint(batch, everywhere(num_devices, AXIS))


def put(tree: Any, num_devices: int) -> Any:
    """Puts arrays, which every process has, on every device."""
    if jax.process_count() > 1:  # where JAX puts no array by hand
        return jax.jit(lambda tree: tree, out_shardings=everywhere(num_devices))(tree)
    return jax.device_put(tree, everywhere(num_devices))


def wait(tree: Any) -> None:
    """Waits for arrays. Handlers of signals run meanwhile: JAX's own wait is in C++."""
    _waiter.submit(jax.block_until_ready, tree).result()

"""The devices: JAX is started on them, and they share each batch.

JAX does the work: a mesh of one axis, weights on every device, examples split among
them. XLA turns means over the batch into means over all devices, so loss, phase and
batch statistics are those of the whole batch.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from train.errors import InputError
from train.paths import cache_folder

AXIS = "data"

_waiter = ThreadPoolExecutor(1, "waiter")


def start_jax(compile_cache: bool, threads: int | None = None) -> None:
    """Starts JAX before anything is compiled; refuses an environment that cannot be.

    Without `threads` a CPU has one for each core that this process may use.
    """
    keep_compiled(compile_cache)
    # XLA takes the first that is there.
    os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(threads or cores())
    if jax.config.jax_enable_x64:
        raise InputError(
            "JAX_ENABLE_X64 makes JAX compute in float64, and this program computes in "
            "float32: unset JAX_ENABLE_X64."
        )
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX's, or of its plugin's absence
        platforms = jax.config.jax_platforms
        told = f" on JAX_PLATFORMS={platforms}" if platforms else ""
        reason = f": {error}" if str(error) else ""
        raise InputError(
            f"JAX cannot start{told}{reason}. Install JAX for the device, or set "
            "JAX_PLATFORMS to one that is here, such as cpu."
        ) from None


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

    A folder that cannot be read or written costs time, and a warning of JAX's.
    """
    if not wanted:
        jax.config.update("jax_enable_compilation_cache", False)
    elif jax.config.jax_compilation_cache_dir is None:
        folder = cache_folder("jax") / _processor()
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


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Says what to do where a device's memory does not hold what is asked of it."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        if "RESOURCE_EXHAUSTED" not in reason:
            raise
        raise InputError(
            f"the device's memory is too small: {reason[:200].rstrip('. ')}. Take a "
            "smaller network, --batch-size or --eval-batch-size, or fewer examples "
            "(--every 2). Name a new --out."
        ) from None


@functools.cache
def everywhere(num_devices: int, *axes: str) -> NamedSharding:
    """The whole array on every device, but for the axes that are split among them."""
    devices = jax.devices()[:num_devices]
    mesh = jax.make_mesh((num_devices,), (AXIS,), (AxisType.Auto,), devices=devices)
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

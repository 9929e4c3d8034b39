"""The devices that share each batch.

JAX does the work: a mesh of one axis, weights on every device, examples split among
them. XLA turns means over the batch into means over all devices, so loss, phase and
batch statistics are those of the whole batch.
"""

import contextlib
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from train.errors import InputError

AXIS = "data"

_waiter = ThreadPoolExecutor(1, "waiter")


def count(asked: int | None) -> int:
    """The number of devices to use, those of all processes.

    Args:
      asked: by the user; None for all.

    Raises:
      InputError: there are not so many, or they are not all of several processes'.
    """
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
    """Says what to do where a device's memory does not hold what is asked of it.

    Raises:
      InputError: it does not.
    """
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
def _mesh(num_devices: int) -> jax.sharding.Mesh:
    """The first devices, in a row."""
    devices = jax.devices()[:num_devices]
    return jax.make_mesh((num_devices,), (AXIS,), (AxisType.Auto,), devices=devices)


def everywhere(num_devices: int) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(_mesh(num_devices), PartitionSpec())


def share(batch: jax.Array, num_devices: int) -> jax.Array:
    """Splits the first axis among devices, inside a compiled function.

    A batch that does not divide is padded by XLA, which leaves the padding out.
    """
    if num_devices == 1:
        return batch
    sharding = NamedSharding(_mesh(num_devices), PartitionSpec(AXIS))
    return jax.lax.with_sharding_constraint(batch, sharding)


def put(tree: Any, num_devices: int) -> Any:
    """Puts arrays, which every process has, on every device."""
    sharding = everywhere(num_devices)
    if jax.process_count() > 1:  # where JAX puts no array by hand
        return jax.jit(lambda tree: tree, out_shardings=sharding)(tree)
    return jax.device_put(tree, sharding)


def wait(tree: Any) -> None:
    """Waits for arrays. Handlers of signals run meanwhile: JAX's own wait is in C++."""
    _waiter.submit(jax.block_until_ready, tree).result()

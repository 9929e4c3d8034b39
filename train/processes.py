"""Processes that train one network together, each with devices of its own.

JAX connects them and ends the others when one dies. Here is what they agree upon before
they train, and how one leaves.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.errors import InputError, PeerError
from train.options import Cluster

# Seconds that a process waits for the others at the start.
JOINING = 300

# Seconds that a process which fails waits for the others, which may fail too.
GOODBYE = 5

T = TypeVar("T")


def connect(cluster: Cluster) -> None:
    """Joins the processes that train together. Before anything else is asked of JAX.

    Raises:
      InputError: they do not find each other.
    """
    if cluster.coordinator is None:
        return
    options = {}
    if cluster.coordinator != "auto":
        options = {
            "coordinator_address": cluster.coordinator,
            "num_processes": cluster.num_processes,
            "process_id": cluster.process_id,
        }
    print(
        f"waits for the other processes, at most {JOINING // 60} minutes; whoever has "
        "waited in vain is then ended by JAX",
        file=sys.stderr,
    )
    try:
        jax.distributed.initialize(**options, initialization_timeout=JOINING)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--coordinator {cluster.coordinator}: cannot join the other processes: "
            f"{reason:.200} Start every process with the address of the first, "
            "--num-processes, and a --process-id of its own from 0."
        ) from None


def from_first_process(tree: Any) -> Any:
    """Gives every process the NumPy arrays of the first, bit for bit.

    The shapes and dtypes are the same in all.
    """
    if jax.process_count() == 1:
        return tree
    arrays, structure = jax.tree.flatten(tree)
    # As bytes: what JAX adds up to spread them, zeros and the first process's, would
    # make a zero of a negative zero.
    flat = np.frombuffer(b"".join(x.tobytes() for x in arrays), np.uint8)
    flat = np.asarray(multihost_utils.broadcast_one_to_all(flat))
    parts = np.split(flat, np.cumsum([x.nbytes for x in arrays])[:-1])
    return structure.unflatten(
        part.view(x.dtype).reshape(x.shape)
        for part, x in zip(parts, arrays, strict=True)
    )


def by_first_process(action: Callable[[], T]) -> T | None:
    """Lets the first process do what is done once; the others wait, and get None.

    Raises:
      InputError: it could not be done, in every process.
    """
    result, failure = None, None
    if jax.process_index() == 0:
        try:
            result = action()
        except InputError as error:
            failure = error
    has_failed = from_first_process(np.array([failure is not None]))
    if failure is not None:
        raise failure
    if has_failed[0]:
        raise InputError("the first process could not begin; its message says why.")
    return result


def check_same(digest: str) -> None:
    """Makes sure that all processes are about to train the same.

    Args:
      digest: hexadecimal, the same for equal options and data.

    Raises:
      InputError: they are not, in every process.
    """
    ours = np.frombuffer(bytes.fromhex(digest), np.uint8)
    first = from_first_process(ours)
    differs = np.array([not np.array_equal(ours, first)])
    if np.any(multihost_utils.process_allgather(differs)):
        raise InputError(
            "the processes have other options or data: give all the same, but for "
            "--process-id."
        )


@contextlib.contextmanager
def among_peers() -> Iterator[None]:
    """Tells what has happened if another process is gone.

    Raises:
      PeerError: it is.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if jax.process_count() == 1:
            raise
        reason = str(error).splitlines()[0]
        raise PeerError(
            f"another process of this run is gone ({reason:.120}). Checkpoints are "
            "whole: start all processes again, with --out and --resume."
        ) from None


def leave(code: int) -> None:
    """Ends this process if it is one of several, maybe the only one that ends.

    Python's own end would wait for the others for minutes, and then abort.
    """
    if not jax.distributed.is_initialized():
        return
    goodbye = threading.Thread(target=jax.distributed.shutdown, daemon=True)
    goodbye.start()
    goodbye.join(GOODBYE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

"""Processes that train one network together, each with devices of its own.

JAX connects them and ends the others when one dies. This module makes them agree before
they train, and lets one leave.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.errors import InputError, PeerError
from train.settings.options import Cluster

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
        if cluster.process_id == 0:
            _check_port(int(cluster.coordinator.rpartition(":")[2]))
    print(
        f"waiting for the other processes, for at most {JOINING // 60} minutes; then "
        "JAX ends this one",
        file=sys.stderr,
    )
    # JAX waits in C++, where handlers in Python would not run: signals end it.
    handlers = {
        number: signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        jax.distributed.initialize(**options, initialization_timeout=JOINING)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        if not options:
            reason = "no SLURM, Open MPI, Kubernetes or Cloud TPU is found"
        raise InputError(
            f"--coordinator {cluster.coordinator}: cannot join the other processes: "
            f"{reason[:200].rstrip('. ')}. Start every process with the address of the "
            "first, --num-processes, and a --process-id of its own from 0."
        ) from None
    finally:
        signal.signal(signal.SIGINT, handlers[signal.SIGINT])
        if not jax.distributed.is_initialized():  # else JAX has one for SIGTERM
            signal.signal(signal.SIGTERM, handlers[signal.SIGTERM])


def _check_port(port: int) -> None:
    """Makes sure that the first process can listen: JAX would crash.

    Raises:
      InputError: something else listens.
    """
    with socket.socket() as listener:
        # A connection that has just ended is no hindrance.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise InputError(
                f"--coordinator: cannot listen on port {port}: {error.strerror}. Name "
                "another port, the same in all processes."
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


def by_each_process(action: Callable[[], T]) -> T:
    """Lets every process do something, and ends all if one can't.

    Raises:
      InputError: it could not be done here, or in another process.
    """
    result, failure = None, None
    try:
        result = action()
    except InputError as error:
        failure = error
    if jax.process_count() > 1:
        fails = multihost_utils.process_allgather(np.array(failure is not None))
        if failure is None and np.any(fails):
            number = np.flatnonzero(fails)[0]
            raise InputError(f"process {number} cannot start; its message says why.")
    if failure is not None:
        raise failure
    return result


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
        raise InputError("the first process cannot start; its message says why.")
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
            "the processes have different options or data: give all of them the same, "
            "except for --process-id."
        )


@contextlib.contextmanager
def among_peers() -> Iterator[None]:
    """Explains a failed step: most likely another process has ended.

    Raises:
      PeerError: it did.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if jax.process_count() == 1:
            raise
        reason = str(error).splitlines()[0]
        raise PeerError(
            f"a step of several processes failed: {reason[:200].rstrip('. ')}. Most "
            "likely another process is gone, and its own message says why. Checkpoints "
            "are whole: start all processes again, with --out and --resume."
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

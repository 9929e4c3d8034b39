"""Processes that train one network together, each with devices of its own.

JAX connects them, and ends those that are left when one is lost. The first one writes,
so that the next start goes on from its last checkpoint.
"""

import os
import signal
import sys
import threading
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from train import notes
from train.errors import InputError
from train.settings.options import Cluster

# Seconds that a process waits for the others, at the start and at its end.
JOINING, GOODBYE = 300, 5


def connect(cluster: Cluster) -> None:
    """Joins the processes that train together. Before anything else is asked of JAX."""
    options = {}
    if cluster.coordinator != "auto":
        options["coordinator_address"] = cluster.coordinator
        options["num_processes"] = cluster.num_processes
        options["process_id"] = cluster.process_id
    notes.say(
        f"waiting for the other processes, for at most {JOINING // 60} minutes; then "
        "JAX ends this one"
    )
    # JAX waits in C++, where a handler in Python would not run: a signal ends it.
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        jax.distributed.initialize(**options, initialization_timeout=JOINING)
    except (ValueError, RuntimeError, OSError) as error:  # a Cloud TPU: asked by HTTP
        reason = str(error).partition("\n")[0][:200].rstrip(". ")
        if not options and "coordinator_address should be defined" in reason:
            reason = "no SLURM, Open MPI, Kubernetes or Cloud TPU is found"
        raise InputError(
            f"--coordinator {cluster.coordinator}: cannot join the other processes: "
            f"{reason}. Start every process with the address of the first, on a free "
            "port, --num-processes, and a --process-id of its own from 0."
        ) from None
    finally:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        if not jax.distributed.is_initialized():  # else JAX has one for SIGTERM
            signal.signal(signal.SIGTERM, before[signal.SIGTERM])


def from_first_process(tree: Any) -> Any:
    """Gives every process the NumPy arrays of the first, bit for bit.

    The shapes and dtypes are the same in all.
    """
    if jax.process_count() == 1:
        return tree
    # As bytes: what JAX adds up to spread them, zeros and the first process's, would
    # make a zero of a negative zero.
    arrays, structure = jax.tree.flatten(tree)
    spread = multihost_utils.broadcast_one_to_all(
        [x.reshape(-1).view("u1") for x in arrays]
    )
    return structure.unflatten(
        np.array(part).view(x.dtype).reshape(x.shape)
        for part, x in zip(spread, arrays, strict=True)
    )


def check_same(digest: str) -> None:
    """Refuses, in every process, to train what is not the same in all.

    `digest` is hexadecimal, the same for equal options and data.
    """
    ours = np.frombuffer(bytes.fromhex(digest), np.uint8)
    found = np.atleast_2d(multihost_utils.process_allgather(ours))
    if np.any(found != found[:1]):
        raise InputError(
            "the processes have different options or data: give all of them the same, "
            "except for --process-id."
        )


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

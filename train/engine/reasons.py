"""Why JAX does not start on a device, and what to do about it."""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence

NO_GPU = "it finds no NVIDIA GPU"
NO_LIBTPU = "Failed to open libtpu.so"  # nor is it needed on most machines
SHARED = (
    "Another process may use the GPU: `nvidia-smi` lists them. End it, choose a GPU "
    "with CUDA_VISIBLE_DEVICES, or start both with XLA_PYTHON_CLIENT_PREALLOCATE=false."
)
_LISTED = (
    "`nvidia-smi` must list it: a container needs `--gpus all`, a job of a cluster "
    "asks for it."
)
# What to do, by words of a reason: the first that occur.
_ADVICE = {
    "compatible": "Install all of JAX again, in one command.",
    "timed out": "A TPU may wait for its other hosts, or for another process.",
    NO_GPU: f'`pip install --upgrade "jax[cuda13]"` installs JAX for one. {_LISTED}',
    "CUPTI error 999": f"JAX sees no GPU, or no driver for it. {_LISTED}",
    "CUDA-enabled jaxlib": 'Run `pip install --upgrade "jax[cuda13]"`.',
    "driver": 'JAX needs a newer driver: 580 for "jax[cuda13]", 525 for "jax[cuda12]".',
    "Unable to load|Outdated": '`pip install --upgrade "jax[cuda13]"` brings the '
    "libraries that it needs. Unset LD_LIBRARY_PATH: it can lead to others.",
    "already in use": "One process at a time uses a TPU: end the other one.",
    "No jellyfish device": "This machine has no TPU.",
    "No visible GPU": "CUDA_VISIBLE_DEVICES leaves none: unset it.",
    "no supported devices|OUT_OF_MEMORY": SHARED,
    "CUDA_ERROR": "If `nvidia-smi` fails too, the driver or the machine must restart.",
    "known backends": "Unset JAX_PLATFORMS, and choose with --device.",
    NO_LIBTPU: 'Run `pip install --upgrade "jax[tpu]"`.',
    "bad_alloc|pthread_create|code -9": "Memory is full: other programs may have it.",
    "Unknown flag": "Unset XLA_FLAGS, or correct it.",
    "": "`--device cpu` trains without GPU or TPU.",
}


def of(told: Sequence[str], asked: str | None, wanted: str | None) -> list[str]:
    """Those that matter. For `asked`, gpu or tpu, JAX tries all kinds of devices."""
    if asked:
        return [x for x in told if x and ("tpu" in x.lower()) == (asked == "tpu")]
    misses = "tpu" in (wanted or "")  # else nobody misses its library
    return [x for x in told if x and (misses or NO_LIBTPU not in x)]


def why(reasons: Sequence[str]) -> str:
    """The reason that is best known, and what to do about it."""
    words, reason = next((w, r) for w in _ADVICE for r in reasons if re.search(w, r))
    # Not for users.
    reason = re.sub(r" \((set JAX_PLATFORMS|you may need).*|\S+\.cc:\d+: ", "", reason)
    told = " ".join(reason.split())[:250].rstrip(". ")
    return f"{told}. {_ADVICE[words]}".replace("?. ", "? ")


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Collects why JAX leaves out a device: some it would print, with a traceback."""
    told: list[str] = []

    def tell(record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        cause = getattr(error, "__cause__", None) or ""
        told.append(f"{error or record.getMessage()} {cause}")

    listener, logger = logging.Handler(), logging.getLogger("jax")
    listener.emit, level = tell, logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield told
    logger.removeHandler(listener)
    logger.setLevel(level)

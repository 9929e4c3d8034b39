"""Starts JAX: on the devices that it is told to use, with a cache of programs."""

import contextlib
import hashlib
import os
from pathlib import Path

import jax

from train.errors import InputError


def start_jax(compile_cache: bool) -> None:
    """Starts JAX before anything is compiled; refuses an environment that cannot be."""
    keep_compiled(compile_cache)
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


def keep_compiled(wanted: bool) -> None:
    """Lets JAX keep what it compiles, by its persistent cache.

    Where a user gave JAX a folder (JAX_COMPILATION_CACHE_DIR), JAX uses that one. One
    that cannot be read or written costs time and a warning of JAX's. If not wanted,
    nothing is kept and nothing kept is used.
    """
    if not wanted:
        jax.config.update("jax_enable_compilation_cache", False)
    elif jax.config.jax_compilation_cache_dir is None:
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:  # this user has no home
            return
        folder = cache / "lcam_optax" / "jax" / _processor()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", 2**30)  # bytes
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _processor() -> str:
    """Names the CPU's abilities: a program for another CPU's could crash."""
    abilities = ""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:  # Linux has it
        abilities = next((x for x in file if x.startswith(("flags", "Features"))), "")
    return hashlib.sha256(abilities.encode()).hexdigest()[:16]

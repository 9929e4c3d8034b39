"""Keeps compiled programs from run to run, by JAX's persistent cache."""

import contextlib
import hashlib
import os
from pathlib import Path

import jax


def keep_compiled(wanted: bool) -> None:
    """Lets JAX keep what it compiles. Before anything is compiled.

    Where a user gave JAX a folder (JAX_COMPILATION_CACHE_DIR), JAX uses that one. One
    that cannot be read or written costs time and a warning of JAX's.

    Args:
      wanted: if not, nothing is kept and nothing kept is used.
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

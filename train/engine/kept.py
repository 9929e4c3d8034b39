"""Keeps compiled programs from run to run, by JAX's persistent cache."""

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

import jax

from train import notes

# Programs that compile faster than this are not worth a file.
SECONDS = 0.1

# Bytes of all that is kept. JAX drops what was not used for longest.
SIZE = 2**30


def keep_compiled(wanted: bool) -> None:
    """Lets JAX keep what it compiles. Before anything is compiled.

    Where a user gave JAX a folder (JAX_COMPILATION_CACHE_DIR), JAX uses that one as it
    was told. A cache that cannot be read or written costs time and one line.

    Args:
      wanted: if not, nothing is kept and nothing kept is used.
    """
    if not wanted:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        folder = cache_folder() / _machine()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"cannot write to {folder}")
    except (OSError, RuntimeError) as error:  # or there is no home
        notes.say(f"compiled programs are not kept: {error}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", SIZE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)
    warnings.showwarning = _Teller(folder, warnings.showwarning)


def cache_folder() -> Path:
    """Where a user's programs keep what can be made anew, by the system's custom."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lcam_optax" / "jax"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "lcam_optax" / "jax"
    custom = os.environ.get("XDG_CACHE_HOME", "")  # by its rules, absolute or ignored
    base = Path(custom) if os.path.isabs(custom) else Path.home() / ".cache"
    return base / "lcam_optax" / "jax"


def _machine() -> str:
    """Names what programs for a CPU depend on: another machine's could crash."""
    about = platform.machine() + platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kinds = ("model name", "flags", "CPU part", "Features")
        about += "".join(sorted({line for line in lines if line.startswith(kinds)}))
    except OSError:  # not Linux
        pass
    return hashlib.sha256(about.encode()).hexdigest()[:16]


class _Teller:
    """Says in one line that something kept could not be used, and drops it.

    JAX would warn of it at every start. Other warnings go where they went.
    """

    def __init__(self, folder: Path, otherwise: Any):
        self._folder = folder
        self._otherwise = otherwise
        self._has_told = False

    def __call__(self, message: Any, *rest: Any, **options: Any) -> None:
        text = str(message)
        if "persistent compilation cache" not in text:
            self._otherwise(message, *rest, **options)
            return
        if "reading" in text:
            name = text.partition("'")[2].partition("'")[0]
            for path in self._folder.glob(f"{name}-*"):
                path.unlink(missing_ok=True)
        if not self._has_told:
            self._has_told = True
            notes.say(f"compiled programs in {self._folder} cannot be used; compiling")

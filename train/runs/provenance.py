"""Records where a result comes from: command, commit, machine and versions."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "orbax-checkpoint", "libtpu")
_PACKAGES += ("jax-cuda12-plugin", "nvidia-cudnn-cu12")
_PACKAGES += ("jax-cuda13-plugin", "nvidia-cudnn-cu13")


def environment(*more_packages: str) -> dict[str, Any]:
    """Command, commit, time, hardware, and versions of packages that are installed."""
    import jax  # late: whoever only looks into a folder does not need it

    from train.engine import devices

    module = getattr(sys.modules["__main__"], "__spec__", None)
    name = module.name.removesuffix(".__main__") if module else sys.argv[0]
    driver = Path("/sys/module/nvidia/version")
    return {
        "command": ["python", "-m", name, *sys.argv[1:]],
        "commit": commit(),
        "started": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "platform": jax.devices()[0].client.platform_version,
        "driver": driver.read_text().strip() if driver.exists() else None,
        "memory": (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": devices.threads(),
        "python": platform.python_version(),
        "versions": versions(*more_packages),
    }


def versions(*more_packages: str) -> dict[str, str]:
    """Of packages that numbers depend on, and of more, as far as they are installed."""
    found = {}
    for package in (*_PACKAGES, *more_packages):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def commit() -> str | None:
    """The checkout's commit, `+` behind it if its files changed; None outside git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit, changed = (
            subprocess.check_output([*git, *words], stderr=subprocess.DEVNULL)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.decode().strip() + ("+" if changed else "")

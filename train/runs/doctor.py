"""Tells whether a run works on this machine, and what to do where it does not.

Runs in processes of their own show it: what ends one of them ends no other.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from train import notes
from train.engine import reasons
from train.paths import cache_folder, filled
from train.runs import provenance, records
from train.settings.commands import Doctor

# A small Wide ResNet on noise. The first epoch warms up.
BATCH_SIZE, SIZE = 60, 180
RUN = f"-m train run --quiet --epochs 2 --batch-size {BATCH_SIZE}".split()
ROOT = Path(__file__).parents[2]
LIMIT = 600  # seconds: a TPU's compiler takes minutes
_GPUS = "index,name,driver_version,memory.total,memory.used"
_CACHE = "persistent compilation cache"
_NO_ERROR = re.compile(r"data: |note: |warning: |For simplicity, JAX|-+$|\s*$")
_NAMES = re.compile("(JAX|XLA|CUDA|TPU|NVIDIA|XDG_CACHE|LD_LIBRARY)_")


def doctor(config: Doctor) -> None:
    """Prints what is here, and what a run comes to; exits with 1 if it fails."""
    notes.say("A small network trains for a moment on each kind of device.")
    cache = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_folder("jax"))
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    _, gpus, failure = _call("nvidia-smi", f"--query-gpu={_GPUS}", "--format=csv")
    found = {
        "commit": [provenance.commit() or "none"],
        "python": [platform.python_version(), sys.executable],
        "packages": [f"{x} {y}" for x, y in provenance.versions().items()],
        "variables": [f"{x}={y}" for x, y in os.environ.items() if _NAMES.match(x)],
        "machine": [platform.system(), platform.machine(), f"{os.cpu_count()} cores"],
        "GPUs": gpus[1:] or failure,
        "cache": [f"{size / 1e6:,.0f} MB of compiled programs in {cache}"],
    }
    runs = {config.device: _run(config.device)}
    if config.device is None and runs[None].get("device", "cpu") != "cpu":
        runs["cpu"] = _run("cpu")
    if config.json:
        print(json.dumps(found | {"runs": [*runs.values()]}, indent=2))
    else:
        rows = {name: ", ".join(about) or "none" for name, about in found.items()}
        rows |= {f"run on {x}" if x else "run": _told(y) for x, y in runs.items()}
        for name, text in rows.items():
            print(filled(f"{name:11}{text}", 80, " " * 11))
    if "error" in runs[config.device]:
        sys.exit(1)


def _run(kind: str | None) -> dict[str, Any]:
    """What a small run on a kind of device came to, or its error."""
    with tempfile.TemporaryDirectory() as folder:
        out, data = Path(folder, "run"), Path(folder, "data.npz")
        images = np.random.default_rng(0).integers(256, size=(SIZE, 8, 8), dtype="u1")
        labels = np.arange(SIZE) % 10
        np.savez(data, x_train=images, y_train=labels, x_test=images, y_test=labels)
        words = [*RUN, "--data", f"npz:{data}", "--out", str(out)]
        words += ["--device", kind] if kind else []
        code, _, said = _call(sys.executable, *words)
        if code:
            found = [x for x in said if not _NO_ERROR.match(x)]
            error = found[-1] if found else f"it ended with code {code}"
            return {"error": error, "code": code, "stderr": said[-50:]}
        [origin] = json.loads((out / "provenance.json").read_text())
        rate = records.read_metrics(out)[-1]["images_per_second"]
    kept = ("device", "num_devices", "memory", "platform", "driver", "compile_seconds")
    ours = ("note: this runs on", "note: compiled programs")
    told = [line for line in said if line.startswith(ours)]
    lost = [line.partition("Warning: ")[2] for line in said if _CACHE in line]
    told += [f"note: {line}." for line in lost[:1]]
    step = {"step_ms": round(1000 * BATCH_SIZE / rate, 2), "notes": told}
    return {name: origin[name] for name in kept} | step


def _told(run: dict[str, Any]) -> str:
    """A run in words."""
    if error := run.get("error"):
        ours = error.removeprefix("error: ")  # has advice
        return f"fails: {reasons.why([error]) if ours == error else ours}"
    memory = f" with {run['memory'] / 1e9:.0f} GB for JAX" if run["memory"] else ""
    return (
        f"works: {run['num_devices']} x {run['device']}{memory}, {run['step_ms']} ms a "
        f"step, compiled in {run['compile_seconds']} s. {' '.join(run['notes'])}"
    )


def _call(*words: str) -> tuple[int, list[str], list[str]]:
    """The exit code of a program, and the lines that it printed on both streams."""
    options = {"capture_output": True, "text": True, "errors": "replace"}
    try:  # in the checkout, as the same program
        done = subprocess.run(words, timeout=LIMIT, cwd=ROOT, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, [], [f"{words[0]}: {getattr(error, 'strerror', error)}"]
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

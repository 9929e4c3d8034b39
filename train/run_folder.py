"""What a run leaves on disk, and how it is read back.

`config.json` is the experiment, `provenance.json` what it ran on, `metrics.jsonl` has
a row an epoch, `steps.csv` a row a step. Rows are whole when written: a run that dies
leaves what it has done.
"""

import csv
import dataclasses
import datetime
import importlib.metadata
import itertools
import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from train.errors import InputError

STEP_COLUMNS = ("step", "loss", "average_loss", "phase", "momentum")


def new_folder(out: Path | None, default_name: str) -> Path:
    """Makes the folder of a run, and never touches one that holds something.

    Args:
      out: the folder asked for; `None` for the first free one of `runs/NAME`,
        `runs/NAME-2`, `runs/NAME-3`, ...
      default_name: NAME.

    Raises:
      InputError: `out` holds something, or cannot be made or written to.
    """
    if out is None:
        names = (f"{default_name}{suffix}" for suffix in _suffixes())
        out = next(path for name in names if not (path := Path("runs") / name).exists())
    out = out.expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InputError(
                f"--out {out} is not empty, and nothing in it shall be lost: name a "
                "new folder, or leave --out away to have one made."
            )
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to --out {out}: {error.strerror}. Name a folder that can be "
            "made and written to."
        ) from None
    return out


def _suffixes() -> Iterable[str]:
    return itertools.chain([""], (f"-{number}" for number in itertools.count(2)))


def write_config(folder: Path, config: Any) -> None:
    """Writes `config.json`."""
    _write_json(folder / "config.json", config_as_json(config))


def config_as_json(config: Any) -> dict[str, Any]:
    """The options as JSON gives them back: paths as strings, tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def write_provenance(folder: Path, **facts: Any) -> None:
    """Writes `provenance.json`: what is needed to redo the run, and `facts`."""
    packages = ("jax", "jaxlib", "optax", "flax", "numpy", "orbax-checkpoint")
    _write_json(
        folder / "provenance.json",
        {
            "command": ["python", "-m", "train", *sys.argv[1:]],
            "commit": _commit(),
            "started": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
            "device": jax.devices()[0].device_kind,
            "num_devices": jax.device_count(),
            "machine": platform.platform(),
            "python": platform.python_version(),
            "versions": {name: importlib.metadata.version(name) for name in packages},
        }
        | facts,
    )


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Appends an epoch's row to `metrics.jsonl`; NaN becomes null."""
    finite = {
        key: None if isinstance(number, float) and not math.isfinite(number) else number
        for key, number in row.items()
    }
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(finite) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Reads `metrics.jsonl`."""
    with (folder / "metrics.jsonl").open() as file:
        return [json.loads(line) for line in file]


def append_steps(folder: Path, rows: Iterable[tuple]) -> None:
    """Appends steps' rows, in the order of `STEP_COLUMNS`, to `steps.csv`."""
    path = folder / "steps.csv"
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(STEP_COLUMNS)
        writer.writerows(rows)


def read_steps(folder: Path) -> dict[str, list[float]]:
    """Reads `steps.csv` by column."""
    with (folder / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in STEP_COLUMNS}


def reopen(folder: Path, config: Any, epoch: int, steps_per_epoch: int) -> None:
    """Prepares a run's folder for going on after `epoch`, dropping later rows.

    Raises:
      InputError: the folder's run had other options.
    """
    try:
        saved = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        raise InputError(
            f"cannot read {folder / 'config.json'}, the options of the run to go on "
            "with: name another folder with --out."
        ) from None
    ours = config_as_json(config)
    differing = [
        key
        for key in ours
        if key not in ("out", "resume") and ours[key] != saved.get(key)
    ]
    if differing:
        raise InputError(
            f"the run in {folder} had other options ({', '.join(differing)}): repeat "
            "its command (config.json has the options), or name another --out."
        )
    rows = {"metrics.jsonl": epoch, "steps.csv": 1 + epoch * steps_per_epoch}
    for name, keep in rows.items():
        if (folder / name).exists():
            lines = (folder / name).read_text().splitlines(keepends=True)
            whole = folder / f"{name}.new"
            whole.write_text("".join(lines[:keep]))
            whole.replace(folder / name)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _commit() -> str | None:
    """The checkout's commit, `+` behind it if files were changed; None outside git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.check_output(
            [*git, "rev-parse", "HEAD"], text=True, stderr=subprocess.DEVNULL
        ).strip()
        changed = subprocess.check_output([*git, "status", "--porcelain"])
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")

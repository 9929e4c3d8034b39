"""The runs below a folder, and how far they are."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from train.errors import InputError
from train.paths import expand, printable
from train.runs import records
from train.settings.commands import Runs


def list_runs(config: Runs) -> str:
    """The runs as a table or as JSON.

    Raises:
      InputError: there is no such folder.
    """
    folder = expand(config.folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: name one with runs in it.")
    runs = [about for path in _folders(folder) if (about := _describe(folder, path))]
    if config.json:
        return json.dumps(runs, indent=2)
    return "\n".join(_table(runs)) if runs else f"There are no runs in {folder}."


def _folders(folder: Path) -> Iterator[Path]:
    """The folders that may be of runs, sorted."""
    for path, names, files in os.walk(folder):
        names.sort()
        if "config.json" in files:
            yield Path(path)
        if "metrics.jsonl" in files:  # checkpoints hold thousands of files
            names.clear()


def _describe(folder: Path, path: Path) -> dict[str, Any] | None:
    """What is told of a run; None of a study or a comparison."""
    rows, epochs, state = [], None, "damaged"
    with contextlib.suppress(*records.UNREADABLE):
        config = json.loads((path / "config.json").read_text())
        if "seed" not in config:
            return None
        epochs = int(config["epochs"])
        if (path / "metrics.jsonl").exists():
            rows = records.read_metrics(path)
        state = _state(path, rows, config["on_nan"])
    tests = [row["test_error"] for row in rows if row.get("test_error") is not None]
    return {
        "name": str(path.relative_to(folder)) if path != folder else path.name,
        "state": state,
        "epochs_done": len(rows),
        "epochs": epochs,
        "test_error": tests[-1] if tests else None,
        "seconds": round(sum(row.get("seconds", 0.0) for row in rows), 3),
    }


def _state(path: Path, rows: list[dict[str, Any]], on_nan: str) -> str:
    if records.has_finished(path):
        return "finished"
    if rows and on_nan == "stop" and records.has_diverged(rows):
        return "diverged"
    lock = filelock.FileLock(path / ".lock", blocking=False)
    try:
        # Else looking would make one, or empty what a link leads to.
        if (path / ".lock").is_file() and not (path / ".lock").is_symlink():
            lock.acquire()
    except (filelock.Timeout, OSError):
        return "running"
    finally:
        lock.release()
    # What is after the last checkpoint is lost.
    return f"stopped at step {max(records.steps_in(path), default=0)}"


def _table(runs: list[dict[str, Any]]) -> list[str]:
    """Columns that fit 80 letters, as far as the names do."""
    rows = [("run", "state", "epochs", "test error", "time")]
    for run in runs:
        error = run["test_error"]
        minutes, seconds = divmod(round(run["seconds"]), 60)
        rows.append(
            (
                printable(run["name"]),
                run["state"],
                f"{run['epochs_done']}/{run['epochs'] or '?'}",
                "-" if error is None else f"{error:.2f} %",
                f"{minutes}:{seconds:02}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

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

_WIDTH = 80


def list_runs(config: Runs) -> str:
    """The runs as a table or as JSON; a comparison or a study counts as one."""
    folder = expand(config.folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: name one with runs in it.")
    runs, whole, parts = [], None, []  # the last comparison or study, and its runs
    for path in _folders(folder):
        about = _describe(path)
        about["name"] = str(path.relative_to(folder)) if path != folder else path.name
        is_part = whole is not None and whole in path.parents
        if about["state"] is not None:
            (parts if is_part and not config.all else runs).append(about)
        elif not is_part and not config.all and path != folder:
            whole, parts = path, []
            runs.append(about | {"parts": parts})
    for about in runs:
        if (parts := about.pop("parts", None)) is not None:
            done = sum(part["state"] == "finished" for part in parts)
            about["state"] = f"{done} of {len(parts)} runs"
            about["seconds"] = sum(part["seconds"] for part in parts)
    if config.json:
        return json.dumps(runs, indent=2)
    return "\n".join(_table(runs)) if runs else f"There are no runs in {folder}."


def _folders(folder: Path) -> Iterator[Path]:
    """The folders that may be of runs, comparisons or studies, sorted."""
    for path, names, files in os.walk(folder):
        names.sort()
        if "config.json" in files:
            yield Path(path)
        if "metrics.jsonl" in files:  # checkpoints hold thousands of files
            names.clear()


def _describe(path: Path) -> dict[str, Any]:
    """What is told of a run; a comparison or a study has no state of its own."""
    rows, epochs, state = [], None, "damaged"
    with contextlib.suppress(*records.UNREADABLE):
        config = json.loads((path / "config.json").read_text())
        if "seed" in config:
            epochs = int(config["epochs"])
            if (path / "metrics.jsonl").exists():
                rows = records.read_metrics(path)
            state = _state(path, rows, config["on_nan"])
        else:
            state = None
    tests = [row["test_error"] for row in rows if row.get("test_error") is not None]
    return {
        "name": "",
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
    """Columns; a name that would make its row too long has a line of its own."""
    rows = [("run", "state", "epochs", "test error", "time")]
    for run in runs:
        error, state = run["test_error"], run["state"]
        minutes, seconds = divmod(round(run["seconds"]), 60)
        rows.append(
            (
                printable(run["name"]),
                state,
                "-"
                if state.endswith("runs")
                else f"{run['epochs_done']}/{run['epochs'] or '?'}",
                "-" if error is None else f"{error:.2f} %",
                f"{minutes}:{seconds:02}",
            )
        )
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    first = min(first, max(3, _WIDTH - sum(widths) - 2 * len(widths)))
    lines = []
    for name, state, *cells in rows:
        if len(name) > first:
            lines.append(name)
            name = ""
        cells = map(str.rjust, cells, widths[1:])
        lines.append("  ".join([name.ljust(first), state.ljust(widths[0]), *cells]))
    return lines

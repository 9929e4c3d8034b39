"""The runs below a folder, and how far they are."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from train.paths import expand, printable
from train.runs import records
from train.settings.commands import Runs

_WIDTH = 80


def list_runs(config: Runs) -> str:
    """The runs as a table or as JSON; a comparison or a study counts as one."""
    folder = expand(config.folder)
    found = {path: _describe(path, folder) for path in _folders(folder)}
    for whole in [path for path in found if found[path]["state"] is None]:
        if config.all or whole == folder:
            del found[whole]
            continue
        parts = [found.pop(path) for path in [*found] if whole in path.parents]
        done = sum(part["state"] == "finished" for part in parts)
        found[whole]["state"] = f"{done} of {len(parts)} runs"
        found[whole]["seconds"] = sum(part["seconds"] for part in parts)
    runs = list(found.values())
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


def _describe(path: Path, folder: Path) -> dict[str, Any]:
    """What is told of a run; a comparison or a study has no state of its own."""
    rows, epochs, state, tested = [], None, "damaged", None
    with contextlib.suppress(*records.UNREADABLE):
        config = json.loads((path / "config.json").read_text())
        if "seed" in config:
            epochs = int(config["epochs"])
            tested = "validation" if config["data"].get("validation") else "test"
            if (path / "metrics.jsonl").exists():
                rows = records.read_metrics(path)
            state = _state(path, rows, config["on_nan"])
        else:
            state = None
    tests = [row["test_error"] for row in rows if row.get("test_error") is not None]
    return {
        "name": str(path.relative_to(folder)) if path != folder else path.name,
        "state": state,
        "epochs_done": len(rows),
        "epochs": epochs,
        "tested": tested,
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
    rows = [("run", "state", "epochs", "error", "time")]
    for run in runs:
        name, state, done, epochs, tested, error, seconds = run.values()
        parts = state.endswith("runs")
        rows.append(
            (
                printable(name),
                state,
                "-" if parts else f"{done}/{epochs or '?'}",
                "-" if error is None else f"{tested} {error:.2f} %",
                "{}:{:02}".format(*divmod(round(seconds), 60)),
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

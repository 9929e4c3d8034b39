"""Reads the runs of a study from their folders."""

import json
import re
from pathlib import Path
from typing import Any

from train.errors import InputError
from train.reports.rows import (
    ENVIRONMENT,
    OPTIONS,
    ORIGIN,
    Rows,
    make_rows,
    read_about,
    read_rows,
    reading,
    unique,
)
from train.runs import records


def read_study(folder: Path) -> Rows:
    """Reads the rows of a study's folder, or of a report's."""
    if not is_study(folder):
        return read_rows(folder)
    if (folder / "runs").is_dir() or not (folder / "report").is_dir():
        return collect(read_about(folder), folder)
    return read_rows(folder / "report")  # the runs were deleted


def is_study(folder: Path) -> bool:
    """Whether a folder is a study's, with its runs; else it may be a report's."""
    return (folder / "config.json").exists()


def collect(about: dict[str, Any], folder: Path) -> Rows:
    """Collects the rows of the runs of a study that have ended, from their folders."""
    runs, commands, environments = {}, [], []
    for block in about["blocks"]:
        for arm in block["arms"]:
            epochs = arm.get("epochs") or block["experiment"]["epochs"]
            begin = f"{arm['folder']}-seed"
            paths = {
                int(path.name.removeprefix(begin)): path
                for path in (folder / "runs" / block["name"]).glob("*")
                if re.fullmatch(re.escape(begin) + r"[0-9]+", path.name)
            }
            for seed, path in sorted(paths.items()):
                rows = read_ended(path, epochs)
                if rows is None:
                    continue
                with reading(path, _repeated(path)):
                    config = json.loads((path / "config.json").read_text())
                    starts = json.loads((path / "provenance.json").read_text())
                    facts = {f"option_{n}": config["optimizer"][n] for n in OPTIONS}
                    facts |= {name: starts[-1].get(name) for name in ORIGIN}
                    facts["data_sha256"] = config["data_sha256"]
                    commands.append(starts[-1]["command"])
                    environments += [
                        {name: start.get(name) for name in ENVIRONMENT}
                        for start in starts
                    ]
                runs[block["name"], arm["name"], seed] = rows, facts
    found = {"commands": unique(commands), "environments": unique(environments)}
    with reading(f"the rows of the runs in {folder}"):
        return make_rows(about | found, runs)


def read_ended(path: Path, epochs: int) -> list[dict[str, Any]] | None:
    """Reads the rows of the run in a folder; None if it has not ended."""
    rows = records.read_ended(path, epochs)
    if rows is None and records.has_finished(path):
        raise InputError(
            f"cannot read {path / 'metrics.jsonl'}: it was changed or damaged. "
            f"{_repeated(path)}"
        )
    return rows


def _repeated(path: Path) -> str:
    return f"Move {path} away, and this run will be repeated."

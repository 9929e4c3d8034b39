"""Reads the runs of a study from their folders."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from train.errors import InputError
from train.reports.rows import (
    ENVIRONMENT,
    OPTIONS,
    ORIGIN,
    TEST,
    RunRows,
    StudyRows,
    read_about,
    read_rows,
    unique,
)
from train.runs import records


class Trial(NamedTuple):
    """A run that has ended.

    Attributes:
      rows: of `metrics.jsonl`, one an epoch.
      diverged: whether a loss stopped being finite.
      folder: what it wrote.
    """

    rows: list[dict[str, Any]]
    diverged: bool
    folder: Path


def read_study(folder: Path) -> StudyRows:
    """Reads the rows of a study's folder, or of a report's.

    Raises:
      InputError: there are none, or they are damaged.
    """
    if not is_study(folder):
        return read_rows(folder)
    if (folder / "runs").is_dir() or not (folder / "report").is_dir():
        return collect(read_about(folder), folder)
    return read_rows(folder / "report")  # the runs were deleted


def is_study(folder: Path) -> bool:
    """Whether a folder is a study's, with its runs; else it may be a report's."""
    return (folder / "config.json").exists()


def collect(about: dict[str, Any], folder: Path) -> StudyRows:
    """Collects the rows of the runs of a study that have ended, from their folders.

    Args:
      about: the study.
      folder: of the study.

    Raises:
      InputError: a file of a run was changed or damaged.
    """
    runs, commands, environments = {}, [], []
    for block in about["blocks"]:
        watched = block["experiment"]["observe"] != "nothing"
        for arm in block["arms"]:
            epochs = arm.get("epochs") or block["experiment"]["epochs"]
            paths = _folders(folder / "runs" / block["name"], arm["folder"])
            for seed, path in paths.items():
                trial = read_trial_at(path, epochs, watched=watched)
                if trial is None:
                    continue
                facts, starts = _read_facts(path)
                # An epoch without a test has no such entries.
                rows = [row | dict.fromkeys(TEST - row.keys()) for row in trial.rows]
                runs[block["name"], arm["name"], seed] = RunRows(rows, facts)
                environments += starts
                commands.append(starts[-1].pop("command"))
    environments = [
        {name: start.get(name) for name in ENVIRONMENT} for start in environments
    ]
    found = {"commands": unique(commands), "environments": unique(environments)}
    return StudyRows(about | found, runs)


def read_trial_at(path: Path, epochs: int, *, watched: bool) -> Trial | None:
    """Reads the run in a folder; None if it has not ended.

    Raises:
      InputError: its rows were changed or damaged.
    """
    rows = records.read_ended(path, epochs)
    if rows is None and not records.has_finished(path):
        return None
    if rows is None or not records.are_rows(rows, watched=watched):
        raise InputError(
            f"{path / 'metrics.jsonl'} was changed or damaged: move {path} away, and "
            "this run will be repeated."
        )
    return Trial(rows, records.has_diverged(rows), path)


def _folders(block: Path, arm: str) -> dict[int, Path]:
    """The folders of an arm's runs, by seed."""
    found = {}
    for path in block.iterdir() if block.is_dir() else ():
        name, _, seed = path.name.rpartition("-seed")
        if name == arm and seed.isascii() and seed.isdigit():
            found[int(seed)] = path
    return dict(sorted(found.items()))


def _read_facts(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is known of a run besides its rows, and each of its starts."""
    try:
        config = json.loads((folder / "config.json").read_text())
        *starts, origin = json.loads((folder / "provenance.json").read_text())
        if not {*ENVIRONMENT, "command"} <= origin.keys():
            raise KeyError
        facts = {f"option_{name}": config["optimizer"][name] for name in OPTIONS}
        facts |= {name: origin.get(name) for name in ORIGIN}
        facts["data_sha256"] = config["data_sha256"]
    except (*records.UNREADABLE, AttributeError):
        raise InputError(
            f"config.json or provenance.json in {folder} was changed or damaged: move "
            "the folder away, and this run will be repeated."
        ) from None
    return facts, [*starts, origin]

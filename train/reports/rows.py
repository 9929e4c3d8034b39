"""The rows of a study, from which its report is made: collected, and kept on disk.

A folder of rows holds `study.json`, `runs.csv`, `epochs.csv` and, if something was
watched, `observed.csv`. They are enough to make the report again, anywhere.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.errors import InputError
from train.runs import records
from train.runs.writing import replace, writing

FORMAT = 1
ABOUT = "study.json"
KEY = ("block", "arm", "seed")
# What is known of a run besides its epochs.
OPTIONS = (
    *("optimizer", "learning_rate", "weight_decay", "momentum"),
    *("high_loss_momentum", "low_loss_momentum", "loss_average", "ema_decay"),
    *("margin", "lagged", "phase"),
)
ORIGIN = (
    *("commit", "device", "threads"),
    *("network", "num_parameters", "num_test_predictions"),
)
FACTS = (*(f"option_{name}" for name in OPTIONS), *ORIGIN, "data_sha256")
# Columns of text; all others hold numbers.
TEXTS = (
    *("commit", "device", "network", "data_sha256", "name"),
    *("option_optimizer", "option_loss_average", "option_phase"),
)
TEST = {"test_loss", "test_error"}
ENVIRONMENT = ("commit", "device", "machine", "cores", "python", "versions")


class RunRows(NamedTuple):
    """A run that has ended.

    Attributes:
      epochs: rows of `metrics.jsonl`.
      facts: `FACTS`.
    """

    epochs: list[dict[str, Any]]
    facts: dict[str, Any]


class StudyRows(NamedTuple):
    """A study, or a part of one.

    Attributes:
      about: what `study.json` holds; see `describe`.
      runs: those that have ended, by block, arm and seed.
    """

    about: dict[str, Any]
    runs: dict[tuple[str, str, int], RunRows]


def donor_of(arm: Mapping[str, Any]) -> str | None:
    """The arm that an arm is matched with; None if it is matched with none."""
    if arm["matched"] is None:
        return None
    # Parts of before the donor was kept: `borrowed-lagged` borrows of `lcam-lagged`.
    return arm.get("donor") or arm["name"].replace("borrowed", "lcam")


def unique(things: Sequence[Any]) -> list[Any]:
    """Each once, in the order of the first."""
    return [each for place, each in enumerate(things) if each not in things[:place]]


# --- On disk --------------------------------------------------------------------------


def write_rows(folder: Path, rows: StudyRows) -> None:
    """Writes all but `runs.csv`, to which `train.reports.outcomes` adds.

    Raises:
      InputError: the disk does not take it.
    """
    write_about(folder, rows.about)
    write_csv(
        folder / "epochs.csv",
        [
            named(key) | {name: row[name] for name in row if name != "observed"}
            for key, run in rows.runs.items()
            for row in run.epochs
        ],
    )
    # In long form: a row a number; `index` is the phase or the array, from 0.
    write_csv(
        folder / "observed.csv",
        [
            named(key)
            | {"epoch": row["epoch"], "name": name, "index": index, "number": number}
            for key, run in rows.runs.items()
            for row in run.epochs
            for name, numbers in row.get("observed", {}).items()
            for index, number in enumerate(np.ravel(numbers))
        ],
    )


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Writes `study.json`."""
    replace(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes a table; without rows, there is none."""
    if not rows:
        with writing(path.parent):
            path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace(path, text.getvalue())


def named(key: tuple[str, str, int]) -> dict[str, Any]:
    """The columns that name a run."""
    return dict(zip(KEY, key, strict=True))


def read_rows(folder: Path) -> StudyRows:
    """Reads what `write_rows` wrote, and `runs.csv`.

    Raises:
      InputError: there is no report, or its files are damaged, or of another version of
        the program.
    """
    about = read_about(folder)
    try:
        runs = {
            key: RunRows([], {name: row[name] for name in row if name in FACTS})
            for key, row in _read_csv(folder / "runs.csv")
        }
        for key, row in _read_csv(folder / "epochs.csv"):
            runs[key].epochs.append(row)
        if (folder / "observed.csv").exists():
            for key, row in _read_csv(folder / "observed.csv"):
                epoch = runs[key].epochs[_place(row["epoch"])]
                observed = epoch.setdefault("observed", {})
                observed.setdefault(row["name"], []).append(row["number"])
        _check_whole(about, runs)
    except records.UNREADABLE as error:
        raise InputError(
            f"cannot read the rows of the study in {folder}: they are damaged, or not "
            f"all there ({type(error).__name__}: {error}). Take a fresh copy of the "
            "folder, or repeat the study's command, which writes them again."
        ) from None
    return StudyRows(about, runs)


def read_about(folder: Path) -> dict[str, Any]:
    """Reads `study.json`.

    Raises:
      InputError: there is none, or it is damaged or of another version of the program.
    """
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text())
        version = about["format"]
        _check_about(about)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} holds no {ABOUT}: name the folder of a study or a comparison, "
            "or the report/ in it. Older versions of the program did not write this "
            "file: repeat the command into a new folder."
        ) from None
    except (*records.UNREADABLE, AttributeError):
        raise InputError(
            f"cannot read {path}: it is damaged. Take a fresh copy of it, or repeat "
            "the study's command, which writes it again."
        ) from None
    if version != FORMAT:
        raise InputError(
            f"{path} is of another version of the program: its format is {version}, "
            f"and this version reads {FORMAT}. Use the version that wrote it."
        )
    return about


def _place(epoch: int) -> int:
    if epoch < 1:
        raise ValueError(f"observed.csv has an epoch {epoch}")
    return epoch - 1


def _check_about(about: dict[str, Any]) -> None:
    """Raises one of `UNREADABLE` unless all is there that a report is made from."""
    parts = {"study", "question", "note", "outcomes", "blocks", "commands"}
    if about["format"] == FORMAT and not {*parts, "environments"} <= about.keys():
        raise KeyError
    for block in about["blocks"] if about["format"] == FORMAT else ():
        if not {"name", "reference", "reach", "experiment"} <= block.keys():
            raise KeyError
        if not re.fullmatch(r"\w[\w.-]*", block["name"]):  # pictures have this name
            raise ValueError
        for arm in block["arms"]:
            if not {"name", "about", "matched", "optimizer"} <= arm.keys():
                raise KeyError


def _read_csv(path: Path) -> list[tuple[tuple[str, str, int], dict[str, Any]]]:
    """The rows of a table, by run; without the columns that name it."""
    with path.open(newline="") as file:
        header, *lines = csv.reader(file, strict=True)
    found = []
    for line in lines:
        row = dict(zip(header, line, strict=True))
        block, arm, seed = (row.pop(name) for name in KEY)
        parsed = {name: _parse(name, row[name]) for name in row}
        found.append(((block, arm, int(seed)), parsed))
    return found


def _parse(column: str, cell: str) -> Any:
    """A cell as it was before it was written."""
    if cell in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[cell]
    if column in TEXTS:
        return cell
    return int(cell) if cell.lstrip("-").isdecimal() else float(cell)


def _check_whole(
    about: dict[str, Any], runs: dict[tuple[str, str, int], RunRows]
) -> None:
    """Makes sure that each run is one of the study, and has all its epochs."""
    blocks = {block["name"]: block for block in about["blocks"]}
    shapes: dict[str, dict[str, int]] = {}
    for (block, arm, seed), run in runs.items():
        experiment = blocks[block]["experiment"]
        watched = experiment["observe"] != "nothing"
        arms = {each["name"]: each for each in blocks[block]["arms"]}
        if arm not in arms:
            raise ValueError(f"{ABOUT} knows no arm {arm}")
        epochs = arms[arm].get("epochs") or experiment["epochs"]
        numbers = [row["epoch"] for row in run.epochs]
        last = run.epochs[-1] if run.epochs else {}
        is_cut = experiment.get("test_epochs") and last.get("train_loss") is not None
        diverged = run.epochs and records.has_diverged(run.epochs) and not is_cut
        ended = len(numbers) == epochs or diverged
        if not ended or numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(
                f"epochs.csv has epochs {numbers} of {arm} with seed {seed} in {block}"
            )
        if not records.are_rows(run.epochs, watched=watched):
            raise ValueError(f"a number is missing of {arm} with seed {seed}")
        seen = [_lengths(row.get("observed", {})) for row in run.epochs]
        shapes.setdefault(block, seen[0])
        if any(each != shapes[block] for each in seen):
            raise ValueError(f"observed.csv lacks numbers of {arm} with seed {seed}")


def _lengths(observed: dict[str, Any]) -> dict[str, int]:
    return {name: np.size(numbers) for name, numbers in observed.items()}

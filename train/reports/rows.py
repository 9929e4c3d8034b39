"""The rows of a study, from which its report is made: collected, and kept on disk.

A folder of rows holds `study.json`, `runs.csv`, `epochs.csv` and, if something was
watched, `observed.csv`. They are enough to make the report again, anywhere.
"""

import contextlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from train.errors import InputError
from train.runs import records
from train.runs.writing import replace, writing

FORMAT = 1
ABOUT = "study.json"
KEY = ["block", "arm", "seed"]  # the index of each table
TEST = ("test_loss", "test_error")
_OBSERVED = ("epoch", "name", "index", "number")
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
ENVIRONMENT = ("commit", "device", "machine", "cores", "threads")
ENVIRONMENT += ("python", "versions")
# Of columns; all others hold numbers, NaN where there is none.
_TEXTS = ("block", "arm", "name", "commit", "device", "network", "data_sha256")
_TEXTS += ("option_optimizer", "option_loss_average", "option_phase")
_COUNTS = ("step", "phase_switches", "threads", "num_parameters")
_COUNTS += ("num_test_predictions",)
TYPES = defaultdict(
    lambda: float,
    dict.fromkeys(_TEXTS, str)
    | dict.fromkeys(_COUNTS, "Int64")
    | dict.fromkeys(("seed", "epoch", "index"), int)
    | {"option_lagged": "boolean"},
)


class Rows(NamedTuple):
    """A study, or a part of one; its tables hold the runs that have ended.

    Attributes:
      about: what `study.json` holds; see `train.studies.study.describe_study`.
      runs: `FACTS` of each run.
      epochs: rows of `metrics.jsonl`.
      observed: what was watched, a row a number: epoch, name, index (of the phase or
        the array, from 0) and number.
    """

    about: dict[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    observed: pd.DataFrame


def make_rows(
    about: dict[str, Any],
    runs: Mapping[tuple[str, str, int], tuple[Sequence[dict[str, Any]], dict]],
) -> Rows:
    """Makes tables of the rows of `metrics.jsonl` and the facts of each run."""
    facts, epochs, observed = [], [], []
    for key, (rows, known) in runs.items():
        named = dict(zip(KEY, key, strict=True))
        facts.append(named | known)
        for row in rows:
            # An epoch may have no test.
            row = row | {name: None for name in TEST if name not in row}
            seen = row.pop("observed", {})
            epochs.append(named | row)
            observed += [
                named
                | {"epoch": row["epoch"], "name": name}
                | {"index": index, "number": number}
                for name, numbers in seen.items()
                for index, number in enumerate(np.ravel(numbers))
            ]
    return Rows(
        about,
        _table(facts, FACTS),
        _table(epochs, ("epoch", "train_loss", *TEST)),
        _table(observed, _OBSERVED),
    )


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table by run; without rows it has these columns."""
    table = pd.DataFrame(rows, columns=None if rows else [*KEY, *columns])
    return table.astype({name: TYPES[name] for name in table}).set_index(KEY)


def of_block(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a block, by arm and seed."""
    return table[table.index.isin([name], "block")].droplevel("block")


def donor_of(arm: Mapping[str, Any]) -> str | None:
    """The arm that an arm is matched with; None if it is matched with none."""
    if arm["matched"] is None:
        return None
    # Parts of before the donor was kept: `borrowed-lagged` borrows of `lcam-lagged`.
    return arm.get("donor") or arm["name"].replace("borrowed", "lcam")


def lender_of(matched: str | None, seed: int) -> int:
    """The seed of the run that an arm is matched with: most often its own.

    Seeds borrow in pairs, 0 and 1, 2 and 3, so that more seeds change no donor.
    """
    return seed ^ 1 if matched == "borrowed" else seed


def unique(things: Sequence[Any]) -> list[Any]:
    """Each once, in the order of the first."""
    return [each for place, each in enumerate(things) if each not in things[:place]]


# --- On disk --------------------------------------------------------------------------

AGAIN = "Take a fresh copy, or repeat the study's command, which writes it again."


@contextlib.contextmanager
def reading(what: object, advice: str = AGAIN) -> Iterator[None]:
    """Says in one message that files are damaged, whatever is raised in its block."""
    try:
        yield
    except records.UNREADABLE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"cannot read {what}: {reason}. {advice}") from None


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Writes `study.json`."""
    replace(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def write_csv(path: Path, table: pd.DataFrame, **options) -> None:
    """Writes a table; without rows, there is none."""
    if len(table):
        replace(path, table.to_csv(lineterminator="\n", **options))
    else:
        with writing(path.parent):
            path.unlink(missing_ok=True)


def read_rows(folder: Path) -> Rows:
    """Reads what `train.reports.outcomes.write_tables` wrote."""
    about = read_about(folder)
    with reading(folder):
        tables = [_read_csv(folder / f"{name}.csv") for name in Rows._fields[1:]]
        rows = Rows(about, *tables)
        planned = {
            (block["name"], arm["name"]): _num_epochs(block, arm)
            for block in about["blocks"]
            for arm in block["arms"]
        }
        lost = diverged(rows)
        for key, epochs in rows.epochs.groupby(KEY).epoch:
            number = len(epochs) if key in lost else planned[key[:2]]
            if list(epochs) != list(range(1, number + 1)):
                raise ValueError(f"epochs.csv has the epochs {list(epochs)} of {key}")
        if set(rows.runs.index) != set(rows.epochs.index):
            raise ValueError("runs.csv and epochs.csv have other runs")
    return rows


def _read_csv(path: Path) -> pd.DataFrame:
    if path.stem == "observed" and not path.exists():
        return _table([], _OBSERVED)
    text = path.read_text()
    if not text.endswith("\n"):
        raise ValueError(f"{path.name} ends within a line")
    known = {*KEY, *FACTS}  # and outcomes, which are worked out again
    table = pd.read_csv(
        io.StringIO(text),
        dtype=TYPES,
        keep_default_na=False,  # an arm may be called NA
        na_values=[""],
        usecols=(lambda name: name in known) if path.stem == "runs" else None,
    )
    return table.set_index(KEY)


def read_about(folder: Path) -> dict[str, Any]:
    """Reads `study.json`."""
    path = folder / ABOUT
    if not path.is_file():
        raise InputError(
            f"{folder} holds no {ABOUT}: name the folder of a study or a comparison, "
            "or the report/ in it. A run has no report: `python -m train plot` draws "
            "it. Older versions of the program did not write this file."
        )
    with reading(path):
        about = json.loads(path.read_text())
        version = about["format"]
        names = [block["name"] for block in about["blocks"]]
        if not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
            raise ValueError("pictures have the names of blocks")
    if version != FORMAT:
        raise InputError(
            f"{path} is of another version of the program: its format is {version}, "
            f"and this version reads {FORMAT}. Use the version that wrote it."
        )
    return about


def diverged(rows: Rows) -> pd.Index:
    """The runs whose last loss was not finite."""
    last = rows.epochs.groupby(KEY, sort=False).tail(1)
    return last.index[last[["train_loss", "test_loss"]].isna().any(axis=1)]


def _num_epochs(block: dict[str, Any], arm: dict[str, Any]) -> int:
    return arm.get("epochs") or block["experiment"]["epochs"]


# --- Collected from the folders of runs -----------------------------------------------


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
            epochs = _num_epochs(block, arm)
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
    with reading(f"the runs in {folder}", _repeated("the damaged one")):
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


def _repeated(run: Path | str) -> str:
    return f"Move {run} away, and this run will be repeated."

"""The rows that a run writes, and how they are read back.

`metrics.jsonl` has a row an epoch, `steps.csv` a row a step. A run that dies leaves the
rows of what it has done. `finished.json` says that a run came to its end.
"""

import contextlib
import csv
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import InputError
from train.paths import expand
from train.runs.writing import replace, writing

# What reading a file raises that is missing, damaged, or another than it should be.
UNREADABLE = (
    *(OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(RecursionError, csv.Error),
)

AGAIN = "Resume the run with --resume, which writes it again."
FINISHED = "finished.json"
NETWORK = "network.json"
CHECKPOINTS = "checkpoints"
ROWS = ("metrics.jsonl", "steps.csv")
STEP_COLUMNS = ("step", "loss", "average_loss", "phase", "momentum")


@contextlib.contextmanager
def reading(what: Path | str, advice: str) -> Iterator[None]:
    """Says in one line that a file cannot be read, whatever is wrong with it."""
    try:
        yield
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "it was changed or damaged"
        raise InputError(f"cannot read {what}: {reason}. {advice}") from None


def check_is_run(folder: Path) -> None:
    """Refuses a folder that is not that of a run."""
    if not (folder / "config.json").exists():
        raise InputError(
            f"{folder} holds no run: name the folder of a run, which has a config.json."
            " The command `python -m train runs` lists the runs below a folder."
        )
    if (folder / "runs").is_dir() and not (folder / "metrics.jsonl").exists():
        raise InputError(
            f"{folder} is the folder of a comparison or a study: name one of its runs. "
            f"The command `python -m train runs {folder}` lists them."
        )


def read_network(folder: Path) -> dict[str, Any]:
    """Reads what is known of a run's network, and of the data that it was made for."""
    if not (folder / NETWORK).exists():
        raise InputError(
            f"{folder} holds no {NETWORK}: its run has not begun, or is of an older "
            "version of the program. Repeat the run's command."
        )
    with reading(folder / NETWORK, AGAIN):
        about = json.loads((folder / NETWORK).read_text())
        return about | {"input_shape": tuple(about["input_shape"])}


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Appends an epoch's row to `metrics.jsonl`; NaN becomes null."""
    finite = {
        key: None if isinstance(number, float) and not math.isfinite(number) else number
        for key, number in row.items()
    }
    with writing(folder), (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(finite) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Reads `metrics.jsonl`."""
    with (folder / "metrics.jsonl").open() as file:
        return [json.loads(line) for line in file]


def append_steps(folder: Path, rows: Iterable[tuple]) -> None:
    """Appends steps' rows, in the order of `STEP_COLUMNS`, to `steps.csv`."""
    path = folder / "steps.csv"
    is_new = not path.exists()
    with writing(folder), path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(STEP_COLUMNS)
        writer.writerows(rows)


def read_steps(folder: Path) -> dict[str, list[float]]:
    """Reads `steps.csv` by column."""
    with (folder / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in STEP_COLUMNS}


def first_loss(folder: Path) -> float:
    """Reads the loss of a run's first step."""
    with (folder / "steps.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["loss"])


def read_phases(folder: Path, num_steps: int) -> np.ndarray:
    """Reads the phases of a run, which must have so many: float32, 0 or 1."""
    phases = np.array([])
    with contextlib.suppress(*UNREADABLE):
        phases = np.array(read_steps(expand(folder))["phase"])
    if len(phases) != num_steps or not np.isin(phases, (0, 1)).all():
        raise InputError(
            f"--phases-of {folder} must be a run of {num_steps} steps with phases, got "
            f"{len(phases)}: name the folder of a run with sgd or lcam, and with the "
            "same epochs, data and batches."
        )
    return phases.astype(np.float32)


def seal(folder: Path) -> dict[str, tuple[int, str]]:
    """Length in bytes and SHA-256 sum of each file of rows, as they are now."""
    contents = {name: _content(folder / name) for name in ROWS}
    return {name: (len(x), _sha256(x)) for name, x in contents.items()}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def cut_rows(folder: Path, seals: dict[str, Sequence]) -> None:
    """Cuts the rows to what they were when they were sealed; without a seal to none.

    Where they were changed, or are missing, nothing is dropped, and that is told.
    """
    kept = {}
    for name in ROWS:
        path = folder / name
        length, sha256 = seals.get(name, (0, _sha256(b"")))
        content = _content(path)[:length]
        if len(content) < length or _sha256(content) != sha256:
            raise InputError(
                f"{path} was changed or damaged: it does not hold the rows that were "
                "there when the last checkpoint was saved. Take it from a copy, or "
                f"move {folder} away to start again."
            )
        kept[path] = content
    for path, content in kept.items():
        if content:
            replace(path, content)
        else:
            path.unlink(missing_ok=True)


def steps_in(folder: Path) -> list[int]:
    """The steps of the checkpoints of a run, oldest first."""
    path = folder / CHECKPOINTS
    # Orbax gives a checkpoint its number when it is whole.
    names = [each.name for each in path.iterdir()] if path.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def best_step(folder: Path, done: int) -> int | None:
    """The step up to `done` with the lowest validation error, the first of several."""
    with reading(f"the rows of {folder}", "Take them from a copy."):
        data = json.loads((folder / "config.json").read_text())["data"]
        is_there = data["validation"] and (folder / "metrics.jsonl").exists()
        errors = [
            (row["test_error"], row["step"])
            for row in (read_metrics(folder) if is_there else ())
            if row["step"] <= done and row.get("test_error") is not None
        ]
    return min(errors)[1] if errors else None


def chosen_step(folder: Path, asked: int | str | None) -> int:
    """The step of the checkpoint that is asked for, or of the newest."""
    newest = max(steps := steps_in(folder), default=0)
    step = best_step(folder, newest) if asked == "best" else int(asked or newest)
    if step in steps:
        return step
    if steps:
        advice = " With --validation, --keep-best keeps that of the best whole epoch."
        raise InputError(
            f"--step must be that of a checkpoint in {folder}: "
            f"{', '.join(map(str, steps))}; got {asked}.{advice * (asked == 'best')}"
        )
    if has_finished(folder):
        raise InputError(
            f"{folder} has finished, and kept no checkpoint. Studies and comparisons "
            "keep those of their runs with --keep-checkpoints 1."
        )
    raise InputError(
        f"{folder} has no checkpoint yet. A run saves one at its end, when it is "
        "stopped, and after --checkpoint-minutes."
    )


def has_finished(folder: Path) -> bool:
    """Whether a run came to its end: it may have left no checkpoint."""
    return (folder / FINISHED).exists()


def write_finished(folder: Path, step: int) -> None:
    """Notes that a run came to its end with `step` steps: its last act."""
    replace(folder / FINISHED, json.dumps({"step": step}) + "\n")


def has_diverged(rows: list[dict[str, Any]]) -> bool:
    """Whether a run's last loss was not finite."""
    # An epoch without a test has no such entry.
    return rows[-1]["train_loss"] is None or rows[-1].get("test_loss", 0.0) is None


def read_ended(folder: Path, epochs: int) -> list[dict[str, Any]] | None:
    """Reads the `metrics.jsonl` of a run that has finished or diverged; else None.

    One that was damaged has not: going on with it will tell.
    """
    with contextlib.suppress(*UNREADABLE):
        rows = read_metrics(folder)
        is_whole = [row["epoch"] for row in rows] == list(range(1, epochs + 1))
        if is_whole and has_finished(folder):
            return rows
        config = json.loads((folder / "config.json").read_text())
        if has_diverged(rows) and config["on_nan"] == "stop":
            return rows
    return None


def mean_of(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    """Mean over the epochs of what a run reports; None if it has no such thing."""
    numbers = [row[name] for row in rows]
    if None in numbers:
        return None
    # `sum` rounds otherwise in Python 3.12 than before.
    return math.fsum(numbers) / len(numbers)

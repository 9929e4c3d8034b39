"""What a run leaves on disk, and how it is read back.

`config.json` is the experiment, `provenance.json` what it ran on, `metrics.jsonl` has
a row an epoch, `steps.csv` a row a step. A run that dies leaves what it has done.
"""

import contextlib
import csv
import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from train.errors import BusyError, InputError
from train.paths import expand
from train.provenance import environment

# Options that may be others when a run, a comparison or a study goes on.
FREE_OPTIONS = (
    *("out", "resume", "seeds", "budget", "phases_of"),
    # How it is computed, which changes rounding at most, and how often it is saved.
    *("devices", "data_on", "steps_per_call"),
    *("coordinator", "num_processes", "process_id"),
    *("checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "on_nan"),
)

# What reading a file raises that is damaged, or another than it should be.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError)

STEP_COLUMNS = ("step", "loss", "average_loss", "phase", "momentum")


def new_folder(out: Path | None, default_name: str, config: Any, **facts: Any) -> Path:
    """Makes the folder of a run, and never touches one that holds something.

    `config.json`, with the options and `facts` about the data, claims it: of two
    processes that come at once, one is refused.

    Args:
      out: the folder asked for; `None` for the first free one of `runs/NAME`,
        `runs/NAME-2`, `runs/NAME-3`, ...
      default_name: NAME.
      config: the options.
      **facts: what else a resumed run must agree with.

    Raises:
      InputError: `out` holds something, or cannot be made or written to.
    """
    if out is None:
        out = first_free(Path("runs") / default_name)
    out = expand(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InputError(
                f"--out {out} is not empty, and nothing in it shall be lost: name a "
                "new folder, leave --out away to have one made, or go on with the run "
                "in it with --resume."
            )
        with (out / "config.json").open("x") as file:
            file.write(_claim(config, facts))
    except FileExistsError:
        raise InputError(
            f"--out {out} is a file, or another run has just begun there: name another "
            "folder."
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot write to --out {out}: {error.strerror}. Name a folder that can be "
            "made and written to."
        ) from None
    return out


def first_free(name: Path, ending: str = "") -> Path:
    """The first path that is not taken of NAME, NAME-2, NAME-3, ..., with an ending."""
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    paths = (Path(f"{name}{number}{ending}") for number in numbers)
    return next(path for path in paths if not path.exists())


def open_folder(config: Any, default_name: str, **facts: Any) -> Path:
    """A new folder, claimed, or with `--resume` the one in `--out`; see `new_folder`.

    Raises:
      InputError: it cannot be used, or what is in it had other options or data.
    """
    if config.resume:
        folder = expand(config.out)
        if (folder / "config.json").exists():
            check_claim(folder, config, **facts)
            return folder
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(
                f"{folder} holds no config.json: it is not the folder of a run, or it "
                "was damaged. Name the run's folder, or another --out to begin anew."
            )
    return new_folder(config.out, default_name, config, **facts)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a run to one process; a process that dies gives it up.

    Raises:
      BusyError: another process has it.
    """
    lock = filelock.FileLock(folder / ".lock", blocking=False)
    with writing(folder):
        try:
            lock.acquire()
        except filelock.Timeout:
            raise BusyError(
                f"another process is at work in {folder}: wait for it, or name another "
                "--out."
            ) from None
    try:
        yield
    finally:
        lock.release()


def check_claim(
    folder: Path, config: Any, *, only_saved: bool = False, **facts: Any
) -> None:
    """Makes sure that the run in a folder is this one, before going on with it.

    Args:
      folder: of the run.
      config: the options.
      only_saved: whether options that it did not know are left out, as for a run that
        has ended: they were at their defaults.
      **facts: what else must agree.

    Raises:
      InputError: its options or its data were others.
    """
    try:
        saved = _flat(json.loads((folder / "config.json").read_text()))
        if not saved:
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise InputError(
            f"cannot read {folder / 'config.json'}, the options of the run to go on "
            f"with: move {folder} away, or name another folder with --out."
        ) from None
    ours = _flat(config_as_json(config) | facts)
    differing = [
        f"{key} was {saved.get(key)}, is {number}"
        for key, number in ours.items()
        if key not in FREE_OPTIONS
        and (key in saved or not only_saved)
        and number != saved.get(key)
    ]
    if differing:
        raise InputError(
            f"the run in {folder} cannot go on as another one: "
            f"{'; '.join(differing[:3])}. Repeat its command and data, or name another "
            "--out."
        )


def renew_claim(folder: Path, config: Any, **facts: Any) -> None:
    """Writes the options anew, after `check_claim`: there may be more seeds."""
    replace(folder / "config.json", _claim(config, facts))


def digest(config: Any, **facts: Any) -> str:
    """A SHA-256 sum, equal for runs that may go on as each other."""
    options = _flat(config_as_json(config) | facts)
    fixed = {name: options[name] for name in options if name not in FREE_OPTIONS}
    return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()


def _claim(config: Any, facts: dict[str, Any]) -> str:
    return json.dumps(config_as_json(config) | facts, indent=2) + "\n"


def read_finished(folder: Path, epochs: int) -> list[dict[str, Any]] | None:
    """Reads the `metrics.jsonl` of a run that has ended; None if it has not.

    One that was damaged has not: going on with it will tell.
    """
    with contextlib.suppress(*UNREADABLE):
        rows = read_metrics(folder)
        is_whole = [row["epoch"] for row in rows] == list(range(1, epochs + 1))
        # The last checkpoint is a run's last act.
        if is_whole and (folder / "checkpoints" / str(rows[-1]["step"])).is_dir():
            return rows
    return None


def has_diverged(rows: list[dict[str, Any]]) -> bool:
    """Whether a run's last loss was not finite."""
    return rows[-1]["train_loss"] is None or rows[-1]["test_loss"] is None


def read_ended(folder: Path, epochs: int) -> list[dict[str, Any]] | None:
    """Reads the `metrics.jsonl` of a run that has finished or diverged; else None."""
    rows = read_finished(folder, epochs)
    if rows is not None:
        return rows
    with contextlib.suppress(*UNREADABLE):
        rows = read_metrics(folder)
        return rows if has_diverged(rows) else None
    return None


def config_as_json(config: Any) -> dict[str, Any]:
    """The options as JSON gives them back: paths as strings, tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def _flat(options: Any) -> dict[str, Any]:
    """Takes the options out of their groups: no two have one name."""
    flat: dict[str, Any] = {}
    for key, number in options.items() if isinstance(options, dict) else ():
        flat |= _flat(number) if isinstance(number, dict) else {key: number}
    return flat


def add_provenance(folder: Path, **facts: Any) -> None:
    """Adds what is needed to redo the run, and `facts`, to `provenance.json`.

    The file is a list, with an entry for each time the run was started or resumed.
    """
    path = folder / "provenance.json"
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        entries = []
    if not isinstance(entries, list):
        entries = []
    entry = environment() | facts
    replace(path, json.dumps([*entries, entry], indent=2) + "\n")


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


def read_phases(folder: Path, num_steps: int) -> np.ndarray:
    """Reads the phases of a run: float32 [num_steps], 0 or 1.

    Raises:
      InputError: there are none, or not of so many steps.
    """
    try:
        phases = np.array(read_steps(expand(folder))["phase"])
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        phases = np.array([])
    if len(phases) != num_steps or not np.isin(phases, (0, 1)).all():
        raise InputError(
            f"--phases-of {folder} must be a run of {num_steps} steps, got "
            f"{len(phases)} with phases: name the folder of a run with sgd or lcam, as "
            "many epochs, and the same data and batches."
        )
    return phases.astype(np.float32)


def keep_rows(folder: Path, epochs: int, steps_per_epoch: int) -> None:
    """Drops the rows after `epochs` epochs, and what a dying run left half written.

    Raises:
      InputError: rows up to there are missing or damaged; nothing is dropped then.
    """
    metrics = [f'{{"epoch": {number},' for number in range(1, epochs + 1)]
    steps = [f"{number}," for number in range(1, epochs * steps_per_epoch + 1)]
    if steps:
        steps = [",".join(STEP_COLUMNS), *steps]
    kept = {}
    for name, beginnings in {"metrics.jsonl": metrics, "steps.csv": steps}.items():
        path = folder / name
        text = path.read_text(errors="replace") if path.exists() else ""
        kept[path] = text.splitlines(keepends=True)[: len(beginnings)]
        is_whole = len(kept[path]) == len(beginnings) and all(
            line.startswith(beginning) and line.endswith("\n") and "\ufffd" not in line
            for line, beginning in zip(kept[path], beginnings, strict=True)
        )
        if not is_whole:
            raise InputError(
                f"{path} was changed or damaged: it does not hold the rows of the "
                f"{epochs} epochs before the last checkpoint. Move {folder} away to "
                "begin anew."
            )
    for path, lines in kept.items():
        if lines:
            replace(path, "".join(lines))
        else:
            path.unlink(missing_ok=True)


def replace(path: Path, text: str) -> None:
    """Writes a file as `write_whole` does.

    Raises:
      InputError: the disk does not take it.
    """
    with writing(path.parent):
        write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is old or new at any moment, never half."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says where, and what to do, if the disk does not take what is written.

    Raises:
      InputError: it does not.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror}. Make room, or the folder "
            "writable; --resume then goes on with what is there."
        ) from None

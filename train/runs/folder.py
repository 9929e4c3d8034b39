"""The folder of a run: how it is made, claimed by one process, and resumed.

`config.json` holds the options of the run and says that the folder is taken.
`provenance.json` says what the run ran on.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from train import notes
from train.errors import InputError
from train.paths import expand, printable
from train.runs.provenance import environment
from train.runs.records import reading
from train.runs.writing import no_link, replace, writing
from train.settings.optimizer import parse_optimizer
from train.settings.options import VALIDATION_SPLIT, own_sha256, parse_network

# Options that may be others when a run, a comparison or a study goes on.
FREE_OPTIONS = (
    *("out", "resume", "seeds", "budget", "report", "phases_of"),
    # How it is computed, which changes rounding at most, and how often it is saved.
    *("device", "deterministic", "devices", "steps_per_call"),
    "threads",  # but see `check_claim`
    "data_on",  # of versions before this one
    *("coordinator", "num_processes", "process_id"),
    *("checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "on_nan"),
    *("keep_best", "quiet", "compile_cache", "tensorboard"),
    *("ray", "gpus_per_run", "workers", "verbose"),
)
OLD_SPLIT = "the last examples"  # of earlier versions: what --validation took
# Files of one's own, as options name them: the group of each option, and its reader.
_OWN = {
    "network": ("model", parse_network),
    "optimizer": ("optimizer", parse_optimizer),
}
_ADVICE = "Name a folder that can be made and written to."


def _goes_on(out: Path, config: Any, *, resume: bool, **facts: Any) -> bool:
    """Whether something in a folder is to be continued; refuses what cannot be used."""
    parent = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not parent.is_dir():
        raise InputError(f"cannot write to --out {out}: {parent} is a file. {_ADVICE}")
    is_claimed = (out / "config.json").exists()
    if is_claimed and resume:
        check_claim(out, config, **facts)
        return True
    is_free = not out.exists() or not any(out.iterdir())
    if resume and not is_free:
        raise InputError(
            f"--out {out} is not empty and holds no config.json: it is not the folder "
            "of a run, or it was damaged. Name the folder of a run, or a new one."
        )
    if not is_free:
        more = ", or add --resume to continue what is in it" if is_claimed else ""
        raise InputError(
            f"--out {out} is not empty, and nothing in it is overwritten: name a new "
            f"folder, or leave out --out to have one made{more}."
        )
    return False


def check_folder(out: Path | None, config: Any, *, resume: bool) -> None:
    """Makes sure that `--out` can be used, as far as can be told without the data."""
    _claim(config, {})  # reads the files of one's own
    if out is None or _goes_on(out := expand(out), config, resume=resume):
        return
    if resume:
        where = printable(str(out))
        notes.say(f"nothing to continue in {where}: --resume starts from the beginning")
    parent = next(path for path in out.absolute().parents if path.exists())
    try:
        if not out.exists():
            tempfile.TemporaryDirectory(dir=parent).cleanup()
    except OSError as error:
        raise InputError(
            f"cannot write to --out {out}: {parent}: {error.strerror}. {_ADVICE}"
        ) from None


def open_folder(config: Any, default_name: str, **facts: Any) -> Path:
    """A new folder, claimed, or the one that `--resume` continues."""
    if config.resume:
        out = expand(config.out)
        if _goes_on(out, config, resume=True, **facts):
            return out
    return new_folder(config.out, default_name, config, **facts)


def new_folder(out: Path | None, default_name: str, config: Any, **facts: Any) -> Path:
    """Makes the folder of a run, and never touches one that holds something.

    `config.json` claims it: of two processes that come at once, one is refused.
    Without `out` it is the first free one of `runs/NAME`, `runs/NAME-2`, ...; `facts`
    are what else a resumed run must agree with.
    """
    if out is None:
        numbers = itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
        names = (Path("runs") / f"{default_name}{number}" for number in numbers)
        out = next(path for path in names if not path.exists())
    out = expand(out)
    try:
        _goes_on(out, config, resume=False)
        out.mkdir(parents=True, exist_ok=True)
        _write_claim(out, _as_text(_claim(config, facts)))
    except OSError as error:
        is_late = isinstance(error, FileExistsError)
        reason = "another run just started there" if is_late else error.strerror
        raise InputError(f"cannot write to --out {out}: {reason}. {_ADVICE}") from None
    return out


def _write_claim(folder: Path, text: str) -> None:
    """Writes `config.json` whole at once; raises `FileExistsError` if it is there."""
    claim, new = folder / "config.json", folder / f"config.json.{os.getpid()}.new"
    new.write_text(text)
    try:
        os.link(new, claim)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as that of a bucket
        with claim.open("x") as file:
            file.write(text)
    finally:
        new.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time use a folder; its end, even a crash, frees it."""
    lock = filelock.FileLock(no_link(folder / ".lock"), blocking=False)
    with writing(folder):
        try:
            lock.acquire()
        except filelock.Timeout:
            raise InputError(
                f"another process is using {folder}: wait until it ends, or name "
                "another --out."
            ) from None
    try:
        yield
    finally:
        lock.release()


def check_claim(
    folder: Path, config: Any, *, only_saved: bool = False, **facts: Any
) -> None:
    """Makes sure that the run in a folder is this one, before going on with it.

    A run that goes on may change some options. With `only_saved`, for one that has
    ended, options are left out that it did not know: they were at their defaults.
    """
    free = () if only_saved else getattr(config, "changeable", ())
    path = folder / "config.json"
    with reading(path, f"Move {folder} away, or name another folder with --out."):
        saved = {"validation_split": OLD_SPLIT} | _flat(json.loads(path.read_text()))
    ours = _flat(_claim(config, facts))
    for what in _OWN:
        name, was, sum_ = ours.get(what), str(saved.get(what)), f"{what}_sha256"
        if ours.get(sum_) == saved.get(sum_):
            if sum_ in ours and was.rpartition(":")[2] == name.rpartition(":")[2]:
                ours[what] = saved[what]  # its file may have been moved
        elif name == was:
            raise InputError(
                f"the file of --{what} {name} has changed since the run in {folder} "
                "began. To continue it, put the old file back: each run has a copy, "
                f"{what}.py, in its folder. For the new one, name another --out."
            )
    if ("arms" in saved) != ("arms" in ours):
        kind = "a comparison or a study" if "arms" in saved else "a single run"
        raise InputError(f"{folder} holds {kind}: name another --out.")
    differing = [
        f"{key} was {_shown(saved.get(key))}, is {_shown(number)}"
        for key, number in ours.items()
        # Without it the best network would be deleted.
        if (key not in FREE_OPTIONS or (key == "keep_best" and saved.get(key)))
        and not (key in free and type(saved.get(key)) is int)
        and (key in saved or not only_saved)
        and number != saved.get(key)
    ]
    if differing:
        raise InputError(
            f"the run in {folder} has other options or data: "
            f"{'; '.join(differing[:3])}. Repeat its command with the same options "
            "and data, or name another --out."
        )
    was, now = saved.get("threads"), ours.get("threads")
    if None not in (was, now) and was != now:
        raise InputError(
            f"the run in {folder} has {was} thread{'s' * (was != 1)}, not {now}. Sums "
            f"on a CPU are rounded by their number: add --threads {was}, or name "
            "another --out."
        )


def _shown(value: Any) -> str:
    """An option's value in a message."""
    return "not given" if value is None else str(value)


def renew_claim(folder: Path, config: Any, **facts: Any) -> None:
    """Writes the options anew, after `check_claim`: more seeds, or other epochs."""
    replace(folder / "config.json", _as_text(_claim(config, facts)))


def digest(config: Any, **facts: Any) -> str:
    """A SHA-256 sum, equal for runs that can resume each other.

    Options that a resumed run may change do not count.
    """
    options = _flat(_claim(config, facts))
    for what in _OWN:
        if f"{what}_sha256" in options:  # its file may have been moved
            options[what] = options[what].rpartition(":")[2]
    free = (*FREE_OPTIONS, *config.changeable)
    fixed = {name: options[name] for name in sorted(options) if name not in free}
    return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()


def _claim(config: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """All options, with the sums of files of the user's own."""
    options = config_as_json(config) | facts
    for what, (group, parse) in _OWN.items():
        found = options.get(group, options)  # a study has no groups
        text = found.get(what) if isinstance(found, dict) else None
        if text and (own := parse(text)):
            options[f"{what}_sha256"] = own_sha256(own)
    return options


def config_as_json(config: Any) -> dict[str, Any]:
    """The options as JSON gives them back: paths as strings, tuples as lists."""
    options = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    if isinstance(data := options.get("data"), dict) and data["validation"]:
        data["validation_split"] = VALIDATION_SPLIT
    return options


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the options out of their groups: no two have one name."""
    flat: dict[str, Any] = {}
    for key, number in options.items():
        flat |= _flat(number) if isinstance(number, dict) else {key: number}
    return flat


def add_provenance(folder: Path, **facts: Any) -> None:
    """Adds what is needed to redo the run, and `facts`, to `provenance.json`.

    The file is a list, with an entry for each time the run was started or resumed.
    """
    path = folder / "provenance.json"
    with reading(path, "Move it away to go on without it."):
        entries = json.loads(path.read_text()) if path.exists() else []
        entries = [*entries, environment() | facts]
    replace(path, _as_text(entries))


def _as_text(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"

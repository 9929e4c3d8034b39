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
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import filelock

from train import notes
from train.errors import BusyError, InputError
from train.paths import expand, printable
from train.runs.provenance import environment
from train.runs.writing import no_link, replace, writing
from train.settings.options import network_sha256

# Options that may be others when a run, a comparison or a study goes on.
FREE_OPTIONS = (
    *("out", "resume", "seeds", "budget", "report", "phases_of"),
    # How it is computed, which changes rounding at most, and how often it is saved.
    *("devices", "steps_per_call"),
    "data_on",  # of versions before this one
    *("coordinator", "num_processes", "process_id"),
    *("checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "on_nan"),
    *("quiet", "compile_cache", "tensorboard"),
)


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
        if not _is_free(out):
            raise InputError(_not_empty(out))
        _write_claim(out, _claim(config, facts))
    except FileExistsError:
        raise InputError(
            f"--out {out} is a file, or another run just started there: name another "
            "folder."
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot write to --out {out}: {error.strerror}. Name a folder that can be "
            "made and written to."
        ) from None
    return out


def _is_free(folder: Path) -> bool:
    """Whether nothing is in a folder.

    An empty `config.json` may be what a process left that was killed while it claimed
    the folder. Beside other files it is another program's.
    """
    names = [path.name for path in folder.iterdir()]
    return not names or (names == ["config.json"] and _is_empty_claim(folder))


def _is_empty_claim(folder: Path) -> bool:
    """Whether `config.json` holds nothing."""
    claim = folder / "config.json"
    return claim.is_file() and claim.stat().st_size == 0


def _write_claim(folder: Path, text: str) -> None:
    """Writes `config.json` whole at once, unless it is there.

    Raises:
      FileExistsError: it is there.
    """
    claim, new = folder / "config.json", folder / f"config.json.{os.getpid()}.new"
    if _is_empty_claim(folder):
        claim.unlink()
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


def first_free(name: Path, ending: str = "") -> Path:
    """The first path that is not taken of NAME, NAME-2, NAME-3, ..., with an ending."""
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    paths = (Path(f"{name}{number}{ending}") for number in numbers)
    return next(path for path in paths if not path.exists())


def check_folder(
    out: Path | None, config: Any, *, resume: bool, free: Container[str] = ()
) -> None:
    """Makes sure that `--out` can be used, as far as can be told without the data.

    Says so where `resume` finds nothing.

    Args:
      out: the folder asked for; None for a new one.
      config: the options.
      resume: whether to continue what is in it.
      free: as in `check_claim`.

    Raises:
      InputError: it cannot.
    """
    if out is None:
        return
    out = expand(out)
    if resume and _has_claim(out):
        check_claim(out, config, free=free)
        return
    try:
        is_free = not out.exists() or _is_free(out)
    except NotADirectoryError:
        raise InputError(f"--out {out} is a file: name another folder.") from None
    parent = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise InputError(
            f"cannot write to --out {out}: {parent} is "
            f"{'read-only' if parent.is_dir() else 'a file'}. Name a folder that can "
            "be made and written to."
        )
    if not is_free:
        raise InputError(_not_a_run(out) if resume else _not_empty(out))
    if resume:
        where = printable(str(out))
        notes.say(f"nothing to continue in {where}: --resume starts from the beginning")


def _has_claim(folder: Path) -> bool:
    """Whether a run, a comparison or a study has the folder."""
    return (folder / "config.json").exists() and not _is_empty_claim(folder)


def _not_empty(out: Path) -> str:
    go_on = ""
    if _has_claim(out):
        go_on = ", or add --resume to continue what is in it"
    return (
        f"--out {out} is not empty, and nothing in it is overwritten: name a new "
        f"folder, or leave out --out to have one made{go_on}."
    )


def _not_a_run(out: Path) -> str:
    return (
        f"--out {out} is not empty and holds no config.json: it is not the folder of a "
        "run, or it was damaged. Name the folder of a run, or a new one."
    )


def open_folder(
    config: Any, default_name: str, *, free: Container[str] = (), **facts: Any
) -> Path:
    """A new folder, claimed, or with `--resume` the one in `--out`; see `new_folder`.

    Raises:
      InputError: it cannot be used, or what is in it had other options or data.
    """
    if config.resume:
        folder = expand(config.out)
        if _has_claim(folder):
            check_claim(folder, config, free=free, **facts)
            return folder
        if folder.is_dir() and not _is_free(folder):
            raise InputError(_not_a_run(folder))
    return new_folder(config.out, default_name, config, **facts)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time use a run; its end, even a crash, frees the run.

    Raises:
      BusyError: another process has it.
    """
    lock = filelock.FileLock(no_link(folder / ".lock"), blocking=False)
    with writing(folder):
        try:
            lock.acquire()
        except filelock.Timeout:
            raise BusyError(
                f"another process is using {folder}: wait until it ends, or name "
                "another --out."
            ) from None
    try:
        yield
    finally:
        lock.release()


def check_claim(
    folder: Path,
    config: Any,
    *,
    only_saved: bool = False,
    free: Container[str] = (),
    **facts: Any,
) -> None:
    """Makes sure that the run in a folder is this one, before going on with it.

    Args:
      folder: of the run.
      config: the options.
      only_saved: whether options that it did not know are left out, as for a run that
        has ended: they were at their defaults.
      free: names of options that may be other whole numbers than they were.
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
            f"cannot read {folder / 'config.json'}, the options of the run to "
            f"continue: move {folder} away, or name another folder with --out."
        ) from None
    ours = _flat(_with_network(config) | facts)
    name, sha256 = ours.get("network"), ours.get("network_sha256")
    if sha256 == saved.get("network_sha256"):
        if sha256 and _function(str(saved.get("network"))) == _function(name):
            ours["network"] = saved["network"]  # its file may have been moved
    elif name == saved.get("network"):
        raise InputError(
            f"the file of --network {name} has changed since the run in "
            f"{folder} began. To continue it, put the old file back: each run has a "
            "copy, network.py, in its folder. For the new network, name another --out."
        )
    differing = [
        f"{key} was {saved.get(key)}, is {number}"
        for key, number in ours.items()
        if key not in FREE_OPTIONS
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


def renew_claim(folder: Path, config: Any, **facts: Any) -> None:
    """Writes the options anew, after `check_claim`: more seeds, or other epochs."""
    replace(folder / "config.json", _claim(config, facts))


def digest(config: Any, **facts: Any) -> str:
    """A SHA-256 sum, equal for runs that can resume each other.

    Options that a resumed run may change do not count.
    """
    options = _flat(_with_network(config) | facts)
    if "network_sha256" in options:  # its file may have been moved
        options["network"] = _function(options["network"])
    free = (*FREE_OPTIONS, *config.changeable)
    fixed = {name: options[name] for name in sorted(options) if name not in free}
    return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()


def _claim(config: Any, facts: dict[str, Any]) -> str:
    return json.dumps(_with_network(config) | facts, indent=2) + "\n"


def _function(network: str) -> str:
    return network.rpartition(":")[2]


def _with_network(config: Any) -> dict[str, Any]:
    """The options, and the sum of the file of a network of the user's own."""
    options = config_as_json(config)
    text = options.get("model", options).get("network")
    sha256 = network_sha256(text)
    return options | ({} if sha256 is None else {"network_sha256": sha256})


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

"""A run of a study on another machine: what goes there, and what comes back.

Files travel as bytes. No path of one machine is used on the other.
"""

import contextlib
import dataclasses
import functools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from train.data.dataset import Dataset
from train.errors import DivergedError, InputError, StoppedError
from train.runs import loop, records
from train.runs.folder import locked, renew_claim
from train.runs.writing import writing
from train.settings.experiment import Run
from train.settings.optimizer import parse_optimizer
from train.settings.options import SENT, read_own

Files = dict[str, bytes]  # of a run's folder, by their paths in it


class Job(NamedTuple):
    """A run to train, or to go on with. The folders in `config` are the sender's."""

    config: Run
    light: bool  # whether it leaves no checkpoint when it has finished
    files: Files  # so far
    phases: bytes | None  # `steps.csv` of the run whose phases it replays
    own: dict[Path, bytes]  # files of the user's own, by the paths in `config`


class Outcome(NamedTuple):
    """What a worker came to."""

    has_ended: bool  # else it was saved
    error: DivergedError | InputError | None
    files: Files


def make_job(config: Run, light: bool) -> Job:
    """Takes up a run where its folder is."""
    lender, asked = config.optimizer.phases_of, config.optimizer.optimizer
    own = [each.path for each in (config.model.own, parse_optimizer(asked)) if each]
    phases = None if lender is None else (lender / "steps.csv").read_bytes()
    return Job(config, light, _pack(config.out), phases, {p: read_own(p) for p in own})


def carry_out(job: Job, dataset: Dataset, must_stop: Callable[[], bool]) -> Outcome:
    """Trains a run to its end, or until it is time to save it."""
    has_ended, error = True, None
    SENT.update(job.own)
    since = functools.cache(time.monotonic)  # the first call: some steps come before

    def is_due() -> bool:
        minutes = job.config.checkpoint_minutes
        return must_stop() or 0 < 60 * minutes <= time.monotonic() - since()

    with scratch("lcam-run-") as lender:
        out, optimizer = lender / "run", job.config.optimizer
        _unpack(out, job.files)
        if job.phases is not None:
            (lender / "steps.csv").write_bytes(job.phases)
            optimizer = dataclasses.replace(optimizer, phases_of=lender)
        config = dataclasses.replace(job.config, out=out, optimizer=optimizer)
        try:
            loop.run(config, dataset, quiet=True, light=job.light, is_due=is_due)
        except StoppedError:
            has_ended = records.has_finished(out)
        except (DivergedError, InputError) as caught:
            error = caught
        return Outcome(has_ended, error, _pack(out))


def settle(config: Run, files: Files, **origin: object) -> None:
    """Makes a run's folder what came back, never half.

    `origin` is of this machine: the command, and the commit of the code.
    """
    if "provenance.json" not in files:  # it had not begun
        return
    new, old = (config.out.with_name(config.out.name + end) for end in (".new", ".old"))
    saved, starts = (json.loads(files[f"{n}.json"]) for n in ("config", "provenance"))
    starts[-1] |= origin
    files["provenance.json"] = (json.dumps(starts, indent=2) + "\n").encode()
    with writing(config.out):
        for left in (new, old):  # by a kill
            shutil.rmtree(left, ignore_errors=True)
        _unpack(new, files)
        facts = {n: saved[n] for n in ("data_sha256", "phases_sha256") if n in saved}
        renew_claim(new, config, **facts)
        if config.out.exists():
            config.out.rename(old)
        new.rename(config.out)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def scratch(prefix: str, place: str | None = None) -> Iterator[Path]:
    """A folder for this process; removes those of processes that were killed."""
    for left in Path(place or tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError, InputError):  # another user's; or in use
            # A newer one may not be locked yet.
            if time.time() - left.stat().st_mtime > 60:
                with locked(left):
                    shutil.rmtree(left)
    new = tempfile.TemporaryDirectory(
        prefix=prefix, dir=place, ignore_cleanup_errors=True
    )
    with new as folder, locked(Path(folder)):
        yield Path(folder)


def _pack(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def _unpack(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

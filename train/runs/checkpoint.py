"""Checkpoints, by Orbax: the whole training state after a step.

A checkpoint is a folder, `checkpoints/STEP`: Orbax renames it into place when it is
written, so it is whole or absent. `about` in it says which run and step it is of, and
has checksums: Orbax does not notice a bit that has changed on the disk.
"""

import contextlib
import functools
import json
import logging
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from train.engine.program import StepMetrics, TrainState
from train.errors import InputError
from train.runs import records
from train.runs.records import CHECKPOINTS
from train.runs.writing import no_link
from train.settings.experiment import Run

_GO_ON = "Move {} away to continue from an earlier one, or from the beginning."


class Snapshot(NamedTuple):
    """Where a run is: all that its next step depends on, and what it has to report.

    Its arrays are whole and on the host, so that any number of devices can go on.
    """

    state: TrainState
    metrics: StepMetrics  # of the epoch's steps so far, [steps per epoch]; NaN beyond
    phase_before: np.ndarray  # float32 [], before the epoch's first step


class Checkpoints(contextlib.AbstractContextManager):
    """Saves in the background. A context: leaving it waits for the disk.

    Args:
      folder: of the run.
      config: of the run: how many are kept, and whether the best is.
      run: says which run it is, the same whenever it goes on.
    """

    def __init__(self, folder: Path, config: Run, run: str):
        import orbax.checkpoint as ocp  # takes two seconds: not for `--help`

        _expect_noise()
        self._args, self._folder, self._run = ocp.args, folder, run
        self._config = config
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self,
            create=False,
            cleanup_tmp_directories=True,
            multiprocessing_options=_alone(),
        )
        # Orbax insists on an absolute path.
        self._path = no_link(folder.resolve() / CHECKPOINTS)
        with self._writing(" Or is the folder read-only?"):
            self._path.mkdir(exist_ok=True)
            self._manager = ocp.CheckpointManager(self._path, options=options)
        # Orbax would ask JAX too whether it is time to stop, with steps where
        # `train.runs.stop` counts calls: the processes would never agree.
        self._manager.reached_preemption = lambda step: False

    def __exit__(self, *exception: object) -> None:
        """Waits for checkpoints on their way to the disk."""
        with self._writing():
            self._manager.close()

    def save(self, step: int, epochs: int, snapshot: Snapshot) -> None:
        """Saves where the run is, after so many steps. The arrays must not change.

        `epochs` are done: trained, tested, and in the rows.
        """
        about = {"run": self._run, "step": step, "epochs": epochs}
        about |= {"rows": records.seal(self._folder), "crc32": _crc32(snapshot)}
        about["sum"] = _sum(about)
        items = self._args.Composite(
            snapshot=self._args.StandardSave(snapshot),
            about=self._args.JsonSave(about),
        )
        with self._writing():
            self._manager.save(step, args=items)

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Which are kept once the last of them is written: Orbax asks."""
        steps = [each.step for each in checkpoints]
        kept = (*steps[-self._config.keep_checkpoints :], self.best(steps[-1]))
        return [step in kept for step in steps]

    def best(self, done: int) -> int | None:
        """The step up to `done` that is kept as the best, if one is to be."""
        return records.best_step(self._folder, done) if self._config.keep_best else None

    def _writing(self, more: str = "") -> contextlib.AbstractContextManager[None]:
        return _explained(self._path, "write", f"Is the disk full?{more}")


def read_about(folder: Path, step: int, run: str) -> tuple[int, dict[str, Any]]:
    """The epochs that were done at a checkpoint of a run, and what sealed the rows."""
    for path in (folder / CHECKPOINTS, *(folder / CHECKPOINTS).iterdir()):
        no_link(path)
    path = (folder / CHECKPOINTS / str(step)).resolve()
    with _explained(path, "read", _GO_ON.format(path)):
        about = _about(path)
        if about["run"] != run:
            raise ValueError(f"step {step} is of another run.")
        return about["epochs"], about["rows"]


def restore(folder: Path, step: int, like: Snapshot | None = None) -> Any:
    """Restores what was saved: as nested dicts, or with the structure of `like`."""
    import orbax.checkpoint as ocp

    _expect_noise()
    path = (folder / CHECKPOINTS / str(step)).resolve()
    advice = "Name an earlier one with --step, or repeat the run."
    with _explained(path, "read", advice if like is None else _GO_ON.format(path)):
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as reader:
            snapshot = reader.restore(path / "snapshot", like)
        if _about(path)["crc32"] != _crc32(snapshot):
            raise ValueError(f"step {step} has changed since it was saved.")
    return snapshot


def discard(folder: Path) -> None:
    """Deletes all checkpoints of a run."""
    for step in records.steps_in(folder):
        shutil.rmtree(folder / CHECKPOINTS / str(step), ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it
        (folder / CHECKPOINTS).rmdir()


def _about(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: that it is the one of its step."""
    try:
        about = json.loads((path / "about" / "metadata").read_text())
    except FileNotFoundError:
        raise ValueError("it was written by another version.") from None
    if about.pop("sum", None) not in (None, _sum(about)):  # older ones have none
        raise ValueError(f"step {path.name} has changed since it was saved.")
    if about["step"] != int(path.name):
        raise ValueError(f"it is of step {about['step']}, and not of {path.name}.")
    return about


def _alone() -> Any:
    """Orbax would wait for processes that have nothing to read or write."""
    from orbax.checkpoint.options import MultiprocessingOptions

    return MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first"
    )


@contextlib.contextmanager
def _explained(path: Path, verb: str, advice: str) -> Iterator[None]:
    """Says in one line that a checkpoint cannot be read or written."""
    try:
        yield
    except Exception as error:  # Orbax raises all kinds, Exception itself included
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"cannot {verb} the checkpoint in {path}: "
            f"{reason[:200].rstrip(' .')}. {advice}"
        ) from None


@functools.cache  # once
def _expect_noise() -> None:
    """Keeps quiet what Orbax's threads say of a failure that comes as an exception."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        # Of the arrays that are given up when one fails, now or a little later.
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = report_others


def path_of(keys: tuple[Any, ...]) -> str:
    """The name of a leaf: a tree and its copy in a checkpoint differ in their nodes."""
    parts = (getattr(key, "key", getattr(key, "idx", key)) for key in keys)
    return "/".join(str(getattr(part, "name", part)) for part in parts)


def by_path(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree, sorted by their names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return dict(sorted((path_of(keys), np.asarray(leaf)) for keys, leaf in leaves))


def _sum(about: dict[str, Any]) -> int:
    """A checksum of what a checkpoint says of itself."""
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _crc32(tree: Any) -> int:
    """A checksum of arrays, the same of a snapshot and of the nested dicts of it."""
    checksum = 0
    for array in by_path(tree).values():
        checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return checksum

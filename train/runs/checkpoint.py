"""Checkpoints, by Orbax: the whole training state after a step."""

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


class Snapshot(NamedTuple):
    """Where a run is: all that its next step depends on, and what it has to report.

    Its arrays are whole and on the host, so that any number of devices can go on.

    Attributes:
      state: after the step.
      metrics: of the epoch's steps so far, [steps per epoch]; NaN beyond.
      phase_before: float32 [], the phase before the epoch's first step, as in
        `StepMetrics`.
    """

    state: TrainState
    metrics: StepMetrics
    phase_before: np.ndarray

    def is_finite(self) -> bool:
        """Whether the state holds no NaN and no infinity."""
        return all(np.isfinite(array).all() for array in jax.tree.leaves(self.state))


class Checkpoints:
    """The checkpoints of a run, newest last.

    A checkpoint is whole or absent: Orbax renames it into place when it is written.
    Saving goes on in the background; leaving the context waits for it.

    Args:
      folder: of the run.
      keep: how many are kept, at least 1.
      run: says which run it is, the same whenever it goes on.

    Raises:
      InputError: their folder is a link, or cannot be made.
    """

    def __init__(self, folder: Path, keep: int, run: str):
        import orbax.checkpoint as ocp  # takes two seconds: not for `--help`

        _expect_noise()
        self._ocp, self._folder, self._run = ocp, folder, run
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=False,
            cleanup_tmp_directories=True,
            # Orbax would wait for processes that have nothing to write.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix="first"
            ),
        )
        # Orbax insists on an absolute path.
        self._path = no_link(folder.resolve() / CHECKPOINTS)
        with _explained(
            self._path, "write", "Is the disk full, or the folder read-only?"
        ):
            self._path.mkdir(exist_ok=True)
            for path in self._path.iterdir():
                no_link(path)
            self._manager = ocp.CheckpointManager(self._path, options=options)
        # Orbax would ask JAX too whether it is time to stop, with steps where
        # `train.runs.stop` counts calls: the processes would never agree.
        self._manager.reached_preemption = lambda step: False

    def __enter__(self) -> "Checkpoints":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Waits for checkpoints on their way to the disk."""
        with _explained(self._path, "write", "Is the disk full?"):
            self._manager.close()

    def last_step(self) -> int:
        """Steps taken at the newest checkpoint; 0 without one."""
        return self._manager.latest_step() or 0

    def save(self, step: int, epochs: int, snapshot: Snapshot) -> None:
        """Saves where the run is. The arrays must not change any more.

        Args:
          step: steps that are taken.
          epochs: that are done: trained, tested, and in the rows.
          snapshot: what to save.

        Raises:
          InputError: this checkpoint, or one before, cannot be written.
        """
        about = {
            "run": self._run,
            "step": step,
            "epochs": epochs,
            "rows": records.seal(self._folder),
            "crc32": _crc32(snapshot),
        }
        args = self._ocp.args
        with _explained(self._path, "write", "Is the disk full?"):
            self._manager.save(
                step,
                args=args.Composite(
                    snapshot=args.StandardSave(snapshot), about=args.JsonSave(about)
                ),
            )

    def restore(
        self, step: int, like: Snapshot
    ) -> tuple[Snapshot, int, dict[str, records.Seal]]:
        """Restores where the run was after `step` steps.

        Args:
          step: as `last_step` says.
          like: has the structure, shapes and dtypes.

        Returns:
          What was saved, the epochs that were done, and what sealed the rows.

        Raises:
          InputError: the checkpoint is damaged, of another run or step, or was written
            by another version.
        """
        advice = (
            f"Move {self._path / str(step)} away to continue from an earlier one, or "
            "from the beginning."
        )
        args = self._ocp.args
        with _explained(self._path, "read", advice):
            restored = self._manager.restore(
                step,
                args=args.Composite(
                    snapshot=args.StandardRestore(like), about=args.JsonRestore()
                ),
            )
            snapshot, about = restored["snapshot"], restored["about"]
            _check_sum(step, about, snapshot)
            if about["run"] != self._run:
                raise ValueError(f"step {step} is of another run.")
            return snapshot, about["epochs"], about["rows"]

    def discard(self) -> None:
        """Deletes all checkpoints, when the context has been left."""
        for step in records.steps_in(self._folder):
            shutil.rmtree(self._path / str(step), ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else's files are in it
            self._path.rmdir()


def read_network(folder: Path, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads weights and running statistics of a checkpoint, as nested dicts.

    It needs neither the optimizer nor the data of the run, and disturbs no process
    that is at work on it.

    Raises:
      InputError: the checkpoint is damaged, or was written by another version.
    """
    import orbax.checkpoint as ocp

    _expect_noise()
    path = (folder / CHECKPOINTS / str(step)).resolve()
    advice = "Name an earlier one with --step, or repeat the run."
    with _explained(path, "read", advice):
        with ocp.StandardCheckpointer() as reader:
            snapshot = reader.restore(path / "snapshot")
        about = json.loads((path / "about" / "metadata").read_text())
        _check_sum(step, about, snapshot)
    return snapshot["state"]["params"], snapshot["state"]["batch_stats"]


def _check_sum(step: int, about: Any, snapshot: Any) -> None:
    """Makes sure that arrays are those that were saved at a step.

    Orbax does not notice a bit that has changed on the disk.
    """
    if "step" not in about:
        raise ValueError("it was written by another version.")
    if about["step"] != step:
        raise ValueError(f"it is of step {about['step']}, and not of {step}.")
    if about["crc32"] != _crc32(snapshot):
        raise ValueError(f"step {step} has changed since it was saved.")


@contextlib.contextmanager
def _explained(path: Path, verb: str, advice: str) -> Iterator[None]:
    """Says in one line that a checkpoint cannot be read or written."""
    try:
        yield
    except InputError:
        raise
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


def _crc32(tree: Any) -> int:
    """A checksum of arrays, the same of a snapshot and of the nested dicts of it."""
    checksum = 0
    for array in by_path(tree).values():
        checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return checksum

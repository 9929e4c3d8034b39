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

from train.engine.types import StepMetrics, TrainState
from train.errors import InputError
from train.runs.records import CHECKPOINTS


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
    """

    def __init__(self, folder: Path, keep: int):
        import orbax.checkpoint as ocp  # takes two seconds: not for `--help`

        _expect_noise()
        self._ocp = ocp
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
        self._path = (folder / CHECKPOINTS).resolve()
        with self._explained("write", "Is the disk full, or the folder read-only?"):
            self._path.mkdir(exist_ok=True)
            self._manager = ocp.CheckpointManager(self._path, options=options)
        # Orbax would ask JAX too whether it is time to stop, with steps where
        # `train.runs.stop` counts calls: the processes would never agree.
        self._manager.reached_preemption = lambda step: False

    def __enter__(self) -> "Checkpoints":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Waits for checkpoints on their way to the disk."""
        with self._explained("write", "Is the disk full?"):
            self._manager.close()

    def discard(self) -> None:
        """Deletes all checkpoints, when the context has been left."""
        shutil.rmtree(self._path, ignore_errors=True)

    def last_step(self) -> int | None:
        """Steps taken at the newest checkpoint; None without one."""
        return self._manager.latest_step()

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Saves where the run is after `step` steps. The arrays must not change.

        Raises:
          InputError: this checkpoint, or one before, cannot be written.
        """
        args = self._ocp.args
        with self._explained("write", "Is the disk full?"):
            self._manager.save(
                step,
                args=args.Composite(
                    snapshot=args.StandardSave(snapshot),
                    about=args.JsonSave(
                        {
                            "crc32": _crc32(snapshot),
                            "network_crc32": _network_crc32(
                                snapshot.state.params, snapshot.state.batch_stats
                            ),
                        }
                    ),
                ),
            )

    def restore(self, step: int, like: Snapshot) -> Snapshot:
        """Restores where the run was after `step` steps.

        Args:
          step: as `last_step` says.
          like: has the structure, shapes and dtypes.

        Raises:
          InputError: the checkpoint is damaged, or was written by another version.
        """
        advice = (
            f"Move {self._path / str(step)} away to continue from an earlier one, or "
            "from the beginning."
        )
        args = self._ocp.args
        with self._explained("read", advice):
            restored = self._manager.restore(
                step,
                args=args.Composite(
                    snapshot=args.StandardRestore(like), about=args.JsonRestore()
                ),
            )
            # Orbax does not notice a bit that has changed on the disk.
            if restored["about"]["crc32"] != _crc32(restored["snapshot"]):
                raise ValueError(f"step {step} has changed since it was saved.")
            return restored["snapshot"]

    def _explained(
        self, verb: str, advice: str
    ) -> contextlib.AbstractContextManager[None]:
        return _explained(self._path, verb, advice)


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
            state = reader.restore(path / "snapshot")["state"]
        about = json.loads((path / "about" / "metadata").read_text())
        params, batch_stats = state["params"], state["batch_stats"]
        if about["network_crc32"] != _network_crc32(params, batch_stats):
            raise ValueError(f"step {step} has changed since it was saved.")
    return params, batch_stats


@contextlib.contextmanager
def _explained(path: Path, verb: str, advice: str) -> Iterator[None]:
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


def _crc32(snapshot: Snapshot) -> int:
    checksum = 0
    for array in jax.tree.leaves(snapshot):
        checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return checksum


def path_of(keys: tuple[Any, ...]) -> str:
    """The name of a leaf: a tree and its copy in a checkpoint differ in their nodes."""
    parts = (getattr(key, "key", getattr(key, "idx", key)) for key in keys)
    return "/".join(str(getattr(part, "name", part)) for part in parts)


def by_path(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a nested dict, sorted by their names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return dict(sorted((path_of(keys), np.asarray(leaf)) for keys, leaf in leaves))


def _network_crc32(params: Any, batch_stats: Any) -> int:
    checksum = 0
    for tree in (params, batch_stats):
        for array in by_path(tree).values():
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return checksum

"""Checkpoints, by Orbax: the whole training state after an epoch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from train.errors import InputError
from train.step import TrainState

FOLDER = "checkpoints"


class Checkpoints:
    """The checkpoints of a run, newest last; at most two are kept.

    A checkpoint is whole or absent: Orbax renames it into place when it is written.
    Saving goes on in the background; leaving the context waits for it.
    """

    def __init__(self, folder: Path):
        import orbax.checkpoint as ocp  # takes two seconds: not for `--help`

        self._ocp = ocp
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, cleanup_tmp_directories=True
        )
        self._path = (folder / FOLDER).resolve()  # Orbax insists on an absolute path
        self._manager = ocp.CheckpointManager(self._path, options=options)

    def __enter__(self) -> "Checkpoints":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Waits for checkpoints on their way to the disk."""
        with self._explained("write", "Is the disk full?"):
            self._manager.close()

    def last_epoch(self) -> int | None:
        """Epochs completed at the newest checkpoint; None without one."""
        return self._manager.latest_step()

    def save(self, epoch: int, state: TrainState) -> None:
        """Saves the state after `epoch` epochs.

        Raises:
          InputError: this checkpoint, or one before, cannot be written.
        """
        with self._explained("write", "Is the disk full?"):
            self._manager.save(epoch, args=self._ocp.args.StandardSave(state))

    def restore(self, epoch: int, like: TrainState) -> TrainState:
        """Restores the state after `epoch` epochs, in the structure of `like`.

        Raises:
          InputError: the checkpoint is damaged.
        """
        advice = f"Move {self._path / str(epoch)} away to go on from an earlier one."
        with self._explained("read", advice):
            args = self._ocp.args.StandardRestore(like)
            return self._manager.restore(epoch, args=args)

    @contextlib.contextmanager
    def _explained(self, verb: str, advice: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax raises all kinds, Exception itself included
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"cannot {verb} the checkpoint in {self._path}: {reason:.200} {advice}"
            ) from None

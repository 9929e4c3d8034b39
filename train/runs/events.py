"""The rows of `metrics.jsonl` as an event file, which TensorBoard draws."""

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from train.runs.writing import writing

# What TensorBoard calls the columns. It groups its charts by what is before the slash.
TAGS = {
    **{"epoch": "epoch", "train_loss": "train/loss", "train_error": "train/error"},
    **{"test_loss": "test/loss", "test_error": "test/error"},
    **{x: f"phase/{x}" for x in ("low_loss_share", "high_loss_share")},
    "phase_switches": "phase/switches",
    **{x: f"optimizer/{x}" for x in ("mean_momentum", "learning_rate")},
    **{x: f"speed/{x}" for x in ("images_per_second", "seconds")},
}


class Events(contextlib.AbstractContextManager):
    """The event file of a run, one for each start. A context: leaving it closes it.

    The file is written at once. tensorboardX's `SummaryWriter` has a thread for that,
    which dies on a full disk, and whoever writes then waits for it for ever.

    Args:
      folder: of the run.
      done: steps whose rows are kept; TensorBoard forgets what earlier files say of
        later ones.
    """

    def __init__(self, folder: Path, done: int):
        from tensorboardX import RecordWriter  # imported late: few runs want it
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder = folder
        # TensorBoard reads the files in the order of their names.
        name = f"events.out.tfevents.{time.time():.6f}.metrics"
        with writing(folder):
            self._file = RecordWriter(str(folder.resolve() / name))
        with contextlib.ExitStack() as failing:
            failing.enter_context(self)
            self._write(file_version="brain.Event:2")
            start = SessionLog(status=SessionLog.START)
            self._write(session_log=start, step=done + 1)
            failing.pop_all()

    def __exit__(self, *exception: object) -> None:
        """Closes the file; what a full disk did not take has been told."""
        with contextlib.suppress(OSError):
            self._file.close()

    def write(self, row: dict[str, Any]) -> None:
        """Adds an epoch's row, as in `metrics.jsonl`."""
        from tensorboardX.proto.summary_pb2 import Summary

        numbers = {tag: row.get(column) for column, tag in TAGS.items()}
        for name, seen in row.get("observed", {}).items():
            for place, number in np.ndenumerate(np.array(seen, float)):
                numbers["/".join(["observed", name, *map(str, place)])] = number
        values = [
            Summary.Value(tag=tag, simple_value=number)
            for tag, number in numbers.items()
            if number is not None and math.isfinite(number)
        ]
        self._write(summary=Summary(value=values), step=row["step"])

    def _write(self, **event: Any) -> None:
        """Adds an event; a full disk is a `DiskError`."""
        from tensorboardX.proto.event_pb2 import Event

        made = Event(wall_time=time.time(), **event)
        with writing(self._folder):
            self._file.write(made.SerializeToString())
            self._file.flush()

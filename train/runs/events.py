"""The rows of `metrics.jsonl` as an event file, which TensorBoard draws."""

import contextlib
import math
import os
import time
from pathlib import Path
from typing import Any

from train.errors import InputError
from train.runs import records
from train.runs.writing import writing

# What TensorBoard calls the columns. It groups its charts by what is before the slash.
TAGS = {
    "epoch": "epoch",
    "train_loss": "train/loss",
    "train_error": "train/error",
    "test_loss": "test/loss",
    "test_error": "test/error",
    "low_loss_share": "phase/low_loss_share",
    "high_loss_share": "phase/high_loss_share",
    "phase_switches": "phase/switches",
    "mean_momentum": "optimizer/mean_momentum",
    "learning_rate": "optimizer/learning_rate",
    "images_per_second": "speed/images_per_second",
    "seconds": "speed/seconds",
}

# TensorBoard reads files with "tfevents" in their names, in the order of the names. The
# ending marks those of this program, which it may delete.
_PREFIX, _ENDING = "events.out.tfevents.", ".metrics"


class Events:
    """The event file of a run. A context: leaving it closes the file.

    The file is made anew when a run goes on, from the rows that are kept: a second for
    10,000 epochs. So it never holds rows that `metrics.jsonl` has lost or made twice.

    Args:
      folder: of the run.

    Raises:
      InputError: the rows are damaged, or the disk does not take the file.
    """

    def __init__(self, folder: Path):
        from tensorboardX import RecordWriter  # imported late: few runs want it
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._folder = folder
        now = time.time()
        # A START makes a TensorBoard that is at work forget what it read before.
        start = SessionLog(status=SessionLog.START)
        head = [
            Event(wall_time=now, file_version="brain.Event:2"),
            Event(wall_time=now, session_log=start),
        ]
        events = [event.SerializeToString() for event in head] + self._kept(now)
        path = folder / f"{_PREFIX}{now:.6f}{_ENDING}"
        with writing(folder):
            self._file = RecordWriter(str(path.resolve()))
            try:
                self._append(events)
            except OSError:
                self.__exit__()
                path.unlink(missing_ok=True)
                raise
            for other in folder.glob(f"{_PREFIX}*{_ENDING}"):
                if other != path:
                    _clear(other)

    def __enter__(self) -> "Events":
        """Returns itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the file; what a full disk did not take has been told."""
        with contextlib.suppress(OSError):
            self._file.close()

    def write(self, row: dict[str, Any]) -> None:
        """Adds an epoch's row, as in `metrics.jsonl`.

        Raises:
          InputError: the disk does not take it.
        """
        with writing(self._folder):
            self._append([_encode(row, time.time())])

    def _append(self, events: list[bytes]) -> None:
        for event in events:
            self._file.write(event)
        self._file.flush()

    def _kept(self, now: float) -> list[bytes]:
        """The rows of `metrics.jsonl`, as if their epochs had just been trained."""
        path = self._folder / "metrics.jsonl"
        try:
            rows = records.read_metrics(self._folder) if path.exists() else []
            left = sum(row["seconds"] for row in rows)
            events = []
            for row in rows:
                left -= row["seconds"]
                events.append(_encode(row, now - left))
            return events
        except records.UNREADABLE:
            raise InputError(
                f"{path} was changed or damaged: --tensorboard cannot read it. Move "
                f"{self._folder} away to start again, or leave out --tensorboard."
            ) from None


def _clear(path: Path) -> None:
    """Empties a file; deletes one that is empty.

    A TensorBoard that is at work would wait for ever for a file that it was reading.
    """
    if path.stat().st_size:
        os.truncate(path, 0)
    else:
        path.unlink()


def _encode(row: dict[str, Any], when: float) -> bytes:
    """A row as an event, at the step at which its epoch ended."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    numbers = {tag: row.get(column) for column, tag in TAGS.items()}
    for name, seen in row.get("observed", {}).items():
        numbers |= _flat(f"observed/{name}", seen)
    values = [
        Summary.Value(tag=tag, simple_value=number)
        for tag, number in numbers.items()
        if number is not None and math.isfinite(number)  # as null in `metrics.jsonl`
    ]
    event = Event(wall_time=when, step=row["step"], summary=Summary(value=values))
    return event.SerializeToString()


def _flat(tag: str, seen: Any) -> dict[str, float | None]:
    """What was watched, each number of an array under a tag of its own."""
    if not isinstance(seen, list):
        return {tag: seen}
    parts = [_flat(f"{tag}/{place}", part) for place, part in enumerate(seen)]
    return {name: number for part in parts for name, number in part.items()}

"""Reads the curves of a run back for a picture, and checks that a run wrote them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.errors import InputError
from train.paths import printable
from train.runs import records
from train.runs.task import Task, read_about

METRICS = (
    *("epoch", "train_loss", "train_error", "test_error"),
    *("low_loss_share", "mean_momentum"),
)


class Curves(NamedTuple):
    """What is drawn of a run.

    Attributes:
      name: of its folder.
      metrics: columns of `metrics.jsonl`; NaN where there is no such thing.
      steps: columns of `steps.csv`.
      epochs: epochs completed after each step.
      task: that it learns.
      kind: of its optimizer; see `train.runs.palette`.
      planned: its epochs when it is done; None if that is not known.
    """

    name: str
    metrics: dict[str, np.ndarray]
    steps: dict[str, np.ndarray]
    epochs: np.ndarray
    task: Task
    kind: str
    planned: int | None


def read_curves(folder: Path) -> Curves:
    """Reads a run, finished or not.

    Raises:
      InputError: there is none, or no epoch of it is done, or a file is damaged.
    """
    try:
        rows = records.read_metrics(folder)
        columns = records.read_steps(folder)
        steps = {name: np.array(column) for name, column in columns.items()}
        epochs = steps["step"] / (len(steps["step"]) / len(rows))
        metrics = {
            name: np.array([row.get(name) for row in rows], float) for name in METRICS
        }
        _check_drawable(metrics, steps)
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "config.json").exists():
            raise InputError(
                f"the run in {folder} has not finished an epoch: wait for its first "
                "one, or name another folder."
            ) from None
        raise InputError(
            f"{folder} holds no run, comparison or study (neither metrics.jsonl nor "
            "study.json): name the folder of one."
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}.") from None
    except records.DAMAGED:
        raise InputError(
            f"cannot read metrics.jsonl and steps.csv in {folder}: they are damaged, "
            "or a run is writing them; wait for its next epoch."
        ) from None
    name = printable(folder.resolve().name)
    # In a study the arm gives the folder its name.
    task, kind, planned = read_about(folder, name.rpartition("-seed")[0])
    return Curves(name, metrics, steps, epochs, task, kind, planned)


def _check_drawable(
    metrics: dict[str, np.ndarray], steps: dict[str, np.ndarray]
) -> None:
    """Makes sure of what is drawn: that a run has written it.

    Raises:
      ValueError: a run has not.
    """
    numbered = (metrics["epoch"], steps["step"])
    if not all(
        len(column) and np.array_equal(column, np.arange(1, len(column) + 1))
        for column in numbered
    ):
        raise ValueError("epochs or steps are not numbered from 1")
    largest = np.finfo(np.float32).max
    for column in (*metrics.values(), *steps.values()):
        if column.ndim != 1 or (np.abs(column[np.isfinite(column)]) > largest).any():
            raise ValueError("there are others than float32 numbers")
    # AdamW has neither phase nor momentum; losses may be infinite, if it diverged.
    phase, momentum = steps["phase"], steps["momentum"]
    if not (np.isin(phase, (0, 1)).all() or np.isnan(phase).all()):
        raise ValueError("phases are others than 0 and 1")
    for column in (momentum, metrics["mean_momentum"]):
        if not (((column >= 0) & (column <= 1)).all() or np.isnan(column).all()):
            raise ValueError("momentum is not in [0, 1]")
    if any(np.isinf(column).any() for column in metrics.values()):
        raise ValueError("metrics are infinite, which would be null")

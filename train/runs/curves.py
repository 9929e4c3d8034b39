"""What pictures show of a run, finished or not, and what they say above it."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.errors import InputError
from train.paths import printable
from train.runs import records
from train.runs.palette import kind_of

METRICS = (
    *("epoch", "train_loss", "train_error", "test_error"),
    *("low_loss_share", "mean_momentum"),
)


class Task(NamedTuple):
    """What is learned. Runs of one task can be drawn on common axes."""

    data: str = ""  # name of the data set
    network: str = ""  # as papers write it
    batch_size: int = 0
    num_tests: int | None = None  # predictions that a test error is a share of, if so
    is_squared: bool = False  # whether errors are squared ones, of numbers
    data_sha256: str = ""
    tested: str = "test"  # or "validation"

    @property
    def error(self) -> str:
        """What an error axis shows."""
        return "squared error" if self.is_squared else "error"

    @property
    def loss(self) -> str:
        """What a loss is."""
        return "half the squared error" if self.is_squared else "nats"

    def title(self, epochs: Sequence[int], planned: int | None = None) -> str:
        """Data, network and epochs in words; a run may not have done all `planned`."""
        low, high = min(epochs), max(epochs)
        number = f"{low} to {high}" if low < high else f"{low}"
        if planned is not None and planned > high:
            number += f" of {planned}"
        number += " epoch" if number == "1" else " epochs"
        return ", ".join(filter(None, [self.data, self.network, number]))


def make_task(experiment: Mapping[str, Any], facts: Mapping[str, Any]) -> Task:
    """The task of a run, by its options and its provenance, as far as it is known."""
    data = experiment["data"]
    kind, _, path = data["data"].partition(":")
    name = Path(path).name or kind
    if data.get("every", 1) > 1:
        name += f" (one in {data['every']})"
    num_tests = facts.get("num_test_predictions")
    return Task(
        printable(name),
        printable(facts.get("network") or ""),
        experiment["batch_size"],
        num_tests,
        "num_test_predictions" in facts and num_tests is None,
        str(facts.get("data_sha256")),
        "validation" if data.get("validation") else "test",
    )


class Curves(NamedTuple):
    """What is drawn of a run."""

    name: str  # of its folder
    metrics: dict[str, np.ndarray]  # by column; NaN where there is no such thing
    steps: dict[str, np.ndarray]  # by column
    epochs: np.ndarray  # completed after each step
    task: Task
    kind: str  # of its optimizer; see `train.runs.palette`
    planned: int | None  # its epochs when it is done, if that is known


def read_curves(folder: Path) -> Curves:
    """Reads what is drawn of a run."""
    wait = "If a run is writing it, wait for its next epoch."
    with records.reading(f"metrics.jsonl and steps.csv in {folder}", wait):
        rows = records.read_metrics(folder)
        columns = records.read_steps(folder)
        steps = {name: np.array(column) for name, column in columns.items()}
        epochs = steps["step"] / (len(steps["step"]) / len(rows))
        metrics = {
            name: np.array([row.get(name) for row in rows], float) for name in METRICS
        }
    name = printable(folder.resolve().name)
    # In a study the arm gives the folder its name.
    arm = name.rpartition("-seed")[0]
    task, kind, planned = Task(), kind_of(arm, {}), None
    with contextlib.suppress(*records.UNREADABLE):  # captions and colours only
        config = json.loads((folder / "config.json").read_text())
        origin = json.loads((folder / "provenance.json").read_text())[-1]
        task = make_task(config, origin | {"data_sha256": config["data_sha256"]})
        kind, planned = kind_of(arm, config["optimizer"]), int(config["epochs"])
    return Curves(name, metrics, steps, epochs, task, kind, planned)


def check_drawable(folder: Path) -> None:
    """Refuses a folder without a run, comparison or study that has begun."""
    if (folder / "study.json").exists() or (folder / "metrics.jsonl").exists():
        return
    if (folder / "config.json").exists():
        raise InputError(
            f"the run in {folder} has not finished an epoch: wait for its first one, "
            "or name another folder."
        )
    below = "name the folder of one."
    if any(folder.glob("*/config.json")):
        below = f"it is full of them: `python -m train runs {folder}` lists them."
    raise InputError(
        f"{folder} holds no run, comparison or study (neither metrics.jsonl nor "
        f"study.json); {below}"
    )

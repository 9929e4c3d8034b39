"""What a run learns and with which network: what pictures say above the curves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.paths import printable
from train.runs.palette import kind_of
from train.runs.records import UNREADABLE


class Task(NamedTuple):
    """Runs of one task can be drawn on common axes.

    Attributes:
      data: name of the data set.
      network: as papers write it.
      batch_size: of training.
      num_tests: predictions that a test error is a share of; None if it is a squared
        error, or not known.
      is_squared: whether errors are squared ones, of numbers.
      data_sha256: of the data.
    """

    data: str = ""
    network: str = ""
    batch_size: int = 0
    num_tests: int | None = None
    is_squared: bool = False
    data_sha256: str = ""

    @property
    def error(self) -> str:
        """What an error axis shows."""
        return "squared error" if self.is_squared else "error"

    @property
    def loss(self) -> str:
        """What a loss is."""
        return "half the squared error" if self.is_squared else "nats"

    def title(self, epochs: Sequence[int], planned: int | None = None) -> str:
        """Data, network and epochs in words.

        Args:
          epochs: of the runs.
          planned: of one run, which may not have done them all.
        """
        low, high = min(epochs), max(epochs)
        number = f"{low} to {high}" if low < high else f"{low}"
        if planned is not None and planned > high:
            number += f" of {planned}"
        number += " epoch" if number == "1" else " epochs"
        return ", ".join(filter(None, [self.data, self.network, number]))


def make_task(experiment: Mapping[str, Any], facts: Mapping[str, Any]) -> Task:
    """The task of a run.

    Args:
      experiment: its options, as JSON.
      facts: `network`, `num_test_predictions` and `data_sha256`, as far as known.

    Raises:
      One of `UNREADABLE`: they are damaged.
    """
    data = experiment["data"]
    kind, _, path = data["data"].partition(":")
    name = Path(path).name or kind
    if data.get("every", 1) > 1:
        name += f" (one in {data['every']})"
    num_tests = facts.get("num_test_predictions")
    if num_tests is not None and not num_tests >= 1:
        raise ValueError(f"the test set has {num_tests} predictions")
    return Task(
        printable(name),
        printable(facts.get("network") or ""),
        experiment["batch_size"],
        num_tests,
        "num_test_predictions" in facts and num_tests is None,
        str(facts.get("data_sha256")),
    )


def read_about(folder: Path, name: str) -> tuple[Task, str, int | None]:
    """The task of a run, the kind of its optimizer, and its epochs when it is done.

    Captions and colours depend on them: where they cannot be read, nothing is said.

    Args:
      folder: of the run.
      name: in a study, the arm's.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        origin = json.loads((folder / "provenance.json").read_text())[-1]
        task = make_task(config, origin | {"data_sha256": config["data_sha256"]})
        return task, kind_of(name, config["optimizer"]), int(config["epochs"])
    except UNREADABLE:
        return Task(), kind_of(name, {}), None

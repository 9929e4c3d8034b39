"""What the runs of a study come to: outcomes, and comparisons of arms."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.runs.records import has_diverged
from train.studies import statistics
from train.studies.rows import KEY, StudyRows, write_csv
from train.studies.statistics import Difference
from train.studies.trials import mean_of

OUTCOMES = {
    "last_epochs_error": "test error, mean of the last epochs",
    "last_error": "test error of the last epoch",
    "area": "test error, mean of all epochs",
}
PHASES = ("low_loss_share", "phase_switches")  # what switching did


class Comparison(NamedTuple):
    """An arm less its block's reference, in one outcome."""

    block: str
    arm: str
    reference: str
    outcome: str
    difference: Difference
    corrected_p: float


class Result(NamedTuple):
    """What is known of a block.

    Attributes:
      block: as in `study.json`.
      runs: outcomes and facts, by arm and seed; without arms that are not compared.
      epochs: rows of `metrics.jsonl`, in the same way.
      diverged: by arm, the seeds with which it diverged; it is not compared.
      unmatched: by arm, the seeds with which it could not be run, as LCAM diverged; it
        is not compared.
    """

    block: dict[str, Any]
    runs: dict[str, dict[int, dict[str, Any]]]
    epochs: dict[str, dict[int, list[dict[str, Any]]]]
    diverged: dict[str, list[int]]
    unmatched: dict[str, list[int]]


def make_results(rows: StudyRows) -> list[Result]:
    """Works out what the runs of each block come to; a block without runs has none."""
    results = []
    for block in rows.about["blocks"]:
        result = Result(block, {}, {}, {}, {})
        by_arm: dict[str, dict[int, Any]] = {arm["name"]: {} for arm in block["arms"]}
        for (name, arm, seed), run in rows.runs.items():
            if name == block["name"]:
                by_arm[arm][seed] = run
        lost = [
            seed
            for seed, run in by_arm.get("lcam", {}).items()
            if has_diverged(run.epochs)
        ]
        for arm in block["arms"]:
            name, runs = arm["name"], by_arm[arm["name"]]
            borrows = arm["matched"] == "borrowed"
            without = {seed ^ 1 if borrows else seed for seed in lost}
            bad = [seed for seed in runs if has_diverged(runs[seed].epochs)]
            if bad:
                result.diverged[name] = bad
            elif arm["matched"] and without:
                result.unmatched[name] = sorted(without)
            elif runs:
                switches = arm["optimizer"]["optimizer"] == "lcam"
                # SGD's phases are only watched.
                hidden = {} if switches else dict.fromkeys(PHASES)
                result.epochs[name] = {
                    seed: [row | hidden for row in run.epochs]
                    for seed, run in runs.items()
                }
                result.runs[name] = {
                    seed: run_outcomes(run.epochs, block["reach"], switches=switches)
                    | run.facts
                    for seed, run in runs.items()
                }
        if result.runs or result.diverged:
            results.append(result)
    return results


def run_outcomes(
    rows: Sequence[dict[str, Any]], reach: Sequence[float], *, switches: bool
) -> dict[str, Any]:
    """What a run comes to.

    Args:
      rows: of `metrics.jsonl`, one an epoch.
      reach: test errors in percent.
      switches: whether the run's phases did anything: SGD's are only watched.

    Returns:
      Errors in percent, None if an epoch that they need was not tested;
      `epochs_to_E`: the first epoch with a test error of at most E, None if there is
      none; shares, switches and momentum as means over the epochs.
    """
    errors = [row["test_error"] for row in rows]
    last = num_last_epochs(len(rows))
    first = {
        f"epochs_to_{goal:g}": next(
            (
                row["epoch"]
                for row in rows
                if row["test_error"] is not None and row["test_error"] <= goal
            ),
            None,
        )
        for goal in reach
    }
    means = {
        name: mean_of(rows, name) if switches or name not in PHASES else None
        for name in (*PHASES, "mean_momentum")
    }
    return {
        "last_error": errors[-1],
        "last_epochs_error": mean_of(rows[-last:], "test_error"),
        "area": mean_of(rows, "test_error"),
        "train_loss": rows[-1]["train_loss"],
        **first,
        **means,
        "seconds": sum(row["seconds"] for row in rows),
    }


def num_last_epochs(epochs: int) -> int:
    """How many epochs the last error is a mean of: a tenth, at least 3."""
    return min(epochs, max(3, epochs // 10))


def compare_arms(
    results: Sequence[Result], outcomes: Sequence[str]
) -> list[Comparison]:
    """Every arm less its reference, in every outcome, over the seeds that both have.

    The primary outcome's p-values are corrected for its comparisons; another's, which
    is looked at besides, for those and its own together.

    Args:
      results: of all blocks.
      outcomes: names of `OUTCOMES`; the primary one first.
    """
    pairs = [
        pair
        for result in results
        for arm in result.runs
        if arm != result.block["reference"] and (pair := _Pair(result, arm)).seeds
    ]
    comparisons: list[Comparison] = []
    primary: list[float] = []
    for outcome in outcomes:
        known = [
            pair for pair in pairs if None not in itertools.chain(*pair.of(outcome))
        ]
        number = len(known) + len(primary)
        differences = [
            statistics.paired_difference(*pair.of(outcome), comparisons=number)
            for pair in known
        ]
        p_values = [each.p_value for each in differences]
        corrected = statistics.holm(primary + p_values)[len(primary) :]
        comparisons += [
            Comparison(
                *(pair.result.block["name"], pair.arm, pair.result.block["reference"]),
                *(outcome, difference, p),
            )
            for pair, difference, p in zip(known, differences, corrected, strict=True)
        ]
        primary = primary or p_values
    return comparisons


class _Pair(NamedTuple):
    result: Result
    arm: str

    @property
    def seeds(self) -> list[int]:
        """Those that the arm and its reference have."""
        others = self.result.runs.get(self.result.block["reference"], {})
        return [seed for seed in self.result.runs[self.arm] if seed in others]

    def of(self, outcome: str) -> tuple[list[Any], list[Any]]:
        """An outcome of the arm, and of its reference, seed by seed."""
        reference = self.result.block["reference"]
        ours, theirs = (
            [self.result.runs[arm][seed][outcome] for seed in self.seeds]
            for arm in (self.arm, reference)
        )
        return ours, theirs


def write_outcomes(
    folder: Path,
    rows: StudyRows,
    results: Sequence[Result],
    comparisons: Sequence[Comparison],
) -> None:
    """Writes every run and every comparison as CSV files of a folder.

    Raises:
      InputError: the disk does not take it.
    """
    found = {
        (result.block["name"], arm, seed): outcomes
        for result in results
        for arm, runs in result.runs.items()
        for seed, outcomes in runs.items()
    }
    write_csv(
        folder / "runs.csv",
        [
            dict(zip(KEY, key, strict=True)) | found.get(key, run.facts)
            for key, run in rows.runs.items()
        ],
    )
    write_csv(
        folder / "comparisons.csv",
        [
            {"block": each.block, "arm": each.arm, "reference": each.reference}
            | {"outcome": each.outcome}
            | each.difference._asdict()
            | {"corrected_p": each.corrected_p}
            for each in comparisons
        ],
    )

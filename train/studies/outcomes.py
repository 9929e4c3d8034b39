"""What the runs of a study come to: outcomes, and comparisons of arms."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.runs.curves import Task, make_task
from train.runs.records import has_diverged, mean_of
from train.runs.writing import writing
from train.studies import statistics
from train.studies.rows import (
    RunRows,
    StudyRows,
    donor_of,
    named,
    write_csv,
    write_rows,
)
from train.studies.statistics import Difference

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
    by_arm = defaultdict(dict)
    for (block, arm, seed), run in rows.runs.items():
        by_arm[block, arm][seed] = run
    results = []
    for block in rows.about["blocks"]:
        result = Result(block, {}, {}, {}, {})
        seeds = {key[2] for key in rows.runs if key[0] == block["name"]}
        for arm in block["arms"]:
            name, runs = arm["name"], by_arm[block["name"], arm["name"]]
            lost = _diverged(by_arm[block["name"], donor_of(arm)])
            borrows = arm["matched"] == "borrowed"
            without = {seed ^ 1 if borrows else seed for seed in lost} & seeds
            if bad := _diverged(runs):
                result.diverged[name] = bad
            elif arm["matched"] and without:
                result.unmatched[name] = sorted(without)
            elif runs:
                options = arm["optimizer"]
                by_phase = options.get("high_loss_b1") is not None
                # SGD's phases are only watched.
                switches = options["optimizer"] == "lcam" or by_phase
                hidden = {} if switches else dict.fromkeys(PHASES)
                result.epochs[name] = epochs = {
                    seed: [row | hidden for row in runs[seed].epochs] for seed in runs
                }
                result.runs[name] = {
                    seed: run_outcomes(epochs[seed], block["reach"]) | runs[seed].facts
                    for seed in runs
                }
        if result.runs or result.diverged:
            results.append(result)
    return results


def _diverged(runs: dict[int, RunRows]) -> list[int]:
    return [seed for seed in runs if has_diverged(runs[seed].epochs)]


def run_outcomes(
    rows: Sequence[dict[str, Any]], reach: Sequence[float]
) -> dict[str, Any]:
    """What a run comes to.

    Args:
      rows: of `metrics.jsonl`, one an epoch.
      reach: test errors in percent.

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
    return {
        "last_error": errors[-1],
        "last_epochs_error": mean_of(rows[-last:], "test_error"),
        "area": mean_of(rows, "test_error"),
        "train_loss": rows[-1]["train_loss"],
        **first,
        **{name: mean_of(rows, name) for name in (*PHASES, "mean_momentum")},
        "seconds": math.fsum(row["seconds"] for row in rows),
    }


def num_last_epochs(epochs: int) -> int:
    """How many epochs the last error is a mean of: a tenth, at least 3."""
    return min(epochs, max(3, epochs // 10))


def task_of(result: Result) -> Task:
    """What the runs of a block learn."""
    runs = [run for arm in result.runs.values() for run in arm.values()]
    return make_task(result.block["experiment"], runs[0])


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
    pairs = []
    for block, runs, *_ in results:
        reference = block["reference"]
        theirs = runs.get(reference, {})
        for arm, ours in runs.items():
            both = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
            if arm != reference and both:
                pairs.append(((block["name"], arm, reference), both))
    comparisons: list[Comparison] = []
    primary: list[float] = []
    for outcome in outcomes:
        tested = [
            (names, both)
            for names, both in pairs
            if all(run[outcome] is not None for pair in both for run in pair)
        ]
        differences = [
            statistics.paired_difference(
                [ours[outcome] for ours, _ in both],
                [theirs[outcome] for _, theirs in both],
                comparisons=len(primary) + len(tested),
            )
            for _, both in tested
        ]
        p_values = primary + [each.p_value for each in differences]
        corrected = statistics.holm(p_values)[len(primary) :]
        comparisons += [
            Comparison(*names, outcome, difference, p)
            for (names, _), difference, p in zip(
                tested, differences, corrected, strict=True
            )
        ]
        primary = primary or p_values
    return comparisons


def write_tables(
    out: Path, rows: StudyRows, *, compare: bool = True
) -> tuple[list[Result], list[Comparison]]:
    """Writes the rows and what they come to as CSV files, and returns the latter.

    Args:
      out: the folder.
      rows: of the study.
      compare: whether arms are compared with their reference. The studies of the plan
        have questions of their own.

    Raises:
      InputError: the disk does not take it.
    """
    results = make_results(rows)
    comparisons = compare_arms(results, rows.about["outcomes"]) if compare else []
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_rows(out, rows)
    found = {
        (result.block["name"], arm, seed): outcomes
        for result in results
        for arm, runs in result.runs.items()
        for seed, outcomes in runs.items()
    }
    write_csv(
        out / "runs.csv",
        [named(key) | found.get(key, run.facts) for key, run in rows.runs.items()],
    )
    write_csv(
        out / "comparisons.csv",
        [
            {"block": each.block, "arm": each.arm, "reference": each.reference}
            | {"outcome": each.outcome}
            | each.difference._asdict()
            | {"corrected_p": each.corrected_p}
            for each in comparisons
        ],
    )
    return results, comparisons

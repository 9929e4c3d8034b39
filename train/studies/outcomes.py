"""What the runs of a study come to: outcomes, comparisons, and their rows."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.errors import InputError
from train.studies import statistics
from train.studies.arms import Block
from train.studies.statistics import Difference
from train.studies.trials import Trial, matched_seed, mean_of, read_trial

# The primary outcome, which verdicts are about; fixed before anything is run.
PRIMARY = "last_epochs_error"
OUTCOMES = {
    "last_epochs_error": "test error, mean of the last epochs",
    "last_error": "test error of the last epoch",
    "area": "test error, mean of all epochs (area under the curve)",
}


class Comparison(NamedTuple):
    """An arm against its block's reference, in one outcome."""

    block: str
    arm: str
    reference: str
    outcome: str
    difference: Difference
    corrected_p: float


class Result(NamedTuple):
    """What is known of a block.

    Attributes:
      block: what was run.
      seeds: those with which every arm has ended.
      runs: outcomes by arm, one dictionary a seed, in the order of `seeds`.
      rows: epochs by arm, one list a seed.
      diverged: by arm, the seeds with which it diverged.
      unmatched: by arm, the seeds with which it could not be run, as LCAM diverged.
    """

    block: Block
    seeds: list[int]
    runs: dict[str, list[dict[str, Any]]]
    rows: dict[str, list[list[dict[str, Any]]]]
    diverged: dict[str, list[int]]
    unmatched: dict[str, list[int]]


def run_outcomes(
    rows: Sequence[dict[str, Any]], reach: Sequence[float], *, switches: bool
) -> dict[str, Any]:
    """What a run comes to.

    Args:
      rows: of `metrics.jsonl`, one an epoch.
      reach: test errors in percent.
      switches: whether the run's phases did anything: SGD's are only watched.

    Returns:
      Errors in percent; `epochs_to_E`: the first epoch with a test error of at most E,
      None if there is none; shares, switches and momentum as means over the epochs.
    """
    errors = [row["test_error"] for row in rows]
    last = num_last_epochs(len(rows))
    first = {
        f"epochs_to_{goal:g}": next(
            (row["epoch"] for row in rows if row["test_error"] <= goal), None
        )
        for goal in reach
    }
    means = {
        name: mean_of(rows, name) if switches or name == "mean_momentum" else None
        for name in ("low_loss_share", "phase_switches", "mean_momentum")
    }
    return {
        "last_error": errors[-1],
        "last_epochs_error": sum(errors[-last:]) / last,
        "area": sum(errors) / len(errors),
        "train_loss": rows[-1]["train_loss"],
        **first,
        **means,
        "seconds": sum(row["seconds"] for row in rows),
    }


def num_last_epochs(epochs: int) -> int:
    """How many epochs the last error is a mean of: a tenth, at least 3."""
    return min(epochs, max(3, epochs // 10))


def read_result(block: Block, seeds: Sequence[int], folder: Path) -> Result:
    """Reads the runs of a block that have ended, and works out what they come to."""
    trials = {
        (arm.name, seed): read_trial(folder, block, arm, seed)
        for arm in block.arms
        for seed in seeds
    }
    whole = [
        seed
        for seed in seeds
        if all(
            trials[arm.name, seed]
            or (
                arm.matched
                and _diverged(trials, "lcam", matched_seed(arm, seed, seeds))
            )
            for arm in block.arms
        )
    ]
    runs, rows, diverged, unmatched = {}, {}, {}, {}
    for arm in block.arms:
        ended = [trials[arm.name, seed] for seed in whole]
        if bad := [seed for seed in whole if trials[arm.name, seed] is None]:
            unmatched[arm.name] = bad
            continue
        if bad := [seed for seed in whole if _diverged(trials, arm.name, seed)]:
            diverged[arm.name] = bad
            continue
        rows[arm.name] = [trial.rows for trial in ended]
        runs[arm.name] = [
            run_outcomes(
                trial.rows, block.reach, switches=arm.optimizer.optimizer == "lcam"
            )
            | _options(trial)
            for trial in ended
        ]
    return Result(block, whole, runs, rows, diverged, unmatched)


def _diverged(trials: dict[tuple[str, int], Trial | None], arm: str, seed: int) -> bool:
    trial = trials.get((arm, seed))
    return trial is not None and trial.diverged


def _options(trial: Trial) -> dict[str, Any]:
    """What a run was, for its row in `runs.csv`."""
    keys = (
        "optimizer",
        "learning_rate",
        "weight_decay",
        "momentum",
        "high_loss_momentum",
        "low_loss_momentum",
        "loss_average",
        "ema_decay",
        "margin",
        "lagged",
        "phase",
    )
    origin = ("commit", "device", "network", "num_parameters")
    try:
        config = json.loads((trial.folder / "config.json").read_text())
        provenance = json.loads((trial.folder / "provenance.json").read_text())[-1]
        return (
            {f"option_{key}": config["optimizer"][key] for key in keys}
            | {key: provenance.get(key) for key in origin}
            | {"data_sha256": config["data_sha256"]}
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise InputError(
            f"config.json or provenance.json in {trial.folder} was changed or damaged: "
            "move the folder away, and this run will be done anew."
        ) from None


def compare_arms(results: Sequence[Result]) -> list[Comparison]:
    """Every arm against its reference, in every outcome.

    The primary outcome's p-values are corrected for its comparisons; another's, which
    is looked at besides, for those and its own together.
    """
    pairs = [
        (result, arm)
        for result in results
        if result.block.reference in result.runs
        for arm in result.runs
        if arm != result.block.reference
    ]
    comparisons = []
    primary: list[float] = []
    for outcome in OUTCOMES:  # the primary one comes first
        number = len(pairs) + len(primary)
        differences = [
            statistics.paired_difference(
                [run[outcome] for run in result.runs[arm]],
                [run[outcome] for run in result.runs[result.block.reference]],
                comparisons=number,
            )
            for result, arm in pairs
        ]
        p_values = [each.p_value for each in differences]
        corrected = statistics.holm(primary + p_values)[len(primary) :]
        comparisons += [
            Comparison(
                result.block.name, arm, result.block.reference, outcome, difference, p
            )
            for (result, arm), difference, p in zip(
                pairs, differences, corrected, strict=True
            )
        ]
        primary = primary or p_values
    return comparisons


def write_rows(
    out: Path, results: Sequence[Result], comparisons: Sequence[Comparison]
) -> None:
    """Writes every run, epoch, observation and comparison as CSV files of a folder."""
    tables = {
        "runs": [row for result in results for row in _run_rows(result)],
        "epochs": [row for result in results for row in _epoch_rows(result)],
        "observed": [row for result in results for row in _observed_rows(result)],
        "comparisons": [_comparison_row(each) for each in comparisons],
    }
    for name, rows in tables.items():
        if rows:
            _write_csv(out / f"{name}.csv", rows)


def _run_rows(result: Result) -> list[dict[str, Any]]:
    return [
        {"block": result.block.name, "arm": arm, "seed": seed} | run
        for arm, runs in result.runs.items()
        for seed, run in zip(result.seeds, runs, strict=True)
    ]


def _epoch_rows(result: Result) -> list[dict[str, Any]]:
    return [
        {"block": result.block.name, "arm": arm, "seed": seed}
        | {name: number for name, number in row.items() if name != "observed"}
        for arm, runs in result.rows.items()
        for seed, rows in zip(result.seeds, runs, strict=True)
        for row in rows
    ]


def _observed_rows(result: Result) -> list[dict[str, Any]]:
    """In long form: a row a number; `index` is the phase or the array, from 0."""
    return [
        {"block": result.block.name, "arm": arm, "seed": seed, "epoch": row["epoch"]}
        | {"name": name, "index": index, "number": number}
        for arm, runs in result.rows.items()
        for seed, rows in zip(result.seeds, runs, strict=True)
        for row in rows
        for name, numbers in row.get("observed", {}).items()
        for index, number in enumerate(np.ravel(numbers))
    ]


def _comparison_row(each: Comparison) -> dict[str, Any]:
    names = {"block": each.block, "arm": each.arm, "reference": each.reference}
    numbers = each.difference._asdict() | {"corrected_p": each.corrected_p}
    return names | {"outcome": each.outcome} | numbers


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = dict.fromkeys(key for row in rows for key in row)
    new = path.with_name(path.name + ".new")
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    new.replace(path)

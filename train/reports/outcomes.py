"""What the runs of a study come to: outcomes, and comparisons of arms."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from train.reports import statistics, tables
from train.reports.rows import (
    KEY,
    Rows,
    diverged,
    donor_of,
    lender_of,
    of_block,
    write_about,
    write_csv,
)
from train.reports.statistics import Difference
from train.runs.curves import Task, make_task
from train.runs.writing import writing
from train.settings.optimizer import phase_pair

OUTCOMES = {
    "last_epochs_error": "error, mean of the last epochs",
    "last_error": "error of the last epoch",
    "area": "error, mean of all epochs",
}
UNDECIDED = "undecided"
PHASES = ["low_loss_share", "phase_switches"]  # what switching did


class Comparison(NamedTuple):
    """An arm less its block's reference, in one outcome.

    Attributes:
      margin: differences below it count as none, in points.
      found: the difference, with those of all arms of the block as its family.
    """

    block: str
    arm: str
    reference: str
    outcome: str
    margin: float
    found: Difference

    def turned(self) -> "Comparison":
        """The reference less the arm."""
        found = self.found._replace(mean=-self.found.mean)
        return self._replace(arm=self.reference, reference=self.arm, found=found)

    @property
    def verdict(self) -> str:
        """The difference in plain words; smaller is better."""
        mean, half_width, half_width_90, p_value, num_seeds, *_ = self.found
        if num_seeds == 1:
            return "one seed: no evidence"
        if math.isnan(p_value):
            return UNDECIDED if mean else "identical"
        return judge(
            mean,
            self.margin,
            differs=self.is_settled,
            is_equal=abs(mean) + half_width_90 < self.margin,
            is_beyond=abs(mean) - half_width > self.margin,
        )

    @property
    def is_settled(self) -> bool:
        """Whether one is better."""
        return self.found.p_value < statistics.LEVEL

    @property
    def finding(self) -> str:
        """The verdict with its numbers."""
        found = self.found
        points = f"{tables.signed(found.mean)} points"
        if found.num_seeds == 1:
            return f"{points} with one seed, which is no evidence: it takes 3 or more"
        if math.isnan(found.p_value):
            return f"{points} ({found.num_seeds} seeds, all alike): {self.verdict}"
        ends = tables.interval(found.mean, found.half_width)
        points += f", 95 % interval {ends} ({found.num_seeds} seeds)"
        return f"{points}, p = {found.p_value:.2g}: {self.verdict}"

    @property
    def sentence(self) -> str:
        """The finding; where nothing is decided, also what may be, and might have."""
        if self.verdict != UNDECIDED or math.isnan(self.found.half_width):
            return self.finding
        better, worse = (
            self.found.half_width - x for x in (self.found.mean, -self.found.mean)
        )
        return (
            f"{self.finding} (at most {better:.2f} better, at most {worse:.2f} worse; "
            f"{self.found.detectable:.2f} would have been found 4 times in 5)"
        )


def shown(comparisons: Sequence[Comparison]) -> list[tuple[str, Comparison]]:
    """Each by its arm; where LCAM is the reference, LCAM less the arm."""
    return [
        (each.arm, each.turned() if each.reference == "lcam" else each)
        for each in comparisons
    ]


def judge(
    mean: float,
    margin: float,
    *,
    differs: bool,
    is_equal: bool,
    is_beyond: bool,
    sides: tuple[str, str] = ("better", "worse"),
) -> str:
    """A difference in words; its `sides` are what is so below 0, and above."""
    points = points_text(margin)
    if not differs:
        return f"equal within {points}" if is_equal else UNDECIDED
    side = sides[mean > 0]
    if is_equal:
        return f"{side}, by less than {points}"
    return f"{side}, by more than {points}" if is_beyond else side


def points_text(points: float) -> str:
    """A number of percentage points in words."""
    return f"{points:g} point{'s' * (points != 1)}"


class Result(NamedTuple):
    """What is known of a block; its tables have the arms that are compared.

    Attributes:
      block: as in `study.json`.
      runs: outcomes and facts, by arm and seed; the other tables are by the same.
      diverged: by arm, the seeds with which it diverged.
      unmatched: by arm, the seeds with which it could not be run, as LCAM diverged.
    """

    block: dict[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    observed: pd.DataFrame
    diverged: dict[str, list[int]]
    unmatched: dict[str, list[int]]

    @property
    def arms(self) -> dict[str, pd.DataFrame]:
        """The runs of each arm, by seed."""
        by_arm = self.runs.groupby("arm", sort=False)
        return {arm: runs.droplevel("arm") for arm, runs in by_arm}

    @property
    def task(self) -> Task:
        """What the runs learn."""
        facts = {"num_test_predictions": None} | self.runs.iloc[0].dropna().to_dict()
        return make_task(self.block["experiment"], facts)


def make_results(rows: Rows) -> list[Result]:
    """Works out what the runs of each block come to; a block without runs has none."""
    lost = diverged(rows)
    results = []
    for block in rows.about["blocks"]:
        name = block["name"]
        runs, epochs, observed = (of_block(table, name) for table in rows[1:])
        seeds = set(runs.index.unique("seed"))
        bad, unmatched, watched = {}, {}, []
        for arm in block["arms"]:
            mine, of_donor = (
                [seed for *place, seed in lost if place == [name, each]]
                for each in (arm["name"], donor_of(arm))
            )
            without = {lender_of(arm["matched"], seed) for seed in of_donor} & seeds
            if mine:
                bad[arm["name"]] = mine
            elif without:
                unmatched[arm["name"]] = sorted(without)
            if not _follows_phase(arm["optimizer"]):
                watched.append(arm["name"])  # its phases do nothing
        runs, epochs, observed = (
            table[~table.index.isin([*bad, *unmatched], "arm")]
            for table in (runs, epochs, observed)
        )
        epochs.loc[epochs.index.isin(watched, "arm"), PHASES] = None
        if len(runs):
            by_run = epochs.groupby(KEY[1:], sort=False)
            found = by_run.apply(_outcomes, block["reach"])
            goals = [name for name in found if name.startswith("epochs_to_")]
            runs = found.astype(dict.fromkeys(goals, "Int64")).join(runs)
        if len(runs) or bad:
            results.append(Result(block, runs, epochs, observed, bad, unmatched))
    return results


def _follows_phase(options: dict[str, Any]) -> bool:
    """Whether the phase picks something; `high_loss_b1` was an option of AdamW."""
    given = (word.partition("=")[2] for word in options.get("optimizer_options", ()))
    return (
        options["optimizer"] == "lcam"
        or options.get("high_loss_b1") is not None
        or any(phase_pair(text.strip()) for text in given)
    )


def _outcomes(run: pd.DataFrame, reach: Sequence[float]) -> pd.Series:
    """What a run comes to, from its epochs; NaN if one of them was not tested.

    `epochs_to_E` is the first epoch with a test error of at most E, in percent. Shares,
    switches and momentum are means over the epochs.
    """

    def mean(name: str, last: int = 0) -> float:
        numbers = run[name].to_numpy(float, na_value=math.nan)
        return statistics.mean(numbers[-last:])

    found = {
        "last_error": run.test_error.iloc[-1],
        "last_epochs_error": mean("test_error", num_last_epochs(len(run))),
        "area": mean("test_error"),
        "train_loss": run.train_loss.iloc[-1],
        **{
            f"epochs_to_{goal:g}": run.epoch[run.test_error <= goal].min()
            for goal in reach
        },
        **{name: mean(name) for name in (*PHASES, "mean_momentum")},
        "seconds": math.fsum(run.seconds),
    }
    return pd.Series(found)


def num_last_epochs(epochs: int) -> int:
    """How many epochs the last error is a mean of: a tenth, at least 3."""
    return min(epochs, max(3, epochs // 10))


def compare_arms(
    results: Sequence[Result], outcomes: Sequence[str], margin: float | None = None
) -> list[Comparison]:
    """Every arm less its reference, in every outcome, over the seeds that both have.

    The family is that of a block and an outcome. Unless it is given, the margin is a
    tenth of the reference's error: a point at most, and at least a test example.
    """
    comparisons = []
    for result in results:
        reference = result.block["reference"]
        arms = list(result.arms)
        if reference not in arms:
            continue
        num_tests = result.runs.num_test_predictions.iloc[0]
        example = 0.0 if pd.isna(num_tests) else 100 / num_tests
        for outcome in outcomes:
            numbers = result.runs[outcome].unstack("arm")[arms]
            wanted = max(min(numbers[reference].mean() / 10, 1.0), example)
            known = float(f"{wanted:.1g}") if margin is None else margin
            found = statistics.compare_family(numbers, reference)
            comparisons += [
                Comparison(result.block["name"], arm, reference, outcome, known, each)
                for arm, each in found.items()
            ]
    return comparisons


def verdicts_of(
    comparisons: Sequence[Comparison], *, with_power: bool = False
) -> list[str]:
    """What arms differ by in the last epoch, a line each; perhaps with the power."""
    return [
        f"{each.arm} against {each.reference}: "
        f"{each.sentence if with_power else each.finding}"
        for each in comparisons
        if each.outcome == "last_error"
    ]


def write_tables(
    out: Path, rows: Rows, *, compare: bool = True, margin: float | None = None
) -> tuple[list[Result], list[Comparison]]:
    """Writes the rows and what they come to as CSV files, and returns the latter.

    The studies of the plan do not `compare` arms with their reference: they have
    questions of their own.
    """
    results = make_results(rows)
    comparisons = []
    if compare:
        comparisons = compare_arms(results, rows.about["outcomes"], margin)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_about(out, rows.about)
    write_csv(out / "epochs.csv", rows.epochs)
    write_csv(out / "observed.csv", rows.observed)
    runs = rows.runs
    found = {each.block["name"]: each.runs for each in results if len(each.runs)}
    if found:
        outcomes = pd.concat(found, names=["block"]).drop(columns=runs.columns)
        runs = outcomes.reindex(runs.index).join(runs)
    write_csv(out / "runs.csv", runs)
    table = pd.DataFrame(
        {**each._asdict(), **each.found._asdict(), "verdict": each.verdict}
        for each in comparisons
    ).drop(columns="found", errors="ignore")
    write_csv(out / "comparisons.csv", table, index=False, na_rep="nan")
    return results, comparisons

"""Draws forest.png: LCAM less each arm, with 95 % intervals, on five data sets.

Run as `python -m docs.pictures.forest`. It reads results/*/comparisons.csv.
"""

import csv
from pathlib import Path

from train.reports.forest import Column, Interval, draw_forest
from train.runs.palette import kind_of

RESULTS = Path(__file__).parents[2] / "results"
OUTCOME = "last_epochs_error"
# Named in the title; all others must not be.
SIGNIFICANT = {
    ("english", arm) for arm in ("sgd-0.95", "mean-momentum", "matched-step", "chance")
}

ARMS = {
    "sgd-0.9": "fixed at 0.9",
    "sgd-0.95": "fixed at 0.95",
    "mean-momentum": "fixed at LCAM's mean",
    "matched-step": "0.9, LCAM's effective step",
    "chance": "switched at random",
    "shuffled": "LCAM's phases, shuffled",
    "borrowed": "another seed's phases",
    "lcam-reversed": "0.95 at high loss, 0.9 at low",
}


def read_differences(study: str, block: str) -> dict[str, Interval]:
    """Reads LCAM less each of `ARMS`; one that was not run has no entry."""
    differences = {}
    with (RESULTS / study / "comparisons.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if (row["block"], row["outcome"]) != (block, OUTCOME):
                continue
            # The file holds arm less reference, and either may be LCAM.
            if row["reference"] == "lcam":
                arm, mean = row["arm"], -float(row["mean"])
            elif row["arm"] == "lcam":
                arm, mean = row["reference"], float(row["mean"])
            else:
                continue
            if arm not in ARMS:
                continue
            if float(row["corrected_p"]) < 0.05 and (block, arm) not in SIGNIFICANT:
                raise ValueError(
                    f"{arm} in {study} is significant: say so in the title"
                )
            differences[arm] = Interval(mean, float(row["half_width"]))
    return differences


def read_columns() -> list[Column]:
    """Reads every data set on which LCAM met its controls with the same network."""
    fresh = read_differences("ablation-digits-fresh-seeds", "digits")
    fresh |= read_differences("baseline-digits-fresh-seeds", "digits")
    return [
        Column(
            "digits",
            "first 6 seeds",
            read_differences("ablation-digits-quick", "digits"),
        ),
        Column("digits", "16 fresh seeds", fresh),
        Column(
            "CIFAR-10",
            "JPEG, 4 seeds",
            read_differences("ablation-cifar10-jpeg-quick", "npz"),
        ),
        Column("text", "6 seeds", read_differences("domains-rates-quick", "english")),
        Column(
            "breast cancer",
            "6 seeds",
            read_differences("domains-rates-quick", "breast_cancer"),
        ),
        Column(
            "diabetes", "6 seeds", read_differences("domains-rates-quick", "diabetes")
        ),
    ]


def main() -> None:
    """Reads the committed comparisons and writes the picture beside this file."""
    columns = read_columns()
    shown = [each for column in columns for each in column.differences.values()]
    figure = draw_forest(
        columns,
        {arm: (kind_of(arm, {}), about) for arm, about in ARMS.items()},
        title=f"{sum(each.has_zero for each in shown)} of {len(shown)} intervals "
        "include 0. After correction, LCAM is worse than four arms on text; no other "
        "difference is significant.",
        axis="LCAM less the arm: test error in percentage points",
        sides=("LCAM better", "LCAM worse"),
    )
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=170, metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()

"""Draws forest.png: LCAM less three other optimizers, on all data sets of the reports.

Run as `python -m docs.pictures.forest`. It reads the CSV files of results/.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from train.reports import tables
from train.reports.forest import Part, Row, draw_forest

RESULTS = Path(__file__).parents[2] / "results"
OUTCOME = "last_epochs_error"
ARMS = {
    "borrowed": "LCAM less LCAM with the phases of a run with another seed",
    "matched-step": "LCAM less SGD of the effective step of LCAM's mean momentum",
    "sgd-0.9": "LCAM less SGD at 0.9",
}
# Report, block, and what the picture calls them.
DATA = (
    ("plan-5k", "5k", "tenth of CIFAR-10"),
    ("ablation-cifar10-jpeg-quick", "npz", "without crop and flip"),
    ("ablation-digits-quick", "digits", "digits, Wide ResNet"),
    ("domains-quick", "digits", "digits, MLP"),
    ("domains-quick", "english", "text"),
    ("domains-quick", "breast_cancer", "breast cancer"),
    ("domains-quick", "diabetes", "diabetes"),
)


def read_rows(arm: str) -> Iterator[Row]:
    """LCAM less an arm, a row for each data set."""
    for study, block, name in DATA:
        planned = RESULTS / study / "questions.csv"
        path = planned if planned.exists() else planned.with_name("comparisons.csv")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if planned.exists():
                    wanted, sign = row["question"] == arm, 1.0
                    seeds = int(row["number"]) * (2 if row["unit"] == "pairs" else 1)
                    margin = 0.3
                else:  # the arm less LCAM
                    place = row["block"], row["arm"], row["outcome"]
                    wanted, sign = place == (block, arm, OUTCOME), -1.0
                    seeds, margin = int(row["num_seeds"]), float(row["margin"])
                if wanted:
                    mean = sign * float(row["mean"])
                    half, half_90 = (
                        float(row["half_width"]),
                        float(row["half_width_90"]),
                    )
                    verdict = row["verdict"].removeprefix("LCAM is ")
                    if sign < 0:
                        swap = {"better": "worse", "worse": "better"}
                        first, _, rest = verdict.partition(",")
                        verdict = swap.get(first, first) + (f",{rest}" if rest else "")
                    yield Row(
                        f"{name}, {seeds} seeds",
                        arm if arm in ("borrowed", "matched-step") else "sgd",
                        *(mean, half, half_90),
                        tables.with_interval(mean, half),
                        verdict,
                        margin,
                        verdict.startswith(("better", "worse")),
                    )


def main() -> None:
    """Reads the committed comparisons and writes the picture beside this file."""
    parts = []
    for arm, group in ARMS.items():
        rows = list(read_rows(arm))
        parts.append(Part(group, rows))
    rows = [row for part in parts for row in part.rows]
    better, worse = (
        sum(row.verdict.startswith(side) for row in rows)
        for side in ("better", "worse")
    )
    figure = draw_forest(
        parts,
        title=f"LCAM is better in {better} of {len(rows)} comparisons, and worse in "
        f"{worse}",
        axis="test error in points (diabetes: percent of the variance)",
        sides=("LCAM better", "LCAM worse"),
    )
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=150, metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()

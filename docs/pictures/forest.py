"""Draws forest.png: LCAM less each arm, with 95 % intervals, on five data sets.

Run as `python docs/pictures/forest.py`. It reads results/*/comparisons.csv.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[2] / "results"
OUTCOME = "last_epochs_error"

BETTER, WORSE = "#0072B2", "#D55E00"
INK, GREY = "#222222", "#6b6b6b"

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


class Interval(NamedTuple):
    """A difference: its mean, half of its 95 % interval, and its corrected p-value."""

    mean: float
    half_width: float
    corrected_p: float

    @property
    def has_zero(self) -> bool:
        """Whether 0 lies within the interval."""
        return abs(self.mean) <= self.half_width + 1e-9  # half_width may be 0


class Column(NamedTuple):
    """One data set: its title, what stands below the title, and a difference an arm."""

    title: str
    subtitle: str
    differences: Mapping[str, Interval]


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
            numbers = float(row["half_width"]), float(row["corrected_p"])
            differences[arm] = Interval(mean, *numbers)
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
        Column("text", "6 seeds", read_differences("domains-quick", "english")),
        Column(
            "breast cancer",
            "6 seeds",
            read_differences("domains-quick", "breast_cancer"),
        ),
        Column("diabetes", "6 seeds", read_differences("domains-quick", "diabetes")),
    ]


def draw_forest(
    columns: Sequence[Column], arms: Mapping[str, str], title: str
) -> Figure:
    """Draws a row an arm and a column a data set.

    Args:
      columns: from left to right; those with the same title share a scale.
      arms: from top to bottom, each with a few words that say what it is.
      title: what is seen.

    Returns:
      The figure; its height follows from the number of arms.
    """
    width, label_width, top, bottom = 8.4, 1.82, 1.0, 0.55
    height = top + bottom + 0.34 * len(arms)
    figure, axes = plt.subplots(1, len(columns), figsize=(width, height), squeeze=False)
    figure.subplots_adjust(
        left=label_width / width,
        right=1 - 0.06 / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.08,
    )
    for axis, column in zip(axes[0], columns, strict=True):
        like = [each for each in columns if each.title == column.title]
        _draw_column(axis, column, list(arms), 1.08 * max(map(_reach, like)))
    for row, (arm, words) in enumerate(arms.items()):
        place = {"xycoords": ("figure fraction", "data"), "annotation_clip": False}
        x = 0.06 / width
        axes[0, 0].annotate(
            arm, (x, row - 0.19), va="center", size=9, weight="bold", color=INK, **place
        )
        axes[0, 0].annotate(
            words, (x, row + 0.23), va="center", size=7.5, color=GREY, **place
        )
    figure.text(
        (label_width + width) / 2 / width,
        0.1 / height,
        "LCAM less the arm: test error in percentage points",
        ha="center",
        size=9,
        color=INK,
    )
    figure.suptitle(title, size=9.5, y=0.99, va="top", color=INK)
    return figure


def _reach(column: Column) -> float:
    """How far the column's intervals reach from 0; 1 if nothing differs."""
    each = column.differences.values()
    return max((abs(x.mean) + x.half_width for x in each), default=0.0) or 1.0


def _draw_column(axis: Axes, column: Column, arms: Sequence[str], reach: float) -> None:
    axis.axvspan(-reach, 0, color=BETTER, alpha=0.09, lw=0)
    axis.axvspan(0, reach, color=WORSE, alpha=0.09, lw=0)
    axis.axvline(0, color=INK, lw=1)
    for row, arm in enumerate(arms):
        if arm not in column.differences:
            axis.text(
                -0.5 * reach,
                row,
                "not run",
                size=7.5,
                color=GREY,
                ha="center",
                va="center",
            )
            continue
        each = column.differences[arm]
        colour = INK if each.has_zero else BETTER if each.mean < 0 else WORSE
        axis.errorbar(
            each.mean, row, xerr=each.half_width, fmt="o", ms=4.5, lw=1.6, color=colour
        )
    axis.set(xlim=(-reach, reach), ylim=(len(arms) - 0.5, -0.5), yticks=[])
    power = 10.0 ** math.floor(math.log10(0.85 * reach))
    tick = max(size * power for size in (1, 2, 5) if size * power <= 0.85 * reach)
    axis.set_xticks([-tick, 0, tick], [f"\N{MINUS SIGN}{tick:g}", "0", f"+{tick:g}"])
    axis.tick_params(axis="x", labelsize=8, colors=INK)
    axis.spines[["left", "right", "top"]].set_visible(False)
    for x, words, colour in (
        (-0.5, "LCAM\nbetter", BETTER),
        (0.5, "LCAM\nworse", WORSE),
    ):
        axis.annotate(
            words,
            (x * reach, -0.62),
            ha="center",
            va="bottom",
            size=7.5,
            color=colour,
            annotation_clip=False,
        )
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
    axis.annotate(
        column.title, (0.5, 1), xytext=(0, 38), size=9.5, weight="bold", **above
    )
    axis.annotate(
        column.subtitle, (0.5, 1), xytext=(0, 28), size=8, color=GREY, **above
    )


def main() -> None:
    """Reads the committed comparisons and writes the picture beside this file."""
    columns = read_columns()
    shown = [each for column in columns for each in column.differences.values()]
    significant = sum(each.corrected_p < 0.05 for each in shown)
    title = (
        f"{sum(each.has_zero for each in shown)} of {len(shown)} intervals include 0. "
        f"After correction, {significant or 'none'} of the differences is significant."
    )
    figure = draw_forest(columns, ARMS, title)
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=170, metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()

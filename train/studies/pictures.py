"""Pictures of studies: what the arms differ by, and their curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt

from lcam_optax import Phase
from train.runs import drawing
from train.studies.table import span

BETTER = drawing.PHASE_COLORS[Phase.LOW_LOSS]
WORSE = drawing.PHASE_COLORS[Phase.HIGH_LOSS]
INK, GREY = "#222222", "#6b6b6b"
MOST_THIN_LINES = 6


class Interval(NamedTuple):
    """A difference: its mean, and half of its 95 % interval; NaN with one seed."""

    mean: float
    half_width: float

    @property
    def has_zero(self) -> bool:
        """Whether 0 may be the truth."""
        return not abs(self.mean) > self.half_width + 1e-9  # half_width may be 0


class Column(NamedTuple):
    """A data set of a forest plot.

    Attributes:
      title: of the column; columns with the same title share a scale.
      subtitle: below the title.
      differences: by arm; an arm that was not run has none.
    """

    title: str
    subtitle: str
    differences: Mapping[str, Interval]


class Words(NamedTuple):
    """What a forest plot says: above it, of its axis, and of the sides of 0."""

    title: str
    axis: str
    left: str
    right: str


def draw_forest(
    columns: Sequence[Column], arms: Mapping[str, str], words: Words
) -> plt.Figure:
    """Draws differences with their 95 % intervals: a row an arm, a column a data set.

    Args:
      columns: from left to right.
      arms: from top to bottom, each with a few words that say what it is.
      words: what is read.

    Returns:
      The figure; its size follows from the numbers of arms and columns.
    """
    longest = max(len(arm) for arm in arms)
    label_width = max(1.82, 0.06 + 0.085 * longest)
    width = label_width + max(1.1 * len(columns), 3.4) + 0.1
    top, bottom = 1.0, 0.55
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
        _draw_column(axis, column, list(arms), 1.08 * max(map(_reach, like)), words)
    for row, (arm, about) in enumerate(arms.items()):
        place = {"xycoords": ("figure fraction", "data"), "annotation_clip": False}
        x, lift = 0.06 / width, 0.19 if about else 0.0
        axes[0, 0].annotate(
            arm, (x, row - lift), va="center", size=9, weight="bold", color=INK, **place
        )
        axes[0, 0].annotate(
            about, (x, row + 0.23), va="center", size=7.5, color=GREY, **place
        )
    middle = (label_width + width) / 2 / width
    figure.text(middle, 0.1 / height, words.axis, ha="center", size=9, color=INK)
    figure.suptitle(words.title, size=9.5, y=0.99, va="top", color=INK)
    return figure


def _reach(column: Column) -> float:
    """How far the column's intervals reach from 0; 1 if nothing differs."""
    widths = [
        abs(each.mean) + (0.0 if math.isnan(each.half_width) else each.half_width)
        for each in column.differences.values()
    ]
    return max(widths, default=0.0) or 1.0


def _draw_column(
    axis: plt.Axes, column: Column, arms: Sequence[str], reach: float, words: Words
) -> None:
    axis.axvspan(-reach, 0, color=BETTER, alpha=0.09, lw=0)
    axis.axvspan(0, reach, color=WORSE, alpha=0.09, lw=0)
    axis.axvline(0, color=INK, lw=1)
    for row, arm in enumerate(arms):
        if arm not in column.differences:
            place = {"ha": "center", "va": "center", "size": 7.5, "color": GREY}
            axis.text(-0.5 * reach, row, "not run", **place)
            continue
        each = column.differences[arm]
        color = INK if each.has_zero else BETTER if each.mean < 0 else WORSE
        axis.errorbar(
            each.mean, row, xerr=each.half_width, fmt="o", ms=4.5, lw=1.6, color=color
        )
    axis.set(xlim=(-reach, reach), ylim=(len(arms) - 0.5, -0.5), yticks=[])
    power = 10.0 ** math.floor(math.log10(0.85 * reach))
    tick = max(size * power for size in (1, 2, 5) if size * power <= 0.85 * reach)
    axis.set_xticks([-tick, 0, tick], [f"\N{MINUS SIGN}{tick:g}", "0", f"+{tick:g}"])
    axis.tick_params(axis="x", labelsize=8, colors=INK)
    axis.spines[["left", "right", "top"]].set_visible(False)
    for x, text, color in ((-0.5, words.left, BETTER), (0.5, words.right, WORSE)):
        axis.annotate(
            text.replace(" ", "\n"),
            (x * reach, -0.62),
            ha="center",
            va="bottom",
            size=7.5,
            color=color,
            annotation_clip=False,
        )
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
    axis.annotate(
        column.title, (0.5, 1), xytext=(0, 38), size=9.5, weight="bold", **above
    )
    axis.annotate(
        column.subtitle, (0.5, 1), xytext=(0, 28), size=8, color=GREY, **above
    )


def plot_curves(
    path: Path, runs: Mapping[str, Mapping[int, list[dict[str, Any]]]], title: str
) -> Path:
    """Draws the epochs of arms; returns the path.

    Args:
      path: of the picture.
      runs: by arm and seed, the rows of `metrics.jsonl`.
      title: above the picture.
    """
    panels = {
        "test_error": "test error (%)",
        "train_loss": "training loss (nats)",
        "low_loss_share": "share of low-loss steps",
        "mean_momentum": "mean momentum",
    }
    draws_each = len(runs) <= MOST_THIN_LINES
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for panel, (name, label) in zip(axes.flat, panels.items(), strict=True):
        drawn = []
        for index, (arm, seeds) in enumerate(runs.items()):
            curves = np.array(
                [[row[name] for row in rows] for rows in seeds.values()], dtype=float
            )
            if np.isnan(curves).all():  # AdamW has no phase
                continue
            drawn.append(curves)
            epochs = np.arange(1, curves.shape[1] + 1)
            style = drawing.line_style(index, len(epochs)) | {"linewidth": 2}
            if len(curves) > 1 and draws_each:
                thin = {"color": style["color"], "alpha": 0.3, "linewidth": 0.8}
                panel.plot(epochs, curves.T, **thin)
            panel.plot(epochs, curves.mean(axis=0), label=arm, **style)
        drawing.epoch_axis(panel)
        panel.set_ylabel(label)
        if name in ("test_error", "train_loss") and drawn:
            numbers = np.concatenate([curves.ravel() for curves in drawn])
            drawing.log_scale(panel, numbers)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    counts = [len(seeds) for seeds in runs.values()]
    seeds = "one seed"
    if max(counts) > 1:
        seeds = f"mean of {span(counts)} seeds" + " (thin: each)" * draws_each
    figure.suptitle(f"{title}: {seeds}")
    return drawing.save(figure, path)

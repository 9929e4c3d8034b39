"""The forest plot of studies: what the arms differ by."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from train.runs.drawing import plt
from train.runs.palette import GREY, INK, colors_of

# Below the axis: what the dots and lines are.
LEGEND = "dot: mean; line: 95 % interval; filled dot: 0 is outside of it"


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


def draw_forest(
    columns: Sequence[Column],
    arms: Mapping[str, tuple[str, str]],
    *,
    title: str,
    axis: str,
    sides: tuple[str, str],
) -> plt.Figure:
    """Draws differences with their 95 % intervals: a row an arm, a column a data set.

    Args:
      columns: from left to right.
      arms: from top to bottom, by name: the kind (see `train.runs.palette`), and a few
        words that say what it is.
      title: above it all.
      axis: what its numbers are.
      sides: what is so on the left and on the right of 0.
    """
    longest = max(len(arm) for arm in arms)
    label_width = max(1.82, 0.06 + 0.085 * longest)
    width = label_width + max(1.1 * len(columns), 3.4) + 0.1
    titles = textwrap.wrap(title, int(14 * width))
    axis_text = textwrap.wrap(axis, int(16 * (width - label_width)))
    top, bottom = 0.85 + 0.16 * len(titles), 0.6 + 0.16 * len(axis_text)
    height = top + bottom + 0.34 * len(arms)
    figure, axes = plt.subplots(1, len(columns), figsize=(width, height), squeeze=False)
    figure.subplots_adjust(
        left=label_width / width,
        right=1 - 0.06 / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.08,
    )
    for panel, column in zip(axes[0], columns, strict=True):
        like = [each for each in columns if each.title == column.title]
        _draw_column(panel, column, arms, 1.08 * max(map(_reach, like)), sides)
    for row, (arm, (_, about)) in enumerate(arms.items()):
        place = {"xycoords": ("figure fraction", "data"), "annotation_clip": False}
        x, lift = 0.06 / width, 0.19 if about else 0.0
        axes[0, 0].annotate(
            arm, (x, row - lift), va="center", size=9, weight="bold", color=INK, **place
        )
        axes[0, 0].annotate(
            about, (x, row + 0.23), va="center", size=7.5, color=GREY, **place
        )
    middle = (label_width + width) / 2 / width
    place = {"ha": "center", "va": "bottom"}
    figure.text(middle, 0.26 / height, "\n".join(axis_text), size=9, color=INK, **place)
    figure.text(middle, 0.08 / height, LEGEND, size=7.5, color=GREY, **place)
    figure.suptitle("\n".join(titles), size=9.5, y=0.99, va="top", color=INK)
    return figure


def _reach(column: Column) -> float:
    """How far the column's intervals reach from 0; 1 if nothing differs."""
    widths = [
        abs(each.mean) + (0.0 if math.isnan(each.half_width) else each.half_width)
        for each in column.differences.values()
    ]
    return max(widths, default=0.0) or 1.0


def _draw_column(
    axis: plt.Axes,
    column: Column,
    arms: Mapping[str, tuple[str, str]],
    reach: float,
    sides: tuple[str, str],
) -> None:
    axis.axvspan(-reach, 0, color="#eeeeee", lw=0)  # the better side
    axis.axvspan(0, reach, color="#f8f8f8", lw=0)
    axis.axvline(0, color=INK, lw=1)
    colors = colors_of(kind for kind, _ in arms.values())
    for row, (arm, (kind, _)) in enumerate(arms.items()):
        if arm not in column.differences:
            place = {"ha": "center", "va": "center", "size": 7.5, "color": GREY}
            axis.text(-0.5 * reach, row, "not run", **place)
            continue
        each = column.differences[arm]
        axis.errorbar(
            each.mean,
            row,
            xerr=each.half_width,
            fmt="o",
            ms=5,
            lw=1.6,
            color=colors[kind],
            markerfacecolor="white" if each.has_zero else colors[kind],
        )
    axis.set(xlim=(-reach, reach), ylim=(len(arms) - 0.5, -0.5), yticks=[])
    power = 10.0 ** math.floor(math.log10(0.85 * reach))
    tick = max(size * power for size in (1, 2, 5) if size * power <= 0.85 * reach)
    axis.set_xticks([-tick, 0, tick], [f"\N{MINUS SIGN}{tick:g}", "0", f"+{tick:g}"])
    axis.tick_params(axis="x", labelsize=8, colors=INK)
    axis.spines[["left", "right", "top"]].set_visible(False)
    for x, text in zip((-0.5, 0.5), sides, strict=True):
        axis.annotate(
            text.replace(" ", "\n"),
            (x * reach, -0.62),
            ha="center",
            va="bottom",
            size=7.5,
            color=INK,
            annotation_clip=False,
        )
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
    axis.annotate(
        column.title, (0.5, 1), xytext=(0, 38), size=9.5, weight="bold", **above
    )
    axis.annotate(
        column.subtitle, (0.5, 1), xytext=(0, 28), size=8, color=GREY, **above
    )

"""The forest plot of a study: what arms differ by, in a picture and in words."""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from train.paths import printable
from train.runs.drawing import plt
from train.runs.palette import GREY, INK, colors_of

WIDTH, LEFT, RIGHT = 9.8, 2.15, 3.85  # of the picture and beside its axes, in inches
ROW = 0.24  # height, in inches
LEGEND = (
    "dot: mean, filled where better or worse; thin line: 95 % interval, of all arms "
    "together if not planned; thick line: 90 % interval of the arm alone; grey: margin"
)


class Row(NamedTuple):
    """A difference.

    Attributes:
      name: of the arm or the question.
      kind: gives its colour; see `train.runs.palette`.
      mean: in points; so are the half widths, which are NaN with one seed.
      half_width: of the 95 % interval.
      half_width_90: of the 90 % interval.
      interval: the numbers in words.
      verdict: in words.
      margin: differences below it count as none.
      is_settled: whether it says better or worse.
      group: a heading above the rows of the same group; "" for none.
    """

    name: str
    kind: str
    mean: float
    half_width: float
    half_width_90: float
    interval: str
    verdict: str
    margin: float
    is_settled: bool
    group: str = ""


class Part(NamedTuple):
    """Rows with one scale: a data set."""

    title: str
    rows: Sequence[Row]


def draw_forest(
    parts: Sequence[Part], *, title: str, axis: str, sides: tuple[str, str]
) -> plt.Figure:
    """Draws differences with their intervals, a row each, one part below the other.

    The axis says what the numbers are, `sides` what is so on the left and the right of
    0.
    """
    placed = [_places(part.rows) for part in parts]
    titles = textwrap.wrap(title, 100)
    top, gap, bottom = 0.45 + 0.17 * len(titles), 0.62, 0.95
    heights = [ROW * (lines + 0.4) for lines, _ in placed]
    height = top + sum(heights) + gap * (len(parts) - 1) + bottom
    figure = plt.figure(figsize=(WIDTH, height))
    colors = colors_of(row.kind for part in parts for row in part.rows)
    above = height - top
    for part, (lines, places), tall in zip(parts, placed, heights, strict=True):
        above -= tall
        left, wide = LEFT / WIDTH, (WIDTH - LEFT - RIGHT) / WIDTH
        axes = figure.add_axes((left, above / height, wide, tall / height))
        axes.set_ylim(lines + 0.2, -0.2)
        _draw_part(axes, part, places, colors)
        above -= gap
    for x, text, place in zip((0.02, 0.98), sides, ("left", "right"), strict=True):
        where = {"xytext": (0, -26), "textcoords": "offset points", "ha": place}
        last = figure.axes[-1]
        last.annotate(text, (x, 0), xycoords="axes fraction", size=8, **where)
    middle = (LEFT + (WIDTH - LEFT - RIGHT) / 2) / WIDTH
    figure.text(middle, 0.28 / height, axis, size=8.5, color=INK, ha="center")
    figure.text(0.5, 0.08 / height, LEGEND, size=7, color=GREY, ha="center")
    figure.suptitle(
        "\n".join(titles), x=0.01, y=1 - 0.08 / height, ha="left", va="top", size=10.5
    )
    return figure


def _places(rows: Sequence[Row]) -> tuple[int, list[tuple[float, Row | str]]]:
    """How many lines the rows and their headings take, and where each stands."""
    places: list[tuple[float, Row | str]] = []
    for number, row in enumerate(rows):
        if row.group and (not number or rows[number - 1].group != row.group):
            places.append((len(places) + 0.5, row.group))
        places.append((len(places) + 0.5, row))
    return len(places), places


def _draw_part(
    axes: plt.Axes,
    part: Part,
    places: Sequence[tuple[float, Row | str]],
    colors: dict[str, str],
) -> None:
    reach = 1.08 * max(map(_reach, part.rows))
    axes.axvline(0, color=INK, lw=0.8)
    x = -LEFT / (WIDTH - LEFT - RIGHT) + 0.02  # the picture's edge
    beside = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
    beside |= {"va": "center", "size": 8.5, "color": INK}
    if part.title:
        where = {"xytext": (0, 7), "textcoords": "offset points"}
        edge = {"xycoords": "axes fraction", "annotation_clip": False}
        axes.annotate(part.title, (x, 1), weight="bold", size=9.5, **edge, **where)
    for y, row in places:
        if isinstance(row, str):
            axes.annotate(row, (x, y), **beside | {"color": GREY})
            continue
        name = textwrap.shorten(printable(row.name), 30, placeholder=" ...")
        axes.annotate(name, (x + 0.03, y), **beside)
        axes.annotate(row.interval, (1.03, y), **beside)
        axes.annotate(textwrap.fill(row.verdict, 30), (1.48, y), **beside)
        band = {"color": "#e4e4e4", "lw": 0, "zorder": 0}
        axes.fill_betweenx([y - 0.5, y + 0.5], -row.margin, row.margin, **band)
        color = colors[row.kind]
        for half, width in ((row.half_width, 1), (row.half_width_90, 3)):
            axes.plot([row.mean - half, row.mean + half], [y, y], color=color, lw=width)
        fill = color if row.is_settled else "white"
        axes.plot(row.mean, y, "o", ms=5, color=color, markerfacecolor=fill)
    power = 10.0 ** math.floor(math.log10(0.85 * reach))
    tick = max(size * power for size in (1, 2, 5) if size * power <= 0.85 * reach)
    axes.set(xlim=(-reach, reach), yticks=[])
    axes.set_xticks([-tick, 0, tick], [f"\N{MINUS SIGN}{tick:g}", "0", f"+{tick:g}"])
    axes.tick_params(axis="x", labelsize=8, colors=INK)
    axes.spines[["left", "right", "top"]].set_visible(False)


def _reach(row: Row) -> float:
    """How far its interval and its margin reach from 0."""
    half = 0.0 if math.isnan(row.half_width) else row.half_width
    return max(abs(row.mean) + half, 1.1 * row.margin)

"""Tables as text and as Markdown, and the numbers in them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from train.reports import statistics
from train.reports.statistics import signed as text

WIDTH = 80  # of what is printed


def aligned(rows: Sequence[Sequence[str]], width: float = math.inf) -> list[str]:
    """Lines of a table, its columns aligned to the left; under the first row a rule.

    A row whose first cell would make it wider than `width` has that in a line of its
    own.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = width - sum(widths[1:]) - 2 * len(widths[1:])
    fitting = [len(row[0]) for row in rows if len(row[0]) <= room]
    widths[0] = max(fitting, default=0)
    lines = []
    for first, *others in rows:
        if len(first) > widths[0]:
            lines.append(first)
            first = ""
        cells = zip([first, *others], widths, strict=True)
        lines.append("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
    return [lines[0], "-" * (sum(widths) + 2 * len(widths[1:])), *lines[1:]]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def interval(mean: float, half_width: float) -> str:
    """The 95 % interval of a difference, signed; a dash where there is none."""
    if math.isnan(half_width):
        return "-"
    low, high = mean - half_width, mean + half_width
    return f"{text(low, '+.2f')} to {text(high, '+.2f')}"


def mean_text(numbers: Sequence[float], spec: str, most: float = math.inf) -> str:
    """Mean, deviation and 95 % interval of numbers from 0 to `most`, one a seed."""
    mean, spread, half_width = statistics.summarize(numbers)
    if math.isnan(spread):
        return text(mean, spec)
    low, high = max(mean - half_width, 0.0), min(mean + half_width, most)
    shown = [text(number, spec) for number in (mean, spread, low, high)]
    return "{} ± {} [{}, {}]".format(*shown)


def mean_cells(
    runs: Sequence[dict[str, Any]], columns: dict[str, tuple[str, str]]
) -> list[str]:
    """Means over runs, each of those that are known; `columns` are titles and specs."""
    cells = []
    for name, (_, spec) in columns.items():
        known = [run[name] for run in runs if run[name] is not None]
        cells.append(text(float(np.mean(known)), spec) if known else "-")
    return cells


def span(numbers: Sequence[float], write: Callable[[float], str] = str) -> str:
    """The lowest and the highest of numbers, or what both are."""
    low, high = write(min(numbers)), write(max(numbers))
    return low if low == high else f"{low} to {high}"


def p_text(p: float) -> str:
    """A p-value; a dash where there is none."""
    return "-" if math.isnan(p) else f"{p:.2g}"


def percent(number: float) -> str:
    """A size in percentage points; a dash where there is none."""
    if math.isnan(number):
        return "-"
    return f"{number:.2f}" if number <= 100 else "over 100"

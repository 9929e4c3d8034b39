"""Tables as text and as Markdown, and the numbers in them."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from train.reports import statistics

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


def signed(number: float, spec: str = "+.2f") -> str:
    """A number; where rounding makes a zero of it, without a sign."""
    written = format(number, spec)
    is_zero = not any(digit in written for digit in "123456789")
    return written.lstrip("+-") if is_zero else written


def interval(mean: float, half_width: float) -> str:
    """The 95 % interval of a difference, signed; a dash where there is none."""
    if math.isnan(half_width):
        return "-"
    return f"{signed(mean - half_width)} to {signed(mean + half_width)}"


def mean_text(
    numbers: Sequence[float],
    spec: str,
    most: float = math.inf,
    *,
    least: float = 0.0,
    with_deviation: bool = True,
) -> str:
    """Mean, deviation and 95 % interval of numbers, one a seed; a dash without any.

    The interval ends at `least` and `most`, where the numbers do. NaN are left out.
    """
    known = [number for number in numbers if not math.isnan(number)]
    if not known:
        return "-"
    mean, deviation, half_width = statistics.estimate(known)
    text = signed(mean, spec)
    if math.isnan(deviation):
        return text
    if with_deviation:
        text += f" ± {signed(deviation, spec)}"
    low, high = max(mean - half_width, least), min(mean + half_width, most)
    return f"{text} [{signed(low, spec)}, {signed(high, spec)}]"


def mean_known(numbers: Sequence[float | None], spec: str) -> str:
    """The mean of those that are known; a dash without any."""
    known = np.array(numbers, float)
    known = known[~np.isnan(known)]
    return signed(float(np.mean(known)), spec) if len(known) else "-"


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


def with_interval(mean: float, half_width: float) -> str:
    """A difference and its interval, signed."""
    if math.isnan(half_width):
        return signed(mean)
    return f"{signed(mean)} [{signed(mean - half_width)}, {signed(mean + half_width)}]"

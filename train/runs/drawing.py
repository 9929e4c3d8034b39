"""Axes, lines and files that the pictures of runs and of studies share."""

import io
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import ticker

from train.runs.palette import ARM_COLORS
from train.runs.writing import replace

plt.switch_backend("agg")
plt.rcParams["text.parse_math"] = False  # names of folders may hold dollars

# In the files that this program draws: it may draw these again.
SOFTWARE = "lcam_optax"
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = (".", "^", "s", "x", "d", "v")
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "fontsize": "small"}


def line_styles(kinds: Sequence[str], epochs: int) -> list[dict[str, Any]]:
    """The lines of arms or runs of these kinds: a kind has one colour."""
    before: Counter[str] = Counter()
    styles = []
    for kind in kinds:
        round_, dashes = divmod(before[kind], len(LINE_STYLES))
        before[kind] += 1
        styles.append(
            {
                "color": ARM_COLORS[kind],
                "linestyle": LINE_STYLES[dashes],
                # One epoch draws no line.
                "marker": MARKERS[round_ % len(MARKERS)]
                if round_ or epochs < 30
                else None,
                "markevery": max(1, epochs // 30),
                "markersize": 4 if round_ else None,
            }
        )
    return styles


def epoch_axis(axes: plt.Axes) -> None:
    """Epochs below, whole ones."""
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)


def floor_of(numbers: np.ndarray, num_tests: int | None = None) -> float:
    """Where a logarithmic axis ends: what is less is drawn there.

    Args:
      numbers: that are drawn.
      num_tests: predictions that an error in percent is a share of: the floor is half
        of one. None: the floor is the smallest number above 0.
    """
    if num_tests:
        return 50 / num_tests
    return float(np.min(numbers[numbers > 0], initial=np.inf))


def log_scale(
    axes: plt.Axes, numbers: np.ndarray, floor: float, unit: str = ""
) -> None:
    """A logarithmic axis, with ticks that can be read however little it spans.

    Args:
      axes: whose lines are not below the floor.
      numbers: all that is drawn, before it was put on the floor.
      floor: where the axis ends, if a number is below; its tick says "≤".
      unit: of the ticks.
    """
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size or not math.isfinite(floor):
        return
    has_floor = bool((numbers < floor).any())
    low, high = max(numbers.min(), floor), max(numbers.max(), floor)
    pad = max(1.03, (high / low) ** 0.05)
    axes.set_yscale("log")
    axes.set_ylim(low / pad, high * pad)
    if high > 100 * low:
        locator = ticker.LogLocator(numticks=8)
    elif high > 5 * low:
        locator = ticker.LogLocator(subs=(1, 2, 5))
    else:
        locator = ticker.MaxNLocator(5, steps=[1, 2, 5, 10])
    ticks = [t for t in locator.tick_values(low, high) if low / pad < t < high * pad]
    labels = {tick: f"{tick:g}{unit}" for tick in ticks}
    if has_floor:
        labels = {tick: label for tick, label in labels.items() if tick > 1.35 * floor}
        labels[floor] = f"≤ {floor:.2g}{unit}"
    axes.set_yticks(list(labels), list(labels.values()))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    if high <= 100 * low:
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def save(figure: plt.Figure, path: Path) -> Path:
    """Writes a picture whole and lets it go; returns the path.

    Raises:
      InputError: the disk does not take it.
    """
    picture = io.BytesIO()
    kind = path.suffix[1:].lower()
    about = {"Software": SOFTWARE} if kind == "png" else {}
    with warnings.catch_warnings():
        # A folder's name may have letters that the font lacks: boxes stand for them.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(picture, format=kind, dpi=120, metadata=about)
    plt.close(figure)
    replace(path, picture.getvalue())
    return path


def is_ours(path: Path) -> bool:
    """Whether this program drew a picture that is there."""
    with path.open("rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(2000)

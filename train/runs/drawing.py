"""Colours, axes and files that the pictures of runs and of studies share.

The colours are Okabe and Ito's: colour-blind safe.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from lcam_optax import Phase

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the backend is chosen

plt.rcParams["text.parse_math"] = False  # names of folders may hold dollars

PHASE_COLORS = {Phase.LOW_LOSS: "#0072B2", Phase.HIGH_LOSS: "#D55E00"}
PHASE_LABELS = {Phase.LOW_LOSS: "low-loss phase", Phase.HIGH_LOSS: "high-loss phase"}
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", ":")


def line_style(index: int, epochs: int) -> dict[str, Any]:
    """The line of the arm or run with this number: colours come again."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": LINE_STYLES[index // len(COLORS) % len(LINE_STYLES)],
        "marker": "." if epochs < 30 else None,  # one epoch draws no line
    }


def epoch_axis(axes: plt.Axes) -> None:
    """Epochs below, whole ones."""
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)


def log_scale(axes: plt.Axes, numbers: np.ndarray) -> None:
    """A logarithmic axis, where it can hold the numbers and they span decades."""
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size and numbers.min() > 0 and numbers.max() > 20 * numbers.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def save(figure: plt.Figure, path: Path) -> Path:
    """Writes a picture and lets it go; returns the path."""
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path

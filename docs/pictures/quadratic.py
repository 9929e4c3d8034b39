"""Draws quadratic.png: what switching does to a noisy quadratic.

Run as `python -m docs.pictures.quadratic`. It reads the tables in docs/mechanism.md,
which `python -m docs.theory.quadratic` prints.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from train.runs.palette import ARM_COLORS, GREY, INK

DOCUMENT = Path(__file__).parents[1] / "mechanism.md"

LCAM, REVERSED = ARM_COLORS["lcam"], ARM_COLORS["lcam-reversed"]
FLAT, MEDIUM, STEEP = "#009E73", "#CC79A7", "#000000"


class Gain(NamedTuple):
    """One row of the table of phases by the loss.

    Attributes:
      weights: how many there are, all of curvature 1.
      decay: of the running average.
      is_reversed: whether the lower coefficient is that of the low-loss phase.
      percent: mean loss with the weights' own phases over that with borrowed ones,
        less 1.
      error: standard error of `percent`.
    """

    weights: int
    decay: float
    is_reversed: bool
    percent: float
    error: float


def rows_below(header: str) -> Iterator[list[str]]:
    """Yields the rows of the table with this beginning of a header, as words."""
    _, found, rest = DOCUMENT.read_text().partition(f"\n{header}")
    if not found:
        raise ValueError(f'{DOCUMENT} has no table that begins with "{header}".')
    for line in rest.splitlines()[1:]:
        if not re.match(r" *\d", line):
            return
        yield line.split()


def read_gains() -> list[Gain]:
    """Reads what the loss is worth, where all curvatures are 1."""
    gains = []
    for words in rows_below("weights   curvature"):
        if words[1] != "1":
            continue
        weights, _, decay, low, high, _, own, _, own_error, other, _, other_error = map(
            lambda word: 0.0 if word == "±" else float(word), words
        )
        gains.append(
            Gain(
                int(weights),
                decay,
                low < high,
                100 * (own / other - 1),
                100
                * own
                / other
                * ((own_error / own) ** 2 + (other_error / other) ** 2) ** 0.5,
            )
        )
    return gains


def draw_runs(axis: Axes) -> None:
    """Draws the variance by the mean length of a run, a curve a curvature."""
    lengths, *ratios = zip(
        *(map(float, words) for words in rows_below("steps in a run")), strict=True
    )
    for numbers, colour, words, place in zip(
        ratios,
        (FLAT, MEDIUM, STEEP),
        ("flat: curvature 0.0001", "curvature 0.01", "curvature 1"),
        ((3.5e2, 1.233), (1.5e2, 1.147), (1.4e2, 1.083)),
        strict=True,
    ):
        axis.plot(lengths, numbers, "o-", ms=3.5, lw=1.8, color=colour)
        axis.text(*place, words, size=8.5, color=colour, va="bottom")
    axis.axhline(1, color=INK, lw=1)
    for y, words in (
        (1, "fixed at the mean, 0.925"),
        (1.25, "limit for a flat direction"),
    ):
        axis.text(1.1e6, y + 0.004, words, size=8, color=GREY, ha="right", va="bottom")
    axis.axhline(1.25, color=GREY, lw=1, ls=":")
    axis.set_xscale("log")
    axis.set(xlim=(1.6, 1.3e6), ylim=(0.985, 1.28))
    axis.set_yticks([1, 1.05, 1.1, 1.15, 1.2, 1.25])
    axis.set_xticks(
        [10, 100, 1000, 10_000, 100_000, 1_000_000],
        ["10", "100", "1,000", "10,000", "100,000", "1 million"],
    )
    axis.set_xlabel("mean length of a run, steps")
    axis.set_ylabel("variance of w, relative to fixed 0.925")
    axis.set_title("Longer runs of a phase raise the variance")


def draw_gains(axis: Axes) -> None:
    """Draws what the loss is worth by the number of weights, a curve an arm."""
    gains = read_gains()
    for colour, is_reversed in ((LCAM, False), (REVERSED, True)):
        for decay, style in ((0.9, "-"), (0.99, "--")):
            points = [
                each
                for each in gains
                if (each.is_reversed, each.decay) == (is_reversed, decay)
            ]
            axis.errorbar(
                [each.weights for each in points],
                [each.percent for each in points],
                yerr=[2 * each.error for each in points],
                ls=style,
                marker="o",
                ms=3.5,
                lw=1.8,
                elinewidth=1,
                color=colour,
            )
    axis.axhline(0, color=INK, lw=1)
    axis.text(1.3, 6.4, "LCAM: 0.95 at low loss", size=8.5, color=LCAM)
    axis.text(1.3, -6.4, "reversed: 0.9 at low loss", size=8.5, color=REVERSED)
    note = {"size": 8, "color": GREY, "ha": "right", "va": "center"}
    axis.text(1500, 4.0, "solid: average over 10 steps\ndashed: over 100 steps", **note)
    axis.text(1500, 1.6, "above 0, the loss misleads", **note)
    axis.text(1500, -1.2, "below 0, the loss helps", **note)
    axis.set_xscale("log")
    axis.set(xlim=(0.75, 1800), ylim=(-7.2, 7.2))
    axis.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    ticks = range(-6, 8, 2)
    labels = [f"{tick:+d} %" if tick else "0" for tick in ticks]
    axis.set_yticks(ticks, [each.replace("-", "\N{MINUS SIGN}") for each in labels])
    axis.set_xlabel("number of weights that share the coefficient")
    axis.set_ylabel("loss: own phases against borrowed")
    axis.set_title("The loss of many equal weights says little")


def main() -> None:
    """Reads the document's tables and writes the picture beside this file."""
    plt.rcParams.update({"axes.titlesize": 11, "axes.titleweight": "bold"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.9))
    draw_runs(left)
    draw_gains(right)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8.5)
        axis.minorticks_off()
    figure.tight_layout(w_pad=2.5)
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=160, metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()

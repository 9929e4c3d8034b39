"""Draws docs/pictures/speed_ratios.png: what LCAM's step costs, and who trains faster.

    python -m docs.pictures.speed_ratios

Reads benchmarks/results/*.json. A dot is the median of the rounds' ratios, a whisker
their quartiles.
"""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
BLUE, GREEN, PINK, GREY = "#0072B2", "#009E73", "#CC79A7", "#666666"

SIZES = {
    "1 k": "1,000 parameters",
    "one array": "36.5 M, one array",
    "WRN-28-10": "36.5 M, 80 arrays\n(WRN-28-10)",
    "100 M": "100 M, one array",
}
FLAX, AUTHORS = "plain Flax", "the authors' PyTorch loop"
# What a row shows, its file, and its side there.
LOOPS = [
    ("CPU with AVX2", None, None),
    (FLAX, "throughput_cpu", "plain flax"),
    (f"{FLAX}, with our compiler option", "throughput_cpu_same_option", "plain flax"),
    (AUTHORS, "throughput_cpu", "authors"),
    ("tuned PyTorch, float32", "throughput_cpu", "tuned torch, float32"),
    ("CPU with fast bfloat16", None, None),
    (FLAX, "throughput_cpu_bfloat16", "plain flax"),
    (AUTHORS, "throughput_cpu_bfloat16", "authors"),
    ("tuned PyTorch, bfloat16", "throughput_cpu_bfloat16", "tuned torch"),
]


def read(name):
    """The results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def draw_ratio(axes, y, ratio, **style):
    """A dot at the median, whiskers to the quartiles."""
    low, high = ratio["quartiles"]
    axes.plot([low, high], [y, y], color=style["color"], linewidth=2, zorder=2)
    axes.plot(ratio["median"], y, linestyle="none", markersize=7, zorder=3, **style)


def finish(axes, labels, ticks, title, other):
    """Labels the rows and the axis of ratios."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.axvline(1, color="black", linewidth=1, zorder=1)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(title, loc="left", x=-0.39, fontsize=11, fontweight="bold", pad=24)
    axes.set_xlabel(f"time relative to {other} (dot: median; whiskers: quartiles)")
    ends = {
        "left": (0, f"← faster than {other}"),
        "right": (1, f"slower than {other} →"),
    }
    for side, (x, text) in ends.items():
        axes.text(
            x, 1.01, text, transform=axes.transAxes, ha=side, va="bottom", color=GREY
        )


def draw_steps(axes):
    """The optimizer's step: LCAM, and SGD again, over SGD."""
    results = read("optimizer_step_cpu")
    for y, size in enumerate(SIZES):
        ratios = results[size]["ratio_to_sgd"]
        draw_ratio(axes, y - 0.15, ratios["lcam"], color=BLUE, marker="o")
        draw_ratio(axes, y + 0.17, ratios["sgd again"], color=GREY, marker="D")
    axes.text(2.35, -0.15, "LCAM", color=BLUE, va="center", fontweight="bold")
    axes.text(1.13, 0.17, "SGD again: noise", color=GREY, va="center")
    axes.set_xlim(0.7, 2.9)
    finish(
        axes,
        list(SIZES.values()),
        (0.7, 0.8, 1, 1.25, 1.5, 2, 2.5),
        "Optimizer step: LCAM takes as long as SGD, except for tiny models",
        "SGD",
    )


def draw_loops(axes):
    """Training: the time of others over ours."""
    for y, (_, file, side) in enumerate(LOOPS):
        if file is None:
            continue
        styles = {"WRN-10-1": (-0.16, GREEN, "o"), "WRN-16-1": (0.16, PINK, "s")}
        for network, (shift, color, marker) in styles.items():
            ratio = read(file)[network]["sides"][side]["ratio_to_ours"]
            draw_ratio(axes, y + shift, ratio, color=color, marker=marker)
    left = {"va": "center", "ha": "right", "bbox": {"color": "white", "pad": 0}}
    axes.text(3.08, 0.84, "WRN-10-1", color=GREEN, **left)
    axes.text(3.23, 1.19, "WRN-16-1", color=PINK, **left)
    axes.set_xlim(0.28, 4.2)
    finish(
        axes,
        [label for label, _, _ in LOOPS],
        (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4),
        "Training on two CPU cores: plain Flax takes longer, tuned PyTorch less",
        "ours",
    )
    for tick, (_, file, _) in zip(axes.get_yticklabels(), LOOPS, strict=True):
        tick.set_fontweight("bold" if file is None else "normal")


def main():
    """Draws the picture."""
    plt.rcParams.update({"font.size": 9.5, "font.family": "DejaVu Sans"})
    figure, (steps, loops) = plt.subplots(2, figsize=(8.4, 8), height_ratios=(4, 7.5))
    figure.subplots_adjust(left=0.285, right=0.985, top=0.93, bottom=0.06, hspace=0.36)
    draw_steps(steps)
    draw_loops(loops)
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=168, metadata={"Software": None})


if __name__ == "__main__":
    main()

"""Draws docs/pictures/on_signal.png: a run that a signal stops, and its resumption.

    python -m docs.pictures.on_signal

The order of events is that of train/runs/loop.py and train/runs/stop.py. While the
device works on a call, the next one waits behind it. One more is handed over before the
host looks for a signal. The lengths are not measured.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
SKY = "#56B4E9"
STOPPED, WHOLE = 3.0, 0.0  # heights of the two runs
WIDTH, HEIGHT = 1.0, 0.9  # of a call
CALLS, LAST_BEFORE = 8, 5


def draw_box(axes, x, y, text, width=WIDTH, color=BLUE):
    """A piece of work, from x on."""
    box = FancyBboxPatch(
        (x + 0.04, y),
        width - 0.08,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=color,
        edgecolor="none",
    )
    axes.add_patch(box)
    axes.text(
        x + width / 2, y + HEIGHT / 2, text, color="white", ha="center", va="center",
        fontweight="bold", linespacing=1.1,
    )  # fmt: skip


def point(axes, text, at, text_at, color="black", **style):
    """A note with an arrow to what it is about."""
    axes.annotate(
        text, at, text_at, color=color, ha="center", linespacing=1.25,
        arrowprops={"arrowstyle": "-|>", "color": color, "shrinkB": 1}, **style,
    )  # fmt: skip


def draw_stopped(axes):
    """The run that a signal stops, and that is resumed."""
    top, bottom = STOPPED + HEIGHT, STOPPED
    for call in range(1, LAST_BEFORE + 1):
        color = BLUE if call <= 3 else SKY
        draw_box(axes, call - 1, STOPPED, f"{call}", color=color)
    saved = LAST_BEFORE * WIDTH
    draw_box(axes, saved, STOPPED, "save", color=GREEN)
    point(
        axes, "signal, such as Ctrl-C", (2.5, top), (2.5, top + 0.95), VERMILION,
        fontweight="bold", va="bottom",
    )  # fmt: skip
    point(
        axes, '"stopping and saving"', (3, bottom), (3, bottom - 0.55), va="top",
        color=GREY,
    )  # fmt: skip
    axes.text(
        4, top + 0.12, "at most two\nmore calls", ha="center", va="bottom",
        color="#1b7fb3",
    )  # fmt: skip
    axes.text(5.5, top + 0.12, "check-\npoint", color=GREEN, ha="center", va="bottom")
    point(
        axes, "exit code 130\n(128 + signal)", (6, bottom), (6, bottom - 0.55),
        va="top", color=GREY,
    )  # fmt: skip
    middle = STOPPED + HEIGHT / 2
    axes.plot([6.1, 7.4], [middle, middle], color=GREY, linestyle=":", linewidth=2)
    axes.text(6.75, middle + 0.14, "hours or\ndays later", ha="center", color=GREY)
    draw_box(axes, 7.5, STOPPED, "load", color=GREEN)
    axes.text(
        7.5, top + 0.95, "the same command\nwith --out FOLDER --resume", ha="left",
        va="bottom", fontweight="bold",
    )  # fmt: skip
    axes.plot([7.54, 7.54], [top + 0.08, top + 0.9], color="black", linewidth=1)
    for number, call in enumerate(range(LAST_BEFORE + 1, CALLS + 1)):
        draw_box(axes, 8.5 + number, STOPPED, f"{call}")


def draw_whole(axes):
    """The same run without a signal."""
    for call in range(1, CALLS + 1):
        draw_box(axes, call - 1, WHOLE, f"{call}")


def draw_end(axes):
    """What both runs end with."""
    end = 11.5
    axes.plot(
        [CALLS + 0.1, end + 0.3, end + 0.3, end + 0.1],
        [WHOLE + HEIGHT / 2] * 2 + [STOPPED + HEIGHT / 2] * 2,
        color="black",
        linewidth=1.5,
    )
    axes.text(
        end + 0.15, (WHOLE + STOPPED + HEIGHT) / 2,
        "the same end, bit for bit:\nweights, optimizer state,\nlosses of every step",
        ha="right", va="center", fontweight="bold",
    )  # fmt: skip


def main():
    """Draws the picture."""
    plt.rcParams.update({"font.size": 10, "font.family": "DejaVu Sans"})
    figure, axes = plt.subplots(figsize=(8.75, 4.4))
    figure.subplots_adjust(left=0.01, right=0.99, top=0.9, bottom=0.02)
    axes.set_xlim(-2.2, 12)
    axes.set_ylim(-0.55, STOPPED + 2.5)
    axes.set_axis_off()
    axes.set_title(
        "A signal stops a run between two calls; resumed, it comes to the same end",
        loc="left", fontsize=11.5, fontweight="bold",
    )  # fmt: skip
    for y, text in ((STOPPED, "stopped\nand resumed"), (WHOLE, "never stopped")):
        axes.text(-0.2, y + HEIGHT / 2, text, ha="right", va="center")
    draw_stopped(axes)
    draw_whole(axes)
    draw_end(axes)
    axes.text(
        0, WHOLE - 0.15,
        "a numbered box: one call of the compiled program, which takes several steps",
        va="top", color=GREY,
    )  # fmt: skip
    path = Path(__file__).with_suffix(".png")
    figure.savefig(path, dpi=160, metadata={"Software": None})


if __name__ == "__main__":
    main()

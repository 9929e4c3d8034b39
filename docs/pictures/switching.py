"""Draws switching.png: what LCAM does in a real run, step by step.

Run as `python -m docs.pictures.switching`. It trains a small network on the digits that
come with scikit-learn, which takes some seconds, and draws a stretch of its steps.csv.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from lcam_optax import Phase
from train.__main__ import main as train
from train.runs import drawing
from train.runs.palette import PHASE_COLORS
from train.runs.records import read_steps

STEPS = slice(60, 150)  # the loss still falls, and both phases are there
OPTIONS = "--low-loss-momentum 0.95 --epochs 8"
LOW, HIGH = (PHASE_COLORS[phase] for phase in (Phase.LOW_LOSS, Phase.HIGH_LOSS))


def read() -> dict[str, np.ndarray]:
    """Trains, and returns the columns of the steps that are drawn."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        if train(["run", *OPTIONS.split(), "--out", str(out)]):
            sys.exit("the run failed")
        return {name: np.array(row)[STEPS] for name, row in read_steps(out).items()}


def draw(steps: dict[str, np.ndarray]) -> plt.Figure:
    """Draws the loss above the momentum, with the low-loss steps shaded."""
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8.6, 4.3), sharex=True, height_ratios=(2.6, 1)
    )
    figure.subplots_adjust(left=0.1, right=0.84, top=0.9, bottom=0.12, hspace=0.09)
    x, is_low = steps["step"], steps["phase"] == Phase.LOW_LOSS
    for axes in (above, below):
        for step in x[is_low]:
            axes.axvspan(step - 0.5, step + 0.5, color=LOW, alpha=0.13, lw=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0)
    above.plot(x, steps["loss"], color="#999999", lw=0.8, zorder=1)
    for chosen, color in ((is_low, LOW), (~is_low, HIGH)):
        above.scatter(x[chosen], steps["loss"][chosen], s=13, color=color, zorder=3)
    above.plot(x, steps["average_loss"], color="black", lw=2, zorder=2)
    drawing.log_scale(above, steps["loss"], drawing.floor_of(steps["loss"]))
    above.set_ylabel("loss of the batch")
    figure.align_ylabels((above, below))
    below.step(x, steps["momentum"], where="mid", color="black", lw=1.4)
    below.set(ylabel="momentum", xlabel="training step", yticks=(0.9, 0.95))
    below.set_ylim(0.885, 0.965)
    beside = {"xycoords": ("axes fraction", "data"), "va": "center", "size": 9.5}
    above.annotate(" its running\n average", (1, steps["average_loss"][-1]), **beside)
    for y, text, color in (
        (0.95, " low loss: 0.95", LOW),
        (0.9, " high loss: 0.9", HIGH),
    ):
        below.annotate(text, (1, y), color=color, weight="bold", **beside)
    above.set_title(
        "LCAM takes the higher momentum while the loss is below its average (shaded)",
        loc="left",
        size=11,
        weight="bold",
    )
    return figure


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".png")
    draw(read()).savefig(path, dpi=170, metadata={"Software": None})
    print(path)

"""The picture of a run: each step's loss, phase and momentum, and the errors."""

from pathlib import Path
from typing import Any

import numpy as np

from train.runs import drawing
from train.runs.curves import Curves, read_curves
from train.runs.drawing import plt
from train.runs.palette import ARM_COLORS, PHASE_COLORS

# Drawn as pixels: there may be 100,000 of them.
_DOTS: dict[str, Any] = {"ls": "", "marker": ".", "ms": 3, "rasterized": True}
_PHASES = dict(zip(PHASE_COLORS, ("low loss", "high loss"), strict=True))


def plot_run(folder: Path) -> Path:
    """Draws loss with the phases, momentum, and errors of one run into `curves.png`."""
    run = read_curves(folder)
    figure, (loss_axes, momentum_axes, error_axes) = plt.subplots(
        3, 1, figsize=(9, 9), sharex=True, height_ratios=(3, 1, 2), layout="constrained"
    )
    draw_loss(loss_axes, run)
    about = run.task.title([len(run.metrics["epoch"])], run.planned)
    figure.suptitle(f"{run.name}\n{about}", fontsize="medium")
    draw_momentum(momentum_axes, run)
    _draw_errors(error_axes, run)
    drawing.epoch_axis(error_axes)
    figure.align_ylabels()
    return drawing.save(figure, folder / "curves.png")


def draw_loss(axes: plt.Axes, run: Curves) -> None:
    """Draws every step's loss, in the colour of its phase, and the average."""
    epochs, phase = run.epochs, run.steps["phase"]
    numbers = np.concatenate([run.steps["loss"], run.steps["average_loss"]])
    floor = drawing.floor_of(numbers)
    loss = np.maximum(run.steps["loss"], floor)
    if np.isnan(phase).all():  # AdamW
        axes.plot(epochs, loss, color="black", label="a step", **_DOTS)
    else:
        for each, color in PHASE_COLORS.items():
            chosen = phase == each
            label = f"{_PHASES[each]}: {100 * np.mean(chosen):.0f} %"
            axes.plot(epochs[chosen], loss[chosen], color=color, label=label, **_DOTS)
        average = np.maximum(run.steps["average_loss"], floor)
        axes.plot(epochs, average, color="black", linewidth=1, label="its average")
    drawing.log_scale(axes, numbers, floor)
    axes.set_ylabel(f"loss of a step ({run.task.loss})")
    axes.legend(markerscale=3, **drawing.BESIDE)


def draw_momentum(axes: plt.Axes, run: Curves) -> None:
    """Draws every step's coefficient and each epoch's mean."""
    momentum = run.steps["momentum"]
    axes.set_ylabel("momentum")
    if np.isnan(momentum).all():  # AdamW
        axes.text(0.5, 0.5, "AdamW: none", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    axes.plot(run.epochs, momentum, color="#999999", label="a step", **_DOTS)
    axes.plot(
        run.metrics["epoch"],
        run.metrics["mean_momentum"],
        ".-" if len(run.metrics["epoch"]) < 30 else "-",
        color="black",
        label="mean of\nthe epoch",
    )
    # A fixed coefficient gets an axis like the others', not one of rounding errors.
    axes.set_ylim(np.nanmin(momentum) - 0.01, np.nanmax(momentum) + 0.01)
    axes.legend(**drawing.BESIDE)


def _draw_errors(axes: plt.Axes, run: Curves) -> None:
    """Draws test and training error, in the colour of the run's kind."""
    columns = {name: run.metrics[f"{name}_error"] for name in ("test", "train")}
    numbers = np.concatenate(list(columns.values()))
    floor = drawing.floor_of(numbers, run.task.num_tests)
    for (name, errors), dashes in zip(columns.items(), ("-", ":"), strict=True):
        tested = np.isfinite(errors)
        epochs, errors = run.metrics["epoch"][tested], errors[tested]
        axes.plot(
            epochs,
            np.maximum(errors, floor),
            color=ARM_COLORS[run.kind],
            linestyle=dashes,
            marker="." if len(epochs) < 30 else None,
            label=name + (f": {errors[-1]:.2f} %" if errors.size else ""),
        )
    drawing.log_scale(axes, numbers, floor, " %")
    axes.set_ylabel(run.task.error)
    axes.legend(title="last epoch", title_fontsize="small", **drawing.BESIDE)

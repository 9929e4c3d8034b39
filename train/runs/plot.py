"""Pictures of a run, and of several side by side."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from train.errors import InputError
from train.paths import expand
from train.runs import drawing
from train.runs.curves import Curves, read_curves
from train.runs.folder import first_free
from train.settings.commands import Plot

# Drawn as pixels: there may be 100,000 of them.
_DOTS: dict[str, Any] = {"ls": "", "marker": ".", "ms": 3, "rasterized": True}


def plot_run(folder: Path) -> Path:
    """Draws loss with the phases, momentum, and errors of one run into `curves.png`."""
    run = read_curves(folder)
    figure, (loss_axes, momentum_axes, error_axes) = plt.subplots(
        3, 1, figsize=(9, 9), sharex=True, height_ratios=(3, 1, 2), layout="constrained"
    )
    _draw_loss(loss_axes, run)
    loss_axes.set_title(run.name)
    _draw_momentum(momentum_axes, run)
    epochs = run.metrics["epoch"]
    for name, color in (("train", "#999999"), ("test", "#000000")):
        errors = run.metrics[f"{name}_error"]
        error_axes.plot(epochs, errors, ".-", color=color, label=name)
    error_axes.set_ylabel("error (%)")
    drawing.epoch_axis(error_axes)
    error_axes.set_ylim(bottom=0)
    last = epochs[-1], run.metrics["test_error"][-1]
    error_axes.annotate(
        f"{last[1]:.2f} %", last, textcoords="offset points", xytext=(-4, 6), ha="right"
    )
    error_axes.legend()
    return drawing.save(figure, folder / "curves.png")


def plot_runs(config: Plot) -> Path:
    """Draws runs on common axes, and each one's loss, phases and momentum below.

    Returns:
      The picture's path.

    Raises:
      InputError: a folder holds no run, or the picture cannot be written or is there.
    """
    runs = [read_curves(expand(folder)) for folder in config.runs]
    if len({run.name for run in runs}) < len(runs):  # seed0 of several studies
        runs = [
            run._replace(name=str(folder))
            for run, folder in zip(runs, config.runs, strict=True)
        ]
    out = _new_picture(config.out)
    figure = plt.figure(figsize=(13, 4.5 + 2.8 * len(runs)), layout="constrained")
    heights = [4.5] + [2.8] * len(runs)
    grid = figure.add_gridspec(1 + len(runs), 2, height_ratios=heights)
    for place, (name, label) in enumerate(
        {"test_error": "test error (%)", "train_loss": "training loss (nats)"}.items()
    ):
        axes = figure.add_subplot(grid[0, place])
        for index, run in enumerate(runs):
            epochs, curve = run.metrics["epoch"], run.metrics[name]
            style = drawing.line_style(index, len(epochs))
            axes.plot(epochs, curve, label=f"{run.name}: {curve[-1]:.4g}", **style)
        drawing.log_scale(axes, np.concatenate([run.metrics[name] for run in runs]))
        axes.set_ylabel(label)
        drawing.epoch_axis(axes)
        axes.legend(title="last epoch")
    for row, run in enumerate(runs, start=1):
        for column, draw in enumerate((_draw_loss, _draw_momentum)):
            axes = figure.add_subplot(grid[row, column])
            draw(axes, run)
            axes.set_title(run.name, fontsize="medium")
            drawing.epoch_axis(axes)
    return drawing.save(figure, out)


def _new_picture(out: Path | None) -> Path:
    """The picture to write: never one that is there."""
    if out is None:
        return first_free(Path("figure"), ".png")
    out = expand(out)
    if out.exists():
        raise InputError(f"--out {out} exists: name a new file.")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}.")
    return out


def _draw_loss(axes: plt.Axes, run: Curves) -> None:
    """Draws every step's loss, in the colour of its phase, and the average."""
    epochs, steps, loss = run.epochs, run.steps, run.steps["loss"]
    if np.isnan(steps["phase"]).all():  # AdamW
        axes.plot(epochs, loss, color="black", label="a step", **_DOTS)
    else:
        for phase, color in drawing.PHASE_COLORS.items():
            chosen = steps["phase"] == phase
            label = f"{drawing.PHASE_LABELS[phase]} ({np.mean(chosen):.0%} of steps)"
            axes.plot(epochs[chosen], loss[chosen], color=color, label=label, **_DOTS)
        average = {"color": "black", "linewidth": 1, "label": "its average"}
        axes.plot(epochs, steps["average_loss"], **average)
    drawing.log_scale(axes, loss)
    axes.set_ylabel("loss of a step (nats)")
    axes.legend(fontsize="small", markerscale=3)


def _draw_momentum(axes: plt.Axes, run: Curves) -> None:
    """Draws every step's coefficient and each epoch's mean."""
    momentum = run.steps["momentum"]
    axes.set_ylabel("momentum")
    if np.isnan(momentum).all():  # AdamW
        axes.text(0.5, 0.5, "AdamW: none", ha="center", transform=axes.transAxes)
        return
    axes.plot(run.epochs, momentum, color="#999999", label="a step", **_DOTS)
    axes.plot(
        run.metrics["epoch"],
        run.metrics["mean_momentum"],
        ".-" if len(run.metrics["epoch"]) < 30 else "-",
        color="black",
        label="mean of the epoch",
    )
    # A fixed coefficient gets an axis like the others', not one of rounding errors.
    axes.set_ylim(np.nanmin(momentum) - 0.01, np.nanmax(momentum) + 0.01)
    axes.legend(fontsize="small")

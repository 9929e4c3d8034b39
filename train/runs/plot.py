"""Pictures of a run, of several, and of a comparison.

The colours are Okabe and Ito's: colour-blind safe.
"""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

from lcam_optax import Phase
from train.errors import InputError
from train.paths import expand, printable
from train.runs import records
from train.runs.folder import first_free
from train.settings.experiment import Plot

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the backend is chosen

plt.rcParams["text.parse_math"] = False  # names of folders may hold dollars

PHASE_COLORS = {Phase.LOW_LOSS: "#0072B2", Phase.HIGH_LOSS: "#D55E00"}
PHASE_LABELS = {Phase.LOW_LOSS: "low-loss phase", Phase.HIGH_LOSS: "high-loss phase"}
ARM_COLORS = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
MOST_THIN_LINES = 6
LINE_STYLES = ("-", "--", ":")
METRICS = ("epoch", "train_loss", "train_error", "test_error", "mean_momentum")
# Drawn as pixels: there may be 100,000 of them.
_DOTS: dict[str, Any] = {"markersize": 3, "rasterized": True}


class _Run(NamedTuple):
    """What is drawn of a run.

    Attributes:
      name: of its folder.
      metrics: columns of `metrics.jsonl`; NaN where there is no such thing.
      steps: columns of `steps.csv`.
      epochs: epochs completed after each step.
    """

    name: str
    metrics: dict[str, np.ndarray]
    steps: dict[str, np.ndarray]
    epochs: np.ndarray


def plot_run(folder: Path) -> Path:
    """Draws loss with the phases, momentum, and errors of one run into `curves.png`."""
    run = _read(folder)
    figure, (loss_axes, momentum_axes, error_axes) = plt.subplots(
        3, 1, figsize=(9, 9), sharex=True, height_ratios=(3, 1, 2), layout="constrained"
    )
    _draw_loss(loss_axes, run)
    loss_axes.set_title(run.name)
    _draw_momentum(momentum_axes, run)
    for name, color in (("train", "#999999"), ("test", "#000000")):
        error_axes.plot(
            run.metrics["epoch"],
            run.metrics[f"{name}_error"],
            ".-",
            color=color,
            label=name,
        )
    error_axes.set_ylabel("error (%)")
    _epoch_axis(error_axes)
    error_axes.set_ylim(bottom=0)
    last = run.metrics["epoch"][-1], run.metrics["test_error"][-1]
    error_axes.annotate(
        f"{last[1]:.2f} %",
        last,
        textcoords="offset points",
        xytext=(-4, 6),
        ha="right",
    )
    error_axes.legend()
    return _save(figure, folder / "curves.png")


def plot_runs(config: Plot) -> Path:
    """Draws runs on common axes, and each one's loss, phases and momentum below.

    Returns:
      The picture's path.

    Raises:
      InputError: a folder holds no run, or the picture cannot be written or is there.
    """
    runs = [_read(expand(folder)) for folder in config.runs]
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
            axes.plot(
                run.metrics["epoch"],
                run.metrics[name],
                _line_style(index),
                color=_color(index),
                marker="." if len(run.metrics["epoch"]) < 30 else None,
                label=f"{run.name}: {run.metrics[name][-1]:.4g}",
            )
        _log_scale(axes, np.concatenate([run.metrics[name] for run in runs]))
        axes.set_ylabel(label)
        _epoch_axis(axes)
        axes.legend(title="last epoch")
    for row, run in enumerate(runs, start=1):
        loss_axes = figure.add_subplot(grid[row, 0])
        _draw_loss(loss_axes, run)
        momentum_axes = figure.add_subplot(grid[row, 1])
        _draw_momentum(momentum_axes, run)
        for axes in (loss_axes, momentum_axes):
            axes.set_title(run.name, fontsize="medium")
            _epoch_axis(axes)
    return _save(figure, out)


def plot_comparison(
    path: Path, runs: dict[str, list[list[dict[str, Any]]]], title: str
) -> Path:
    """Draws the arms of a comparison; returns the path.

    Args:
      path: of the picture.
      runs: per arm, per seed, the rows of `metrics.jsonl`.
      title: above the picture.
    """
    panels = {
        "test_error": "test error (%)",
        "train_loss": "training loss (nats)",
        "low_loss_share": "share of low-loss steps",
        "mean_momentum": "mean momentum",
    }
    draws_each = len(runs) <= MOST_THIN_LINES
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for panel, (name, label) in zip(axes.flat, panels.items(), strict=True):
        drawn = []
        for index, (arm, seeds) in enumerate(runs.items()):
            color = _color(index)
            curves = np.array(
                [[row[name] for row in rows] for rows in seeds], dtype=float
            )
            if np.isnan(curves).all():  # AdamW has no phase
                continue
            drawn.append(curves)
            epochs = np.arange(1, curves.shape[1] + 1)
            if len(curves) > 1 and draws_each:
                panel.plot(epochs, curves.T, color=color, alpha=0.3, linewidth=0.8)
            panel.plot(
                epochs,
                curves.mean(axis=0),
                _line_style(index),
                color=color,
                linewidth=2,
                marker="." if len(epochs) < 30 else None,  # one epoch draws no line
                label=arm,
            )
        _epoch_axis(panel)
        panel.set_ylabel(label)
        if name in ("test_error", "train_loss") and drawn:
            _log_scale(panel, np.concatenate([curves.ravel() for curves in drawn]))
    axes[0, 0].legend(fontsize="small")
    num_seeds = len(next(iter(runs.values())))
    seeds = "one seed" if num_seeds == 1 else f"mean of {num_seeds} seeds"
    if num_seeds > 1 and draws_each:
        seeds += " (thin: each)"
    figure.suptitle(f"{title}: {seeds}")
    return _save(figure, path)


def _read(folder: Path) -> _Run:
    """Reads a run, finished or not.

    Raises:
      InputError: there is none, or no epoch of it is done, or a file is damaged.
    """
    try:
        rows = records.read_metrics(folder)
        columns = records.read_steps(folder)
        steps = {name: np.array(column) for name, column in columns.items()}
        epochs = steps["step"] / (len(steps["step"]) / len(rows))
        metrics = {
            name: np.array([row[name] for row in rows], float) for name in METRICS
        }
        _check_drawable(metrics, steps)
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no run with a finished epoch (metrics.jsonl and "
            "steps.csv): name the folder of a run."
        ) from None
    except (
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        RecursionError,
        ZeroDivisionError,
        csv.Error,
    ):
        raise InputError(
            f"cannot read metrics.jsonl and steps.csv in {folder}: they are damaged, "
            "or a run is writing them; wait for its next epoch."
        ) from None
    name = printable(folder.resolve().name)
    # Matplotlib leaves what begins with an underscore out of legends.
    name = f" {name}" if name.startswith("_") else name
    return _Run(name, metrics, steps, epochs)


def _check_drawable(
    metrics: dict[str, np.ndarray], steps: dict[str, np.ndarray]
) -> None:
    """Makes sure of what is drawn: that a run has written it.

    Raises:
      ValueError: a run has not.
    """
    numbered = (metrics["epoch"], steps["step"])
    if not all(
        len(column) and np.array_equal(column, np.arange(1, len(column) + 1))
        for column in numbered
    ):
        raise ValueError("epochs or steps are not numbered from 1")
    largest = np.finfo(np.float32).max
    for column in (*metrics.values(), *steps.values()):
        if column.ndim != 1 or (np.abs(column[np.isfinite(column)]) > largest).any():
            raise ValueError("there are others than float32 numbers")
    # AdamW has neither phase nor momentum; losses may be infinite, if it diverged.
    phase, momentum = steps["phase"], steps["momentum"]
    if not (np.isin(phase, (0, 1)).all() or np.isnan(phase).all()):
        raise ValueError("phases are others than 0 and 1")
    if not (((momentum >= 0) & (momentum <= 1)).all() or np.isnan(momentum).all()):
        raise ValueError("momentum is not in [0, 1]")
    if any(np.isinf(column).any() for column in metrics.values()):
        raise ValueError("metrics are infinite, which would be null")


def _new_picture(out: Path | None) -> Path:
    """The picture to write: never one that is there."""
    if out is None:
        return first_free(Path("figure"), ".png")
    out = expand(out)
    if out.exists():
        raise InputError(f"--out {out} is there already: name a new file.")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}.")
    return out


def _draw_loss(axes: plt.Axes, run: _Run) -> None:
    """Draws every step's loss, in the colour of its phase, and the average."""
    steps = run.steps
    if np.isnan(steps["phase"]).all():  # AdamW
        axes.plot(
            run.epochs, steps["loss"], ".", color="black", label="a step", **_DOTS
        )
    else:
        for phase, color in PHASE_COLORS.items():
            chosen = steps["phase"] == phase
            axes.plot(
                run.epochs[chosen],
                steps["loss"][chosen],
                ".",
                color=color,
                label=f"{PHASE_LABELS[phase]} ({np.mean(chosen):.0%} of steps)",
                **_DOTS,
            )
        axes.plot(
            run.epochs,
            steps["average_loss"],
            color="black",
            linewidth=1,
            label="its average",
        )
    _log_scale(axes, steps["loss"])
    axes.set_ylabel("loss of a step (nats)")
    axes.legend(fontsize="small", markerscale=3)


def _draw_momentum(axes: plt.Axes, run: _Run) -> None:
    """Draws every step's coefficient and each epoch's mean."""
    momentum = run.steps["momentum"]
    axes.set_ylabel("momentum")
    if np.isnan(momentum).all():  # AdamW
        axes.text(0.5, 0.5, "AdamW: none", ha="center", transform=axes.transAxes)
        return
    axes.plot(run.epochs, momentum, ".", color="#999999", label="a step", **_DOTS)
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


def _color(index: int) -> str:
    return ARM_COLORS[index % len(ARM_COLORS)]


def _line_style(index: int) -> str:
    return LINE_STYLES[index // len(ARM_COLORS) % len(LINE_STYLES)]


def _epoch_axis(axes: plt.Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _log_scale(axes: plt.Axes, numbers: np.ndarray) -> None:
    """A logarithmic axis, where it can hold the numbers and they span decades."""
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size and numbers.min() > 0 and numbers.max() > 20 * numbers.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _save(figure: plt.Figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path

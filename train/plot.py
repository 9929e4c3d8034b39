"""Pictures of a run and of a comparison.

The colours are Okabe and Ito's: colour-blind safe.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from lcam_optax import Phase
from train import run_folder

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the backend is chosen

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
LINE_STYLES = ("-", "--", ":")


def plot_run(folder: Path) -> Path:
    """Draws loss with the phases, and errors, of one run; returns `curves.png`."""
    steps = {
        name: np.array(column) for name, column in run_folder.read_steps(folder).items()
    }
    rows = run_folder.read_metrics(folder)
    epochs = [row["epoch"] for row in rows]
    steps_per_epoch = len(steps["step"]) / len(rows)
    at = steps["step"] / steps_per_epoch

    figure, (loss_axes, error_axes) = plt.subplots(
        2, 1, figsize=(9, 7), sharex=True, layout="constrained"
    )
    has_phase = ~np.isnan(steps["phase"])
    if has_phase.any():
        for phase, color in PHASE_COLORS.items():
            chosen = steps["phase"] == phase
            loss_axes.plot(
                at[chosen],
                steps["loss"][chosen],
                ".",
                color=color,
                markersize=3,
                rasterized=True,
                label=f"{PHASE_LABELS[phase]} ({np.mean(chosen):.0%} of steps)",
            )
        loss_axes.plot(
            at, steps["average_loss"], color="black", linewidth=1, label="average"
        )
    else:
        loss_axes.plot(
            at, steps["loss"], ".", color="black", markersize=3, label="step"
        )
    _log_scale(loss_axes, steps["loss"])
    loss_axes.set_ylabel("training loss (nats)")
    loss_axes.set_title(folder.name)
    loss_axes.legend()

    for name, color in (("train", "#999999"), ("test", "#000000")):
        error = [row[f"{name}_error"] for row in rows]
        error_axes.plot(epochs, error, ".-", color=color, label=name)
    error_axes.set_ylabel("error (%)")
    error_axes.set_xlabel("epoch")
    error_axes.xaxis.get_major_locator().set_params(integer=True)
    error_axes.set_ylim(bottom=0)
    error_axes.annotate(
        f"{rows[-1]['test_error']:.2f} %",
        (epochs[-1], rows[-1]["test_error"]),
        textcoords="offset points",
        xytext=(-4, 6),
        ha="right",
    )
    error_axes.legend()
    return _save(figure, folder / "curves.png")


def plot_comparison(folder: Path, runs: dict[str, list[list[dict[str, Any]]]]) -> Path:
    """Draws the arms of a comparison; returns `comparison.png`.

    Args:
      folder: where to.
      runs: per arm, per seed, the rows of `metrics.jsonl`.
    """
    panels = {
        "test_error": "test error (%)",
        "train_loss": "training loss (nats)",
        "low_loss_share": "share of low-loss steps",
        "mean_momentum": "mean momentum",
    }
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for panel, (name, label) in zip(axes.flat, panels.items(), strict=True):
        drawn = []
        for index, (arm, seeds) in enumerate(runs.items()):
            color = ARM_COLORS[index % len(ARM_COLORS)]
            curves = np.array(
                [[row[name] for row in rows] for rows in seeds], dtype=float
            )
            if np.isnan(curves).all():  # AdamW has no phase
                continue
            drawn.append(curves)
            epochs = np.arange(1, curves.shape[1] + 1)
            if len(curves) > 1:
                panel.plot(epochs, curves.T, color=color, alpha=0.3, linewidth=0.8)
            panel.plot(
                epochs,
                curves.mean(axis=0),
                LINE_STYLES[index // len(ARM_COLORS) % len(LINE_STYLES)],
                color=color,
                linewidth=2,
                marker="." if len(epochs) < 30 else None,  # one epoch draws no line
                label=arm,
            )
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_ylabel(label)
        if name in ("test_error", "train_loss") and drawn:
            _log_scale(panel, np.concatenate([curves.ravel() for curves in drawn]))
    axes[0, 0].legend()
    num_seeds = len(next(iter(runs.values())))
    seeds = "one seed" if num_seeds == 1 else f"mean of {num_seeds} seeds (thin: each)"
    figure.suptitle(f"{folder.name}: {seeds}")
    return _save(figure, folder / "comparison.png")


def _log_scale(axes: plt.Axes, numbers: np.ndarray) -> None:
    """A logarithmic axis, where it can hold the numbers and they span decades."""
    numbers = numbers[np.isfinite(numbers)]
    if numbers.min() > 0 and numbers.max() > 20 * numbers.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _save(figure: plt.Figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path

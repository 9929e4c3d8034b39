"""Pictures of studies and comparisons."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from train.runs import drawing

MOST_THIN_LINES = 6


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
            color = drawing.color(index)
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
                drawing.line_style(index),
                color=color,
                linewidth=2,
                marker="." if len(epochs) < 30 else None,  # one epoch draws no line
                label=arm,
            )
        drawing.epoch_axis(panel)
        panel.set_ylabel(label)
        if name in ("test_error", "train_loss") and drawn:
            drawing.log_scale(
                panel, np.concatenate([curves.ravel() for curves in drawn])
            )
    axes[0, 0].legend(fontsize="small")
    num_seeds = len(next(iter(runs.values())))
    seeds = "one seed" if num_seeds == 1 else f"mean of {num_seeds} seeds"
    if num_seeds > 1 and draws_each:
        seeds += " (thin: each)"
    figure.suptitle(f"{title}: {seeds}")
    return drawing.save(figure, path)

"""Arms and runs on common axes: errors, loss, phases and momentum over the epochs."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.paths import printable
from train.runs import drawing
from train.runs.curves import Task
from train.runs.drawing import plt
from train.runs.palette import kind_of
from train.studies.outcomes import Result, task_of
from train.studies.table import span

COLUMNS = ("test_error", "train_loss", "low_loss_share", "mean_momentum")
WIDTH = 12.5  # of a picture, in inches
MOST_BANDS = 6  # more would hide each other
LABEL_WIDTH = 34


class Line(NamedTuple):
    """An arm, or a run.

    Attributes:
      label: in the legend.
      kind: of its optimizer; see `train.runs.palette`.
      columns: of `COLUMNS`, [seeds, epochs]; NaN where there is no such thing.
    """

    label: str
    kind: str
    columns: Mapping[str, np.ndarray]

    @property
    def num_seeds(self) -> int:
        """How many runs it is a mean of."""
        return len(self.columns["test_error"])

    @property
    def num_epochs(self) -> int:
        """How long it is."""
        return self.columns["test_error"].shape[1]


def lines_of(result: Result) -> list[Line]:
    """The arms of a block that are compared."""
    options = {arm["name"]: arm["optimizer"] for arm in result.block["arms"]}
    lines = []
    for arm, seeds in result.epochs.items():
        rows = list(seeds.values())
        columns = {
            name: np.array([[row[name] for row in run] for run in rows], float)
            for name in COLUMNS
        }
        lines.append(Line(arm, kind_of(arm, options[arm]), columns))
    return lines


def plot_block(path: Path, result: Result, name: str) -> Path:
    """Draws the arms of a block; returns the path.

    Args:
      path: of the picture.
      result: of the block; it has runs.
      name: above the picture.
    """
    lines = lines_of(result)
    figure = plt.figure(figsize=(WIDTH, height_of(lines)), layout="constrained")
    draw_panels(figure, task_of(result), lines, name, left_out(result))
    return drawing.save(figure, path)


def height_of(lines: Sequence[Line]) -> float:
    """Of panels, in inches: the legend must fit."""
    rows = sum(1 + _wrapped(line.label).count("\n") for line in lines)
    return max(8.0, 0.6 + 0.17 * rows)


def left_out(result: Result) -> str:
    """The arms that are not drawn, and why."""
    reasons = {"diverged": result.diverged, "not matched": result.unmatched}
    arms = [f"{arm} ({why})" for why, found in reasons.items() for arm in found]
    return f"left out: {', '.join(arms)}" if arms else ""


def draw_panels(
    figure: Any, task: Task, lines: Sequence[Line], name: str = "", left_out: str = ""
) -> None:
    """Draws lines of one task on four common axes, their legend beside them.

    Args:
      figure: or a part of one, to draw in.
      task: of all lines.
      lines: what is drawn.
      name: above the picture.
      left_out: what is not drawn, and why.
    """
    axes = figure.subplots(2, 2)
    lengths = [line.num_epochs for line in lines]
    styles = drawing.line_styles([line.kind for line in lines], max(lengths))
    has_bands = sum(line.num_seeds > 1 for line in lines) <= MOST_BANDS
    for panel, column in zip(axes.flat, COLUMNS, strict=True):
        drawn = [_summary(line, column, has_bands=has_bands) for line in lines]
        numbers = np.concatenate([curves.ravel() for _, curves in drawn])
        floor = -np.inf
        if column in ("test_error", "train_loss"):
            num_tests = task.num_tests if column == "test_error" else None
            floor = drawing.floor_of(numbers, num_tests)
        for line, style, (epochs, curves) in zip(lines, styles, drawn, strict=True):
            if not epochs.size and column != "test_error":  # as SGD has no phase
                continue
            label = _wrapped(line.label)
            if epochs.size:
                label += f": {curves[0, -1]:.2f} %"
            mean, *ends = np.maximum(curves, floor)
            panel.plot(epochs, mean, label=label, linewidth=1.6, **style)
            if ends:
                panel.fill_between(
                    epochs, *ends, color=style["color"], alpha=0.13, linewidth=0
                )
        drawing.epoch_axis(panel)
        _finish(panel, column, numbers, floor, task)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside right upper",
        fontsize="small",
        title=f"test {task.error}, last epoch",
        title_fontsize="small",
    )
    seeds = _seeds_text(lines, has_bands=has_bands)
    above = name if name != task.data else ""
    words = filter(None, [above, task.title(lengths), seeds, left_out])
    figure.suptitle("\n".join(words), fontsize="medium")


def _summary(
    line: Line, column: str, *, has_bands: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn of a line: its epochs, and [1 or 3, epochs] numbers.

    These are the mean over the seeds and, for a band, the lowest and the highest. An
    epoch may have no test.
    """
    curves = line.columns[column]
    known = np.isfinite(curves).all(axis=0)
    epochs, curves = np.arange(1, line.num_epochs + 1)[known], curves[:, known]
    shown = [curves.mean(axis=0)]
    if len(curves) > 1 and has_bands:
        shown += [curves.min(axis=0), curves.max(axis=0)]
    return epochs, np.array(shown)


def _finish(
    panel: plt.Axes, column: str, numbers: np.ndarray, floor: float, task: Task
) -> None:
    """Labels and scales an axis."""
    match column:
        case "test_error":
            panel.set_ylabel(f"test {task.error}")
            drawing.log_scale(panel, numbers, floor, " %")
        case "train_loss":
            panel.set_ylabel(f"training loss ({task.loss})")
            drawing.log_scale(panel, numbers, floor)
        case "low_loss_share":
            panel.set_ylabel("low-loss steps")
            panel.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
        case _:
            panel.set_ylabel("mean momentum")
            known = numbers[np.isfinite(numbers)]
            if known.size:  # fixed ones would get an axis of rounding errors
                panel.set_ylim(known.min() - 0.005, known.max() + 0.005)
    if not np.isfinite(numbers).any():
        panel.text(0.5, 0.5, "none", ha="center", transform=panel.transAxes)
        panel.set_yticks([])


def _seeds_text(lines: Sequence[Line], *, has_bands: bool) -> str:
    counts = [line.num_seeds for line in lines]
    if max(counts) == 1:
        return "one seed"
    bands = "; bands: lowest to highest" if has_bands else ""
    return f"lines: mean of {span(counts)} seeds{bands}"


def _wrapped(label: str) -> str:
    """An arm's name with a line an option, if it is long."""
    # Matplotlib leaves what begins with an underscore out of legends.
    label = printable(f" {label}" if label.startswith("_") else label)
    if len(label) <= LABEL_WIDTH:
        return label
    parts = label.replace(":", ":\n", 1).replace(",", ",\n").split("\n")
    indented = [parts[0], *(f"  {part}" for part in parts[1:])]
    return "\n".join(
        row for part in indented for row in textwrap.wrap(part, LABEL_WIDTH) or [part]
    )

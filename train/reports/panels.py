"""Panels with arms or runs: errors, loss, phases and momentum over the epochs."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train.paths import printable
from train.reports.outcomes import Result
from train.reports.tables import span
from train.runs import drawing
from train.runs.curves import Task
from train.runs.drawing import plt
from train.runs.palette import kind_of

COLUMNS = ("test_error", "train_loss", "low_loss_share", "mean_momentum")
WIDTH = 12.5  # of a picture, in inches
MOST_BANDS = 6  # more would hide each other
LABEL_WIDTH = 34


class Line(NamedTuple):
    """An arm, or a run.

    Attributes:
      place: its folder, block and arm; empty where there is none.
      kind: of its optimizer; see `train.runs.palette`.
      columns: of `COLUMNS`, [seeds, epochs]; NaN where there is no such thing.
      task: that it learns.
      remarks: on its block: what is not drawn and why, and what arms differ by.
      label: in the legend.
    """

    place: tuple[str, str, str]
    kind: str
    columns: Mapping[str, np.ndarray]
    task: Task
    remarks: tuple[str, ...] = ()
    label: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """How many seeds it is a mean of, and how many epochs long."""
        return self.columns["test_error"].shape


def lines_of(
    result: Result, folder: str = "", verdicts: Sequence[str] = ()
) -> list[Line]:
    """The arms of a block that are compared, with what they differ by in words."""
    reasons = {"diverged": result.diverged, "not matched": result.unmatched}
    others = [f"{arm} ({why})" for why, found in reasons.items() for arm in found]
    remarks = (*[f"left out: {', '.join(others)}"][: len(others)], *verdicts)
    options = {arm["name"]: arm["optimizer"] for arm in result.block["arms"]}
    lines = []
    for arm in result.arms:
        by_epoch = result.epochs.loc[arm].set_index("epoch", append=True)
        columns = {
            name: by_epoch[name].unstack("epoch").to_numpy(float) for name in COLUMNS
        }
        place, kind = (folder, result.block["name"], arm), kind_of(arm, options[arm])
        lines.append(Line(place, kind, columns, result.task, remarks, arm))
    return lines


def plot_block(
    path: Path, result: Result, name: str, verdicts: Sequence[str] = ()
) -> None:
    """Draws the arms of a block, which has runs, with a name and verdicts above."""
    lines = lines_of(result, verdicts=verdicts)
    figure = plt.figure(figsize=(WIDTH, height_of(lines)), layout="constrained")
    draw_panels(figure, lines, name)
    drawing.save(figure, path)


def height_of(lines: Sequence[Line]) -> float:
    """Of panels, in inches: the legend must fit."""
    rows = sum(1 + wrapped(line.label).count("\n") for line in lines)
    least = 2.0 * len(_columns(lines))
    return max(least, 0.6 + 0.17 * rows) + 0.18 * len(_remarks(lines))


def _columns(lines: Sequence[Line]) -> tuple[str, ...]:
    """Those to draw: no phases and momenta where no line has any."""
    theirs = [line.columns[name].ravel() for line in lines for name in COLUMNS[2:]]
    return COLUMNS if np.isfinite(np.concatenate(theirs)).any() else COLUMNS[:2]


def _remarks(lines: Sequence[Line]) -> list[str]:
    """What is said above them besides, each once, in rows beside the legend."""
    found = dict.fromkeys(remark for line in lines for remark in line.remarks)
    return [row for each in found for row in textwrap.wrap(printable(each), 80)]


def draw_panels(figure: Any, lines: Sequence[Line], name: str = "") -> None:
    """Draws lines of one task on common axes, their legend beside them.

    The figure may be a part of one; the name stands above.
    """
    task = lines[0].task
    columns = _columns(lines)
    axes = figure.subplots(len(columns) // 2, 2, sharex=True, squeeze=False)
    seeds, lengths = zip(*(line.shape for line in lines), strict=True)
    styles = drawing.line_styles([line.kind for line in lines], max(lengths))
    has_bands = sum(number > 1 for number in seeds) <= MOST_BANDS
    for panel, column in zip(axes.flat, columns, strict=True):
        drawn = [_shown(line.columns[column], has_bands) for line in lines]
        numbers = np.concatenate([curves.ravel() for _, curves in drawn])
        floor = -np.inf
        if column in ("test_error", "train_loss"):
            num_tests = task.num_tests if column == "test_error" else None
            floor = drawing.floor_of(numbers, num_tests)
        for line, style, (epochs, curves) in zip(lines, styles, drawn, strict=True):
            if not epochs.size and column != "test_error":  # as SGD has no phase
                continue
            label = wrapped(line.label)
            if epochs.size:
                label += f": {curves[0, -1]:.2f} %"
            mean, *ends = np.maximum(curves, floor)
            panel.plot(epochs, mean, label=label, linewidth=1.6, **style)
            if ends:
                color = style["color"]
                panel.fill_between(epochs, *ends, color=color, alpha=0.13, linewidth=0)
        drawing.epoch_axis(panel)
        panel.tick_params(labelbottom=True)
        _finish(panel, column, numbers, floor, task)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside right upper",
        fontsize="small",
        title=f"{task.tested} {task.error}, last epoch",
        title_fontsize="small",
    )
    means = "one seed"
    if max(seeds) > 1:
        means = f"lines: mean of {span(seeds)} seeds"
        means += "; bands: lowest to highest" * has_bands
    above = name if name != task.data else ""
    words = filter(None, [above, task.title(lengths), means, *_remarks(lines)])
    figure.suptitle("\n".join(words), fontsize="medium")


def _shown(curves: np.ndarray, has_bands: bool) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn of a line: its epochs, and [1 or 3, epochs] numbers.

    These are the mean over the seeds and, for a band, the lowest and the highest. An
    epoch may have no test.
    """
    known = np.isfinite(curves).all(axis=0)
    epochs, curves = np.flatnonzero(known) + 1, curves[:, known]
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
            panel.set_ylabel(f"{task.tested} {task.error}")
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
        if column != "test_error":
            panel.set_axis_off()  # as SGD has no phases
            return
        panel.text(0.5, 0.5, "none", ha="center", transform=panel.transAxes)
        panel.set_yticks([])


def wrapped(label: str) -> str:
    """An arm's name with a line an option, if it is long."""
    # Matplotlib leaves what begins with an underscore out of legends.
    label = printable(f" {label}" if label.startswith("_") else label)
    if len(label) <= LABEL_WIDTH:
        return label
    parts = label.replace(":", ":\n  ", 1).replace(",", ",\n  ").split("\n")
    rows = [textwrap.wrap(part, LABEL_WIDTH) or [part] for part in parts]
    return "\n".join(row for part in rows for row in part)

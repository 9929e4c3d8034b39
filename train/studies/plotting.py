"""Draws runs, comparisons and studies into one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.errors import InputError
from train.paths import expand, printable
from train.runs import drawing
from train.runs.curves import Curves, Task, read_curves
from train.runs.drawing import draw_loss, draw_momentum, plt
from train.runs.records import UNREADABLE
from train.runs.writing import check_output
from train.settings.commands import Plot
from train.studies import panels, rows
from train.studies.collecting import read_study
from train.studies.outcomes import make_results, task_of
from train.studies.panels import Line

PICTURE = "figure.png"
STEPS_HEIGHT = 2.8  # of a run's steps, in inches
MOST_STEPS = 20  # runs whose steps are drawn
MOST_INCHES = 400  # Matplotlib's pixels are 65,536 at most


class _Drawn(NamedTuple):
    """A line, and where it comes from.

    Attributes:
      place: folder, block and arm; the last two are empty for a run.
      task: that it learns.
      line: without its label.
      left_out: what the folder has besides, and why it is not drawn.
    """

    place: tuple[str, str, str]
    task: Task
    line: Line
    left_out: str = ""


def plot(config: Plot) -> Path:
    """Draws what is in folders: first what has common axes, then the steps of runs.

    Returns:
      The picture's path.

    Raises:
      InputError: a folder holds nothing to draw, or the picture cannot be written, or
        is there and may not be replaced.
    """
    folders = [expand(folder) for folder in config.folders]
    names = [printable(folder.resolve().name) for folder in folders]
    if len(set(names)) < len(names):  # seed0 of several studies
        names = [printable(str(folder)) for folder in config.folders]
    found: list[_Drawn] = []
    runs: list[Curves] = []
    for folder, name in zip(folders, names, strict=True):
        if (folder / rows.ABOUT).exists():
            found += _read_arms(folder, name)
        else:
            run = read_curves(folder)._replace(name=name)
            columns = {each: run.metrics[each][None] for each in panels.COLUMNS}
            if run.kind == "sgd":  # its phases are only watched
                nothing = np.full_like(columns["low_loss_share"], np.nan)
                columns["low_loss_share"] = nothing
            found.append(_Drawn((name, "", ""), run.task, Line("", run.kind, columns)))
            runs.append(run)
    path = _picture(config, folders[0])
    return drawing.save(_draw(found, runs if len(runs) <= MOST_STEPS else []), path)


def _read_arms(folder: Path, name: str) -> list[_Drawn]:
    """The arms of a comparison or a study.

    Raises:
      InputError: no run has ended yet, or the rows are damaged.
    """
    study = read_study(folder)
    try:
        found = [
            _Drawn(
                (name, result.block["name"], line.label),
                task_of(result),
                line,
                panels.left_out(result),
            )
            for result in make_results(study)
            if result.runs
            for line in panels.lines_of(result)
        ]
    except UNREADABLE as error:
        raise InputError(
            f"cannot draw {folder}: study.json or its rows are damaged "
            f"({type(error).__name__}: {error}). Take a fresh copy, or repeat the "
            "study's command, which writes them again."
        ) from None
    if not found:
        raise InputError(
            f"{folder}: no run has finished yet that can be drawn. Repeat its command "
            "to continue it."
        )
    return found


def _picture(config: Plot, first: Path) -> Path:
    """Where the picture is written: never over one of the user's, unless allowed."""
    if config.out is not None:
        return check_output("--out", config.out, config.overwrite)
    path = first / PICTURE
    is_ours = path.is_file() and drawing.is_ours(path)
    return check_output("--out, by default", path, config.overwrite or is_ours)


def _draw(found: Sequence[_Drawn], runs: Sequence[Curves]) -> plt.Figure:
    tasks: dict[tuple, list[_Drawn]] = {}
    for each in found:
        key = each.task.data_sha256, each.task.network, each.task.batch_size
        tasks.setdefault(key, []).append(each)
    groups = [(_labelled(group), group) for group in tasks.values()]
    heights = [panels.height_of(lines) for lines, _ in groups]
    heights += [STEPS_HEIGHT] * len(runs)
    if sum(heights) > MOST_INCHES:
        raise InputError(
            f"{len(found)} lines with {len(groups)} kinds of data or networks are too "
            "many for one picture: name fewer folders."
        )
    figure = plt.figure(figsize=(panels.WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    for part, (lines, group) in zip(parts.flat, groups, strict=False):
        places = {", ".join(filter(None, each.place[:2])) for each in group}
        name = places.pop() if len(places) == 1 else ""
        left_out = "\n".join(dict.fromkeys(each.left_out for each in group))
        panels.draw_panels(part, group[0].task, lines, name, left_out)
    for part, run in zip(parts.flat[len(groups) :], runs, strict=True):
        part.suptitle(run.name, fontsize="medium")
        for axes, draw in zip(
            part.subplots(1, 2), (draw_loss, draw_momentum), strict=True
        ):
            draw(axes, run)
            drawing.epoch_axis(axes)
    return figure


def _labelled(group: Sequence[_Drawn]) -> list[Line]:
    """Lines whose labels say no more than is needed to tell them apart."""
    folders = {each.place[0] for each in group}
    blocks = {each.place[:2] for each in group}
    labelled = []
    for (folder, block, arm), _, line, _ in group:
        parts = [folder] if len(folders) > 1 or not arm else []
        parts += [block] if len(blocks) > len(folders) and block else []
        parts += [arm] if arm else []
        labelled.append(line._replace(label=", ".join(parts)))
    return labelled

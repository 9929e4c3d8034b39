"""Draws what is in folders, runs, comparisons and studies, into one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.errors import InputError
from train.paths import expand, printable
from train.reports import panels, rows
from train.reports.outcomes import compare_arms, make_results, verdicts_of
from train.reports.panels import Line
from train.reports.rows import read_study
from train.runs import drawing
from train.runs.curves import Curves, read_curves
from train.runs.drawing import draw_loss, draw_momentum, plt
from train.runs.writing import check_output
from train.settings.commands import Plot

PICTURE = "figure.png"
STEPS_HEIGHT = 2.8  # of a run's steps, in inches
MOST_STEPS = 20  # runs whose steps are drawn
MOST_INCHES = 400  # Matplotlib's pixels are 65,536 at most


def plot(config: Plot) -> Path:
    """Draws what is in folders: first what has common axes, then the steps of runs.

    Returns the picture's path.
    """
    folders = [expand(folder) for folder in config.folders]
    names = [printable(folder.resolve().name) for folder in folders]
    if len(set(names)) < len(names):  # seed0 of several studies
        names = [printable(str(folder)) for folder in config.folders]
    found: list[Line] = []
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
            found.append(Line((name, "", ""), run.kind, columns, run.task))
            runs.append(run)
    if config.out is not None:
        path = check_output("--out", config.out, config.overwrite)
    else:  # never over a picture of the user's
        path = folders[0] / PICTURE
        is_ours = path.is_file() and drawing.is_ours(path)
        check_output("--out, by default", path, config.overwrite or is_ours)
    return drawing.save(_draw(found, runs if len(runs) <= MOST_STEPS else []), path)


def _read_arms(folder: Path, name: str) -> list[Line]:
    """The arms of a comparison or a study."""
    study = read_study(folder)
    with rows.reading(folder):
        results = make_results(study)
        verdicts = []
        if study.about["study"] == "comparison":  # a study has a forest plot
            verdicts = verdicts_of(compare_arms(results, study.about["outcomes"]))
        found = [
            line for each in results for line in panels.lines_of(each, name, verdicts)
        ]
    if not found:
        raise InputError(
            f"{folder}: no run has finished yet that can be drawn. Repeat its command "
            "to continue it."
        )
    return found


def _draw(found: Sequence[Line], runs: Sequence[Curves]) -> plt.Figure:
    tasks: dict[tuple, list[Line]] = {}
    for line in found:
        key = line.task.data_sha256, line.task.network, line.task.batch_size
        tasks.setdefault(key, []).append(line)
    groups = [_labelled(group) for group in tasks.values()]
    heights = [panels.height_of(lines) for lines in groups]
    heights += [STEPS_HEIGHT] * len(runs)
    if sum(heights) > MOST_INCHES:
        raise InputError(
            f"{len(found)} lines with {len(groups)} kinds of data or networks are too "
            "many for one picture: name fewer folders."
        )
    figure = plt.figure(figsize=(panels.WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    for part, lines in zip(parts.flat, groups, strict=False):
        places = {", ".join(filter(None, line.place[:2])) for line in lines}
        panels.draw_panels(part, lines, places.pop() if len(places) == 1 else "")
    for part, run in zip(parts.flat[len(groups) :], runs, strict=True):
        part.suptitle(run.name, fontsize="medium")
        left, right = part.subplots(1, 2)
        draw_loss(left, run)
        draw_momentum(right, run)
        for axes in (left, right):
            drawing.epoch_axis(axes)
    return figure


def _labelled(lines: Sequence[Line]) -> list[Line]:
    """Lines whose labels say no more than is needed to tell them apart."""
    folders = {line.place[0] for line in lines}
    blocks = {line.place[:2] for line in lines}
    labelled = []
    for line in lines:
        folder, block, arm = line.place
        parts = [folder] if len(folders) > 1 or not arm else []
        parts += [block] if len(blocks) > len(folders) and block else []
        parts += [arm] if arm else []
        labelled.append(line._replace(label=", ".join(parts)))
    return labelled

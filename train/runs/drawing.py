"""Pictures: axes, lines and files that all of them share, and the picture of a run."""

import io
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import ticker

from train.runs.curves import Curves, read_curves
from train.runs.palette import ARM_COLORS, PHASE_COLORS, colors_of
from train.runs.writing import replace

plt.switch_backend("agg")
plt.rcParams["text.parse_math"] = False  # names of folders may hold dollars

# In the files that this program draws: it may draw these again.
SOFTWARE = "lcam_optax"
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = (".", "^", "s", "x", "d", "v")
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "fontsize": "small"}

_PHASES = dict(zip(PHASE_COLORS, ("low loss", "high loss"), strict=True))


def line_styles(kinds: Sequence[str], epochs: int) -> list[dict[str, Any]]:
    """The lines of arms or runs of these kinds: a kind has one colour."""
    before: Counter[str] = Counter()
    colors = colors_of(kinds)
    styles = []
    for kind in kinds:
        round_, dashes = divmod(before[kind], len(LINE_STYLES))
        before[kind] += 1
        has_marker = round_ or epochs < 30  # one epoch draws no line
        styles.append(
            {
                "color": colors[kind],
                "linestyle": LINE_STYLES[dashes],
                "marker": MARKERS[round_ % len(MARKERS)] if has_marker else None,
                "markevery": max(1, epochs // 30),
                "markersize": 4 if round_ else None,
            }
        )
    return styles


def epoch_axis(axes: plt.Axes) -> None:
    """Epochs below, whole ones."""
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def floor_of(numbers: np.ndarray, num_tests: int | None = None) -> float:
    """Where a logarithmic axis ends: what is less is drawn there.

    It is half of one wrong prediction of `num_tests`, or the smallest number above 0.
    """
    if num_tests:
        return 50 / num_tests
    return float(np.min(numbers[numbers > 0], initial=np.inf))


def log_scale(
    axes: plt.Axes, numbers: np.ndarray, floor: float, unit: str = ""
) -> None:
    """A logarithmic axis, with ticks that can be read however little it spans.

    `numbers` are all that is drawn, before what is less was put on the floor. The tick
    of the floor says "≤". Ticks without a label stand between the others.
    """
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size or not math.isfinite(floor):
        return
    has_floor = bool((numbers < floor).any())
    low, high = max(numbers.min(), floor), max(numbers.max(), floor)
    pad = max(1.03, (high / low) ** 0.05)
    axes.set_yscale("log")
    axes.set_ylim(low / pad, high * pad)
    ends = (low, high) if high > 1.01 * low else (low / pad, high * pad)
    minor: ticker.Locator = ticker.LogLocator(subs=range(1, 10), numticks=99)
    if high > 100 * low:
        locator = ticker.LogLocator(numticks=8)
    elif high > 20 * low:
        locator = ticker.LogLocator(subs=(1, 2, 5))
    elif high > 5 * low:
        locator = ticker.LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7))
    else:
        locator = ticker.MaxNLocator(5, steps=[1, 2, 5, 10])
        minor = ticker.MaxNLocator(25, steps=[1, 2, 5, 10])
    ticks, between = (
        [tick for tick in each.tick_values(*ends) if low / pad < tick < high * pad]
        for each in (locator, minor)
    )
    # The last errors are the lowest: a label stands near them.
    if between and min(ticks, default=math.inf) > 1.5 * between[0]:
        ticks.append(between[0])
    labels = {tick: f"{tick:g}{unit}" for tick in ticks}
    if has_floor:
        labels = {tick: label for tick, label in labels.items() if tick > 1.35 * floor}
        labels[floor] = f"≤ {floor:.2g}{unit}"
    axes.set_yticks(list(labels), list(labels.values()))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_yticks(between, minor=True)


def save(figure: plt.Figure, path: Path) -> Path:
    """Writes a picture whole and lets it go; returns the path."""
    picture = io.BytesIO()
    kind = path.suffix[1:].lower()
    about = {"Software": SOFTWARE} if kind == "png" else {}
    with warnings.catch_warnings():
        # A folder's name may have letters that the font lacks: boxes stand for them.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(picture, format=kind, dpi=120, metadata=about)
    plt.close(figure)
    replace(path, picture.getvalue())
    return path


def is_ours(path: Path) -> bool:
    """Whether this program drew a picture that is there."""
    with path.open("rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(2000)


def plot_run(folder: Path) -> Path:
    """Draws loss with the phases, momentum, and errors of one run into `curves.png`."""
    run = read_curves(folder)
    has_momentum = not np.isnan(run.steps["momentum"]).all()
    heights = (3, 1 if has_momentum else 1e-3, 2)
    figure, (loss_axes, momentum_axes, error_axes) = plt.subplots(
        3, 1, figsize=(9, 9), sharex=True, height_ratios=heights, layout="constrained"
    )
    draw_loss(loss_axes, run)
    about = run.task.title([len(run.metrics["epoch"])], run.planned)
    figure.suptitle(f"{run.name}\n{about}", fontsize="medium")
    draw_momentum(momentum_axes, run)
    _draw_errors(error_axes, run)
    epoch_axis(error_axes)
    figure.align_ylabels()
    return save(figure, folder / "curves.png")


def _dots(run: Curves) -> dict[str, Any]:
    """Dots of steps, larger if they are few. Pixels: there may be 100,000 of them."""
    size = 3 if len(run.epochs) > 300 else 8
    return {"ls": "", "marker": ".", "ms": size, "rasterized": True}


def draw_loss(axes: plt.Axes, run: Curves) -> None:
    """Draws every step's loss and, if it has phases, their colours and the average."""
    epochs, phase = run.epochs, run.steps["phase"]
    dots = _dots(run)
    has_phases = run.kind != "sgd" and not np.isnan(phase).all()  # SGD's do nothing
    shown = ["loss", "average_loss"] if has_phases else ["loss"]
    numbers = np.concatenate([run.steps[name] for name in shown])
    floor = floor_of(numbers)
    loss = np.maximum(run.steps["loss"], floor)
    if not has_phases:
        axes.plot(epochs, loss, color="black", label="a step", **dots)
    else:
        for each, color in PHASE_COLORS.items():
            chosen = phase == each
            label = f"{_PHASES[each]}: {100 * np.mean(chosen):.0f} %"
            axes.plot(epochs[chosen], loss[chosen], color=color, label=label, **dots)
        average = np.maximum(run.steps["average_loss"], floor)
        axes.plot(epochs, average, color="black", linewidth=1, label="its average")
    log_scale(axes, numbers, floor)
    axes.set_ylabel(f"loss of a step ({run.task.loss})")
    axes.legend(markerscale=9 / dots["ms"], **BESIDE)


def draw_momentum(axes: plt.Axes, run: Curves) -> None:
    """Draws every step's coefficient and each epoch's mean."""
    momentum, epochs = run.steps["momentum"], run.metrics["epoch"]
    if np.isnan(momentum).all():
        axes.set_visible(False)
        return
    axes.set_ylabel("by phase" if run.kind not in ARM_COLORS else "momentum")
    axes.plot(run.epochs, momentum, color="#999999", label="a step", **_dots(run))
    form, label = ".-" if len(epochs) < 30 else "-", "mean of\nthe epoch"
    axes.plot(epochs, run.metrics["mean_momentum"], form, color="black", label=label)
    # A fixed coefficient gets an axis like the others', not one of rounding errors.
    axes.set_ylim(np.nanmin(momentum) - 0.01, np.nanmax(momentum) + 0.01)
    axes.legend(**BESIDE)


def _draw_errors(axes: plt.Axes, run: Curves) -> None:
    """Draws test and training error, in the colour of the run's kind."""
    names = {run.task.tested: "test_error", "train": "train_error"}
    columns = {name: run.metrics[column] for name, column in names.items()}
    numbers = np.concatenate(list(columns.values()))
    floor = floor_of(numbers, run.task.num_tests)
    for (name, errors), dashes in zip(columns.items(), ("-", ":"), strict=True):
        tested = np.isfinite(errors)
        epochs, errors = run.metrics["epoch"][tested], errors[tested]
        axes.plot(
            epochs,
            np.maximum(errors, floor),
            color=colors_of([run.kind])[run.kind],
            linestyle=dashes,
            marker="." if len(epochs) < 30 else None,
            label=name + (f": {errors[-1]:.2f} %" if errors.size else ""),
        )
    log_scale(axes, numbers, floor, " %")
    axes.set_ylabel(run.task.error)
    axes.legend(title="last epoch", title_fontsize="small", **BESIDE)

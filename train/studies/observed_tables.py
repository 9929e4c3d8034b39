"""What observers saw, over epochs and seeds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from train.studies import statistics

# By arm, by seed, the rows of `metrics.jsonl`.
Rows = dict[str, list[list[dict[str, Any]]]]

HELD_OUT = (
    "How often the phase was misread, of all steps: the batch's loss and the loss on "
    "the first testing batch with the same weights, each compared with its own "
    "average by the same rule, gave different phases. By chance: what independent "
    "phases with the same shares would come to. Kappa is 1 - misread / by chance: 1 "
    "where the batch tells the phase, 0 where it tells nothing. It falls with noise, "
    "and also as the network fits the training data better than the test data. Where "
    "one phase takes nearly all steps it says little. Means over the seeds with 95 % "
    "intervals."
)
MECHANISM = (
    "Low-loss phase over high-loss phase, geometric mean of the epochs from the second "
    "on: norm of the gradient; norm of the update without the learning rate; mean "
    "speed (absolute update) of the tenth of the parameters that was fastest, and "
    "slowest, in the epoch before. Cosine of the gradient and the trace before the "
    "step, in each phase. Correlation, within an epoch, of the loss's relative "
    "deviation from its average and the norm of each array's update: mean over arrays "
    "and epochs, in braces the lowest and highest array's. A ratio of 1, or a "
    "correlation of 0, means that the phase has nothing to do with it. Means over the "
    "seeds with 95 % intervals."
)


def held_out_table(rows: Rows) -> list[list[str]]:
    """How often the phase was misread; a header, and a row an arm."""
    table = [["arm", "misread", "by chance", "kappa", "held-out low-loss steps"]]
    for arm, runs in rows.items():
        names = ("misread", "misread_by_chance", "held_out_low_loss_share")
        misread, chance, share = (
            [float(np.mean([row["observed"][name] for row in run])) for run in runs]
            for name in names
        )
        kappa = [
            1 - wrong / expected if expected > 0 else math.nan
            for wrong, expected in zip(misread, chance, strict=True)
        ]
        table.append(
            [
                arm,
                _text([100 * x for x in misread], ".1f") + " %",
                f"{100 * np.mean(chance):.1f} %",
                _text(kappa, ".2f"),
                f"{100 * np.mean(share):.1f} %",
            ]
        )
    return table


def mechanism_table(rows: Rows) -> list[list[str]]:
    """Ratios of the phases; a header, and a row an arm."""
    table = [
        [
            "arm",
            "gradient",
            "update",
            "fast tenth",
            "slow tenth",
            "cosine, high loss",
            "cosine, low loss",
            "correlation of loss and update",
        ]
    ]
    ratios = ("grad_norm", "update_norm", "fast_speed", "slow_speed")
    for arm, runs in rows.items():
        cells = [arm]
        for name in ratios:
            cells.append(_text([_ratio(run, name) for run in runs], ".3f"))
        for phase in (0, 1):
            cosines = [_mean(run, "cosine", phase) for run in runs]
            cells.append(_text(cosines, ".3f"))
        by_array = np.array([_array_means(run, "array_correlation") for run in runs])
        low, high = np.min(by_array.mean(axis=0)), np.max(by_array.mean(axis=0))
        whole = _text(by_array.mean(axis=1).tolist(), "+.2f")
        extremes = "" if np.isnan(low) else f" {{{low:+.2f}, {high:+.2f}}}"
        cells.append(whole + extremes)
        table.append(cells)
    return table


def _later(run: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """What was seen from the second epoch on, where both phases had steps."""
    return [
        row["observed"][name]
        for row in run[1:]
        if all(number is not None for number in np.ravel(row["observed"][name]))
    ]


def _ratio(run: Sequence[dict[str, Any]], name: str) -> float:
    """Low-loss over high-loss phase, geometric mean of the epochs; NaN without any."""
    logs = [
        math.log(low / high) for high, low in _later(run, name) if low > 0 and high > 0
    ]
    return math.exp(float(np.mean(logs))) if logs else math.nan


def _mean(run: Sequence[dict[str, Any]], name: str, phase: int) -> float:
    numbers = [pair[phase] for pair in _later(run, name)]
    return float(np.mean(numbers)) if numbers else math.nan


def _array_means(run: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """Mean over the epochs of each array's number."""
    numbers = _later(run, name)
    if not numbers:
        return np.full(len(run[0]["observed"][name]), math.nan)
    return np.mean(np.array(numbers, np.float64), axis=0)


def _text(numbers: Sequence[float], spec: str) -> str:
    """Mean and 95 % interval over the seeds that have the number."""
    known = [number for number in numbers if not math.isnan(number)]
    if not known:
        return "-"
    mean, deviation, half_width = statistics.summarize(known)
    if math.isnan(deviation):
        return f"{mean:{spec}}"
    return f"{mean:{spec}} [{mean - half_width:{spec}}, {mean + half_width:{spec}}]"

"""What observers saw, over epochs and seeds."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from train.reports import statistics
from train.reports.tables import text

# By arm, by seed, the rows of `metrics.jsonl`.
Rows = dict[str, list[list[dict[str, Any]]]]

MISREAD = (
    "*Misread* is the share of steps in which two phases differ: that of the arm, "
    "and that of the loss on {} with the same weights, which is taken for true. Each "
    "loss is compared with its own average. *By chance* is what independent "
    "phases with the same shares would give. Kappa is 1 - misread / by chance, summed "
    "over all steps. Kappa is 1 where the batch tells the phase, and 0 where it tells "
    "nothing. It falls with noise, and also as the network fits the training data "
    "better than the test data. In brackets stand 95 % intervals over the seeds."
)
MECHANISM = (
    "From *gradient* to *slow tenth*: the low-loss phase over the high-loss "
    "phase, geometric mean of the epochs from the second on. *Gradient* and *update* "
    "are norms, the update without the learning rate. The tenths are the mean speeds "
    "of the parameters that were fastest and slowest in the epoch before. The cosine "
    "is that of the gradient and the trace before the step. The correlation, within "
    "an epoch, is that of the loss's relative deviation from its average and the norm "
    "of each array's update. In braces stand the lowest and the highest array. A "
    "ratio of 1, or a correlation of 0, means that the phase makes no difference. In "
    "brackets stand 95 % intervals over the seeds."
)


# Whose phase is taken for the true one.
TRUTHS = {
    "held_out": "the first test batch",
    "fixed": "a fixed batch of 256 training examples",
}


def kappas(runs: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    """Kappa of each run: 1 - misread / by chance, of all steps; NaN without chance."""
    sums = (
        [
            math.fsum(float(np.ravel(row["observed"][name])[0]) for row in run)
            for name in ("misread", "misread_by_chance")
        ]
        for run in runs
    )
    return [1 - wrong / chance if chance > 0 else math.nan for wrong, chance in sums]


def misread_table(rows: Rows, truth: str) -> list[list[str]]:
    """How often the phase was misread; a header, and a row an arm.

    Args:
      rows: of the arms.
      truth: whose phase is taken for the true one: "held_out" or "fixed".
    """
    table = [["arm", "misread", "by chance", "kappa", "true low-loss steps"]]
    for arm, runs in rows.items():
        names = ("misread", "misread_by_chance", f"{truth}_low_loss_share")
        misread, chance, share = (
            [float(np.mean([row["observed"][name] for row in run])) for run in runs]
            for name in names
        )
        table.append(
            [
                arm,
                _text([100 * x for x in misread], ".1f", 0, 100) + " %",
                f"{100 * np.mean(chance):.1f} %",
                _text(kappas(runs), ".3f", most=1),
                f"{100 * np.mean(share):.1f} %",
            ]
        )
    return table


def mechanism_table(rows: Rows) -> list[list[str]]:
    """Ratios of the phases; a header, and a row an arm."""
    header = ["arm", "gradient", "update", "fast tenth", "slow tenth"]
    header += ["cosine, high loss", "cosine, low loss"]
    table = [[*header, "correlation of loss and update"]]
    ratios = ("grad_norm", "update_norm", "fast_speed", "slow_speed")
    for arm, runs in rows.items():
        columns = [[_ratio(run, name) for run in runs] for name in ratios]
        columns += zip(*(_means(run, "cosine") for run in runs), strict=True)
        by_array = np.array([_means(run, "array_correlation") for run in runs])
        low, high = np.min(by_array.mean(axis=0)), np.max(by_array.mean(axis=0))
        whole = _text(by_array.mean(axis=1).tolist(), "+.2f")
        extremes = "" if np.isnan(low) else f" {{{low:+.2f}, {high:+.2f}}}"
        table.append([arm, *(_text(x, ".3f") for x in columns), whole + extremes])
    return table


_TOLD = "How well the phase is told"
# By --observe: heading, table, and the note that belongs to it.
TABLES = {
    **{
        name: (_TOLD, partial(misread_table, truth=name), MISREAD.format(batch))
        for name, batch in TRUTHS.items()
    },
    "mechanism": ("What the phases do", mechanism_table, MECHANISM),
}


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


def _means(run: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """Mean over the epochs of the number of each phase or array; NaN without any."""
    numbers = _later(run, name)
    if not numbers:
        return np.full(len(run[0]["observed"][name]), math.nan)
    return np.mean(np.array(numbers, np.float64), axis=0)


def _text(
    numbers: Sequence[float],
    spec: str,
    least: float = -math.inf,
    most: float = math.inf,
) -> str:
    """Mean and 95 % interval over the seeds that have the number."""
    known = [number for number in numbers if not math.isnan(number)]
    if not known:
        return "-"
    mean, deviation, half_width = statistics.summarize(known)
    if math.isnan(deviation):
        return text(mean, spec)
    low, high = max(mean - half_width, least), min(mean + half_width, most)
    return f"{text(mean, spec)} [{text(low, spec)}, {text(high, spec)}]"

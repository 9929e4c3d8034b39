"""What observers saw, over epochs and seeds."""

import math
from functools import partial

import numpy as np
import pandas as pd

from train.reports.tables import mean_text

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


def seen(observed: pd.DataFrame, name: str) -> np.ndarray:
    """What was seen of an arm, [seeds, epochs, phases or arrays]."""
    mine = observed[observed["name"] == name]
    seeds, epochs = mine.index.nunique(), mine.epoch.nunique()
    return mine.number.to_numpy().reshape(seeds, epochs, -1)


def kappas(observed: pd.DataFrame) -> list[float]:
    """Kappa of each run: 1 - misread / by chance, of all steps; NaN without chance."""
    sums = (
        map(math.fsum, seen(observed, name)[..., 0])
        for name in ("misread", "misread_by_chance")
    )
    return [
        1 - wrong / chance if chance > 0 else math.nan
        for wrong, chance in zip(*sums, strict=True)
    ]


def misread_table(arms: dict[str, pd.DataFrame], truth: str) -> list[list[str]]:
    """How often the phase was misread; a header, and a row an arm."""
    table = [["arm", "misread", "by chance", "kappa", "true low-loss steps"]]
    names = ("misread", "misread_by_chance", f"{truth}_low_loss_share")
    for arm, observed in arms.items():
        misread, chance, share = (
            100 * np.mean(seen(observed, name)[..., 0], axis=1) for name in names
        )
        table.append(
            [
                arm,
                _text(misread, ".1f", 100, least=0) + " %",
                f"{np.mean(chance):.1f} %",
                _text(kappas(observed), ".3f", 1),
                f"{np.mean(share):.1f} %",
            ]
        )
    return table


def mechanism_table(arms: dict[str, pd.DataFrame]) -> list[list[str]]:
    """Ratios of the phases; a header, and a row an arm."""
    header = ["arm", "gradient", "update", "fast tenth", "slow tenth"]
    header += ["cosine, high loss", "cosine, low loss"]
    table = [[*header, "correlation of loss and update"]]
    ratios = ("grad_norm", "update_norm", "fast_speed", "slow_speed")
    for arm, observed in arms.items():
        columns = [
            [_ratio(run) for run in seen(observed, name)[:, 1:]] for name in ratios
        ]
        columns += [*_means(seen(observed, "cosine")).T]
        by_array = _means(seen(observed, "array_correlation"))
        low, high = np.min(by_array.mean(axis=0)), np.max(by_array.mean(axis=0))
        whole = _text(by_array.mean(axis=1), "+.2f")
        extremes = "" if np.isnan(low) else f" {{{low:+.2f}, {high:+.2f}}}"
        table.append([arm, *(_text(x, ".3f") for x in columns), whole + extremes])
    return table


def _told(observed: pd.DataFrame) -> str:
    return f"{np.nanmean(kappas(observed)):.2f}"


def _moved(observed: pd.DataFrame) -> str:
    return " and ".join(
        _text([_ratio(run) for run in seen(observed, name)[:, 1:]], ".2f")
        for name in ("grad_norm", "update_norm")
    )


_TOLD = "How well the phase is told"
# By --observe: heading, table, and the note that belongs to it.
TABLES = {
    **{
        name: (_TOLD, partial(misread_table, truth=name), MISREAD.format(batch))
        for name, batch in TRUTHS.items()
    },
    "mechanism": ("What the phases do", mechanism_table, MECHANISM),
}
_KAPPA = "Kappa of LCAM's phases (0 where a batch tells nothing, 1 at most)"
_RATIOS = (
    "Gradients and updates of LCAM's low-loss phase over those of the high-loss phase"
)
# By --observe: what a report says of LCAM first.
ANSWERS = {name: (_KAPPA, _told) for name in TRUTHS} | {"mechanism": (_RATIOS, _moved)}
# Mean and 95 % interval over the seeds that have the number.
_text = partial(mean_text, least=-math.inf, with_deviation=False)


def _ratio(run: np.ndarray) -> float:
    """Low-loss over high-loss phase, geometric mean of the epochs; NaN without any."""
    logs = [math.log(low / high) for high, low in run if low > 0 and high > 0]
    return math.exp(float(np.mean(logs))) if logs else math.nan


def _means(runs: np.ndarray) -> np.ndarray:
    """Means over the epochs from the second on, where both phases had steps."""
    known = [run[1:][~np.isnan(run[1:]).any(axis=1)] for run in runs]
    nothing = np.full(runs.shape[2], math.nan)
    return np.array([run.mean(axis=0) if len(run) else nothing for run in known])

"""The studies of results/PLAN.md: their questions, and what the runs answer."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from train.reports import statistics
from train.reports.outcomes import UNDECIDED, judge
from train.reports.rows import Rows, diverged, donor_of, lender_of
from train.reports.statistics import LEVEL


class Question(NamedTuple):
    """A comparison of arms.

    Attributes:
      name: in tables and pictures.
      text: the question.
      weights: by arm; what is compared is the weighted sum of the arms' test errors.
      below: what is so where the sum is below 0.
      above: what is so where it is above 0.
      share: the sum as a part of the difference that the question names.
    """

    name: str
    text: str
    weights: Mapping[str, float]
    below: str = "LCAM is better"
    above: str = "LCAM is worse"
    share: float = 1.0


class Plan(NamedTuple):
    """What was fixed of a study before its answer was known; see results/PLAN.md.

    Attributes:
      seeds: 0 to `seeds` - 1 are run before anything is judged.
      primary: questions in the order in which they are judged.
      secondary: questions that are corrected together.
      saving: begin of the names of two arms that are run with several numbers of
        epochs: how many epochs does the second save?
      margin: points of test error; smaller differences count as none.
      chance: test error in percent that a diverged run counts as.
      amended: what was fixed after the first run, in words; "" for nothing.
    """

    seeds: int
    primary: tuple[Question, ...] = ()
    secondary: tuple[Question, ...] = ()
    saving: tuple[str, str] | None = None
    margin: float = 0.3
    chance: float = 90.0
    amended: str = ""


def plan_of(rows: Rows) -> Plan | None:
    """The plan of a study; None without a planned seed, as in a pilot."""
    plan = PLANS.get(rows.about["study"])
    if plan and any(rows.runs.index.get_level_values("seed") < plan.seeds):
        return plan
    return None


def errors_of(plan: Plan, rows: Rows) -> pd.DataFrame:
    """The outcome of each run, [seeds, arms]: the mean of the last three test errors.

    With `plan.saving` it is the last one alone. A run that diverged counts as chance.
    For a run that could not be made, because its donor diverged, the other seed of its
    pair stands in. Other runs that are not there are NaN.
    """
    [block] = rows.about["blocks"]
    by_run = rows.epochs.droplevel("block").groupby(["arm", "seed"], sort=False)
    last = -1 if plan.saving else -3
    found = by_run.test_error.agg(lambda errors: statistics.mean(errors.iloc[last:]))
    lost = diverged(rows).droplevel("block")
    found[found.index.isin(lost)] = plan.chance
    errors = found.unstack("arm").reindex(columns=[a["name"] for a in block["arms"]])
    errors = errors.reindex(sorted({*errors.index, *range(plan.seeds)}))
    for arm in block["arms"]:
        mine = errors[arm["name"]].copy()
        for seed in range(plan.seeds):
            donor = donor_of(arm), lender_of(arm["matched"], seed)
            if donor in lost and np.isnan(mine[seed]):
                mine[seed] = mine.fillna(plan.chance).get(seed ^ 1, plan.chance)
        errors[arm["name"]] = mine
    return errors


def runs_done(plan: Plan, errors: pd.DataFrame) -> pd.DataFrame:
    """Which runs are there, [planned seeds, arms that must have them]."""
    arms = errors.columns
    if not plan.saving:
        arms = list(dict.fromkeys(arm for each in plan.primary for arm in each.weights))
    return errors.reindex(columns=arms).loc[: plan.seeds - 1].notna()


def answer(plan: Plan, errors: pd.DataFrame) -> pd.DataFrame:
    """The answers to all questions for which there are runs, a row each.

    An observation is a seed (`unit` is "seeds") or a pair of seeds; `mean`, `deviation`
    and `half_width`, of the 95 % interval, are of the weighted sums. `equal_p` belongs
    to *within the margin*, by two one-sided t-tests, `different_p` to *not 0*, by a
    two-sided one. Those of secondary questions are corrected for all that the plan
    lists, whether run or not. No primary question is judged after an undecided one.
    """
    primary = [_answer(plan, each, errors) for each in plan.primary]
    secondary = [_answer(plan, each, errors) for each in plan.secondary]
    secondary = [each for each in secondary if each["number"]]
    missing = [1.0] * (len(plan.secondary) - len(secondary))
    for name in ("equal_p", "different_p"):
        corrected = statistics.holm([*(each[name] for each in secondary), *missing])
        for each, p in zip(secondary, corrected, strict=False):
            each[name] = p
    is_open = False
    for each in (*primary, *secondary):
        each["verdict"] = _judge(plan, each)
        if is_open and each["primary"]:
            each["verdict"] = "not judged: an earlier question is undecided"
        is_open = is_open or each["verdict"] == UNDECIDED
    return pd.DataFrame([*primary, *secondary])


def _answer(plan: Plan, question: Question, errors: pd.DataFrame) -> dict[str, Any]:
    is_primary = question in plan.primary
    table = errors.reindex(columns=list(question.weights)).dropna()
    if is_primary:
        table = table[table.index < plan.seeds]
    weighted = table * pd.Series(question.weights)
    sums = pd.Series(map(math.fsum, weighted.to_numpy()), weighted.index, float)
    # Seeds that borrow from each other are one observation.
    has_pairs = is_primary or any("borrowed" in arm for arm in question.weights)
    if has_pairs:
        pairs = sums.groupby(sums.index // 2)
        sums = pairs.sum()[pairs.size() == 2] / 2
    number = len(sums)
    numbers = sums.to_numpy() if number else np.array([math.nan])
    mean, deviation, _ = statistics.estimate(numbers)
    return {
        "question": question,
        "primary": is_primary,
        "unit": "pairs" if has_pairs else "seeds",
        "number": number,
        "mean": mean,
        "deviation": deviation,
        "half_width": statistics.half_width(deviation, number),
        "half_width_90": statistics.half_width(deviation, number, 0.9),
        "equal_p": statistics.equivalence_p(numbers, plan.margin),
        "different_p": statistics.difference_p(numbers),
    }


def _judge(plan: Plan, each: Mapping[str, Any]) -> str:
    """An answer in words, three-sided: equal, below or above."""
    # The interval of a secondary question is not corrected: it says no size.
    is_beyond = abs(each["mean"]) - each["half_width"] > plan.margin
    question = each["question"]
    return judge(
        each["mean"],
        plan.margin,
        differs=each["different_p"] < LEVEL,
        is_equal=each["equal_p"] < LEVEL,
        is_beyond=is_beyond and each["primary"],
        sides=(question.below, question.above),
    )


def saving(
    plan: Plan, block: Mapping[str, Any], errors: pd.DataFrame
) -> tuple[float, float, float]:
    """By which factor the second arm of `plan.saving` needs fewer epochs; its interval.

    Both curves of error over log(epochs) have the same slope. The factor is exp(d / b)
    with the mean distance d of the curves and their slope b, each the mean over seeds.
    The 95 % interval is Fieller's, over the seeds.
    """
    lengths = sorted({arm["epochs"] for arm in block["arms"]})
    x = np.log(lengths) - np.mean(np.log(lengths))
    theirs, ours = (
        errors.loc[: plan.seeds - 1, [f"{name}-{each}" for each in lengths]].to_numpy()
        for name in plan.saving
    )
    distances = np.mean(ours - theirs, axis=1)
    slopes = (ours + theirs) / 2 @ x / np.sum(x**2)
    ratio, low, high = statistics.fieller(distances, slopes)
    return math.exp(ratio), math.exp(low), math.exp(high)


# --- The plans ------------------------------------------------------------------------


def _less(ours: str, theirs: str) -> dict[str, float]:
    return {ours: 1.0, theirs: -1.0}


_FORMS = ("", "-reversed", "-lagged", "-lagged-reversed")


def _own_less_borrowed(*weights: float) -> dict[str, float]:
    """Of the four forms of LCAM in `plan-dose`."""
    return {
        f"{kind}{form}": sign * weight
        for form, weight in zip(_FORMS, weights, strict=True)
        for kind, sign in (("lcam", 1.0), ("borrowed", -1.0))
    }


_OWN = "Does a run's own loss add anything to another run's?"
_HELPS, _HARMS = "the own loss helps", "the own loss harms"
_UNSEEN = "before any difference was looked at."
_DOSE = Question(
    "dose",
    "Does the harness find a known effect, half the learning rate?",
    _less("dose", "sgd-0.9"),
    "half the rate is better",
    "half the rate is worse",
)
_BETTER = (
    "mean-momentum sgd-0.9 sgd-0.95 lcam-reversed twin oracle oracle-reversed "
    "example-baseline lcam-rate-0.05 lcam-rate-0.2 sgd-0.9-rate-0.2"
)
_STEP = "Is LCAM better than SGD of its effective step?"

PLANS = {
    "plan-5k": Plan(
        80,
        (
            Question("borrowed", _OWN, _less("lcam", "borrowed")),
            Question("matched-step", _STEP, _less("lcam", "matched-step")),
        ),
        (
            _DOSE,
            *(
                Question(arm, f"Is LCAM better than `{arm}`?", _less("lcam", arm))
                for arm in _BETTER.split()
            ),
        ),
        amended="The order of the questions, their three sides and the pairs of seeds "
        f"were fixed while the seeds ran, {_UNSEEN}",
    ),
    "plan-dose": Plan(
        48,
        (
            Question(
                "own loss",
                _OWN,
                _own_less_borrowed(1 / 4, 1 / 4, 1 / 4, 1 / 4),
                _HELPS,
                _HARMS,
            ),
            Question(
                "by order and timing",
                "Does the effect of the order depend on the timing?",
                _own_less_borrowed(1 / 4, -1 / 4, -1 / 4, 1 / 4),
                f"{_HELPS} LCAM's order more at once than late",
                f"{_HELPS} LCAM's order more late than at once",
                1 / 4,
            ),
            Question(
                "by order",
                "Does it depend on the order of the coefficients?",
                _own_less_borrowed(1 / 4, -1 / 4, 1 / 4, -1 / 4),
                f"{_HELPS} LCAM's order more",
                f"{_HELPS} the reversed order more",
                1 / 2,
            ),
            Question(
                "by timing",
                "Does it depend on the timing?",
                _own_less_borrowed(1 / 4, 1 / 4, -1 / 4, -1 / 4),
                f"{_HELPS} more at once",
                f"{_HELPS} more one step late",
                1 / 2,
            ),
        ),
        (
            _DOSE,
            *(
                Question(
                    f"lcam{form}",
                    f"Does the own loss add anything in the form `lcam{form}`?",
                    _less(f"lcam{form}", f"borrowed{form}"),
                    _HELPS,
                    _HARMS,
                )
                for form in _FORMS
            ),
        ),
        amended="The order and the weights of the questions 2 to 4 were fixed after "
        f"12 seeds, {_UNSEEN} By the first weights, those of whole differences with a "
        "margin of 0.3, the timing is undecided, and question 2, then the last, is not "
        "judged.",
    ),
    "plan-epochs": Plan(
        24,
        saving=("sgd-0.9", "lcam"),
        amended="The plan had no verdict: its words came after the factor was known.",
    ),
}

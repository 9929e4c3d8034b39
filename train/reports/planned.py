"""The studies of results/PLAN.md: their questions, and what the runs answer."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from train.reports import statistics
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
    """

    name: str
    text: str
    weights: Mapping[str, float]
    below: str = "LCAM is better"
    above: str = "LCAM is worse"


class Plan(NamedTuple):
    """What was fixed of a study before its first run; see results/PLAN.md.

    Attributes:
      seeds: 0 to `seeds` - 1 are run before anything is judged.
      primary: questions in the order in which they are judged.
      secondary: questions that are corrected together.
      saving: begin of the names of two arms that are run with several numbers of
        epochs: how many epochs does the second save?
      margin: points of test error; smaller differences count as none.
      chance: test error in percent that a diverged run counts as.
    """

    seeds: int
    primary: tuple[Question, ...] = ()
    secondary: tuple[Question, ...] = ()
    saving: tuple[str, str] | None = None
    margin: float = 0.3
    chance: float = 90.0


class Answer(NamedTuple):
    """What a question comes to; numbers are NaN where observations are too few.

    Attributes:
      question: that is answered.
      unit: what an observation is, "pairs" or "seeds".
      number: observations.
      mean: of the weighted sums.
      deviation: standard deviation of the weighted sums.
      equal_p: p-value of *within the margin*, by two one-sided t-tests.
      different_p: p-value of *not 0*, by a two-sided t-test. Both are corrected for the
        number of the questions that are secondary.
      verdict: in words.
    """

    question: Question
    unit: str
    number: int
    mean: float = math.nan
    deviation: float = math.nan
    equal_p: float = math.nan
    different_p: float = math.nan
    verdict: str = ""

    def half_width(self, confidence: float = 0.95) -> float:
        """Half the interval of the mean (Student's t)."""
        return statistics.half_width(self.deviation, self.number, confidence)


def plan_of(rows: Rows) -> Plan | None:
    """The plan of a study; None without a planned seed, as in a pilot."""
    plan = PLANS.get(rows.about["study"])
    if plan and any(rows.runs.index.get_level_values("seed") < plan.seeds):
        return plan
    return None


def arms_of(plan: Plan, block: Mapping[str, Any]) -> list[str]:
    """The arms that must have all planned seeds."""
    if plan.saving:
        return [arm["name"] for arm in block["arms"]]
    return list(dict.fromkeys(arm for each in plan.primary for arm in each.weights))


def errors_of(plan: Plan, rows: Rows) -> pd.DataFrame:
    """The outcome of each run, [seeds, arms]: the mean of the last three test errors.

    With `plan.saving` it is the last one alone. A run that diverged counts as chance.
    For a run that could not be made, because its donor diverged, the other seed of its
    pair stands in. Other runs that are not there are NaN.
    """
    [block] = rows.about["blocks"]
    last = rows.epochs.droplevel("block").groupby(["arm", "seed"], sort=False)
    found = last.test_error.agg(
        lambda errors: statistics.mean(errors.iloc[-1 if plan.saving else -3 :])
    )
    lost = diverged(rows).droplevel("block")
    found[found.index.isin(lost)] = plan.chance
    errors = found.unstack("arm").reindex(columns=[a["name"] for a in block["arms"]])
    errors = errors.reindex(sorted({*errors.index, *range(plan.seeds)}))
    for arm in block["arms"]:
        mine = errors[arm["name"]].copy()
        for seed in range(plan.seeds):
            if (donor_of(arm), lender_of(arm["matched"], seed)) in lost and np.isnan(
                mine[seed]
            ):
                mine[seed] = mine.fillna(plan.chance).get(seed ^ 1, plan.chance)
        errors[arm["name"]] = mine
    return errors


def seeds_done(plan: Plan, block: Mapping[str, Any], errors: pd.DataFrame) -> int:
    """How many planned seeds all planned arms have."""
    planned = errors.reindex(columns=arms_of(plan, block))
    return int(planned.loc[: plan.seeds - 1].notna().all(axis=1).sum())


def answer(plan: Plan, errors: pd.DataFrame) -> tuple[list[Answer], list[Answer]]:
    """The primary and the secondary answers, as far as there are runs for them.

    Secondary ones are corrected for all that the plan lists, whether run or not. No
    primary one is judged after one that is undecided.
    """
    primary = []
    for question in plan.primary:
        found = _answer(plan, question, errors)
        words = _judge(plan, found)
        if any(each.verdict == "undecided" for each in primary):
            words = "not judged: an earlier question is undecided"
        primary.append(found._replace(verdict=words))
    secondary = [_answer(plan, each, errors) for each in plan.secondary]
    secondary = [each for each in secondary if each.number]
    missing = [1.0] * (len(plan.secondary) - len(secondary))
    corrected = [
        statistics.holm([*(getattr(each, name) for each in secondary), *missing])
        for name in ("equal_p", "different_p")
    ]
    secondary = [
        each._replace(equal_p=equal, different_p=different)
        for each, equal, different in zip(secondary, *corrected, strict=False)
    ]
    return primary, [e._replace(verdict=_judge(plan, e)) for e in secondary]


def _answer(plan: Plan, question: Question, errors: pd.DataFrame) -> Answer:
    is_primary = question in plan.primary
    table = errors.reindex(columns=list(question.weights)).dropna()
    if is_primary:
        table = table[table.index < plan.seeds]
    weighted = table * pd.Series(question.weights)
    sums = pd.Series(
        {seed: math.fsum(row) for seed, *row in weighted.itertuples()}, dtype=float
    )
    # Seeds that borrow from each other are one observation.
    unit = "seeds"
    if is_primary or any("borrowed" in arm for arm in question.weights):
        unit = "pairs"
        pairs = sums.groupby(sums.index // 2)
        sums = pairs.sum()[pairs.size() == 2] / 2
    if not len(sums):
        return Answer(question, unit, 0)
    difference = statistics.paired_difference(sums, np.zeros(len(sums)))
    return Answer(
        question,
        unit,
        len(sums),
        difference.mean,
        float(np.std(sums.to_numpy(), ddof=1)) if len(sums) > 1 else math.nan,
        statistics.equivalence_p(sums, plan.margin),
        difference.p_value,
    )


def _judge(plan: Plan, each: Answer) -> str:
    """An answer in words, three-sided: equal, below or above."""
    margin = f"{plan.margin:g} points"
    is_equal, differs = each.equal_p < LEVEL, each.different_p < LEVEL
    if not differs:
        return f"equal within {margin}" if is_equal else "undecided"
    side = each.question.below if each.mean < 0 else each.question.above
    if is_equal:
        return f"{side}, by less than {margin}"
    # The interval of a secondary question is not corrected: it says no size.
    beyond = abs(each.mean) - each.half_width() > plan.margin
    is_primary = each.question in plan.primary
    return f"{side}, by more than {margin}" if beyond and is_primary else side


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


def _own_less_borrowed(weights: Mapping[str, float]) -> dict[str, float]:
    """Of the forms of LCAM in `plan-dose`, by the end of their names."""
    return {
        f"{kind}{form}": sign * weight
        for form, weight in weights.items()
        for kind, sign in (("lcam", 1.0), ("borrowed", -1.0))
    }


_FORMS = ("", "-reversed", "-lagged", "-lagged-reversed")


def _signs(*signs: int) -> dict[str, float]:
    """Weights of a mean over the four forms, with these signs."""
    return {form: sign / 4 for form, sign in zip(_FORMS, signs, strict=True)}


_HELPS = "the own loss helps"
_DOSE = Question(
    "dose",
    "Does the harness find a known effect, half the learning rate?",
    _less("dose", "sgd-0.9"),
    "half the rate is better",
    "half the rate is worse",
)

PLANS = {
    "plan-5k": Plan(
        80,
        (
            Question(
                "borrowed",
                "Does a run's own loss add anything to another run's?",
                _less("lcam", "borrowed"),
            ),
            Question(
                "matched-step",
                "Is LCAM better than SGD of its effective step?",
                _less("lcam", "matched-step"),
            ),
        ),
        (
            _DOSE,
            *(
                Question(arm, f"Is LCAM better than `{arm}`?", _less("lcam", arm))
                for arm in (
                    *("mean-momentum", "sgd-0.9", "sgd-0.95", "lcam-reversed"),
                    *("twin", "oracle", "oracle-reversed", "example-baseline"),
                    *("lcam-rate-0.05", "lcam-rate-0.2", "sgd-0.9-rate-0.2"),
                )
            ),
        ),
    ),
    "plan-dose": Plan(
        48,
        (
            Question(
                "own loss",
                "Does a run's own loss add anything to another run's?",
                _own_less_borrowed(_signs(1, 1, 1, 1)),
                _HELPS,
                "the own loss harms",
            ),
            Question(
                "by order and timing",
                "Does the effect of the order depend on the timing?",
                _own_less_borrowed(_signs(1, -1, -1, 1)),
                f"{_HELPS} LCAM's order more at once than late",
                f"{_HELPS} LCAM's order more late than at once",
            ),
            Question(
                "by order",
                "Does it depend on the order of the coefficients?",
                _own_less_borrowed(_signs(1, -1, 1, -1)),
                f"{_HELPS} LCAM's order more",
                f"{_HELPS} the reversed order more",
            ),
            Question(
                "by timing",
                "Does it depend on the timing?",
                _own_less_borrowed(_signs(1, 1, -1, -1)),
                f"{_HELPS} more at once",
                f"{_HELPS} more one step late",
            ),
        ),
        (
            _DOSE,
            *(
                Question(
                    f"lcam{form}",
                    f"Does the own loss add anything in the form `lcam{form}`?",
                    _own_less_borrowed({form: 1.0}),
                    _HELPS,
                    "the own loss harms",
                )
                for form in _FORMS
            ),
        ),
    ),
    "plan-epochs": Plan(24, saving=("sgd-0.9", "lcam")),
}

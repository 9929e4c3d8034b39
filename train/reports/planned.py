"""The studies of results/PLAN.md: their questions, and what the runs answer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from train.reports import statistics
from train.reports.rows import RunRows, donor_of
from train.reports.statistics import LEVEL
from train.runs.records import has_diverged

Errors = dict[str, dict[int, float]]  # test errors in percent, by arm and seed


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
    """What a question comes to.

    Attributes:
      question: that is answered.
      unit: what an observation is, "pairs" or "seeds".
      number: observations.
      mean: of the weighted sums; NaN without observations.
      deviation: standard deviation of the weighted sums; NaN with one.
      equal_p: p-value of *within the margin*, by two one-sided t-tests.
      different_p: p-value of *not 0*, by a two-sided t-test. Both are corrected for the
        number of the questions that are secondary.
    """

    question: Question
    unit: str
    number: int
    mean: float
    deviation: float
    equal_p: float
    different_p: float

    def half_width(self, confidence: float = 0.95) -> float:
        """Half the interval of the mean (Student's t)."""
        return statistics.half_width(self.deviation, self.number, confidence)


class Saving(NamedTuple):
    """By which factor an arm needs fewer epochs, with its 95 % interval."""

    factor: float
    low: float
    high: float


def plan_of(study: str, runs: Mapping[tuple[str, str, int], Any]) -> Plan | None:
    """The plan of a study's rows; None without a planned seed, as in a pilot."""
    plan = PLANS.get(study)
    if plan and any(seed < plan.seeds for _, _, seed in runs):
        return plan
    return None


def arms_of(plan: Plan, block: Mapping[str, Any]) -> list[str]:
    """The arms that must have all planned seeds."""
    if plan.saving:
        return [arm["name"] for arm in block["arms"]]
    return list(dict.fromkeys(arm for each in plan.primary for arm in each.weights))


def errors_of(
    plan: Plan, block: Mapping[str, Any], runs: Mapping[tuple[str, str, int], RunRows]
) -> Errors:
    """The outcome of each run: the mean of the last three test errors, or the last.

    A run that diverged counts as chance. For a run that could not be made, because its
    donor diverged, the other seed of its pair stands in.
    """
    last = 1 if plan.saving else 3
    found: Errors = {arm["name"]: {} for arm in block["arms"]}
    for (_, arm, seed), run in runs.items():
        rows = run.epochs[-last:]
        found[arm][seed] = (
            plan.chance
            if has_diverged(run.epochs)
            else math.fsum(row["test_error"] for row in rows) / len(rows)
        )
    for arm in block["arms"]:
        donor = donor_of(arm)
        for seed in range(plan.seeds):
            lender = seed ^ 1 if arm["matched"] == "borrowed" else seed
            run = runs.get((block["name"], donor, lender))
            if run and has_diverged(run.epochs):
                mine = found[arm["name"]]
                mine.setdefault(seed, mine.get(seed ^ 1, plan.chance))
    return found


def seeds_done(plan: Plan, block: Mapping[str, Any], errors: Errors) -> int:
    """How many planned seeds all planned arms have."""
    arms = arms_of(plan, block)
    return sum(
        all(seed in errors.get(arm, {}) for arm in arms) for seed in range(plan.seeds)
    )


def answer(plan: Plan, errors: Errors) -> tuple[list[Answer], list[Answer]]:
    """The primary and the secondary answers, as far as there are runs for them.

    Secondary ones are corrected for all that the plan lists, whether run or not.
    """
    primary = [_answer(plan, each, errors) for each in plan.primary]
    secondary = [_answer(plan, each, errors) for each in plan.secondary]
    secondary = [each for each in secondary if each.number]
    missing = [1.0] * (len(plan.secondary) - len(secondary))
    for name in ("equal_p", "different_p"):
        p_values = [getattr(each, name) for each in secondary]
        secondary = [
            each._replace(**{name: p})
            for each, p in zip(
                secondary, statistics.holm([*p_values, *missing]), strict=False
            )
        ]
    return primary, secondary


def _answer(plan: Plan, question: Question, errors: Errors) -> Answer:
    is_primary = question in plan.primary
    arms = {arm: errors.get(arm, {}) for arm in question.weights}
    seeds = sorted(set.intersection(*map(set, arms.values())))
    if is_primary:
        seeds = [seed for seed in seeds if seed < plan.seeds]
    sums = {
        seed: math.fsum(w * arms[arm][seed] for arm, w in question.weights.items())
        for seed in seeds
    }
    # Seeds that borrow from each other are one observation.
    unit = "seeds"
    if is_primary or any("borrowed" in arm for arm in arms):
        unit = "pairs"
        sums = {
            seed: (sums[seed] + sums[seed + 1]) / 2
            for seed in sums
            if seed % 2 == 0 and seed + 1 in sums
        }
    numbers = list(sums.values())
    if not numbers:
        return Answer(question, unit, 0, *[math.nan] * 4)
    difference = statistics.paired_difference(numbers, [0.0] * len(numbers))
    return Answer(
        question,
        unit,
        len(numbers),
        difference.mean,
        float(np.std(numbers, ddof=1)) if len(numbers) > 1 else math.nan,
        statistics.equivalence_p(numbers, plan.margin),
        difference.p_value,
    )


def verdicts(plan: Plan, answers: Sequence[Answer]) -> list[str]:
    """The primary answers in words: none after one that is undecided."""
    found = []
    for each in answers:
        if "undecided" in found:
            found.append("not judged: an earlier question is undecided")
        else:
            found.append(judge(plan, each))
    return found


def judge(plan: Plan, each: Answer) -> str:
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


def saving(plan: Plan, block: Mapping[str, Any], errors: Errors) -> Saving:
    """By which factor the second arm of `plan.saving` needs fewer epochs.

    Both curves of error over log(epochs) have the same slope. The factor is exp(d / b)
    with the mean distance d of the curves and their slope b, each the mean over seeds.
    The interval is Fieller's, over the seeds.
    """
    epochs = {arm["name"]: arm["epochs"] for arm in block["arms"]}
    lengths = sorted(set(epochs.values()))
    x = np.log(lengths) - np.mean(np.log(lengths))
    theirs, ours = (
        np.array(
            [
                [errors[f"{name}-{each}"][seed] for each in lengths]
                for seed in range(plan.seeds)
            ]
        )
        for name in plan.saving
    )
    distances = np.mean(ours - theirs, axis=1)
    slopes = (ours + theirs) / 2 @ x / np.sum(x**2)
    return Saving(*map(math.exp, statistics.fieller(distances, slopes)))


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

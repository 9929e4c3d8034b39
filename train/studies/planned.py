"""What the primary questions of a plan come to, once all their seeds are there."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from train.studies import statistics, table
from train.studies.statistics import LEVEL, Difference, signed

OUTCOME = "last_epochs_error"


class Answer(NamedTuple):
    """What one primary question comes to; all differences are LCAM less the arm.

    Attributes:
      question: as the plan asks it.
      arm: that LCAM is compared with.
      difference: over the seeds, or over the means of pairs of seeds.
      deviation: standard deviation of the differences; NaN with one.
      equivalence_p: that the difference is within the margin, corrected.
      difference_p: that there is one, two-sided, corrected.
    """

    question: str
    arm: str
    difference: Difference
    deviation: float
    equivalence_p: float
    difference_p: float


def questions(block: dict[str, Any]) -> dict[str, str]:
    """The primary questions of a block, by arm; without a plan there are none."""
    return (block.get("plan") or {}).get("questions", {})


def planned_seeds(block: dict[str, Any], runs: dict[str, dict[int, Any]]) -> list[int]:
    """The seeds of the plan that all arms of its questions have, in order.

    Args:
      block: as in `study.json`, with a plan.
      runs: of the block, by arm and seed.
    """
    names = (block["reference"], *questions(block))
    everywhere = set.intersection(*(set(runs.get(name, ())) for name in names))
    return [seed for seed in range(block["plan"]["seeds"]) if seed in everywhere]


def is_complete(block: dict[str, Any], runs: dict[str, dict[int, Any]]) -> bool:
    """Whether a block may be judged: it has no plan, or all that its plan wants."""
    plan = block.get("plan")
    return plan is None or len(planned_seeds(block, runs)) == plan["seeds"]


def answer(
    block: dict[str, Any], runs: dict[str, dict[int, Any]], *, pairs: bool = False
) -> list[Answer]:
    """Answers the primary questions of a block.

    Args:
      block: as in `study.json`, with a plan.
      runs: outcomes of the block, by arm and seed.
      pairs: take the mean of the two seeds that lend their phases to each other, 0 and
        1, 2 and 3, as one. Their differences share runs, which the t-test over seeds
        does not know.
    """
    plan, reference = block["plan"], block["reference"]
    # Not judged yet: what there is shows its spread, a pilot's too.
    seeds = planned_seeds(block, runs) if is_complete(block, runs) else None
    found = []
    for arm, question in questions(block).items():
        ours, theirs = runs.get(reference, {}), runs.get(arm, {})
        both = [seed for seed in seeds or sorted(ours) if seed in ours.keys() & theirs]
        columns = [[each[seed][OUTCOME] for seed in both] for each in (ours, theirs)]
        if pairs:
            columns = [_pair_means(both, column) for column in columns]
        differences = np.subtract(*columns)
        if not len(differences):
            continue
        found.append(
            Answer(
                question,
                arm,
                statistics.paired_difference(*columns),
                float(np.std(differences, ddof=1))
                if len(differences) > 1
                else math.nan,
                statistics.equivalence_p(
                    differences, plan["margin"], one_sided=plan["one_sided"]
                ),
                0.0,
            )
        )
    equivalent = statistics.holm([each.equivalence_p for each in found])
    different = statistics.holm([each.difference.p_value for each in found])
    return [
        each._replace(equivalence_p=p, difference_p=q)
        for each, p, q in zip(found, equivalent, different, strict=True)
    ]


def _pair_means(seeds: Sequence[int], numbers: Sequence[float]) -> list[float]:
    known = dict(zip(seeds, numbers, strict=True))
    return [
        (known[seed] + known[seed + 1]) / 2
        for seed in seeds
        if seed % 2 == 0 and seed + 1 in known
    ]


def judge(each: Answer, plan: dict[str, Any], subject: str) -> str:
    """An answer in words; a lower error is better."""
    margin = f"{plan['margin']:g} points"
    direction = "better" if each.difference.mean < 0 else "worse"
    is_equal, differs = each.equivalence_p < LEVEL, each.difference_p < LEVEL
    if is_equal and plan["one_sided"]:
        return f"{subject} is not worse by {margin}"
    if is_equal and differs:
        return f"{subject} is {direction}, by less than {margin}"
    if is_equal:
        return f"equal within {margin}"
    if differs:
        return f"{subject} is {direction}"
    return "open"


def summarize(block: dict[str, Any], runs: dict[str, dict[int, Any]]) -> list[str]:
    """The answers as sentences; or how much of the plan is missing."""
    if not is_complete(block, runs):
        return [f"{_progress(block, runs)}. Nothing is judged before all are there."]
    subject = _subject(block)
    sentences = []
    for each in answer(block, runs):
        mean, half_width = each.difference.mean, _half_width_90(each)
        sentences.append(
            f"{each.question} {subject} less `{each.arm}` is {signed(mean)} points, "
            f"90 % interval {table.interval(mean, half_width)}: "
            f"{judge(each, block['plan'], subject)}."
        )
    return sentences


def title(block: dict[str, Any], runs: dict[str, dict[int, Any]]) -> str:
    """The answers in a line; without a plan there are none."""
    if not is_complete(block, runs):
        return f"{_progress(block, runs)}, nothing is judged yet"
    if block.get("plan") is None:
        return ""
    subject = _subject(block)
    found = [
        f"{each.arm}: {judge(each, block['plan'], subject)}"
        for each in answer(block, runs)
    ]
    return f"{subject} against {'; '.join(found)}"


def _progress(block: dict[str, Any], runs: dict[str, dict[int, Any]]) -> str:
    done, wanted = len(planned_seeds(block, runs)), block["plan"]["seeds"]
    return f"{done} of the {wanted} planned seeds have been run"


def section(block: dict[str, Any], runs: dict[str, dict[int, Any]]) -> list[str]:
    """Paragraphs and tables of a block's primary questions."""
    plan, subject = block["plan"], _subject(block)
    claim = "not worse by" if plan["one_sided"] else "equal within"
    parts = [
        "### Primary questions",
        f"{subject} less each arm, in points of the test error, mean of the last "
        f"epochs. Below 0, {subject} is better. The first p is for *{claim} "
        f"{plan['margin']:g} points*, by one-sided t-tests. The second is for *there "
        "is a difference*, two-sided. Each is corrected with Holm's method for the "
        f"number of questions. All {plan['seeds']} planned seeds are run before "
        "anything is judged.",
        _table(block, runs, pairs=False),
    ]
    if not plan["one_sided"]:
        parts += [
            "Seeds borrow from each other in pairs. So here is the same over the means "
            "of pairs of seeds.",
            _table(block, runs, pairs=True),
        ]
    return parts


def _table(
    block: dict[str, Any], runs: dict[str, dict[int, Any]], *, pairs: bool
) -> str:
    judged, subject = is_complete(block, runs), _subject(block)
    header = ["question", "arm", "pairs" if pairs else "seeds", "difference"]
    header += ["deviation", "90 % interval", "p, within", "p, different", "verdict"]
    rows = [header]
    for each in answer(block, runs, pairs=pairs):
        mean = each.difference.mean
        p_texts = [table.p_text(p) for p in (each.equivalence_p, each.difference_p)]
        rows.append(
            [
                each.question,
                f"`{each.arm}`",
                str(each.difference.num_seeds),
                signed(mean),
                "-" if math.isnan(each.deviation) else f"{each.deviation:.2f}",
                table.interval(mean, _half_width_90(each)),
                *(p_texts if judged else ["-", "-"]),
                judge(each, block["plan"], subject) if judged else "not judged yet",
            ]
        )
    return table.markdown(rows)


def _half_width_90(each: Answer) -> float:
    """Of the interval that two one-sided tests at 5 % belong to."""
    return statistics.half_width(each.deviation, each.difference.num_seeds, 0.9)


def _subject(block: dict[str, Any]) -> str:
    reference = block["reference"]
    return "LCAM" if reference == "lcam" else f"`{reference}`"

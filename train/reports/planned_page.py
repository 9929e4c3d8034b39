"""The page of a planned study: its answers, or how much of it is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from train.reports import planned, statistics, tables
from train.reports.details import curves, setting_of, what_is_compared
from train.reports.forest import Part, Row, draw_forest
from train.reports.outcomes import Result, points_text
from train.reports.planned import Plan
from train.reports.rows import Rows, write_csv
from train.runs import drawing
from train.runs.palette import ARM_COLORS


def parts(
    out: Path, plan: Plan, result: Result, rows: Rows
) -> tuple[list[str], list[str]]:
    """What the page and the details say; writes their pictures and numbers."""
    errors = planned.errors_of(plan, rows)
    done = planned.runs_done(plan, errors)
    number = done.all(axis=1).sum()
    setting = f"**Setting.** {setting_of(result)}"
    arms = what_is_compared(rows)
    if number < plan.seeds:
        answer = (
            f"**Answer.** None yet: {number} of the {plan.seeds} planned seeds have "
            "been run. Before all are there, nothing is judged: no mean, interval, "
            "p-value or picture."
        )
        progress = _progress(plan, done, planned.answer(plan, errors))
        return [answer, setting, *progress], arms
    others = [
        *arms,
        "## Test errors",
        _errors_table(plan, errors),
        *curves(out, result),
    ]
    if plan.saving:
        return [f"**Answer.** {_saving(plan, result, errors)}", setting], others
    answers = planned.answer(plan, errors)
    names = answers.question.map(lambda question: question.name)
    table = answers.assign(question=names)
    write_csv(out / "questions.csv", table, index=False, na_rep="nan")
    primary = list(answers[answers.primary].itertuples())
    _draw(out / "forest.png", plan, list(answers.itertuples()))
    questions = " ".join(
        f"{each.question.text} **{each.verdict[0].upper()}{each.verdict[1:]}**: "
        f"{tables.with_interval(each.mean, each.half_width)} points."
        for each in primary
    )
    page = [
        f"**Answer.** {questions}",
        "**Certainty.** Planned before the first run, in results/PLAN.md: "
        f"{plan.seeds} seeds, and the questions in their order. Pairs of seeds spread "
        f"by {tables.span([x.deviation for x in primary], tables.percent)} points.",
        setting,
        f"![{_title(primary)}](forest.png)",
        _answers_table(list(answers.itertuples())),
        f"**Controls.** {_controls(plan, answers)}",
        "**How.** Differences of test errors in points: LCAM less the arm, or own less "
        "borrowed. For primary questions an observation is the mean of two seeds that "
        f"borrow from each other. *Equal* takes the 90 % interval and a margin of "
        f"{points_text(plan.margin)}, *better* and *worse* the 95 % interval. After an "
        "undecided question none is judged. Both p of the secondary questions are "
        f"corrected with Holm's method for the {len(plan.secondary)} that the plan "
        "lists. Their intervals are not.",
    ]
    return page, others


def _saving(plan: Plan, result: Result, errors: pd.DataFrame) -> str:
    factor, low, high = planned.saving(plan, result.block, errors)
    claim = "is" if low <= 2 <= high else "is not"
    return (
        f"LCAM saves epochs by a factor of {factor:.3f}, 95 % interval "
        f"{low:.3f} to {high:.3f}. No saving is a factor of 1. The claim "
        f"of the paper, a factor of 2, {claim} in the interval."
    )


def _progress(plan: Plan, done: pd.DataFrame, answers: pd.DataFrame) -> list[str]:
    """Counts and spreads: what may be known before the last seed."""
    spreads = [["question", "pairs", "deviation", "expected half width of 95 %"]]
    for each in answers.itertuples():
        if each.primary:
            expected = statistics.half_width(each.deviation, plan.seeds // 2)
            cells = [f"{x:.2f}" if x == x else "-" for x in (each.deviation, expected)]
            spreads.append([each.question.text, str(each.number), *cells])
    counts = [["arm", "planned seeds that have been run"]]
    counts += [[f"`{arm}`", f"{done[arm].sum()} of {plan.seeds}"] for arm in done]
    found = [spreads, counts] if plan.primary else [counts]
    return [tables.markdown(each) for each in found]


def _answers_table(answers: Sequence[Any]) -> str:
    rows = [["question", "observations", "difference [95 % interval]", "deviation"]]
    rows[0] += ["90 % interval", "p, equal", "p, different", "verdict"]
    for first in (True, False):
        mine = [each for each in answers if each.primary == first]
        if mine:
            name = "primary" if first else "secondary"
            rows.append([f"**{name}**", *7 * [""]])
        for each in mine:
            rows.append(
                [
                    each.question.text,
                    f"{each.number} {each.unit}",
                    tables.with_interval(each.mean, each.half_width),
                    f"{each.deviation:.2f}",
                    tables.interval(each.mean, each.half_width_90),
                    tables.p_text(each.equal_p),
                    tables.p_text(each.different_p),
                    each.verdict,
                ]
            )
    return tables.markdown(rows)


def _controls(plan: Plan, answers: pd.DataFrame) -> str:
    for each in answers.itertuples():
        if each.question.name == "dose":
            share = f"{100 * plan.margin / abs(each.mean):.0f} %"
            return (
                "A known effect was found: half the learning rate, `dose`, changes the "
                f"error by {tables.signed(each.mean)} ± {each.half_width:.2f} points. "
                f"The margin is {share} of that."
            )
    return "`dose`, half the learning rate, has not been run."


def _errors_table(plan: Plan, errors: pd.DataFrame) -> str:
    rows = [["arm", "seeds", "test error"]]
    for arm in errors:
        if number := errors[arm].count():
            text = tables.mean_text(errors[arm], ".2f", 100)
            rows.append([f"`{arm}`", str(number), text])
    what = "the last epoch" if plan.saving else "the last three epochs"
    return tables.markdown(rows) + (
        f"\n\n<sub>In percent, of {what}: mean ± standard deviation over the seeds, "
        "and in brackets the 95 % interval of the mean. A diverged run counts as "
        f"{plan.chance:g} %. Arms have other seeds: take differences from the report. "
        "All seeds share the training set and the test set.</sub>"
    )


def _title(primary: Sequence[Any]) -> str:
    if len({each.verdict for each in primary}) == 1:
        return f"all {len(primary)} questions: {primary[0].verdict}"
    return "; ".join(f"{each.question.name}: {each.verdict}" for each in primary)


def _draw(path: Path, plan: Plan, answers: Sequence[Any]) -> None:
    names = [each.question.name for each in answers]
    what = "own less borrowed" if "own loss" in names else "LCAM less the arm"
    rows = [
        Row(
            each.question.name,
            each.question.name if each.question.name in ARM_COLORS else "lcam",
            *(each.mean, each.half_width, each.half_width_90),
            tables.with_interval(each.mean, each.half_width),
            each.verdict,
            plan.margin,
            each.verdict.startswith((each.question.below, each.question.above)),
            f"{'primary' if each.primary else 'secondary'} questions",
        )
        for each in answers
    ]
    figure = draw_forest(
        [Part("", rows)],
        title=_title([each for each in answers if each.primary]),
        axis=f"{what}: test error in points",
        sides=(answers[0].question.below, answers[0].question.above),
    )
    drawing.save(figure, path)

"""The report of a planned study: its answers, or how much of it is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from train.reports import forest, panels, planned, statistics, tables
from train.reports.outcomes import Result
from train.reports.planned import Plan
from train.reports.rows import write_csv
from train.runs import drawing
from train.runs.palette import ARM_COLORS


def planned_parts(
    out: Path, plan: Plan, result: Result, errors: pd.DataFrame, setting: str
) -> list[str]:
    """What is said of the block of a planned study; writes its pictures and numbers.

    `errors` are those of `planned.errors_of`, `setting` that of `section.setting_of`.
    """
    block = result.block
    done = planned.runs_done(plan, errors)
    number = done.all(axis=1).sum()
    heading = [f"## {block['name']}", setting]
    if number < plan.seeds:
        return [
            f"{number} of the {plan.seeds} planned seeds have been run. Before all are "
            "there, nothing is judged: no mean, interval, p-value or picture.",
            *heading,
            *_progress(plan, done, planned.answer(plan, errors)),
        ]
    curves = []
    if result.arms:
        panels.plot_block(out / f"{block['name']}.png", result, block["name"])
        curves.append(f"![Curves of {block['name']}]({block['name']}.png)")
    if plan.saving:
        factor, low, high = planned.saving(plan, block, errors)
        claim = "is" if low <= 2 <= high else "is not"
        answer = (
            f"LCAM saves epochs by a factor of {factor:.3f}, 95 % interval "
            f"{low:.3f} to {high:.3f}. No saving is a factor of 1. The claim "
            f"of the paper, a factor of 2, {claim} in the interval."
        )
        return [answer, *heading, _errors_table(plan, errors), *curves]
    answers = planned.answer(plan, errors)
    names = answers.question.map(lambda question: question.name)
    table = answers.assign(question=names)
    write_csv(out / "questions.csv", table, index=False, na_rep="nan")
    primary = list(answers[answers.primary].itertuples())
    secondary = list(answers[~answers.primary].itertuples())
    _draw(out / "forest.png", primary)
    return [
        " ".join(
            f"{each.question.text} {tables.signed(each.mean)} points, 95 % interval "
            f"{tables.interval(each.mean, each.half_width)}: {each.verdict}."
            for each in primary
        ),
        "![The primary differences, with 95 % intervals](forest.png)",
        *heading,
        "### Primary questions",
        "Differences of test errors in points: LCAM less the arm, or own less "
        "borrowed. An observation is the mean of two seeds that borrow from each "
        f"other. *Equal* takes the 90 % interval and a margin of {plan.margin:g} "
        "points, *better* and *worse* the 95 % interval. After an undecided question "
        "none is judged.",
        _answers_table(primary),
        *_secondary(plan, secondary),
        "### Test errors",
        _errors_table(plan, errors),
        *curves,
    ]


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
    rows = [["question", "observations", "difference", "deviation", "95 % interval"]]
    rows[0] += ["90 % interval", "p, equal", "p, different", "verdict"]
    for each in answers:
        rows.append(
            [
                each.question.text,
                f"{each.number} {each.unit}",
                tables.signed(each.mean),
                f"{each.deviation:.2f}",
                tables.interval(each.mean, each.half_width),
                tables.interval(each.mean, each.half_width_90),
                tables.p_text(each.equal_p),
                tables.p_text(each.different_p),
                each.verdict,
            ]
        )
    return tables.markdown(rows)


def _secondary(plan: Plan, answers: Sequence[Any]) -> list[str]:
    if not answers:
        return []
    parts = [
        "### Secondary questions",
        f"Both p are corrected for the {len(plan.secondary)} questions that the plan "
        "lists, with Holm's method. The intervals are not corrected.",
        _answers_table(answers),
    ]
    for each in answers:
        if each.question.name == "dose":
            share = f"{100 * plan.margin / abs(each.mean):.0f} %"
            parts.append(
                f"The margin of {plan.margin:g} points is {share} of the effect of "
                f"`dose`, {abs(each.mean):.2f} ± {each.half_width:.2f} points."
            )
    return parts


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
        f"{plan.chance:g} %. Arms have other seeds: take differences from the tables "
        "above. All seeds share the training set and the test set.</sub>"
    )


def _draw(path: Path, primary: Sequence[Any]) -> None:
    names = [each.question.name for each in primary]
    what = "own less borrowed" if "own loss" in names else "LCAM less the arm"
    differences = {
        each.question.name: forest.Interval(each.mean, each.half_width)
        for each in primary
    }
    column = forest.Column("", f"{primary[0].number} pairs of seeds", differences)
    figure = forest.draw_forest(
        [column],
        {name: (name if name in ARM_COLORS else "lcam", "") for name in names},
        title="; ".join(f"{each.question.name}: {each.verdict}" for each in primary),
        axis=f"{what}: test error in percentage points",
        sides=("LCAM better", "LCAM worse"),
    )
    drawing.save(figure, path)

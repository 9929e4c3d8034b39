"""The page of a planned study: its answers, or how much of it is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from train.reports import planned, statistics, tables
from train.reports.details import curves, setting_of, what_is_compared
from train.reports.forest import Part, Row, draw_forest
from train.reports.outcomes import Result, points_text
from train.reports.planned import Plan, Question
from train.reports.rows import Rows, write_csv
from train.reports.statistics import LEVEL
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
    planning = (
        f"{plan.seeds} seeds{', the margin' * bool(plan.primary)} and the outcome were "
        f"fixed before the first run.{plan.amended and f' {plan.amended}'} "
        "results/PLAN.md has the dates."
    )
    if plan.saving:
        page = [
            f"**Answer.** {_saving(plan, result, errors)}",
            f"**Certainty.** {planning}",
            setting,
            _lengths_table(plan, result, errors),
            "**How.** The last test error of each optimizer is taken to be a straight "
            "line in log(epochs), and both lines to have one slope b. With d, LCAM's "
            "error less SGD's in the mean of all lengths, the factor is exp(d / b). "
            "Its interval is Fieller's, over the seeds.",
        ]
        return page, others
    answers = planned.answer(plan, errors)
    names = answers.question.map(lambda question: question.name)
    table = answers.assign(question=names)
    write_csv(out / "questions.csv", table, index=False, na_rep="nan")
    listed = list(answers.itertuples())
    primary = [each for each in listed if each.primary]
    _draw(out / "forest.png", plan, listed)
    page = [
        f"**Answer.**\n\n{_answers(plan, listed)}",
        f"**Certainty.** {planning} Pairs of seeds spread by "
        f"{tables.span([x.deviation for x in primary], tables.percent)} points.",
        setting,
        f"![{_title(primary)}](forest.png)",
        _answers_table(listed),
        f"**Controls.** {_controls(plan, answers)}",
        "**How.** Differences of test errors in points: LCAM less the arm, own less "
        "borrowed, or `dose` less `sgd-0.9`. An observation is the mean of two seeds "
        "that lend each other their phases. In secondary questions without borrowed "
        "phases it is a seed. *Equal* "
        f"takes the 90 % interval and a margin of {points_text(plan.margin)}, *better* "
        "and *worse* the 95 % interval. After an undecided question none is judged. "
        "Each p of the secondary questions is corrected with Holm's method for the "
        f"{len(plan.secondary)} that the plan lists. Their intervals are not, and "
        "claim more.",
    ]
    return page, others


def _answers(plan: Plan, answers: Sequence[Any]) -> str:
    """The primary answers and what the secondary ones settle, as a list."""
    lines = []
    for each in answers:
        verdict = f"**{each.verdict[0].upper()}{each.verdict[1:]}**"
        points = f"{tables.with_interval(each.mean, each.half_width)} points"
        share = each.question.share
        if each.primary and share < 1:
            whole = tables.with_interval(each.mean / share, each.half_width / share)
            part = {0.5: "Half", 0.25: "A quarter"}[share]
            verdict = f"{part} of the difference is {each.verdict}"
            points += f". The whole is {whole}, and its margin {plan.margin / share:g}"
        if each.primary:
            lines.append(f"- {each.question.text} {verdict}: {points}.")
        elif each.different_p < LEVEL and each.question.name != "dose":
            p = f"p = {tables.p_text(each.different_p)}"
            lines.append(f"- Secondary: {each.question.text} {verdict}: {points}, {p}.")
    return "\n".join(lines)


def _saving(plan: Plan, result: Result, errors: pd.DataFrame) -> str:
    factor, low, high = planned.saving(plan, result.block, errors)
    found = "LCAM saves no epochs" if high < 1 else "LCAM saves epochs"
    if low <= 1 <= high:
        found = "It is undecided whether LCAM saves epochs"
    claim = "is" if low <= 2 <= high else "is not"
    return (
        f"**{found}.** SGD needs {factor:.2f} times as many for LCAM's error, 95 % "
        f"interval {low:.2f} to {high:.2f}. Above 1, LCAM would save some. The claim "
        f"of the paper, a factor of 2, {claim} in the interval."
    )


def _lengths_table(plan: Plan, result: Result, errors: pd.DataFrame) -> str:
    theirs, ours = plan.saving
    rows = [["epochs", ours, theirs, "difference [95 % interval]"]]
    for epochs in sorted({arm["epochs"] for arm in result.block["arms"]}):
        both = errors.loc[: plan.seeds - 1, [f"{ours}-{epochs}", f"{theirs}-{epochs}"]]
        mean, _, half = statistics.estimate(both.iloc[:, 0] - both.iloc[:, 1])
        means = [f"{each:.2f}" for each in both.mean()]
        rows.append([str(epochs), *means, tables.with_interval(mean, half)])
    return tables.markdown(rows)


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
    rows = [["question", "verdict", "difference [95 % interval]", "observations"]]
    rows[0] += ["deviation", "90 % interval", "p, equal", "p, different"]
    for first in (True, False):
        mine = [each for each in answers if each.primary == first]
        if mine:
            name = "primary" if first else "secondary"
            rows.append([f"**{name}**", *7 * [""]])
        for each in mine:
            rows.append(
                [
                    each.question.text,
                    each.verdict,
                    tables.with_interval(each.mean, each.half_width),
                    f"{each.number} {each.unit}",
                    f"{each.deviation:.2f}",
                    tables.interval(each.mean, each.half_width_90),
                    tables.p_text(each.equal_p),
                    tables.p_text(each.different_p),
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
    others = "Arms have other seeds: take differences from the report. "
    others *= len({*errors.count()} - {0}) > 1
    return tables.markdown(rows) + (
        f"\n\n<sub>In percent, of {what}: mean ± standard deviation over the seeds, "
        "and in brackets the 95 % interval of the mean. A diverged run counts as "
        f"{plan.chance:g} %. {others}All seeds share the training set and the test "
        "set.</sub>"
    )


def _title(primary: Sequence[Any]) -> str:
    """The answers, but for those of parts of differences."""
    whole = [each for each in primary if each.question.share == 1]
    return "; ".join(f"{each.question.name}: {each.verdict}" for each in whole)


def _draw(path: Path, plan: Plan, answers: Sequence[Any]) -> None:
    """The questions but for the known effect, whose sides are others."""
    shown = [each for each in answers if each.question.name != "dose"]
    has_controls = any(each.question.name == "own loss" for each in shown)
    rows = [
        Row(
            each.question.name,
            _kind(each.question),
            *(each.mean, each.half_width, each.half_width_90),
            tables.with_interval(each.mean, each.half_width),
            each.verdict,
            plan.margin,
            each.verdict.startswith((each.question.below, each.question.above)),
            ("primary" if each.primary else "secondary")
            + (", parts of differences" if each.question.share < 1 else ""),
        )
        for each in shown
    ]
    what = "own less borrowed" if has_controls else "LCAM less the arm"
    figure = draw_forest(
        [Part("", rows)],
        title=_title([each for each in shown if each.primary]),
        axis=f"{what}: test error in points",
        sides=(shown[0].question.below, shown[0].question.above),
    )
    drawing.save(figure, path)


def _kind(question: Question) -> str:
    """Of the arm that LCAM is compared with."""
    is_arm = question.weights.get(question.name, 0) < 0
    return question.name if is_arm and question.name in ARM_COLORS else "lcam"

"""The report of a planned study: its answers, or how much of it is missing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.reports import forest, panels, planned, statistics, tables
from train.reports.outcomes import Result
from train.reports.planned import Answer, Errors, Plan
from train.reports.rows import RunRows, write_csv
from train.reports.statistics import signed
from train.runs import drawing
from train.runs.palette import ARM_COLORS


def planned_parts(
    out: Path,
    plan: Plan,
    result: Result,
    runs: Mapping[tuple[str, str, int], RunRows],
    describe: str,
) -> list[str]:
    """What is said of the block of a planned study; writes its pictures and numbers.

    Args:
      out: the folder of the report.
      plan: of the study.
      result: of its block.
      runs: all that have ended.
      describe: data, network and schedule of the block.
    """
    block = result.block
    errors = planned.errors_of(plan, block, runs)
    done = planned.seeds_done(plan, block, errors)
    if done < plan.seeds:
        return [
            f"{done} of the {plan.seeds} planned seeds have been run. Before all are "
            "there, nothing is judged: no mean, interval, p-value or picture.",
            f"## {block['name']}",
            describe,
            _progress(plan, block, errors),
        ]
    if plan.saving:
        return [
            _saving_text(plan, block, errors),
            f"## {block['name']}",
            describe,
            _errors_table(plan, errors),
            *_curves(out, result),
        ]
    primary, secondary = planned.answer(plan, errors)
    verdicts = planned.verdicts(plan, primary)
    _write_answers(out / "questions.csv", plan, primary, verdicts, secondary)
    _draw(out / "forest.png", primary, verdicts)
    return [
        " ".join(map(_sentence, primary, verdicts)),
        "![The primary differences, with 95 % intervals](forest.png)",
        f"## {block['name']}",
        describe,
        "### Primary questions",
        "Differences of test errors in points: LCAM less the arm, or own less "
        "borrowed. An observation is the mean of two seeds that borrow from each "
        f"other. *Equal* takes the 90 % interval and a margin of {plan.margin:g} "
        "points, *better* and *worse* the 95 % interval. After an undecided question "
        "none is judged.",
        _answers_table(primary, verdicts),
        *_secondary(plan, secondary),
        "### Test errors",
        _errors_table(plan, errors),
        *_curves(out, result),
    ]


def _progress(plan: Plan, block: Mapping[str, Any], errors: Errors) -> str:
    """Counts and spreads: what may be known before the last seed."""
    primary, _ = planned.answer(plan, errors)
    rows = [["question", "pairs", "deviation", "expected half width of 95 %"]]
    for each in primary:
        expected = statistics.half_width(each.deviation, plan.seeds // 2)
        spread = [f"{x:.2f}" if x == x else "-" for x in (each.deviation, expected)]
        rows.append([each.question.text, str(each.number), *spread])
    counts = [["arm", "planned seeds that have been run"]]
    for arm in planned.arms_of(plan, block):
        number = sum(seed < plan.seeds for seed in errors.get(arm, {}))
        counts.append([f"`{arm}`", f"{number} of {plan.seeds}"])
    shown = [rows, counts] if primary else [counts]
    return "\n\n".join(map(tables.markdown, shown))


def _sentence(each: Answer, verdict: str) -> str:
    return (
        f"{each.question.text} {signed(each.mean)} points, 95 % interval "
        f"{tables.interval(each.mean, each.half_width())}: {verdict}."
    )


def _answers_table(answers: Sequence[Answer], verdicts: Sequence[str]) -> str:
    rows = [["question", "observations", "difference", "deviation", "95 % interval"]]
    rows[0] += ["90 % interval", "p, equal", "p, different", "verdict"]
    for each, verdict in zip(answers, verdicts, strict=True):
        rows.append(
            [
                each.question.text,
                f"{each.number} {each.unit}",
                signed(each.mean),
                f"{each.deviation:.2f}",
                tables.interval(each.mean, each.half_width()),
                tables.interval(each.mean, each.half_width(0.9)),
                tables.p_text(each.equal_p),
                tables.p_text(each.different_p),
                verdict,
            ]
        )
    return tables.markdown(rows)


def _secondary(plan: Plan, answers: Sequence[Answer]) -> list[str]:
    if not answers:
        return []
    parts = [
        "### Secondary questions",
        f"Both p are corrected for the {len(plan.secondary)} questions that the plan "
        "lists, with Holm's method. The intervals are not corrected.",
        _answers_table(answers, [planned.judge(plan, each) for each in answers]),
    ]
    for each in answers:
        if each.question.name == "dose":
            share = f"{100 * plan.margin / abs(each.mean):.0f} %"
            parts.append(
                f"The margin of {plan.margin:g} points is {share} of the effect of "
                f"`dose`, {abs(each.mean):.2f} ± {each.half_width():.2f} points."
            )
    return parts


def _errors_table(plan: Plan, errors: Errors) -> str:
    rows = [["arm", "seeds", "test error"]]
    for arm, by_seed in errors.items():
        if by_seed:
            numbers = list(by_seed.values())
            text = tables.mean_text(numbers, ".2f", 100)
            rows.append([f"`{arm}`", str(len(numbers)), text])
    what = "the last epoch" if plan.saving else "the last three epochs"
    return tables.markdown(rows) + (
        f"\n\n<sub>In percent, of {what}: mean ± standard deviation over the seeds, "
        "and in brackets the 95 % interval of the mean. A diverged run counts as "
        f"{plan.chance:g} %. Arms have other seeds: take differences from the tables "
        "above. All seeds share the training set and the test set.</sub>"
    )


def _saving_text(plan: Plan, block: Mapping[str, Any], errors: Errors) -> str:
    found = planned.saving(plan, block, errors)
    claim = "is" if found.low <= 2 <= found.high else "is not"
    return (
        f"LCAM saves epochs by a factor of {found.factor:.3f}, 95 % interval "
        f"{found.low:.3f} to {found.high:.3f}. No saving is a factor of 1. The claim "
        f"of the paper, a factor of 2, {claim} in the interval."
    )


def _curves(out: Path, result: Result) -> list[str]:
    name = result.block["name"]
    if not result.epochs:
        return []
    panels.plot_block(out / f"{name}.png", result, name)
    return [f"![Curves of {name}]({name}.png)"]


def _write_answers(
    path: Path,
    plan: Plan,
    primary: Sequence[Answer],
    verdicts: Sequence[str],
    secondary: Sequence[Answer],
) -> None:
    judged = [*zip(primary, verdicts, strict=True)]
    judged += [(each, planned.judge(plan, each)) for each in secondary]
    write_csv(
        path,
        [
            {
                "question": each.question.name,
                "primary": each in primary,
                "unit": each.unit,
                "number": each.number,
                "mean": each.mean,
                "deviation": each.deviation,
                "half_width": each.half_width(),
                "half_width_90": each.half_width(0.9),
                "equal_p": each.equal_p,
                "different_p": each.different_p,
                "verdict": verdict,
            }
            for each, verdict in judged
        ],
    )


def _draw(path: Path, primary: Sequence[Answer], verdicts: Sequence[str]) -> None:
    differences = {
        each.question.name: forest.Interval(each.mean, each.half_width())
        for each in primary
    }
    kinds = {name: name if name in ARM_COLORS else "lcam" for name in differences}
    what = "own less borrowed" if "own loss" in differences else "LCAM less the arm"
    words = forest.Words(
        "; ".join(
            f"{a.question.name}: {v}" for a, v in zip(primary, verdicts, strict=True)
        ),
        f"{what}: test error in percentage points",
        "LCAM better",
        "LCAM worse",
    )
    column = forest.Column("", f"{primary[0].number} pairs of seeds", differences)
    rows = {name: forest.Row(kind) for name, kind in kinds.items()}
    drawing.save(forest.draw_forest([column], rows, words), path)

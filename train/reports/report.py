"""Writes what a study found, from its rows: Markdown, pictures, and CSV."""

import math
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import InputError
from train.paths import expand
from train.reports import observed_tables, planned, tables
from train.reports.joining import join
from train.reports.outcomes import (
    OUTCOMES,
    Comparison,
    Result,
    verdicts_of,
    write_tables,
)
from train.reports.rows import Rows, is_study, of_block, read_study, reading, unique
from train.reports.section import options_of, section, seeds_text, setting_of
from train.runs.curves import make_task
from train.runs.writing import no_link, replace, writing
from train.settings.commands import Report

# They ignore the loss. The sharpest stands last: the phases of another run come in
# stretches as LCAM's own do, and know nothing of its loss.
CONTROLS = ("matched-step", "chance", "shuffled", "borrowed")
WHAT_LCAM_IS = (
    "LCAM (Loss-Controlled Asymmetric Momentum) is momentum SGD with two momentum "
    "coefficients. Each step, it compares the loss with its running average. Below the "
    "average the step is in the low-loss phase, otherwise in the high-loss phase. Each "
    "phase has its coefficient."
)


def report(config: Report) -> Path:
    """Makes the report of a study from its rows, and returns its path."""
    folders = [expand(folder) for folder in config.folders]
    found = join([(folder, read_study(folder)) for folder in folders])
    if config.out is not None:
        out = expand(config.out)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(
                f"--out {out} exists and is not an empty folder: name a new one."
            )
    else:
        [folder] = folders
        out = no_link(folder / "report") if is_study(folder) else folder
    names = " ".join(map(str, folders))
    with tempfile.TemporaryDirectory() as scratch:
        with reading(names):
            path = write_report(Path(scratch), found)
        if path is None:
            raise InputError(
                f"{names}: no run has finished yet. Repeat the command of the study "
                "to continue it."
            )
        with writing(out):  # only what is whole takes the place of what was there
            out.mkdir(parents=True, exist_ok=True)
        for made in Path(scratch).iterdir():
            replace(out / made.name, made.read_bytes())
    return out / path.name


def write_report(out: Path, rows: Rows) -> Path | None:
    """Writes a report into a folder; None if no run has ended yet."""
    if not len(rows.runs):
        return None
    plan = planned.plan_of(rows)
    parts = _of_plan(out, rows, plan) if plan else _compared(out, rows)
    title = f"# Study: {rows.about['study']}"
    text = "\n\n".join([title, _what(rows), *parts, _where(rows)])
    replace(out / "report.md", text + "\n")
    return out / "report.md"


def _of_plan(out: Path, rows: Rows, plan: planned.Plan) -> list[str]:
    """The parts of the report of a study that results/PLAN.md planned."""
    from train.reports.planned_report import planned_parts  # matplotlib takes a second

    [result], _ = write_tables(out, rows, compare=False)
    errors = planned.errors_of(plan, rows)
    answer, *others = planned_parts(out, plan, result, errors, setting_of(result))
    what = ["## What is compared", WHAT_LCAM_IS, _about_table(rows)]
    return [f"**{rows.about['question']}** {answer}", *what, *others]


def _compared(out: Path, rows: Rows) -> list[str]:
    """The parts of the report of any other study."""
    results, comparisons = write_tables(out, rows)

    from train.reports import panels  # matplotlib takes a second

    about, primary = rows.about, rows.about["outcomes"][0]
    mine = [each for each in comparisons if each.outcome == primary]
    parts = [summarize(about, results, mine)]
    if mine:
        _draw_forest(out / "forest.png", mine, results)
        parts += [
            "![Differences of the arms in test error, with 95 % intervals](forest.png)",
            f"<sub>Differences in the {OUTCOMES[primary]}. Lines are 95 % intervals, "
            "not corrected for their number. Lines with a filled dot do not include 0."
            "</sub>",
        ]
    parts += ["## What is compared", WHAT_LCAM_IS, _about_table(rows)]
    for result in results:
        name = result.block["name"]
        parts += section(result, comparisons, primary)
        if result.arms:
            verdicts = verdicts_of(mine) if about["study"] == "comparison" else ()
            panels.plot_block(out / f"{name}.png", result, name, verdicts)
            parts.append(f"![Curves of {name}]({name}.png)")
    return [*parts, _how(results, len(mine), rows)]


# --- Its first sentences --------------------------------------------------------------


def _what(rows: Rows) -> str:
    """What was run, in a line: arms, data, networks, epochs, seeds."""
    blocks = [b for b in rows.about["blocks"] if len(of_block(rows.runs, b["name"]))]
    run = rows.runs.index.unique("arm")
    names = unique([arm["name"] for b in blocks for arm in b["arms"]])
    arms = ", ".join(f"`{name}`" for name in names if name in run)
    titles = []
    for block in blocks:
        facts = of_block(rows.runs, block["name"]).iloc[0].dropna().to_dict()
        experiment = block["experiment"]
        title = make_task(experiment, facts).title([experiment["epochs"]])
        titles.append(f"{title}, batches of {experiment['batch_size']}")
    seeds = seeds_text(rows.runs.index.unique("seed"))
    return f"Compared: {arms}. Data: {'; '.join(titles)}. {seeds.capitalize()}."


def summarize(
    about: dict[str, Any], results: Sequence[Result], comparisons: Sequence[Comparison]
) -> str:
    """The first paragraph of a report; the comparisons are in the primary outcome."""
    sentences = [f"**{about['question']}**", about["note"], findings(comparisons)]
    found = [e.detectable for e in comparisons if not math.isnan(e.detectable)]
    if found:
        sentences.append(
            "To be found 4 times in 5, a true difference must be of "
            f"{tables.span(found, tables.percent)} points."
        )
    sentences += [*conclusions(comparisons), *_kappas(results)]
    return " ".join(filter(None, sentences))


def findings(comparisons: Sequence[Comparison]) -> str:
    """Which differences are significant."""
    single = [f"`{each.arm}`" for each in comparisons if each.num_seeds == 1]
    if len(single) == len(comparisons):
        return "One seed is no evidence: it takes 3 or more." if single else ""
    settled = [each for each in comparisons if each.is_significant]
    several = len({each.block for each in comparisons}) > 1
    sentences = [
        f"The test error of `{each.arm}` is {abs(each.mean):.2f} points "
        f"{'lower' if each.mean < 0 else 'higher'} than that of "
        f"`{each.reference}`{' on ' + each.block if several else ''}."
        for each in settled
    ]
    number = len(comparisons) - len(single)
    if not settled and number == 1:
        sentences.append("The difference is not significant.")
    elif not settled:
        sentences.append(
            f"None of {number} differences is significant after correction."
        )
    elif number > len(settled):
        sentences.append("No other difference is significant after correction.")
    if single:
        names = ", ".join(dict.fromkeys(single))
        sentences.append(f"One seed of {names} is no evidence: it takes 3 or more.")
    return " ".join(sentences)


def conclusions(comparisons: Sequence[Comparison]) -> list[str]:
    """Says whether the loss carried information, where the controls were run."""
    sharpest = {}
    for each in comparisons:
        if each.reference == "lcam" and each.arm in CONTROLS:
            others = sharpest.get(each.block, each), each
            sharpest[each.block] = max(others, key=lambda e: CONTROLS.index(e.arm))
    found: dict[tuple[str, bool], list[str]] = {}
    for block, each in sharpest.items():
        if each.num_seeds == 1:
            continue
        beats = each.is_significant and each.mean > 0
        found.setdefault((each.arm, beats), []).append(block)
    several = len({each.block for each in comparisons}) > 1
    return [
        f"LCAM {'beats' if beats else 'does not beat'} its sharpest control, "
        f"`{arm}`{', on ' + ', '.join(blocks) if several else ''}: "
        + ("" if beats else "nothing here shows that ")
        + "the loss carries information for the choice."
        for (arm, beats), blocks in found.items()
    ]


def _kappas(results: Sequence[Result]) -> list[str]:
    """How well LCAM's own phase is told, where that was watched."""
    found = {
        result.block["name"]: np.nanmean(
            observed_tables.kappas(result.observed.loc["lcam"])
        )
        for result in results
        if result.block["experiment"]["observe"] in observed_tables.TRUTHS
        and "lcam" in result.arms
    }
    if not found:
        return []
    listed = ", ".join(f"{kappa:.2f} on {block}" for block, kappa in found.items())
    return [f"Kappa, which is 0 where a phase tells nothing, is {listed} for `lcam`."]


# --- Its other parts ------------------------------------------------------------------


def _draw_forest(
    path: Path, comparisons: Sequence[Comparison], results: Sequence[Result]
) -> None:
    """Draws LCAM less each arm; without LCAM as reference, each arm less that."""
    from train.reports import forest
    from train.runs import drawing
    from train.runs.palette import kind_of

    references = sorted({each.reference for each in comparisons})
    if references == ["lcam"]:
        sign, subject, minus = -1, "LCAM", "the arm"
    else:
        sign, subject = 1, "arm"
        minus = references[0] if len(references) == 1 else "its reference"
    columns = []
    for block in dict.fromkeys(each.block for each in comparisons):
        mine = [each for each in comparisons if each.block == block]
        numbers = [each.num_seeds for each in mine]
        subtitle = tables.span(numbers) + (" seed" if max(numbers) == 1 else " seeds")
        intervals = {
            each.arm: forest.Interval(sign * each.mean, each.half_width)
            for each in mine
        }
        columns.append(forest.Column(block, subtitle, intervals))
    run = [each for each in results if each.arms]
    squared = [each.block["name"] for each in run if each.task.is_squared]
    error = "test error"
    if len(squared) == len(run):
        error = "squared error"
    elif squared:
        error += f" ({', '.join(squared)}: squared)"
    options = {
        arm["name"]: arm["optimizer"]
        for result in results
        for arm in result.block["arms"]
    }
    figure = forest.draw_forest(
        columns,
        {each.arm: (kind_of(each.arm, options[each.arm]), "") for each in comparisons},
        title=findings(comparisons).removesuffix("."),
        axis=f"{subject} less {minus}: {error} in percentage points",
        sides=(f"{subject} better", f"{subject} worse"),
    )
    drawing.save(figure, path)


def _about_table(rows: Rows) -> str:
    """What each arm is that was run."""
    run = rows.runs.index.unique("arm")
    blocks = rows.about["blocks"]
    arms = {arm["name"]: arm for block in blocks for arm in block["arms"]}
    lines = [["arm", "what it is", "its options"]]
    for name, arm in arms.items():
        if name in run:
            kind = arm["optimizer"]["optimizer"]
            kind = {"sgd": "SGD", "lcam": "LCAM"}.get(kind, kind)
            lines.append([f"`{name}`", arm["about"] or kind, options_of(name, blocks)])
    return tables.markdown(lines)


def _how(results: Sequence[Result], number: int, rows: Rows) -> str:
    """What a reader must know of the tables, as a list."""
    about = rows.about
    lines = [
        "All arms share initial weights, data order and augmentation, seed by seed. So "
        "differences are paired, over the seeds that both arms have.",
        f"Verdicts are about the {OUTCOMES[about['outcomes'][0]]}. It was fixed "
        "beforehand. No epoch is picked by its test error.",
        "p is the chance of a difference at least this large between two equally good "
        "arms, by a two-sided paired t-test. It is corrected with Holm's method for "
        f"the {number} comparisons of this outcome. Intervals are not corrected.",
        "*Detectable* is the smallest true difference that would have been significant "
        "4 times in 5. It takes the spread that was seen, and the level divided by the "
        "number of comparisons.",
        "The t-test takes the differences of seeds as normal. Seeds added after a look "
        "at the p-values make these too small.",
        "Data and their split are the same for all seeds. So nothing here speaks of "
        "other test sets.",
        "`runs.csv` holds every run with its options, `epochs.csv` every epoch, and "
        "`comparisons.csv` all outcomes. `study.json` says what was compared. The "
        "report is made from these files.",
    ]
    arms = [arm for block in about["blocks"] for arm in block["arms"]]
    if any(arm["matched"] == "borrowed" for arm in arms):
        lines.append(
            "With `borrowed`, two differences can share a run of LCAM. The t-test does "
            "not know that."
        )
    watched = {result.block["experiment"]["observe"] for result in results}
    lines += [observed_tables.TABLES[each][2] for each in sorted(watched - {"nothing"})]
    return "## How to read this\n\n" + _list(lines)


def _where(rows: Rows) -> str:
    """Where the numbers come from, as a list."""
    found = rows.about["environments"]
    commits = [str(each["commit"]) for each in found]
    versions = [
        [f"Python {each['python']}", *map(" ".join, each["versions"].items())]
        for each in found
    ]
    minutes = math.fsum(rows.epochs.seconds) / 60
    seeds = rows.runs.index.unique("seed")
    lines = [
        *(f"command: `{shlex.join(each)}`" for each in rows.about["commands"]),
        *(f"commit of the runs: {each[:12]}{each[40:]}" for each in commits),
        *(f"device: {e['device']}; {e['machine']}, {e['cores']} cores" for e in found),
        *(f"versions: {', '.join(each)}" for each in versions),
        *(f"data: SHA-256 {sha256[:16]}..." for sha256 in rows.runs.data_sha256),
        f"{len(rows.runs)} runs with {seeds_text(seeds)}, "
        f"{minutes:.1f} minutes of training and testing",
    ]
    return "## Where this comes from\n\n" + _list(dict.fromkeys(lines))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)

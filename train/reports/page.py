"""The page of a report: answer, certainty, setting, differences, and their source."""

import itertools
import math
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.reports import observed_tables, tables
from train.reports.details import options_of, seeds_text, setting_of
from train.reports.forest import Part, Row, draw_forest
from train.reports.outcomes import (
    OUTCOMES,
    UNDECIDED,
    Comparison,
    Result,
    points_text,
    shown,
)
from train.reports.rows import Rows
from train.runs import drawing
from train.runs.palette import kind_of

# They ignore the loss. The sharpest stands last: the phases of another run come in
# stretches as LCAM's own do, and know nothing of its loss.
CONTROLS = ("matched-step", "chance", "shuffled", "borrowed")
# By kinds of arms (see `train.runs.palette`): what LCAM less such an arm tells.
QUESTIONS = {
    "Does the loss matter?": ("borrowed", "shuffled", "chance"),
    "Does switching matter?": ("mean-momentum", "matched-step"),
    "Is SGD as good?": ("sgd",),
    "Which variant?": ("lcam", "lcam-reversed", "timing", "average", "signal"),
}
Family = tuple[Result, Sequence[Comparison]]  # a block, in the primary outcome
# In this order in a headline.
VERDICTS = ("worse", "better", "equal", "identical", UNDECIDED, "one seed")


def parts(
    out: Path,
    rows: Rows,
    results: Sequence[Result],
    comparisons: Sequence[Comparison],
) -> list[str]:
    """What the page says; its picture is written into a folder."""
    about, primary = rows.about, rows.about["outcomes"][0]
    mine = [each for each in comparisons if each.outcome == primary]
    families = []
    for result in results:
        if its := [e for e in mine if e.block == result.block["name"]]:
            families.append((result, its))
    found = [
        f"**Answer.** {answer(about, results, comparisons)}",
        f"**Certainty.** {certainty(mine)}",
        f"**Setting.** {_setting(about, results)}",
    ]
    if mine:
        _draw(out / "forest.png", mine, families)
        found += [
            f"![{headline(mine)}](forest.png)",
            _table(families, primary),
            f"**Controls.** {_controls(mine)}",
            _how(mine, primary),
        ]
    return found


# --- What was found -------------------------------------------------------------------


def headline(comparisons: Sequence[Comparison]) -> str:
    """What was found, in some 90 characters."""
    turned = [each for _, each in shown(comparisons)]
    if len(turned) == 1:
        return f"{turned[0].arm} against {turned[0].reference}: {turned[0].verdict}"
    subjects = {each.arm for each in turned}
    arms, references = {each.arm for each in comparisons}, {e.reference for e in turned}
    if subjects == {"lcam"}:
        who = f"LCAM against {len(arms)} arms"
    elif len(references) == 1:
        who = f"{len(arms)} arms against {references.pop()}"
    else:
        who = f"{len(turned)} comparisons"
    blocks, margins = {e.block for e in turned}, {e.margin for e in turned}
    who += f" in {len(blocks)} settings" * (len(blocks) > 1)
    counts = Counter(_kind(each.verdict) for each in turned)
    within = f" within {points_text(margins.pop())}" if len(margins) == 1 else ""
    words = [
        f"{counts[kind]} {kind}{within if kind == 'equal' else ''}"
        for kind in VERDICTS
        if counts[kind]
    ]
    return f"{who}: {', '.join(words)}"


def _kind(verdict: str) -> str:
    return next(kind for kind in VERDICTS if verdict.startswith(kind))


def answer(
    about: dict[str, Any], results: Sequence[Result], comparisons: Sequence[Comparison]
) -> str:
    """The first paragraph."""
    first = [e for e in comparisons if e.outcome == about["outcomes"][0]]
    area = [e for e in comparisons if e.outcome == "area" != about["outcomes"][0]]
    rates = best_rates(about, results)
    sentences = [*rates, *_observed(results)]
    if first and not sentences:
        sentences.append(f"**{headline(first)}.**")
    if not rates:
        sentences.append(_settled(first, "") if len(first) > 1 else "")
        sentences.append(_settled(area, "Over all epochs, "))
    sentences += conclusions(first)
    if first and all(each.found.num_seeds == 1 for each in first):
        sentences.append("One seed is no evidence: it takes 3 or more.")
    return " ".join(filter(None, [*sentences, about["note"]]))


def _settled(comparisons: Sequence[Comparison], when: str) -> str:
    """What is better or worse than what, in a sentence."""
    several = len({each.block for each in comparisons}) > 1
    named: dict[str, list[str]] = {}
    for _, each in shown(comparisons):
        if each.is_settled:
            who = "LCAM" if each.arm == "lcam" else f"`{each.arm}`"
            where = f" on {each.block}" * several
            key = f"{who} is {_kind(each.verdict)} than {{}}{where}"
            named.setdefault(key, []).append(f"`{each.reference}`")
    found = "; ".join(key.format(", ".join(arms)) for key, arms in named.items())
    return f"{when}{found}." if found else ""


def conclusions(comparisons: Sequence[Comparison]) -> list[str]:
    """What a run's own loss does, where the controls were run."""
    sharpest: dict[str, tuple[str, Comparison]] = {}
    for arm, each in shown(comparisons):
        if each.arm == "lcam" and arm in CONTROLS and each.found.num_seeds > 1:
            others = sharpest.get(each.block, (arm, each)), (arm, each)
            sharpest[each.block] = max(others, key=lambda e: CONTROLS.index(e[0]))
    said = {
        "better": "The loss helps: LCAM is better than",
        "worse": "The loss harms: LCAM is worse than",
        "equal": "The loss does nothing beyond the margin: LCAM equals",
        "identical": "The loss does nothing: LCAM is identical to",
        UNDECIDED: "No effect of the loss is seen, and none excluded, against",
    }
    grouped: dict[tuple[str, str], list[str]] = {}
    for block, (arm, each) in sharpest.items():
        grouped.setdefault((_kind(each.verdict), arm), []).append(block)
    several = len(sharpest) > 1
    return [
        f"{said[kind]} `{arm}`, its sharpest control"
        f"{', on ' + ', '.join(blocks) if several else ''}."
        for (kind, arm), blocks in grouped.items()
    ]


def best_rates(about: dict[str, Any], results: Sequence[Result]) -> list[str]:
    """Of the study `rates`: at which rate each optimizer has the lowest error."""
    if about["study"] != "rates":
        return []
    lines = []
    for result in results:
        best: dict[str, tuple[float, str]] = {}
        for name, runs in result.arms.items():
            arm, _, rate = name.partition("-rate-")
            error = runs[about["outcomes"][0]].mean()
            best[arm] = min(best.get(arm, (math.inf, "")), (error, rate))
        found = ", ".join(f"`{arm}` at {rate}" for arm, (_, rate) in best.items())
        lines.append(f"{result.block['name']}: {found}")
    return [f"**The lowest mean validation errors. {'; '.join(lines)}.**"]


def _observed(results: Sequence[Result]) -> list[str]:
    """What was watched of LCAM, where something was."""
    found: dict[str, list[str]] = {}
    for result in results:
        observe = result.block["experiment"]["observe"]
        if observe in observed_tables.ANSWERS and "lcam" in result.arms:
            what, write = observed_tables.ANSWERS[observe]
            text = f"{write(result.observed.loc['lcam'])} on {result.block['name']}"
            found.setdefault(what, []).append(text)
    return [f"**{what}: {'; '.join(texts)}.**" for what, texts in found.items()]


def certainty(comparisons: Sequence[Comparison]) -> str:
    """How much can be told, for each block."""
    cells = [["", "seeds", "margin", "found 4 times in 5", "spread of one run"]]
    known = [each for each in comparisons if not math.isnan(each.found.detectable)]
    for block, mine in itertools.groupby(known, lambda each: each.block):
        first, *others = mine
        found = [first.found, *(each.found for each in others)]
        sizes = ([e.detectable for e in found], [e.deviation for e in found])
        spans = [f"{tables.span(each, tables.percent)} points" for each in sizes]
        seeds = tables.span([e.num_seeds for e in found])
        cells.append([block, seeds, points_text(first.margin), *spans])
    if len(cells) == 1:
        return "Nothing is known of the spread."
    if len(cells) == 2:
        _, seeds, margin, size, noise = cells[1]
        return (
            f"Exploratory: {seeds} seeds, nothing planned. A true difference of {size} "
            f"would have been found 4 times in 5. Errors spread by {noise} (standard "
            "deviation of a run, without what a seed does to all arms). Differences "
            f"within the margin of {margin} count as none."
        )
    return (
        "Exploratory: nothing was planned. A true difference is found 4 times in 5 if "
        "it is as large as the table says. A spread is the standard deviation of a "
        "run's error, without what a seed does to all arms.\n\n"
        f"{tables.markdown(cells)}"
    )


def _setting(about: dict[str, Any], results: Sequence[Result]) -> str:
    settings = {each.block["name"]: setting_of(each) for each in results}
    if about["study"] == "comparison":  # the arms of a named study are in its details
        for arm in about["blocks"][0]["arms"]:
            options = options_of(arm["name"], about["blocks"])
            settings[f"`{arm['name']}`"] = f"{options}."
    if len(settings) == 1:
        return settings.popitem()[1]
    return "\n\n" + "\n".join(f"- {name}: {text}" for name, text in settings.items())


def _controls(comparisons: Sequence[Comparison]) -> str:
    """Whether the study could find what is known to be there."""
    found = [(arm, each) for arm, each in shown(comparisons) if arm == "dose"]
    if not found:
        return (
            "No arm with a known effect was run. Half the learning rate, for instance, "
            "would show what the study can find."
        )
    return " ".join(f"`dose`, half the rate: {each.finding}." for _, each in found)


# --- The differences ------------------------------------------------------------------


def _rows(result: Result, comparisons: Sequence[Comparison]) -> list[Row]:
    """The comparisons of a block; where LCAM is the reference, by question."""
    options = {arm["name"]: arm["optimizer"] for arm in result.block["arms"]}
    kinds = {arm: kind_of(arm, its) for arm, its in options.items()}
    groups = {kind: text for text, each in QUESTIONS.items() for kind in each}
    if result.block["reference"] != "lcam":
        groups = {}
    rows = [
        Row(
            arm,
            kinds[arm],
            *each.found[:3],
            tables.with_interval(each.found.mean, each.found.half_width),
            each.verdict,
            each.margin,
            each.is_settled,
            groups.get(kinds[arm], ""),
        )
        for arm, each in shown(comparisons)
    ]
    return sorted(rows, key=lambda row: ["", *QUESTIONS].index(row.group))


def _draw(
    path: Path, comparisons: Sequence[Comparison], families: Sequence[Family]
) -> None:
    references = {each.reference for each in comparisons}
    subject = "LCAM" if references == {"lcam"} else "the arm"
    minus = "the arm" if subject == "LCAM" else "its reference"
    if subject != "LCAM" and len(references) == 1:
        minus = references.pop()
    squared = {result.task.is_squared for result, _ in families}
    error = (
        f"{families[0][0].task.tested} error" if False in squared else "squared error"
    )
    error += " (of numbers: squared error)" * (len(squared) > 1)
    figure = draw_forest(
        [
            Part(result.block["name"] * (len(families) > 1), _rows(result, mine))
            for result, mine in families
        ],
        title=headline(comparisons),
        axis=f"{subject} less {minus}: {error} in points",
        sides=(f"{subject} better", f"{subject} worse"),
    )
    drawing.save(figure, path)


def _table(families: Sequence[Family], primary: str) -> str:
    """A row an arm."""
    cells = [["arm", "verdict", "difference [95 % interval]", "p", "error", "seeds"]]
    for result, mine in families:
        if len(families) > 1:
            cells.append([f"**{result.block['name']}**", *5 * [""]])
        errors = {arm: runs[primary].mean() for arm, runs in result.arms.items()}
        reference = result.block["reference"]
        number, error = len(result.arms[reference]), f"{errors[reference]:.2f}"
        cells.append([f"`{reference}`", "reference", "", "", error, str(number)])
        found = {each.arm: each.found for each in mine}
        for row in _rows(result, mine):
            seeds, p = str(found[row.name].num_seeds), found[row.name].p_value
            start = [f"`{row.name}`", row.verdict, row.interval, tables.p_text(p)]
            cells.append([*start, f"{errors[row.name]:.2f}", seeds])
    return tables.markdown(cells)


def _how(comparisons: Sequence[Comparison], primary: str) -> str:
    methods = {each.found.method for each in comparisons}
    turned = {each.reference for each in comparisons} == {"lcam"}
    less = "LCAM less the arm" if turned else "the arm less the reference"
    way = {
        "two-way": "Dunnett's test on the two-way table of arms and seeds",
        "paired": "a paired t-test for each arm, with Bonferroni's correction",
    }
    margins = tables.span([each.margin for each in comparisons], "{:g}".format)
    lines = [
        f"Differences are {less}, in points of the {OUTCOMES[primary]}. Below 0, "
        f"{'LCAM' if turned else 'the arm'} is better.",
        f"Intervals and p hold for all arms of a part together: "
        f"{' or '.join(way[each] for each in sorted(methods))}.",
        f"*Equal* takes the 90 % interval of the arm alone. Its margin, {margins} "
        "points, is a tenth of the reference's error, a point at most and an "
        "example at least, or what `--margin` says.",
    ]
    return "**How.** " + " ".join(lines)


# --- Where it comes from --------------------------------------------------------------


def source(rows: Rows) -> str:
    """Commands, commits, machines and data, as a list."""
    found = rows.about["environments"]
    commits = [f"{e['commit']}"[:12] + f"{e['commit']}"[40:] for e in found]
    machines = [
        f"device: {e['device']}; {e['machine']}, {e['cores']} cores"
        + f", --threads {e.get('threads')}" * bool(e.get("threads"))
        + f"; Python {e['python']}, {', '.join(map(' '.join, e['versions'].items()))}"
        for e in found
    ]
    minutes = math.fsum(rows.epochs.seconds) / 60
    seeds = rows.runs.index.unique("seed")
    data = [f"{sha256[:16]}..." for sha256 in rows.runs.data_sha256.unique()]
    lines = [
        *(f"command: `{_command(each)}`" for each in rows.about["commands"]),
        f"commit of the runs: {', '.join(dict.fromkeys(commits))}",
        *dict.fromkeys(machines),
        f"data: SHA-256 {', '.join(data)}",
        f"{len(rows.runs)} runs with {seeds_text(seeds)}, "
        f"{minutes:.1f} minutes of training and testing",
        *(f"missing: {each}" for each in rows.about.get("missing", ())),
    ]
    return "**From.**\n\n" + "\n".join(f"- {line}" for line in lines)


def _command(words: Sequence[str]) -> str:
    """A command as it is typed; many seeds as a range."""

    def shortened(found: re.Match[str]) -> str:
        seeds = [*map(int, found[1].split())]
        if seeds != [*range(seeds[0], seeds[-1] + 1)]:
            return found[0]
        return f"--seeds $(seq {seeds[0]} {seeds[-1]})"

    return re.sub(r"--seeds ((?:\d+ ?){6,}\d+)", shortened, shlex.join(words))

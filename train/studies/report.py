"""Writes what a study found: Markdown, pictures, and every run and epoch as CSV."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.runs.provenance import environment
from train.runs.writing import replace
from train.studies import observed_tables, outcomes, statistics
from train.studies.arms import Arm, Block
from train.studies.catalogue import STUDIES
from train.studies.outcomes import (
    OUTCOMES,
    PRIMARY,
    Comparison,
    Result,
    num_last_epochs,
)


def write_report(
    name: str,
    blocks: Sequence[Block],
    seeds: Sequence[int],
    folder: Path,
) -> Path | None:
    """Writes FOLDER/report from the runs on disk.

    Args:
      name: of the study.
      blocks: of the study.
      seeds: asked for; only those with which a whole block has ended are counted.
      folder: of the study.

    Returns:
      The path of report.md; None if no seed is whole yet.
    """
    results = [outcomes.read_result(block, seeds, folder) for block in blocks]
    results = [result for result in results if result.seeds]
    if not results:
        return None
    out = folder / "report"
    out.mkdir(exist_ok=True)
    comparisons = outcomes.compare_arms(results)
    outcomes.write_rows(out, results, comparisons)

    from train.studies.pictures import plot_comparison  # matplotlib takes a second

    sections = []
    for result in results:
        picture = plot_comparison(
            out / f"{result.block.name}.png",
            result.rows,
            f"{name}, {result.block.name}",
        )
        sections.append(_section(result, comparisons, picture.name))
    text = "\n\n".join(
        [
            f"# Study: {name}",
            f"{STUDIES[name].question} {STUDIES[name].note}".strip(),
            *sections,
            _how(results, comparisons),
            _where(results),
        ]
    )
    replace(out / "report.md", text + "\n")
    return out / "report.md"


def _section(result: Result, comparisons: list[Comparison], picture: str) -> str:
    block = result.block
    lines = [f"## {block.name}", _describe(result), _arms_table(result)]
    for arm, seeds in result.diverged.items():
        lines.append(
            f"{arm} diverged with {len(seeds)} of {len(result.seeds)} seeds "
            f"({', '.join(map(str, seeds))}), and is compared with nothing."
        )
    for arm, seeds in result.unmatched.items():
        lines.append(
            f"{arm} was not run with seeds {', '.join(map(str, seeds))}, as the run of "
            "lcam that it is matched with diverged, and is compared with nothing."
        )
    by_outcome = {
        outcome: [
            each
            for each in comparisons
            if (each.block, each.outcome) == (block.name, outcome)
        ]
        for outcome in (PRIMARY, "area")
    }
    mine = by_outcome[PRIMARY]
    if mine:
        lines += [
            f"Each arm less `{block.reference}`, seed by seed ({OUTCOMES[PRIMARY]}; "
            "points; below 0 the arm is better):",
            _differences_table(mine),
        ]
    verdict = conclusion(block, {each.arm: each for each in mine})
    if verdict:
        lines.append(verdict)
    if mine:
        lines += [
            f"The same of the {OUTCOMES['area']}: how soon an arm is good, a second "
            "outcome, corrected for the comparisons above as well:",
            _differences_table(by_outcome["area"]),
        ]
    lines += [
        "What the arms did:",
        _behaviour_table(result),
        *_observed(result),
        f"![{block.name}]({picture})",
    ]
    return "\n\n".join(lines)


def conclusion(block: Block, comparisons: dict[str, Any]) -> str | None:
    """Says whether the loss carried information, where the controls were run."""
    controls = [
        name
        for name in ("matched-step", "chance", "shuffled", "borrowed")
        if name in comparisons
    ]
    if block.reference != "lcam" or not controls:
        return None
    settled = [
        name for name in controls if comparisons[name].corrected_p < statistics.LEVEL
    ]
    better = [name for name in settled if comparisons[name].difference.mean > 0]
    groups = {
        "better than": better,
        "worse than": [name for name in settled if name not in better],
        "not told apart from": [name for name in controls if name not in settled],
    }
    found = "; ".join(
        f"{words} {', '.join(names)}" for words, names in groups.items() if names
    )
    # The sharpest control there is: the phases of another run, which come in stretches
    # as its own do and know nothing of it; else its own at other moments, or chance.
    sharpest = controls[-1]
    meaning = (
        "the moments that the loss chose are better than others: it carries information"
        if sharpest in better
        else "nothing here shows that the loss carries information for the choice"
    )
    return f"**LCAM is {found}.** Judged by `{sharpest}`, {meaning}."


def _observed(result: Result) -> list[str]:
    """What was watched besides, as paragraphs; SGD's phases are of another average."""
    arms = {arm.name for arm in result.block.arms if arm.optimizer.optimizer == "lcam"}
    rows = {arm: runs for arm, runs in result.rows.items() if arm in arms}
    match result.block.experiment.observe:
        case "held_out":
            table = observed_tables.held_out_table(rows)
            return [observed_tables.HELD_OUT, _markdown(table)]
        case "mechanism":
            table = observed_tables.mechanism_table(rows)
            return [observed_tables.MECHANISM, _markdown(table)]
    return []


def _describe(result: Result) -> str:
    experiment = result.block.experiment
    data = experiment.data
    parts = f", every {data.every}th training image" if data.every > 1 else ""
    parts += f", {data.shrink}x{data.shrink} pixels averaged" if data.shrink > 1 else ""
    first = next(iter(result.runs.values()), [{}])[0]
    kind, _, path = data.data.partition(":")
    source = f"{kind} {Path(path).name}" if path else kind
    return (
        f"{source}{parts}; {first.get('network') or 'a network'} of "
        f"{first.get('num_parameters') or 0:,} parameters; {experiment.epochs} epochs, "
        f"batches of {experiment.batch_size}, {experiment.schedule.schedule} schedule; "
        f"{_seeds(result.seeds)}. Test errors in percent, mean ± standard deviation "
        "over the seeds, in brackets the 95 % interval of the mean (Student's t)."
    )


def _seeds(seeds: Sequence[int]) -> str:
    number = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return f"{number} ({', '.join(map(str, seeds))})"


def _arms_table(result: Result) -> str:
    last = num_last_epochs(result.block.experiment.epochs)
    header = ["arm", "last epoch", f"mean of last {last}", "area (mean of all)"]
    header += [f"epochs to {goal:g} %" for goal in result.block.reach]
    rows = []
    for arm, runs in result.runs.items():
        row = [arm]
        for outcome in ("last_error", "last_epochs_error", "area"):
            row.append(_mean_text([run[outcome] for run in runs], ".2f"))
        for goal in result.block.reach:
            epochs = [run[f"epochs_to_{goal:g}"] for run in runs]
            row.append(_reach_text(epochs))
        rows.append(row)
    return _markdown([header, *rows])


def _reach_text(epochs: Sequence[int | None]) -> str:
    """A mean would leave out the runs that never got there: the slowest."""
    reached = [number for number in epochs if number is not None]
    if len(reached) == len(epochs):
        return _mean_text(reached, ".1f")
    return f"reached by {len(reached)} of {len(epochs)}"


def _behaviour_table(result: Result) -> str:
    names = {
        "low_loss_share": ("low-loss steps", ".1%"),
        "phase_switches": ("switches/epoch", ".1f"),
        "mean_momentum": ("mean momentum", ".4f"),
        "option_learning_rate": ("peak rate", ".4f"),
        "train_loss": ("train loss", ".4f"),
        "seconds": ("seconds a run", ".2f"),
    }
    rows = [["arm", *(title for title, _ in names.values())]]
    for arm, runs in result.runs.items():
        rows.append(
            [
                arm,
                *(
                    _mean_or_dash([run[name] for run in runs], spec)
                    for name, (_, spec) in names.items()
                ),
            ]
        )
    return _markdown(rows)


def _differences_table(comparisons: Sequence[Comparison]) -> str:
    rows = [["arm", "difference", "95 % interval", "p", "p, corrected", "verdict"]]
    for each in comparisons:
        mean, half_width = each.difference.mean, each.difference.half_width
        rows.append(
            [
                each.arm,
                f"{mean:+.2f}",
                "-"
                if math.isnan(half_width)
                else f"{mean - half_width:+.2f} to {mean + half_width:+.2f}",
                _p_text(each.difference.p_value),
                _p_text(each.corrected_p),
                statistics.short_verdict(each.difference, each.corrected_p),
            ]
        )
    return _markdown(rows)


def _how(results: Sequence[Result], comparisons: Sequence[Comparison]) -> str:
    number = sum(each.outcome == PRIMARY for each in comparisons)
    arms = {arm.name: arm for result in results for arm in result.block.arms}
    matched = [_matched_text(arm) for arm in arms.values() if arm.matched]
    lines = [
        "## How to read this",
        "All arms of a block share, seed by seed, initial weights, data order and "
        "augmentation; differences are paired. The outcome that verdicts are about, "
        f"the {OUTCOMES[PRIMARY]}, was fixed beforehand; no epoch is picked by its "
        "test error. p-values are of two-sided paired t-tests, corrected (Holm) for "
        f"all {number} comparisons of this report; intervals are of 95 % each, and "
        "not corrected. The t-test takes the differences of seeds as normal. Seeds "
        "change weights, order and augmentation; data and their split are always the "
        "same, so nothing here speaks of other test sets. The "
        'seeds that "would show it" are for a difference as large as the one seen, '
        "at the level divided by the number of comparisons, 4 times in 5. Seeds added "
        "after a look at the p-values make these too small. `comparisons.csv` holds "
        "the same for all outcomes; `runs.csv` every run with its options, "
        "`epochs.csv` every epoch.",
    ]
    if matched:
        lines.append(
            "Matched arms, each with LCAM's run of the same seed unless said: "
            + "; ".join(matched)
            + "."
        )
    return "\n\n".join(lines)


def _matched_text(arm: Arm) -> str:
    return {
        "momentum": f"`{arm.name}`: SGD at LCAM's mean momentum m",
        "step": f"`{arm.name}`: SGD at 0.9 with the learning rate times "
        "(1 - 0.9) / (1 - m), the effective step lr / (1 - momentum) of that momentum",
        "share": f"`{arm.name}`: LCAM's coefficients and its share of low-loss steps, "
        "over the whole run, each step drawn by chance",
        "phases": f"`{arm.name}`: LCAM's own phases, shuffled within each epoch",
        "borrowed": f"`{arm.name}`: LCAM's phases with another seed, as they came: "
        "that before it in the list it was run with (the first took the second's). "
        "Differences of neighbouring seeds share a run of LCAM, which the t-test does "
        "not know",
    }[arm.matched or ""]


def _where(results: Sequence[Result]) -> str:
    now = environment()
    runs = [run for result in results for arm in result.runs.values() for run in arm]
    commits = sorted(
        {str(run["commit"])[:12] + str(run["commit"])[40:] for run in runs}
    )
    devices = sorted({str(run["device"]) for run in runs})
    versions = ", ".join(f"{name} {number}" for name, number in now["versions"].items())
    seconds = sum(run["seconds"] for run in runs)
    sums = sorted({run["data_sha256"][:16] for run in runs})
    lines = [
        "## Where this comes from",
        f"- command: `{shlex.join(now['command'])}`",
        f"- commit of the runs: {', '.join(commits)}",
        f"- device: {', '.join(devices)}; {now['machine']}, {now['cores']} cores",
        f"- versions: Python {now['python']}, {versions}",
        f"- data: SHA-256 {', '.join(sums)}...",
        f"- {len(runs)} runs, {seconds / 60:.1f} minutes of training and testing",
    ]
    return lines[0] + "\n\n" + "\n".join(lines[1:])


def _mean_text(numbers: Sequence[float], spec: str) -> str:
    mean, deviation, half_width = statistics.summarize(numbers)
    if math.isnan(deviation):
        return f"{mean:{spec}}"
    low, high = mean - half_width, mean + half_width
    return f"{mean:{spec}} ± {deviation:{spec}} [{low:{spec}}, {high:{spec}}]"


def _mean_or_dash(numbers: Sequence[float | None], spec: str) -> str:
    known = [number for number in numbers if number is not None]
    return format(float(np.mean(known)), spec) if known else "-"


def _p_text(p: float) -> str:
    return "-" if math.isnan(p) else f"{p:.2g}"


def _markdown(rows: list[list[str]]) -> str:
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

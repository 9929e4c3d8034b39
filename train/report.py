"""Writes what a study found: Markdown, pictures, and every run and epoch as CSV."""

import csv
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from train import observations, run_folder, statistics
from train.provenance import environment
from train.statistics import Difference
from train.studies import STUDIES, Arm, Block
from train.trials import Trial, mean_of, read_trial

# The primary outcome, which verdicts are about; fixed before anything is run.
PRIMARY = "last_epochs_error"
OUTCOMES = {
    "last_epochs_error": "test error, mean of the last epochs",
    "last_error": "test error of the last epoch",
    "area": "test error, mean of all epochs (area under the curve)",
}


class _Comparison(NamedTuple):
    """An arm against its block's reference, in one outcome."""

    block: str
    arm: str
    reference: str
    outcome: str
    difference: Difference
    corrected_p: float


class _Result(NamedTuple):
    """What is known of a block.

    Attributes:
      block: what was run.
      seeds: those with which every arm has ended.
      runs: outcomes by arm, one dictionary a seed, in the order of `seeds`.
      rows: epochs by arm, one list a seed.
      diverged: by arm, the seeds with which it diverged.
    """

    block: Block
    seeds: list[int]
    runs: dict[str, list[dict[str, Any]]]
    rows: dict[str, list[list[dict[str, Any]]]]
    diverged: dict[str, list[int]]


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
    results = [_read(block, seeds, folder) for block in blocks]
    results = [result for result in results if result.seeds]
    if not results:
        return None
    out = folder / "report"
    out.mkdir(exist_ok=True)
    comparisons = _compare(results)
    _write_csv(out / "runs.csv", [run for result in results for run in _flat(result)])
    _write_csv(
        out / "epochs.csv", [row for result in results for row in _epochs(result)]
    )
    observed = [row for result in results for row in _observed_rows(result)]
    if observed:
        _write_csv(out / "observed.csv", observed)
    _write_csv(out / "comparisons.csv", [_comparison_row(each) for each in comparisons])

    from train.plot import plot_comparison  # matplotlib takes a second

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
            STUDIES[name].question,
            *sections,
            _how(results, comparisons),
            _where(results),
        ]
    )
    run_folder.replace(out / "report.md", text + "\n")
    return out / "report.md"


def outcomes(
    rows: Sequence[dict[str, Any]], reach: Sequence[float], *, switches: bool
) -> dict[str, Any]:
    """What a run comes to.

    Args:
      rows: of `metrics.jsonl`, one an epoch.
      reach: test errors in percent.
      switches: whether the run's phases did anything: SGD's are only watched.

    Returns:
      Errors in percent; `epochs_to_E`: the first epoch with a test error of at most E,
      None if there is none; shares, switches and momentum as means over the epochs.
    """
    errors = [row["test_error"] for row in rows]
    last = num_last_epochs(len(rows))
    first = {
        f"epochs_to_{goal:g}": next(
            (row["epoch"] for row in rows if row["test_error"] <= goal), None
        )
        for goal in reach
    }
    means = {
        name: mean_of(rows, name) if switches or name == "mean_momentum" else None
        for name in ("low_loss_share", "phase_switches", "mean_momentum")
    }
    return {
        "last_error": errors[-1],
        "last_epochs_error": sum(errors[-last:]) / last,
        "area": sum(errors) / len(errors),
        "train_loss": rows[-1]["train_loss"],
        **first,
        **means,
        "seconds": sum(row["seconds"] for row in rows),
    }


def num_last_epochs(epochs: int) -> int:
    """How many epochs the last error is a mean of: a tenth, at least 3."""
    return min(epochs, max(3, epochs // 10))


def _read(block: Block, seeds: Sequence[int], folder: Path) -> _Result:
    trials = {
        (arm.name, seed): read_trial(folder, block, arm, seed)
        for arm in block.arms
        for seed in seeds
    }
    whole = [
        seed
        for seed in seeds
        if _is_whole([trials[arm.name, seed] for arm in block.arms])
    ]
    runs, rows, diverged = {}, {}, {}
    for arm in block.arms:
        ended = [trials[arm.name, seed] for seed in whole]
        bad = [
            seed
            for seed, trial in zip(whole, ended, strict=True)
            if trial is None or trial.diverged
        ]
        if bad:
            diverged[arm.name] = bad
            continue
        rows[arm.name] = [trial.rows for trial in ended]
        runs[arm.name] = [
            outcomes(
                trial.rows, block.reach, switches=arm.optimizer.optimizer == "lcam"
            )
            | _options(trial)
            for trial in ended
        ]
    return _Result(block, whole, runs, rows, diverged)


def _is_whole(trials: Sequence[Trial | None]) -> bool:
    """Whether every arm has ended, or has nothing to match as LCAM diverged."""
    missing = any(trial is None for trial in trials)
    lcam_diverged = any(
        trial is not None and trial.arm == "lcam" and trial.diverged for trial in trials
    )
    return not missing or lcam_diverged


def _options(trial: Trial) -> dict[str, Any]:
    """What a run was, for its row in `runs.csv`."""
    config = json.loads((trial.folder / "config.json").read_text())
    provenance = json.loads((trial.folder / "provenance.json").read_text())[-1]
    keys = (
        "optimizer",
        "learning_rate",
        "weight_decay",
        "momentum",
        "high_loss_momentum",
        "low_loss_momentum",
        "loss_average",
        "ema_decay",
        "margin",
        "lagged",
        "phase",
    )
    options = {f"option_{key}": config["optimizer"][key] for key in keys}
    origin = ("commit", "device", "network", "num_parameters")
    return (
        options
        | {key: provenance[key] for key in origin}
        | {"data_sha256": config["data_sha256"]}
    )


def _compare(results: Sequence[_Result]) -> list[_Comparison]:
    """Every arm against its reference; p-values corrected within each outcome."""
    comparisons = []
    for outcome in OUTCOMES:
        pairs = [
            (result.block, arm)
            for result in results
            if result.block.reference in result.runs
            for arm in result.runs
            if arm != result.block.reference
        ]
        by_block = {result.block.name: result for result in results}
        differences = []
        for block, arm in pairs:
            runs = by_block[block.name].runs
            numbers, reference = (
                [run[outcome] for run in runs[each]] for each in (arm, block.reference)
            )
            differences.append(
                statistics.paired_difference(numbers, reference, comparisons=len(pairs))
            )
        corrected = statistics.holm([each.p_value for each in differences])
        comparisons += [
            _Comparison(block.name, arm, block.reference, outcome, difference, p)
            for (block, arm), difference, p in zip(
                pairs, differences, corrected, strict=True
            )
        ]
    return comparisons


def _section(result: _Result, comparisons: list[_Comparison], picture: str) -> str:
    block = result.block
    lines = [f"## {block.name}", _describe(result), _arms_table(result)]
    for arm, seeds in result.diverged.items():
        lines.append(
            f"{arm} diverged with {len(seeds)} of {len(result.seeds)} seeds "
            f"({', '.join(map(str, seeds))}), and is compared with nothing."
        )
    mine = [
        each
        for each in comparisons
        if each.block == block.name and each.outcome == PRIMARY
    ]
    if mine:
        lines += [
            f"Each arm less `{block.reference}`, seed by seed ({OUTCOMES[PRIMARY]}; "
            "points; below 0 the arm is better):",
            _differences_table(mine),
        ]
    verdict = conclusion(block, {each.arm: each for each in mine})
    if verdict:
        lines.append(verdict)
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
        name for name in ("matched-step", "chance", "shuffled") if name in comparisons
    ]
    if block.reference != "lcam" or not controls:
        return None
    beaten = [
        name
        for name in controls
        if comparisons[name].corrected_p < statistics.LEVEL
        and comparisons[name].difference.mean > 0
    ]
    if len(beaten) == len(controls):
        return (
            f"**LCAM is better than {', '.join(controls)}**: here the loss told "
            "something that these controls do not know."
        )
    rest = [name for name in controls if name not in beaten]
    better = [name for name in rest if comparisons[name].corrected_p < statistics.LEVEL]
    if better:
        return (
            f"**LCAM is worse than {', '.join(better)}**: here listening to the loss "
            "did harm."
        )
    return (
        f"**LCAM is not shown to be better than {', '.join(rest)}**, so nothing here "
        "shows that the loss carries information for the choice of momentum: whatever "
        "LCAM gains or loses, those controls, which do not look at the loss, were not "
        "told apart from it."
    )


def _observed(result: _Result) -> list[str]:
    """What was watched besides, as paragraphs."""
    match result.block.experiment.observe:
        case "held_out":
            table = observations.held_out_table(result.rows)
            return [observations.HELD_OUT, _markdown(table)]
        case "mechanism":
            table = observations.mechanism_table(result.rows)
            return [observations.MECHANISM, _markdown(table)]
    return []


def _describe(result: _Result) -> str:
    experiment = result.block.experiment
    data = experiment.data
    parts = f", every {data.every}th training image" if data.every > 1 else ""
    parts += f", {data.shrink}x{data.shrink} pixels averaged" if data.shrink > 1 else ""
    first = next(iter(result.runs.values()), [{}])[0]
    kind, _, path = data.data.partition(":")
    source = f"{kind} {Path(path).name}" if path else kind
    return (
        f"{source}{parts}; {first.get('network')}, "
        f"{first.get('num_parameters', 0):,} parameters; {experiment.epochs} epochs, "
        f"batches of {experiment.batch_size}, {experiment.schedule.schedule} schedule; "
        f"{_seeds(result.seeds)}. Test errors in percent, mean ± standard deviation "
        "over the seeds, in brackets the 95 % interval of the mean (Student's t)."
    )


def _seeds(seeds: Sequence[int]) -> str:
    number = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return f"{number} ({', '.join(map(str, seeds))})"


def _arms_table(result: _Result) -> str:
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


def _behaviour_table(result: _Result) -> str:
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


def _differences_table(comparisons: Sequence[_Comparison]) -> str:
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


def _how(results: Sequence[_Result], comparisons: Sequence[_Comparison]) -> str:
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
        "not corrected. The t-test takes the differences of seeds as normal. The "
        'seeds that "would show it" are for a difference as large as the one seen, '
        "at the level divided by the number of comparisons, 4 times in 5. "
        "`comparisons.csv` holds the same for the other outcomes, corrected within "
        "each; `runs.csv` every run with its options, `epochs.csv` every epoch.",
    ]
    if matched:
        lines.append(
            "Matched arms, each with LCAM's run of the same seed: "
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
        "each step drawn by chance",
        "phases": f"`{arm.name}`: LCAM's own phases, shuffled within each epoch",
    }[arm.matched or ""]


def _where(results: Sequence[_Result]) -> str:
    now = environment()
    runs = [run for result in results for arm in result.runs.values() for run in arm]
    commits = sorted(
        {str(run["commit"])[:12] + str(run["commit"])[40:] for run in runs}
    )
    devices = sorted({run["device"] for run in runs})
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


def _flat(result: _Result) -> list[dict[str, Any]]:
    return [
        {"block": result.block.name, "arm": arm, "seed": seed} | run
        for arm, runs in result.runs.items()
        for seed, run in zip(result.seeds, runs, strict=True)
    ]


def _epochs(result: _Result) -> list[dict[str, Any]]:
    return [
        {"block": result.block.name, "arm": arm, "seed": seed}
        | {name: number for name, number in row.items() if name != "observed"}
        for arm, runs in result.rows.items()
        for seed, rows in zip(result.seeds, runs, strict=True)
        for row in rows
    ]


def _observed_rows(result: _Result) -> list[dict[str, Any]]:
    """In long form: a row a number; `index` is the phase or the array, from 0."""
    return [
        {"block": result.block.name, "arm": arm, "seed": seed, "epoch": row["epoch"]}
        | {"name": name, "index": index, "number": number}
        for arm, runs in result.rows.items()
        for seed, rows in zip(result.seeds, runs, strict=True)
        for row in rows
        for name, numbers in row.get("observed", {}).items()
        for index, number in enumerate(np.ravel(numbers))
    ]


def _comparison_row(each: _Comparison) -> dict[str, Any]:
    names = {"block": each.block, "arm": each.arm, "reference": each.reference}
    numbers = each.difference._asdict() | {"corrected_p": each.corrected_p}
    return names | {"outcome": each.outcome} | numbers


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = dict.fromkeys(key for row in rows for key in row)
    new = path.with_name(path.name + ".new")
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    new.replace(path)


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

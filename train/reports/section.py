"""The section of a report about one block, as Markdown."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from train.reports import observed_tables, statistics, tables
from train.reports.outcomes import OUTCOMES, Comparison, Result, num_last_epochs


def section(
    result: Result, comparisons: Sequence[Comparison], outcomes: Sequence[str]
) -> list[str]:
    """The paragraphs and tables of a block.

    Args:
      result: of the block.
      comparisons: of the study.
      outcomes: names of `OUTCOMES`; the primary one first.
    """
    block = result.block
    parts = [f"## {block['name']}", describe(result)]
    for arm, seeds in result.diverged.items():
        parts.append(
            f"`{arm}` diverged with {seeds_text(seeds)}. It is compared with nothing."
        )
    for arm, seeds in result.unmatched.items():
        parts.append(
            f"`{arm}` was not run with {seeds_text(seeds)}: the run of `lcam` that it "
            "is matched with diverged. It is compared with nothing."
        )
    if result.runs:
        parts += ["### Test errors", _arms_table(result)]
    mine = [each for each in comparisons if each.block == block["name"]]
    if mine:
        # As in the forest plot: where LCAM is the reference, it is LCAM less the arm.
        turned = block["reference"] == "lcam"
        subject, less = "the arm", f"Each arm less `{block['reference']}`"
        if turned:
            subject, less = "LCAM", "LCAM less each arm"
        parts += [
            "### Differences",
            f"{less}, in points of the {OUTCOMES[outcomes[0]]}. Below 0, {subject} is "
            "better.",
            _differences_table(mine, outcomes[0], turned),
        ]
        if any(each.outcome == "area" for each in mine):
            parts += [
                "### How soon an arm is good",
                f"The same for the {OUTCOMES['area']}: the area under the curve. It "
                "is a second outcome, corrected for the comparisons above as well.",
                _differences_table(mine, "area", turned),
            ]
    if result.runs:
        parts += ["### What the arms did", _behaviour_table(result)]
    return [*parts, *_observed(result)]


def _observed(result: Result) -> list[str]:
    """What was watched besides, as paragraphs; SGD's phases are of another average."""
    observe = result.block["experiment"]["observe"]
    rows = {
        arm["name"]: list(result.epochs[arm["name"]].values())
        for arm in result.block["arms"]
        if arm["name"] in result.epochs and arm["optimizer"]["optimizer"] == "lcam"
    }
    if observe == "nothing" or not rows:
        return []
    title, make_table, _ = observed_tables.TABLES[observe]
    return [f"### {title}", tables.markdown(make_table(rows))]


def describe(result: Result) -> str:
    """Data, network and schedule of a block, in a line."""
    experiment = result.block["experiment"]
    data = experiment["data"]
    runs = [run for arm in result.runs.values() for run in arm.values()]
    kind, _, path = data["data"].partition(":")
    facts = {
        "data": f"{kind} {Path(path).name}" if path else kind,
        "training examples": f"one in {data['every']}" if data["every"] > 1 else None,
        "tested on": f"the last {data['validation']} training examples, kept from it"
        if data.get("validation")
        else None,
        "pixels": f"squares of {data['shrink']} averaged"
        if data["shrink"] > 1
        else None,
        "crop": f"padding of {data['crop_padding']}" if data["crop_padding"] else None,
        "flip": "half of the images" if data["flip"] else None,
        "network": f"{runs[0]['network']}, {runs[0]['num_parameters']:,} parameters"
        if runs
        else None,
        "test error": _error_text(runs),
        "epochs": experiment["epochs"],
        "batch": experiment["batch_size"],
        "schedule": experiment["schedule"]["schedule"],
    }
    return "; ".join(f"{name}: {fact}" for name, fact in facts.items() if fact) + "."


def _error_text(runs: Sequence[dict[str, Any]]) -> str | None:
    """What a single wrong prediction adds to the test error."""
    if not runs:
        return None
    number = runs[0]["num_test_predictions"]
    if number is None:
        return "squared, in percent of the variance of the training targets"
    return f"{100 / number:.2g} points for one test example"


def _arms_table(result: Result) -> str:
    last = num_last_epochs(result.block["experiment"]["epochs"])
    header = ["arm", "seeds", "last epoch", f"mean of last {last}", "mean of all"]
    header += [f"epochs to {goal:g} %" for goal in result.block["reach"]]
    rows = []
    for arm, by_seed in result.runs.items():
        runs = list(by_seed.values())
        row = [arm, str(len(runs))]
        for outcome in ("last_error", "last_epochs_error", "area"):
            numbers = [run[outcome] for run in runs]
            known = None not in numbers
            most = max(100, *numbers) if known else 100
            row.append(tables.mean_text(numbers, ".2f", most) if known else "-")
        for goal in result.block["reach"]:
            row.append(_reach_text([run[f"epochs_to_{goal:g}"] for run in runs]))
        rows.append(row)
    note = (
        "<sub>In percent: mean ± standard deviation over the seeds, and in brackets "
        "the 95 % interval of the mean.</sub>"
    )
    return tables.markdown([header, *rows]) + f"\n\n{note}"


def _reach_text(epochs: Sequence[int | None]) -> str:
    """A mean would leave out the runs that never got there: the slowest."""
    reached = [number for number in epochs if number is not None]
    if len(reached) == len(epochs):
        return tables.mean_text(reached, ".1f")
    return f"reached by {len(reached)} of {len(epochs)}"


def _behaviour_table(result: Result) -> str:
    names = {
        "low_loss_share": ("low-loss steps", ".1%"),
        "phase_switches": ("switches/epoch", ".1f"),
        "mean_momentum": ("mean momentum", ".4f"),
        "option_learning_rate": ("peak learning rate", ".4f"),
        "train_loss": ("train loss", ".4f"),
        "seconds": ("seconds a run", ".2f"),
    }
    rows = [["arm", *(title for title, _ in names.values())]]
    for arm, runs in result.runs.items():
        rows.append([arm, *tables.mean_cells(list(runs.values()), names)])
    return tables.markdown(rows)


def _differences_table(
    comparisons: Sequence[Comparison], outcome: str, turned: bool
) -> str:
    header = ["arm", "seeds", "difference", "95 % interval", "p", "p, corrected"]
    rows = [[*header, "detectable", "verdict"]]
    for each in comparisons:
        if each.outcome != outcome:
            continue
        difference = each.difference
        if turned:
            difference = difference._replace(mean=-difference.mean)
        rows.append(
            [
                each.arm,
                str(difference.num_seeds),
                tables.text(difference.mean, "+.2f"),
                tables.interval(difference.mean, difference.half_width),
                tables.p_text(difference.p_value),
                tables.p_text(each.corrected_p),
                tables.percent(difference.detectable),
                statistics.short_verdict(difference, each.corrected_p),
            ]
        )
    return tables.markdown(rows)


def seeds_text(seeds: Collection[int]) -> str:
    """Seeds in words, stretches of them as ranges."""
    stretches: list[list[int]] = []
    for seed in sorted(seeds):
        if not stretches or seed != stretches[-1][-1] + 1:
            stretches.append([])
        stretches[-1].append(seed)
    texts = [
        f"{each[0]} to {each[-1]}" if len(each) > 2 else ", ".join(map(str, each))
        for each in stretches
    ]
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(texts)

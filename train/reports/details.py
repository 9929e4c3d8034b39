"""The details of a report: arms, errors, curves, and how to read them, as Markdown."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from train.reports import observed_tables, panels, tables
from train.reports.outcomes import (
    OUTCOMES,
    Comparison,
    Result,
    num_last_epochs,
    shown,
    verdicts_of,
)
from train.reports.rows import Rows

WHAT_LCAM_IS = (
    "LCAM (Loss-Controlled Asymmetric Momentum) is momentum SGD with two momentum "
    "coefficients. Each step, it compares the loss with its running average. Below the "
    "average the step is in the low-loss phase, otherwise in the high-loss phase. Each "
    "phase has its coefficient."
)

# What decides the phases, where it is not the loss of the batch.
PHASES = {
    "fixed": "phases by the loss on a fixed batch",
    "examples": "phases by the loss less what its examples had before",
    "chance": "phases by chance, {low_loss_share:.3g} of them low-loss",
    "borrowed": "phases of {phases_of}",
    "shuffled": "phases of {phases_of}, shuffled in each epoch",
}


def parts(
    out: Path,
    rows: Rows,
    results: Sequence[Result],
    comparisons: Sequence[Comparison],
) -> list[str]:
    """What the details say; the pictures of the blocks are written into a folder."""
    about = rows.about
    verdicts = verdicts_of(comparisons) if about["study"] == "comparison" else ()
    found = what_is_compared(rows)
    for result in results:
        found += _section(result, comparisons, about["outcomes"][0])
        found += curves(out, result, verdicts)
    return [*found, _how_to_read(results, about)]


def what_is_compared(rows: Rows) -> list[str]:
    """What LCAM is, and each arm that was run."""
    run = rows.runs.index.unique("arm")
    blocks = rows.about["blocks"]
    arms = {arm["name"]: arm for block in blocks for arm in block["arms"]}
    lines = [["arm", "what it is", "its options"]]
    for name, arm in arms.items():
        if name in run:
            kind = arm["optimizer"]["optimizer"]
            kind = {"sgd": "SGD", "lcam": "LCAM"}.get(kind, kind)
            lines.append([f"`{name}`", arm["about"] or kind, options_of(name, blocks)])
    return ["## What is compared", WHAT_LCAM_IS, tables.markdown(lines)]


def curves(out: Path, result: Result, verdicts: Sequence[str] = ()) -> list[str]:
    """The picture of a block, if it has runs."""
    name = result.block["name"]
    if not result.arms:
        return []
    panels.plot_block(out / f"{name}.png", result, name, verdicts)
    return [f"![Curves of {name}]({name}.png)"]


def _section(
    result: Result, comparisons: Sequence[Comparison], primary: str
) -> list[str]:
    """The paragraphs and tables of a block."""
    block = result.block
    parts = [f"## {block['name']}"]
    for arm, seeds in result.diverged.items():
        parts.append(
            f"`{arm}` diverged with {seeds_text(seeds)}. It is compared with nothing."
        )
    for arm, seeds in result.unmatched.items():
        parts.append(
            f"`{arm}` was not run with {seeds_text(seeds)}: the run of `lcam` that it "
            "is matched with diverged. It is compared with nothing."
        )
    if result.arms:
        parts += ["### Errors", _errors_table(result)]
    for outcome in dict.fromkeys(each.outcome for each in comparisons):
        mine = [
            each
            for each in comparisons
            if (each.block, each.outcome) == (block["name"], outcome)
        ]
        if mine and outcome != primary:
            parts += [f"### Differences in the {OUTCOMES[outcome]}"]
            parts += [_differences_table(mine)]
    if result.arms:
        parts += ["### What the arms did", _behaviour_table(result)]
    observe = block["experiment"]["observe"]
    # SGD's phases are of another average.
    kinds = {arm["name"]: arm["optimizer"]["optimizer"] for arm in block["arms"]}
    watched = [arm for arm in result.arms if kinds[arm] == "lcam"]
    if watched and observe != "nothing":
        title, make_table, _ = observed_tables.TABLES[observe]
        table = make_table({arm: result.observed.loc[arm] for arm in watched})
        parts += [f"### {title}", tables.markdown(table)]
    return parts


def setting_of(result: Result) -> str:
    """Data, network and schedule of a block, in a line."""
    experiment = result.block["experiment"]
    data = experiment["data"]
    kind, _, path = data["data"].partition(":")
    network = error = tested = None
    if result.arms:
        run, tested = result.runs.iloc[0].fillna(""), result.task.tested
        network = f"{run['num_parameters']:,} parameters"
        if run["network"]:
            network = f"{run['network']}, {network}"
        error = "squared, in percent of the variance of the training targets"
        if number := run["num_test_predictions"]:
            error = f"{100 / number:.2g} points for one {tested} example"
    kept = f"{data.get('validation')} training examples, kept from it"
    split = data.get("validation_split")  # earlier versions took the last
    kept = f"{kept}: {split}" if split else f"the last {kept}"
    facts = {
        "data": f"{kind} {Path(path).name}" if path else kind,
        "training examples": data["every"] > 1 and f"one in {data['every']}",
        "tested on": data.get("validation") and kept,
        "pixels": data["shrink"] > 1 and f"squares of {data['shrink']} averaged",
        "crop": data["crop_padding"] and f"padding of {data['crop_padding']}",
        "flip": data["flip"] and "half of the images",
        "network": network,
        f"{tested} error": error,
        "epochs": experiment["epochs"],
        "batch": experiment["batch_size"],
        "schedule": experiment["schedule"]["schedule"],
    }
    return "; ".join(f"{name}: {fact}" for name, fact in facts.items() if fact) + "."


def options_of(name: str, blocks: Sequence[Mapping[str, Any]]) -> str:
    """The options of an arm in words; those of several blocks with slashes."""
    found = [_options(arm) for b in blocks for arm in b["arms"] if arm["name"] == name]
    words = []
    for each in zip(*found, strict=True):
        others = [word.rpartition(" ")[2] for word in each[1:]]  # the numbers differ
        words.append(each[0] if len({*each}) == 1 else " / ".join([each[0], *others]))
    return ", ".join(words)


def _options(arm: Mapping[str, Any]) -> list[str]:
    """Its options, but for those that another run gives it."""
    known, matched = arm["optimizer"], arm["matched"]
    others = known.get("optimizer_options", ())
    is_lcam = known["optimizer"] == "lcam"
    words = [f"learning rate {known['learning_rate']:g}"] * (matched != "step")
    if known["optimizer"] == "sgd" and matched != "momentum":
        words.append(f"momentum {known['momentum']:g}")
    if is_lcam:
        low, high = known["low_loss_momentum"], known["high_loss_momentum"]
        words.append(f"momentum {low:g} at low loss and {high:g} at high loss")
    if not matched and (is_lcam or any("/" in each for each in others)):
        if (phase := known.get("phase", "loss")) != "loss":
            words.append(PHASES[phase].format_map(known))
        if known["loss_average"] == "epoch":
            words.append("the loss averaged over the epoch so far")
        elif phase not in ("chance", "borrowed", "shuffled"):
            words.append(f"the loss averaged with decay {known['ema_decay']:g}")
        words += [f"dead band {known['margin']:g}"] * bool(known["margin"])
    words += ["one step late"] * known["lagged"] + ["Nesterov"] * known["nesterov"]
    words += others
    for name in ("weight_decay", "clip_norm"):
        if known.get(name):
            words.append(f"{name.replace('_', ' ')} {known[name]:g}")
    return words


def _errors_table(result: Result) -> str:
    last = num_last_epochs(result.block["experiment"]["epochs"])
    goals = [f"{goal:g}" for goal in result.block["reach"]]
    header = ["arm", "seeds", "last epoch", f"mean of last {last}", "mean of all"]
    rows = [[*header, *(f"epochs to {goal} %" for goal in goals)]]
    for arm, runs in result.arms.items():
        row = [arm, str(len(runs))]
        for outcome in ("last_error", "last_epochs_error", "area"):
            numbers = runs[outcome]
            most = max(100, numbers.max())
            known = not numbers.isna().any()
            row.append(tables.mean_text(numbers, ".2f", most) if known else "-")
        for goal in goals:
            # A mean would leave out the runs that never got there: the slowest.
            reached = runs[f"epochs_to_{goal}"].dropna()
            row.append(
                tables.mean_text(reached.astype(int), ".1f")
                if len(reached) == len(runs)
                else f"reached by {len(reached)} of {len(runs)}"
            )
        rows.append(row)
    return tables.markdown(rows) + (
        "\n\n<sub>In percent: mean ± standard deviation over the seeds, and in "
        "brackets the 95 % interval of the mean.</sub>"
    )


def _behaviour_table(result: Result) -> str:
    columns = {
        "low_loss_share": ("low-loss steps", ".1%"),
        "phase_switches": ("switches/epoch", ".1f"),
        "mean_momentum": ("mean momentum", ".4f"),
        "option_learning_rate": ("peak learning rate", ".4f"),
        "train_loss": ("train loss", ".4f"),
        "seconds": ("seconds a run", ".2f"),
    }
    rows = [["arm", *(title for title, _ in columns.values())]]
    for arm, runs in result.arms.items():
        means = (tables.mean_known(runs[n], spec) for n, (_, spec) in columns.items())
        rows.append([arm, *means])
    return tables.markdown(rows)


def _differences_table(comparisons: Sequence[Comparison]) -> str:
    rows = [["arm", "seeds", "difference [95 % interval]", "p", "verdict"]]
    for arm, each in shown(comparisons):
        found = each.found
        numbers = tables.with_interval(found.mean, found.half_width)
        p = tables.p_text(found.p_value)
        rows.append([f"`{arm}`", str(found.num_seeds), numbers, p, each.verdict])
    return tables.markdown(rows)


def _how_to_read(results: Sequence[Result], about: Mapping[str, Any]) -> str:
    """What a reader must know of the tables, as a list."""
    lines = [
        "All arms share initial weights, data order and augmentation, seed by seed. So "
        "differences are paired, over the seeds that both arms have.",
        f"The outcome of the verdicts is the {OUTCOMES[about['outcomes'][0]]}. It was "
        "fixed beforehand. No epoch is picked by its error. Other outcomes are a "
        "second look: their intervals are corrected for their own table only.",
        "The family is a data set's: the intervals of all its arms hold together with "
        "a chance of 95 %. Where each seed has all arms, and chance may explain how "
        "unequal their spreads are, all arms share one spread, what is left when the "
        "means of arms and seeds are taken out. The test is then Dunnett's. Elsewhere "
        "each arm has a paired t-test and Bonferroni's correction.",
        "A difference is *better* or *worse* if its interval excludes 0, and *by more "
        "than the margin* if it lies beyond that. It is *equal within the margin* if "
        "the 90 % interval of this arm alone lies within that: the test by two "
        "one-sided t-tests. *Undecided* is neither. *Identical* arms differ with no "
        "seed.",
        "The tests take the differences of seeds as normal. Seeds added after a look "
        "at the verdicts make these too sure.",
        "Data and their split are the same for all seeds. So nothing here speaks of "
        "other splits.",
        "`runs.csv` holds every run with its options, `epochs.csv` every epoch, and "
        "`comparisons.csv` all outcomes: the arm less the reference. `study.json` says "
        "what was compared. The report is made from these files.",
    ]
    arms = [arm for block in about["blocks"] for arm in block["arms"]]
    if any(arm["matched"] == "borrowed" for arm in arms):
        lines.append(
            "With `borrowed`, two differences can share a run of LCAM. The tests do "
            "not know that."
        )
    watched = {result.block["experiment"]["observe"] for result in results}
    lines += [observed_tables.TABLES[each][2] for each in sorted(watched - {"nothing"})]
    return "## How to read this\n\n" + "\n".join(f"- {line}" for line in lines)


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

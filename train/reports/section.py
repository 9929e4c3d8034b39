"""The section of a report about one block, as Markdown."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from train.reports import observed_tables, tables
from train.reports.outcomes import OUTCOMES, Comparison, Result, num_last_epochs

# What decides the phases, where it is not the loss of the batch.
PHASES = {
    "fixed": "phases by the loss on a fixed batch",
    "examples": "phases by the loss less what its examples had before",
    "chance": "phases by chance, {low_loss_share:.3g} of them low-loss",
    "borrowed": "phases of {phases_of}",
    "shuffled": "phases of {phases_of}, shuffled in each epoch",
}


def section(
    result: Result, comparisons: Sequence[Comparison], primary: str
) -> list[str]:
    """The paragraphs and tables of a block, whose `primary` outcome comes first."""
    block = result.block
    parts = [f"## {block['name']}", setting_of(result)]
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
        parts += ["### Test errors", _errors_table(result)]
    mine = [each for each in comparisons if each.block == block["name"]]
    if mine:
        # As in the forest plot: where LCAM is the reference, it is LCAM less the arm.
        turned = block["reference"] == "lcam"
        subject, less = "the arm", f"Each arm less `{block['reference']}`"
        if turned:
            subject, less = "LCAM", "LCAM less each arm"
        parts += [
            "### Differences",
            f"{less}, in points of the {OUTCOMES[primary]}. Below 0, {subject} is "
            "better.",
            _differences_table(mine, primary, turned),
        ]
        if any(each.outcome == "area" for each in mine):
            parts += [
                "### How soon an arm is good",
                f"The same for the {OUTCOMES['area']}: the area under the curve. It "
                "is a second outcome, corrected for the comparisons above as well.",
                _differences_table(mine, "area", turned),
            ]
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
    network = error = None
    if result.arms:
        run = result.runs.iloc[0].fillna("")
        network = f"{run['network'] or None}, {run['num_parameters']:,} parameters"
        error = "squared, in percent of the variance of the training targets"
        if number := run["num_test_predictions"]:
            error = f"{100 / number:.2g} points for one test example"
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
        "test error": error,
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


def _differences_table(
    comparisons: Sequence[Comparison], outcome: str, turned: bool
) -> str:
    header = ["arm", "seeds", "difference", "95 % interval", "p", "p, corrected"]
    rows = [[*header, "detectable", "verdict"]]
    for each in comparisons:
        if each.outcome == outcome:
            shown = each._replace(mean=-each.mean) if turned else each
            rows.append(
                [
                    each.arm,
                    str(each.num_seeds),
                    tables.signed(shown.mean),
                    tables.interval(shown.mean, each.half_width),
                    tables.p_text(each.p_value),
                    tables.p_text(each.corrected_p),
                    tables.percent(each.detectable),
                    shown.verdict,
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

"""Joins the parts of one study, and refuses what does not belong together."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from train import notes
from train.errors import InputError
from train.reports.rows import Rows, of_block, unique
from train.runs.folder import FREE_OPTIONS, OLD_SPLIT, config_as_json
from train.settings.cli import listing
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer

# In these the same run may differ, made twice.
_TIMES = ("seconds", "images_per_second", "commit", "device", "threads")

_EXPERIMENT, _OPTIMIZER = config_as_json(Experiment()), config_as_json(Optimizer())
# Options of before, which parts may have.
_EXPERIMENT["data"] |= {"label_noise": 0.0, "validation_split": OLD_SPLIT}
_OPTIMIZER |= {"adam_b1": 0.9, "adam_b2": 0.999, "adam_epsilon": 1e-8}
_OPTIMIZER |= {"high_loss_b1": None, "low_loss_b1": None}


def join(parts: Sequence[tuple[Path, Rows]]) -> Rows:
    """Joins the parts of one study, each with the folder that it comes from.

    Parts may have other seeds, arms, commits and machines. Other options, data or
    numbers of a run that both have are refused; the first difference is named.
    """
    for (first, one), (second, other) in itertools.combinations(parts, 2):
        if found := _other_options(one, other) or _other_numbers(one, other):
            raise InputError(
                f"{first} and {second} do not belong together: {found}. The parts of a "
                "study have the same options and data, and most often other seeds."
            )
    whole = functools.reduce(_merge, [part for _, part in parts])
    places = [(b["name"], name) for b in whole.about["blocks"] for name in _arms(b)]
    _check_threads(whole.runs)
    tables = []
    for table in whole[1:]:
        order = [(places.index(key[:2]), key[2]) for key in table.index]
        at = sorted(range(len(order)), key=order.__getitem__)
        tables.append(table.iloc[at])
    return Rows(whole.about, *tables)


def _check_threads(runs: pd.DataFrame) -> None:
    """Refuses arms of a seed that were rounded otherwise; tells of seeds that were."""
    if "threads" not in runs:
        return
    known = runs[runs.device == "cpu"].threads.dropna()  # older runs did not keep it
    for (block, seed), mine in known.groupby(["block", "seed"]):
        if mine.nunique() > 1:
            found = mine.drop_duplicates().items()
            raise InputError(
                f"in {block} the arms of seed {seed} are not paired: their sums were "
                "rounded otherwise. They ran with --threads "
                f"{listing((f'{each} ({key[1]})' for key, each in found), 'and')}. "
                "Repeat those of one."
            )
    if known.nunique() > 1:
        numbers = listing(sorted(known.unique()), "and")
        notes.say(f"remark: seeds ran with different --threads: {numbers}")


def _merge(whole: Rows, part: Rows) -> Rows:
    theirs = {block["name"]: block for block in part.about["blocks"]}
    blocks = []
    for block in whole.about["blocks"]:
        # In the order of the part that has more of them.
        both = _arms(block), _arms(theirs[block["name"]])
        first, second = sorted(both, key=len, reverse=True)
        blocks.append(block | {"arms": list((first | second).values())})
    lists = {
        name: unique([*whole.about[name], *part.about[name]])
        for name in ("commands", "environments")
    }
    tables = [
        pd.concat([ours, other[~other.index.isin(ours.index)]])
        for ours, other in zip(whole[1:], part[1:], strict=True)
    ]
    return Rows(whole.about | {"blocks": blocks} | lists, *tables)


def _arms(block: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {arm["name"]: arm for arm in block["arms"]}


def _other_options(one: Rows, other: Rows) -> str | None:
    """The first option that differs, but for arms that one of them lacks; in words."""
    arms = [
        {(block["name"], arm) for block in part.about["blocks"] for arm in _arms(block)}
        for part in (one, other)
    ]
    ours, theirs = (_options(part, set.intersection(*arms)) for part in (one, other))
    for place in ours | theirs:
        was, now = (options.get(place, "not there") for options in (ours, theirs))
        if was != now and "" not in (was, now):  # a part without runs has no data
            return f"{place} is {was} and {now}"
    return None


def _options(part: Rows, arms: set[tuple[str, str]]) -> dict[str, Any]:
    """What has to be equal in another part with these arms, by where it stands."""
    about = part.about
    found = {"study": about["study"], "outcomes": about["outcomes"]}
    found["blocks"] = [block["name"] for block in about["blocks"]]
    for block in about["blocks"]:
        name, experiment = block["name"], block["experiment"]
        # Options that an older part did not know are at their defaults.
        for options in (_EXPERIMENT, experiment):
            found |= _flat(options, f"{name}, options")
        found[f"{name}, reference"] = block["reference"]
        for arm, known in _arms(block).items():
            if (name, arm) in arms:
                more = {each: known.get(each) for each in ("matched", "epochs")}
                for options in (_OPTIMIZER, known["optimizer"], more):
                    found |= _flat(options, f"{name}, arms, {arm}")
        facts = {"data": "data_sha256"}
        if ".py:" in (experiment.get("model", {}).get("network") or ""):
            facts["network"] = "network"  # with the sum of its file
        runs = of_block(part.runs, name)
        for title, fact in facts.items():
            found[f"{name}, {title}"] = " ".join(sorted(runs[fact].dropna().unique()))
    return found


def _flat(options: dict[str, Any], place: str) -> dict[str, Any]:
    """Options that change numbers; the path of a file does not, if it is the same."""
    flat = {}
    for name, option in options.items():
        if isinstance(option, dict):
            flat |= _flat(option, f"{place}, {name}")
        elif name == "data":
            flat[f"{place}, {name}"] = option.partition(":")[0]
        elif name == "network" and option is not None:
            flat[f"{place}, {name}"] = option.rpartition(":")[2]
        elif name not in (*FREE_OPTIONS, "data_dir"):
            flat[f"{place}, {name}"] = option
    return flat


def _other_numbers(one: Rows, other: Rows) -> str | None:
    """The first number that differs in a run that both have, in words."""
    for name in Rows._fields[1:]:
        ours, theirs = getattr(one, name), getattr(other, name)
        columns = ours.columns.intersection(theirs.columns).difference(_TIMES)
        ours, theirs = (
            mine.loc[mine.index.isin(others.index), columns].sort_index(kind="stable")
            for mine, others in ((ours, theirs), (theirs, ours))
        )
        if len(ours) != len(theirs):
            return f"{name}.csv has other rows of the same runs"
        differs = (ours != theirs) & ~(ours.isna() & theirs.isna())
        for row, column in np.argwhere(differs.fillna(True).to_numpy(bool)):
            block, arm, seed = ours.index[row]
            epoch = f", epoch {ours.epoch.iloc[row]}" if "epoch" in ours else ""
            return (
                f"{arm} with seed {seed} in {block}{epoch}, {columns[column]} is "
                f"{ours.iat[row, column]} and {theirs.iat[row, column]}"
            )
    return None

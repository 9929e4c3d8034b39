"""Joins the parts of one study, and refuses what does not belong together."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from train.errors import InputError
from train.reports.rows import Rows, of_block, unique
from train.runs.folder import FREE_OPTIONS, config_as_json
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer

# In these the same run may differ, made twice.
_TIMES = ("seconds", "images_per_second", "commit", "device", "threads")

_EXPERIMENT, _OPTIMIZER = config_as_json(Experiment()), config_as_json(Optimizer())
_EXPERIMENT["data"]["label_noise"] = 0.0  # an option of before: parts may have it


def join(parts: Sequence[tuple[Path, Rows]]) -> Rows:
    """Joins the parts of one study, each with the folder that it comes from.

    Parts may have other seeds, arms, commits and machines. Other options, data or
    numbers of a run that both have are refused; the first difference is named.
    """
    for (first, one), (second, other) in itertools.combinations(parts, 2):
        found = _difference(_common(one, other), _common(other, one))
        if found := found or _other_numbers(one, other):
            raise InputError(
                f"{first} and {second} do not belong together: {found}. The parts of a "
                "study have the same options and data, and most often other seeds."
            )
    whole = functools.reduce(_merge, [part for _, part in parts])
    places = [(b["name"], name) for b in whole.about["blocks"] for name in _arms(b)]
    tables = []
    for table in whole[1:]:
        order = [(places.index(key[:2]), key[2]) for key in table.index]
        at = sorted(range(len(order)), key=order.__getitem__)
        tables.append(table.iloc[at])
    return Rows(whole.about, *tables)


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


def _common(rows: Rows, other: Rows) -> dict[str, Any]:
    """What has to be equal in another part, but for the numbers of runs."""
    other_blocks = {block["name"]: block for block in other.about["blocks"]}
    blocks = {}
    for block in rows.about["blocks"]:
        name = block["name"]
        blocks[name] = {
            "options": _fixed(_filled(block["experiment"], _EXPERIMENT)),
            "reference": block["reference"],
            "arms": {
                arm: _fixed(_filled(about["optimizer"], _OPTIMIZER))
                | {option: about.get(option) for option in ("matched", "epochs")}
                for arm, about in _arms(block).items()
                if arm in _arms(other_blocks.get(name, {"arms": []}))
            },
        }
        facts = {"data": "data_sha256"}
        if ".py:" in (block["experiment"].get("model", {}).get("network") or ""):
            facts["network"] = "network"  # with the sum of its file
        for title, fact in facts.items():
            ours, theirs = (
                " ".join(sorted(of_block(each.runs, name)[fact].dropna().unique()))
                for each in (rows, other)
            )
            if ours and theirs:  # a part without runs has none
                blocks[name][title] = ours
    about = rows.about
    return {"study": about["study"], "outcomes": about["outcomes"], "blocks": blocks}


def _filled(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The options; those that an older part did not know are at their defaults."""
    groups = {
        name: _filled(options[name], default)
        for name, default in defaults.items()
        if isinstance(default, dict) and name in options
    }
    return defaults | options | groups


def _fixed(options: dict[str, Any]) -> dict[str, Any]:
    """Options that change numbers; the path of a file does not, if it is the same."""
    fixed = {}
    for name, option in options.items():
        if isinstance(option, dict):
            fixed[name] = _fixed(option)
        elif name == "data":
            fixed[name] = option.partition(":")[0]
        elif name == "network" and option is not None:
            fixed[name] = option.rpartition(":")[2]
        elif name not in (*FREE_OPTIONS, "data_dir"):
            fixed[name] = option
    return fixed


def _arms(block: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {arm["name"]: arm for arm in block["arms"]}


def _difference(ours: Any, theirs: Any, place: str = "") -> str | None:
    """The first of what keeps two parts from being joined, in words."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return None if ours == theirs else f"{place} is {ours} and {theirs}"
    for name in ours | theirs:
        there = f"{place}, {name}" if place else name
        if name not in ours or name not in theirs:
            return f"{there} is in one of them only"
        if found := _difference(ours[name], theirs[name], there):
            return found
    return None


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

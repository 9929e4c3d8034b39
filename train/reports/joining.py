"""Joins the parts of one study, and refuses what does not belong together."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import InputError
from train.reports.rows import RunRows, StudyRows, unique
from train.runs.folder import FREE_OPTIONS, config_as_json
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer

# In these the same run may differ, made twice.
_TIMES = ("seconds", "images_per_second", "commit", "device", "threads")

_EXPERIMENT, _OPTIMIZER = config_as_json(Experiment()), config_as_json(Optimizer())
_EXPERIMENT["data"]["label_noise"] = 0.0  # an option of before: parts may have it


def join(parts: Sequence[tuple[Path, StudyRows]]) -> StudyRows:
    """Joins the parts of one study, each with the folder that it comes from.

    Other commits and machines are listed, not refused. Parts may have other arms.

    Raises:
      InputError: the parts differ in options or data, or in the numbers of a run that
        both have. The message names the first difference.
    """
    for (first, one), (second, other) in itertools.combinations(parts, 2):
        if found := _difference(_common(one, other), _common(other, one)):
            raise InputError(
                f"{first} and {second} do not belong together: {found}. The parts of a "
                "study have the same options and data, and most often other seeds."
            )
    whole = functools.reduce(_merge, [part for _, part in parts])
    places = [(b["name"], name) for b in whole.about["blocks"] for name in _arms(b)]
    keys = sorted(whole.runs, key=lambda key: (places.index(key[:2]), key[2]))
    return whole._replace(runs={key: whole.runs[key] for key in keys})


def _merge(whole: StudyRows, part: StudyRows) -> StudyRows:
    about = dict(whole.about)
    theirs = {block["name"]: block for block in part.about["blocks"]}
    about["blocks"] = []
    for block in whole.about["blocks"]:
        # In the order of the part that has more of them.
        first, second = sorted(
            (_arms(block), _arms(theirs[block["name"]])), key=len, reverse=True
        )
        arms = first | second
        about["blocks"].append(block | {"arms": list(arms.values())})
    for name in ("commands", "environments"):
        about[name] = unique([*about[name], *part.about[name]])
    return StudyRows(about, part.runs | whole.runs)


def _common(rows: StudyRows, other: StudyRows) -> dict[str, Any]:
    """What has to be equal in another part."""
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
            ours, theirs = _seen(rows, name, fact), _seen(other, name, fact)
            if ours and theirs:  # a part without runs has none
                blocks[name][title] = ours
    return {
        "study": rows.about["study"],
        "outcomes": rows.about["outcomes"],
        "blocks": blocks,
        "runs": {
            f"{arm} with seed {seed} in {block}": _numbers(run)
            for (block, arm, seed), run in rows.runs.items()
            if (block, arm, seed) in other.runs
        },
    }


def _seen(rows: StudyRows, block: str, fact: str) -> str:
    """A fact of the runs of a block: of all the same, as a rule."""
    runs = [run for key, run in rows.runs.items() if key[0] == block]
    return " ".join(sorted({str(run.facts[fact] or "") for run in runs}))


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


def _numbers(run: RunRows) -> dict[str, Any]:
    epochs = {}
    for row in run.epochs:
        numbers = {name: row[name] for name in row if name not in _TIMES}
        if "observed" in row:  # flat, as it is read back
            numbers["observed"] = {
                name: np.ravel(each).tolist() for name, each in row["observed"].items()
            }
        epochs[f"epoch {row['epoch']}"] = numbers
    return epochs | {name: run.facts[name] for name in run.facts if name not in _TIMES}


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

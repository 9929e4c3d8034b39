"""Commands that can be typed as they stand, made from options."""

import dataclasses
import itertools
import shlex
from pathlib import Path
from typing import Any

from train.errors import InputError
from train.settings.checks import flag
from train.settings.commands import Compare
from train.settings.experiment import Experiment, Run, shared_options
from train.settings.optimizer import Optimizer

SEEDS = (0, 1, 2)

# Of SGD and LCAM: what a fair comparison gives to both.
_SHARED = ("learning_rate", "weight_decay", "nesterov")

# Of a comparison: typed apart, or, as the limit of time, for one start only.
_PLACED = ("arms", "out", "resume", "budget")


def compare_command(run: Run) -> str | None:
    """The command that compares a run's optimizer with SGD, or SGD with LCAM.

    Returns:
      The command; None if an option of the run's optimizer is one that is for a single
      run.
    """
    ours = run.optimizer
    if ours.phases_of is not None:
        return None
    rival = "lcam" if ours.optimizer == "sgd" else "sgd"
    shared = {}
    if ours.optimizer != "adamw":
        shared = {name: getattr(ours, name) for name in _SHARED}
    arms = [_arm(Optimizer(rival, **shared)), _arm(ours)]
    if ours.optimizer == "sgd":
        arms.reverse()
    try:
        comparison = Compare(**shared_options(run), arms=tuple(arms), seeds=SEEDS)
    except InputError:
        return None
    return shlex.join(_words(comparison))


def more_seeds_command(comparison: Compare, folder: Path) -> str:
    """The command that continues a comparison with as many seeds as `SEEDS`.

    Args:
      comparison: with fewer.
      folder: its own.
    """
    taken = {*comparison.seeds, *(comparison.validation_seeds or ())}
    more = (seed for seed in itertools.count() if seed not in taken)
    missing = len(SEEDS) - len(comparison.seeds)
    seeds = [*comparison.seeds, *itertools.islice(more, missing)]
    words = _words(dataclasses.replace(comparison, seeds=tuple(seeds)))
    return shlex.join([*words, "--out", str(folder), "--resume"])


def _words(comparison: Compare) -> list[str]:
    """What has to be typed for a comparison; without its folder."""
    words = ["python", "-m", "train", "compare"]
    words += _options(Experiment(**shared_options(comparison)))
    words += ["--arms", *comparison.arms]
    elsewhere = {*shared_options(comparison), *_PLACED}
    for option in dataclasses.fields(Compare):
        value = getattr(comparison, option.name)
        if option.name not in elsewhere and value != option.default:
            words += _typed(comparison, option.name, value)
    return words


def _arm(optimizer: Optimizer) -> str:
    """As `compare` takes it: NAME or NAME:OPTION=VALUE,..."""
    options = [
        f"{name.replace('_', '-')}={value}" for name, value in _changed(optimizer)
    ]
    return ":".join(filter(None, [optimizer.optimizer, ",".join(options)]))


def _options(options: Any) -> list[str]:
    """What has to be typed for such options, group by group."""
    words = []
    for option in dataclasses.fields(options):
        group = getattr(options, option.name)
        if dataclasses.is_dataclass(group):
            kind = dataclasses.fields(group)[0]
            default = option.default_factory()
            if getattr(group, kind.name) != getattr(default, kind.name):
                words += [flag(kind.name), str(getattr(group, kind.name))]
            for name, value in _changed(group):
                words += _typed(group, name, value)
        elif group != option.default:
            words += _typed(options, option.name, group)
    return words


def _changed(group: Any) -> list[tuple[str, Any]]:
    """Options, but the first, that have to be typed: the others make them else."""
    changed = []
    for option in dataclasses.fields(group)[1:]:
        try:
            usual = dataclasses.replace(group, **{option.name: option.default})
        except InputError:
            usual = None
        if usual != group:
            changed.append((option.name, getattr(group, option.name)))
    return changed


def _typed(group: Any, name: str, value: Any) -> list[str]:
    [kind] = [
        option.type for option in dataclasses.fields(group) if option.name == name
    ]
    if kind is bool:
        return [flag(name) if value else flag(f"no_{name}")]
    values = value if isinstance(value, tuple) else (value,)
    return [flag(name), *map(str, values)]

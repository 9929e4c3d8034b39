"""The command line: words become the dataclass of a command."""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from train.errors import InputError
from train.settings.commands import COMMANDS, Command
from train.settings.experiment import Run
from train.settings.fields import Option, options_of, read_value
from train.settings.help import parser_of
from train.settings.presets import PRESETS
from train.settings.relevance import check_typed
from train.settings.suggestions import closest, did_you_mean, listing


def parse(words: Sequence[str]) -> Command:
    """Makes a command of the words behind `python -m train`.

    Raises:
      InputError: they are not a command with its options, and the message says what is
        closest; or an option is out of its range.
    """
    name, *rest = words
    if name.startswith("-"):
        hint = did_you_mean(name, ("help", "version"), "--{}")
        raise InputError(
            f"there is no option {name} without a command.{hint} The commands are "
            f"{listing(COMMANDS, 'and')}."
        )
    if name not in COMMANDS:
        raise InputError(
            f"there is no command {name}.{did_you_mean(name, COMMANDS)} The commands "
            f"are {listing(COMMANDS, 'and')}."
        )
    return _make(COMMANDS[name], _read(name, rest))


def _read(command: str, words: Sequence[str]) -> dict[str, Any]:
    """The values of the options that were typed, by their names."""
    # As if --batch_size were --batch-size.
    words = [re.sub("^--[^=]+", lambda m: m[0].replace("_", "-"), w) for w in words]
    try:
        typed, left = parser_of(command).parse_known_intermixed_args(words)
    except argparse.ArgumentError as error:
        shown, *others = error.argument_name.split("/")
        raise InputError(
            f"{shown} takes no value: write {listing((shown, *others))} alone."
            if others
            else f"{shown} needs a value."
        ) from None
    if left:
        raise InputError(_why_not(command, left[0]))
    options = options_of(COMMANDS[command])
    for option in options.values():
        if not option.is_required or hasattr(typed, option.name):
            continue
        if not option.is_many:
            which = f", one of {listing(option.choices)}" if option.choices else ""
            raise InputError(
                f"{command} needs {option.typed}{which}. `python -m train {command} "
                "--help` explains it."
            )
        setattr(typed, option.name, [])
    return {name: _value(options[name], held) for name, held in vars(typed).items()}


def _value(option: Option, held: Any) -> Any:
    """The value of an option, from what argparse holds of it."""
    shown = option.typed if option.is_positional else f"--{option.typed}"
    if option.is_flag:
        return held
    if not option.is_many:
        return read_value(option, shown, held)
    if option.is_optional and held == ["None"]:
        return None
    one = option._replace(is_optional=False)  # None stands alone
    return tuple(read_value(one, shown, text) for text in held)


def _why_not(command: str, word: str) -> str:
    """Why a command does not take a word."""
    options = options_of(COMMANDS[command]).values()
    known = [option.typed for option in options if not option.is_positional]
    if word.startswith("-"):
        shown = word.partition("=")[0]
        others = [
            other
            for other, kind in COMMANDS.items()
            if shown in [f"--{option.typed}" for option in options_of(kind).values()]
        ]
        belongs = f" It belongs to {listing(others, 'and')}." if others else ""
        return (
            f"{command} has no option {shown}.{belongs}"
            f"{did_you_mean(shown, known, '--{}')} `python -m train {command} --help` "
            "lists the options."
        )
    match = closest(word, known)
    if match is not None:
        return f"unexpected {word!r}: did you mean --{match}?"
    takes = [option.typed for option in options if option.is_positional]
    takes += ["options only, which begin with --"] * bool(known)
    what = listing(takes or ["nothing behind it"], "and")
    return f"unexpected {word!r}: {command} takes {what}."


def _make(command: type, typed: dict[str, Any]) -> Command:
    """The command with the options that were typed, and defaults for the others.

    Raises:
      InputError: an option cannot be used.
    """
    base = _preset(typed) if command is Run else None
    groups: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in typed.items():
        group = options_of(command)[name].group
        (own if group is None else groups.setdefault(group, {}))[name] = value
    kinds = {field.name: field.type for field in dataclasses.fields(command)}
    for group, values in groups.items():
        if base is None:
            own[group] = kinds[group](**values)
        else:
            own[group] = dataclasses.replace(getattr(base, group), **values)
        if group != "model":  # whose network the data may choose
            check_typed(own[group], values)
    made = command(**own) if base is None else dataclasses.replace(base, **own)
    if "model" in groups:
        check_typed(made.model.for_kind(made.data.kind), groups["model"])
    return made


def _preset(typed: dict[str, Any]) -> Run | None:
    """The published run whose options replace the defaults of `run`.

    Raises:
      InputError: there is none of that name.
    """
    name = typed.get("preset")
    if name is None:
        return None
    if name not in PRESETS:
        raise InputError(
            f"--preset must be one of {', '.join(PRESETS)}; got {name!r}."
            f"{did_you_mean(name, PRESETS)}"
        )
    run = PRESETS[name].run
    # The preset's options of another choice would be refused: nobody typed them.
    for group in ("optimizer", "schedule"):
        ours = getattr(run, group)
        choice = typed.get(group, getattr(ours, group))
        if choice != getattr(ours, group):
            run = dataclasses.replace(run, **{group: type(ours)(choice)})
    if typed.get("network") not in (None, "wide_resnet"):  # which presets have
        run = dataclasses.replace(run, model=type(run.model)())
    return run

"""The command line: words become the dataclass of a command."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from train.errors import InputError
from train.settings.commands import (
    Compare,
    Plot,
    Presets,
    Quadratic,
    Report,
    Studies,
    Study,
)
from train.settings.experiment import Run
from train.settings.fields import Option, options_of, read_value
from train.settings.presets import PRESETS
from train.settings.relevance import check_typed
from train.settings.suggestions import closest, did_you_mean, listing

COMMANDS = {
    "run": Run,
    "compare": Compare,
    "study": Study,
    "report": Report,
    "studies": Studies,
    "plot": Plot,
    "presets": Presets,
    "quadratic": Quadratic,
}
Command = Run | Compare | Study | Report | Studies | Plot | Presets | Quadratic


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
    typed = _read(name, rest)
    return _make(COMMANDS[name], typed)


def _read(command: str, words: Sequence[str]) -> dict[str, Any]:
    """The values of the options that were typed, by their names."""
    options = options_of(COMMANDS[command])
    positional = next((o for o in options.values() if o.is_positional), None)
    typed, words, alone = {}, list(words), []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            if positional is None or (alone and not positional.is_many):
                raise InputError(
                    f"unexpected {word!r}: {_why_unexpected(command, word)}"
                )
            alone.append(read_value(positional, positional.typed.upper(), word))
            continue
        shown, equals, value = word.partition("=")
        option, is_on = _find(command, shown)
        if option.is_flag:
            if equals:
                raise InputError(f"{shown} takes no value: write {shown} alone.")
            typed[option.name] = is_on
            continue
        values = [value] if equals else _following(words, option)
        if not values and not option.is_many:
            raise InputError(f"{shown} needs a value.")
        read = tuple(read_value(option, shown, value) for value in values)
        typed[option.name] = read if option.is_many else read[0]
        if option.is_many and option.is_optional and read == (None,):
            typed[option.name] = None
    if positional is not None and (alone or positional.is_many):
        typed[positional.name] = tuple(alone) if positional.is_many else alone[0]
    elif positional is not None:
        raise InputError(
            f"{command} needs {positional.typed.upper()}, one of "
            f"{listing(positional.choices)}."
        )
    return typed


def _following(words: list[str], option: Option) -> list[str]:
    """Takes the values of an option from the words; they may be negative numbers."""
    values = []
    while words and (option.is_many or not values) and not words[0].startswith("--"):
        values.append(words.pop(0))
    return values


def _find(command: str, shown: str) -> tuple[Option, bool]:
    """The option of a name, and whether a flag is switched on by it."""
    options = options_of(COMMANDS[command])
    name = shown.removeprefix("--").replace("-", "_")
    if shown.startswith("--"):
        if name in options and not options[name].is_positional:
            return options[name], True
        opposite = options.get(name.removeprefix("no_"))
        if opposite is not None and opposite.is_flag:
            return opposite, False
    known = [option.typed for option in options.values() if not option.is_positional]
    others = [
        other
        for other, kind in COMMANDS.items()
        if name in options_of(kind) and not options_of(kind)[name].is_positional
    ]
    hint = did_you_mean(shown, known, "--{}")
    if others and shown.startswith("--"):
        hint = f" It belongs to {listing(others, 'and')}." + hint
    raise InputError(
        f"{command} has no option {shown}.{hint} `python -m train {command} --help` "
        "lists the options."
    )


def _why_unexpected(command: str, word: str) -> str:
    known = [option.typed for option in options_of(COMMANDS[command]).values()]
    match = closest(word, known)
    if match is not None:
        return f"did you mean --{match}?"
    return (
        f"{command} takes options only, which begin with --."
        if known
        else (f"{command} takes nothing behind it.")
    )


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
    return run

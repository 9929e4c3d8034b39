"""The fields of dataclasses as options: their names, kinds of values and comments."""

import dataclasses
import functools
import inspect
import re
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple

from train.errors import InputError
from train.settings.suggestions import did_you_mean, listing, spaces_hint


class Option(NamedTuple):
    """A field, as it is typed on the command line.

    Attributes:
      name: of the field.
      group: the command's field that holds it; None if the command has it itself.
      kind: of the value, without `None`.
      is_optional: whether `None` is a value.
      is_many: whether it takes several values.
      is_required: whether it has no default.
      is_positional: whether its value stands alone: if it is required, or if the
        field's metadata say so.
      default: its default, if it has one.
      owner: the dataclass that declares it.
    """

    name: str
    group: str | None
    kind: Any
    is_optional: bool
    is_many: bool
    is_required: bool
    is_positional: bool
    default: Any
    owner: type

    @property
    def typed(self) -> str:
        """How it is typed; in capitals, what stands for it."""
        name = self.name.replace("_", "-")
        return name.upper() if self.is_positional else name

    @property
    def is_flag(self) -> bool:
        """Whether it is switched on by its name alone."""
        return self.kind is bool and not self.is_optional

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it takes; empty if there is no list of them."""
        is_literal = typing.get_origin(self.kind) is Literal
        return typing.get_args(self.kind) if is_literal else ()

    @property
    def about(self) -> str:
        """The comment above the field."""
        return _comments(self.owner)[self.name]


@functools.cache
def options_of(command: type) -> dict[str, Option]:
    """The options of a command by their names, those of its groups among them."""
    options = {}
    for field in dataclasses.fields(command):
        if dataclasses.is_dataclass(field.type):
            options |= {
                name: option._replace(group=field.name)
                for name, option in options_of(field.type).items()
            }
        else:
            options[field.name] = _option(command, field)
    return options


def _option(command: type, field: dataclasses.Field) -> Option:
    kind, is_optional = field.type, type(None) in typing.get_args(field.type)
    if is_optional:
        [kind] = [kind for kind in typing.get_args(kind) if kind is not type(None)]
    is_many = typing.get_origin(kind) is tuple
    is_required = field.default is dataclasses.MISSING
    return Option(
        field.name,
        None,
        typing.get_args(kind)[0] if is_many else kind,
        is_optional,
        is_many,
        is_required,
        is_positional=is_required or "positional" in field.metadata,
        default=field.default,
        owner=command,
    )


def read_value(option: Option, shown: str, text: str) -> Any:
    """Turns what was typed into the value of an option.

    Args:
      option: whose value it is.
      shown: the option in messages.
      text: what was typed.

    Raises:
      InputError: it is no such value.
    """
    if option.is_optional and text == "None":
        return None
    if option.kind is Path and not text:  # as of a variable of the shell without value
        raise InputError(
            f"{shown} must be a path, got ''. The current folder is written as a dot."
        )
    if option.kind in (str, Path):
        return option.kind(text)
    if option.kind in (int, float):
        try:
            return option.kind(text)
        except ValueError:
            what = "a whole number" if option.kind is int else "a number"
            hint = spaces_hint(text) if option.is_many else ""
            raise InputError(f"{shown} must be {what}, got {text!r}.{hint}") from None
    values = {str(value): value for value in option.choices or (True, False)}
    if text not in values:
        raise InputError(
            f"{shown} must be {listing(values)}, got {text!r}."
            f"{did_you_mean(text, values)}"
        )
    return values[text]


@functools.cache
def _comments(owner: type) -> dict[str, str]:
    """The comments above the fields of a dataclass and of what it inherits from."""
    found, lines = {}, []
    for line in inspect.getsource(owner).splitlines():
        comment = re.fullmatch(r"    #: ?(.*)", line)
        field = re.match(r"    (\w+): ", line)
        if comment:
            lines.append(comment[1])
        elif field:
            found[field[1]], lines = "\n".join(lines), []
    inherited = [_comments(base) for base in owner.__bases__ if base is not object]
    return functools.reduce(dict.__or__, reversed(inherited), {}) | found

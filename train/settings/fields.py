"""What the field of an option declares, and the walker that checks it.

    momentum: float = within(0.9, 0, 1, of={"optimizer": ("sgd",)})

A value out of its range is refused by the option's name, and so is an option that the
chosen optimizer, schedule or network would ignore: silence would mislead.
"""

import dataclasses
import struct
from collections.abc import Container
from typing import Any

from train.errors import InputError
from train.settings.cli import SPACES, flag, listing, typed

# No sensible option is larger or, if it must be positive, smaller; beyond lie overflow
# and memory that no machine has.
TINY, HUGE = 1e-30, 1e6


def option(default: Any = dataclasses.MISSING, **declared: Any) -> Any:
    """A field of `Options`.

    It may declare:
      rule: what says what is wrong with a value (of several, with each), or raises it.
      of: the values that other options or properties have where it is not ignored.
      needs: the name of an option that must be given with it.
      follows: what makes its value of the other options, where it is `None`.
      distinct: how many values it needs at least, all of which differ.
      ascending: whether they are put in order.
      alone: whether its value is typed without its name.
      group: the title that it stands under in help texts.
    """
    return dataclasses.field(default=default, metadata=declared)


def group(kind: type, title: str) -> Any:
    """A field for a dataclass of options, all of which stand under one title."""
    return dataclasses.field(default_factory=kind, metadata={"group": title})


def within(default: Any, low: float, high: float, **declared: Any) -> Any:
    """An option for a number in [low, high)."""
    end = "2^32" if high == 2**32 else f"{high:g}"

    def rule(number: float) -> str | None:
        if isinstance(number, float) and number < HUGE:  # 0.99999999 is 1 as float32
            [number] = struct.unpack("f", struct.pack("f", max(number, -HUGE)))
        return None if low <= number < high else f"must be in [{low:g}, {end})"

    return option(default, rule=rule, **declared)


def at_least(default: Any, least: float, **declared: Any) -> Any:
    """An option for a number from `least` on, within reason."""

    def rule(number: float) -> str | None:
        if number > HUGE:
            return f"must be at most {HUGE:,.0f}"
        above = "greater than 0" if least == TINY else f"at least {least:g}"
        return None if number >= least else f"must be {above}"

    return option(default, rule=rule, **declared)


def positive(default: Any, **declared: Any) -> Any:
    """An option for a number greater than 0, within reason."""
    return at_least(default, TINY, **declared)


def check(passes: bool, message: str) -> None:
    """Raises the message as an `InputError` unless the check passes."""
    if not passes:
        raise InputError(message)


class Options:
    """A frozen dataclass of options: what they declare is checked when it is made."""

    def __post_init__(self):
        """Works out what follows from other options, and checks all."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                object.__setattr__(self, field.name, _usual(self, field))
            elif field.metadata.get("ascending"):
                object.__setattr__(self, field.name, tuple(sorted(value)))
        self.check()

    def check(self, given: Container[str] = ()) -> None:
        """Refuses what cannot be used; `given` options count even at their defaults."""
        for field in dataclasses.fields(self):
            value, shown = getattr(self, field.name), typed(field)
            if isinstance(value, Options):
                value.check(given)
                continue
            _check_value(field, value)
            usual = (field.default, _usual(self, field))
            if field.name not in given and value in usual:
                continue
            for other, values in field.metadata.get("of", {}).items():
                chosen = getattr(self, other)
                declared = self.__dataclass_fields__.get(other)  # or it is a property
                which = (f"{typed(declared)} " if declared else "") + listing(values)
                check(
                    chosen is None or chosen in values,
                    f"{shown} belongs to {which}, and would be ignored with {chosen}.",
                )
            for needed in field.metadata.get("needs", ()):
                has_it = getattr(self, needed) is not None
                check(has_it, f"{shown} needs {flag(needed)}.")
        self.check_together()

    def check_together(self) -> None:
        """Refuses options that do not go together, each of which could be used."""


def as_words(options: Options) -> list[str]:
    """What is typed to have these options."""
    words = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Options):
            words += as_words(value)
        elif value not in (field.default, _usual(options, field)):
            is_many, shown = isinstance(value, tuple), typed(field)
            words += [shown, *map(str, value)] if is_many else [f"{shown}={value}"]
    return words


def _usual(options: Options, field: dataclasses.Field) -> Any:
    """What follows for an option from the others."""
    return field.metadata.get("follows", lambda _: None)(options)


def _check_value(field: dataclasses.Field, value: Any) -> None:
    """Makes sure that a value, or each of several, is what its field declares."""
    values = () if value is None else value
    values = values if isinstance(values, tuple | list) else (values,)
    least = 0 if value is None else field.metadata.get("distinct", 0)
    if least:
        shown = " ".join(map(str, values))
        hint = SPACES if "," in shown else ""
        wrong = f"needs {least} or more, got {len(values)}.{hint}"
        check(len(values) >= least, f"{typed(field)} {wrong}")
        is_distinct = len(values) == len({*values})
        check(is_distinct, f"{typed(field)} must be different, got {shown}.")
    for each in values:
        wrong = field.metadata.get("rule", lambda _: None)(each)
        got = "" if each is True else f", got {each}"
        check(not isinstance(wrong, str), f"{typed(field)} {wrong}{got}.")

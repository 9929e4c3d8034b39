"""The command line: the fields of a command's dataclass are its options.

The comment above a field is its help text, and `train.settings.fields` has what else it
declares. Only what is typed reaches the dataclass, whose own defaults fill in the rest:
they may depend on each other.
"""

import argparse
import dataclasses
import difflib
import inspect
import os
import re
import shutil
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from train.errors import InputError
from train.paths import filled
from train.settings.presets import PRESETS

# The titles of options in help texts, in the order in which a person needs them.
_TITLES = (
    *("arguments", "study", "arms", "data", "network", "optimizer"),
    *("learning rate schedule", "training", "seeds", "output", "a published run"),
    *("checkpoints", "tests and measurements", "several runs at a time"),
    "machinery",
)

# Names of our options and commands, and behind each those that other programs have.
_NAMES = (
    "arms optimizer optimizers sgd lcam",
    "batch-size b batch bs train-batch-size per-device-train-batch-size",
    "data dataset",
    "device gpu cuda accelerator backend platform",
    "devices gpus num-devices",
    "epochs num-epochs num-train-epochs max-epochs",
    "learning-rate lr base-lr step-size",
    "momentum mom mu",
    "network arch model",
    "optimizer opt optim",
    "optimizer-options beta1 beta2 eps adam-b1 adam-b2 high-loss-b1 low-loss-b1",
    "out folder logdir output output-dir save-dir workdir",
    "resume continue",
    "run train resume fit",
    "schedule scheduler lr-scheduler lr-schedule lr-scheduler-type",
    "seed seeds",
    "seeds seed",
    "step checkpoint ckpt",
    "warmup-epochs warmup",
    "weight-decay wd decay",
    "widen widen-factor width-factor",
)
_ALIASES = {
    alias: ours for ours, *aliases in map(str.split, _NAMES) for alias in aliases
}
SPACES = " Put spaces between several."


def parse(words: Sequence[str], commands: Mapping[str, type]) -> Any:
    """Makes a command of the words behind `python -m train`."""
    name, *rest = words
    if name not in commands:
        is_option = name.startswith("-")
        what = f"option {name} without a command" if is_option else f"command {name}"
        hint = did_you_mean(name, ["--help", "--version", *commands])
        raise InputError(
            f"there is no {what}.{hint} The commands are {listing(commands, 'and')}."
        )
    parser = parser_of(name, commands[name])
    given, unknown = read(parser, rest)
    if unknown is not None:
        raise InputError(why_not(name, unknown, parser, commands))
    values = given
    if (preset := given.get("preset")) is not None:
        if preset not in PRESETS:
            known, hint = listing(PRESETS), did_you_mean(preset, PRESETS)
            raise InputError(f"--preset must be {known}; got {preset!r}.{hint}")
        base, _ = read(parser, PRESETS[preset].words)
        for field in dataclasses.fields(commands[name]):
            if field.name in ("optimizer", "schedule", "model"):
                options = [each.name for each in dataclasses.fields(field.type)]
                # Presets have a Wide ResNet. Another choice brings its own defaults.
                chosen = base.get(options[0], "wide_resnet")
                if given.get(options[0]) not in (None, chosen):
                    base = {key: base[key] for key in base if key not in options}
        values = base | given
    command = make(commands[name], values)
    command.check(given)
    return command


def make(kind: type, values: Mapping[str, Any]) -> Any:
    """A dataclass of options, from values for its fields and those of its groups."""
    own = {}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            own[field.name] = make(field.type, values)
        elif field.name in values:
            own[field.name] = values[field.name]
    return kind(**own)


def read(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[dict[str, Any], str | None]:
    """The values of the options that were typed, and the first word that is none."""
    # As if --batch_size were --batch-size, and --resume=True were --resume.
    words = [re.sub("^--[^=]+", lambda m: m[0].replace("_", "-"), w) for w in words]
    for on, action in parser._option_string_actions.items():
        if isinstance(action, argparse.BooleanOptionalAction):
            switches = {f"{on}=True": on, f"{on}=False": f"--no-{on[2:]}"}
            words = [switches.get(word, word) for word in words]
    try:
        typed, left = parser.parse_known_intermixed_args(words)
    except argparse.ArgumentError as error:
        shown = error.argument_name.partition("/")[0]
        value = parser._option_string_actions[shown].metavar
        needs = "is True or False, or stands alone"
        needs = f"needs a value: {value}" if value else needs
        raise InputError(f"{shown} {needs}.") from None
    values = {}
    for name, value in vars(typed).items():
        is_many = isinstance(value, list)
        if is_many and None in value and len(value) > 1:
            raise InputError(f"{flag(name)} must be None, or values without it.")
        values[name] = None if value == [None] else tuple(value) if is_many else value
    return values, left[0] if left else None


def why_not(name: str, word: str, parser: Any, commands: Mapping[str, type]) -> str:
    """Why a command does not take a word."""
    known, shown = [*parser._option_string_actions], word.partition("=")[0]
    hint = did_you_mean(shown, known)
    if not word.startswith("-"):
        meant = "--out" if os.path.isdir(word) else "--data"
        if not hint and meant in known and os.path.exists(word):
            hint = f" Did you mean {meant} {word}?"
        takes = [action.metavar for action in parser._get_positional_actions()]
        takes += ["options only, which begin with --"] * bool(known)
        takes = listing(takes or ["nothing behind it"], "and")
        return f"unexpected {word!r}: {name} takes {takes}.{hint}"
    parsers = {other: parser_of(other, kind) for other, kind in commands.items()}
    others = [n for n in parsers if shown in parsers[n]._option_string_actions]
    if others:  # so it is spelt right
        hint = hint if shown.strip("-") in _ALIASES else ""
        group = parsers[others[0]]._option_string_actions[shown].container
        if name == "compare" and not hint and group.title == "optimizer":
            hint = f" Give it to an arm, as in --arms sgd:{shown[2:]}=VALUE."
        hint = f" It belongs to {listing(others, 'and')}.{hint}"
    where = f"`{parser.prog} --help` lists its options"
    return f"{name} has no option {shown}.{hint} {where}."


class _Parser(argparse.ArgumentParser):
    """Says in one line what is missing."""

    def error(self, message: str) -> typing.NoReturn:
        needs = f"{self.prog.split()[-1]} needs"
        message = message.replace("the following arguments are required:", needs)
        missing = [a for a in self._get_positional_actions() if a.metavar in message]
        about = " ".join(a.help for a in missing) or f"See `{self.prog} --help`."
        raise InputError(f"{message}. {' '.join(about.split())}")


class _Formatter(argparse.RawTextHelpFormatter):
    """Writes a switch as --[no-]resume."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = super()._format_action_invocation(action)
        return re.sub("--(.*), --no-.*", r"--[no-]\1", shown)


def parser_of(name: str, kind: type) -> argparse.ArgumentParser:
    """The parser of a dataclass of options; what is not typed is not in its result."""
    text, _, examples = inspect.cleandoc(kind.__doc__ or "").partition("Examples:\n")
    width = max(min(shutil.get_terminal_size().columns, 100), 60)
    parser = _Parser(
        prog=f"python -m train {name}",
        description=_wrapped(text.strip(), width),
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=partial(_Formatter, max_help_position=26, width=width),
        argument_default=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    # argparse takes -1 as a value, and -1e-1 as an option.
    parser._negative_number_matcher = re.compile(r"-(\.?\d|inf|nan)")
    groups = {title: parser.add_argument_group(title) for title in _TITLES}
    _add_options(groups, kind, None, width - 26)
    forms = {None: "{}", "?": "[{}]", "+": "{} ..."}
    usage = [forms[a.nargs].format(a.metavar) for a in parser._get_positional_actions()]
    usage += ["[OPTIONS]"] * bool(parser._get_optional_actions())
    parser.usage = " ".join([parser.prog, *usage])
    return parser


def _add_options(groups: Any, kind: type, title: str | None, width: int) -> None:
    """Adds the fields of a dataclass to a parser's groups, each under its title."""
    for field in dataclasses.fields(kind):
        under = title or field.metadata.get("group", "machinery")
        if dataclasses.is_dataclass(field.type):
            _add_options(groups, field.type, under, width)
            continue
        is_optional = type(None) in typing.get_args(field.type)
        value = typing.get_args(field.type)[0] if is_optional else field.type
        is_many = typing.get_origin(value) is tuple
        value = typing.get_args(value)[0] if is_many else value
        choices = typing.get_args(value) or (True, False) * (value is bool)
        shown, help = typed(field), _help(kind, field, choices, width)
        group = groups[under if shown.startswith("--") else "arguments"]
        if value is bool and not is_optional:
            group.add_argument(shown, action=argparse.BooleanOptionalAction, help=help)
            continue
        known = {str(each): each for each in (*choices, *[None] * is_optional)}
        details = {"type": partial(_read, shown, value, known, is_many)}
        if shown.startswith("--"):
            name = "TEXT" if value is str else getattr(value, "__name__", "").upper()
            listed = "{" + ",".join(map(str, choices)) + "}"
            details |= {"metavar": listed if choices else name}
            details |= {"nargs": "*"} if is_many else {}
        else:
            details |= {"metavar": shown, "nargs": "+" if is_many else None}
            shown = field.name
            if field.default is not dataclasses.MISSING:
                details |= {"nargs": "?", "default": field.default}
        group.add_argument(shown, help=help, **details)


def _help(kind: type, field: dataclasses.Field, choices: Sequence, width: int) -> str:
    """The comment above a field, with its default where the text does not tell it."""
    about, end = _comments(kind)[field.name], ""
    if field.default is dataclasses.MISSING:
        end = f"One of {listing(choices)}." if choices else ""
    elif field.default is not None and field.default is not False:
        values = field.default if isinstance(field.default, tuple) else [field.default]
        usual = typed(field) if field.default is True else " ".join(map(str, values))
        end = f"(default: {usual})"
    if "\n- " in about:  # behind a list the default has a line of its own
        return f"{_wrapped(about, width)}\n{end}".replace("%", "%%")
    return _wrapped(f"{about} {end}", width).replace("%", "%%")


def _read(shown: str, kind: Any, known: dict, is_many: bool, text: str) -> Any:
    """Turns what was typed into a value: one that is known, or one of a kind."""
    if text in known:
        return known[text]
    hint = SPACES if is_many and "," in text else ""
    if typing.get_origin(kind) is Literal or kind is bool:
        offered = [word for word, value in known.items() if value is not None]
        what, hint = listing(offered), did_you_mean(text, offered)
    elif kind is Path and not text:  # as of a variable of the shell without value
        what, hint = "a path", " The current folder is written as a dot."
    else:
        try:
            return kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
    raise InputError(f"{shown} must be {what}, got {text!r}.{hint}")


@cache
def _comments(kind: type) -> dict[str, str]:
    """The comments above the fields of a dataclass and of what it inherits from."""
    found, lines = {}, []
    for line in "".join(map(inspect.getsource, kind.__mro__[-2::-1])).splitlines():
        if comment := re.fullmatch(r"    #: ?(.*)", line):
            lines.append(comment[1])
        elif field := re.match(r"    (\w+): ", line):
            found[field[1]], lines = "\n".join(lines), []
    return found


def _wrapped(text: str, width: int) -> str:
    """Paragraphs and entries of lists as lines, whose words are never broken."""
    lines = re.sub(r"(?<!\n)\n(?!\n|- )", " ", text).splitlines()
    return "\n".join(
        filled(line, width, "  " * line.startswith("- ")) for line in lines
    )


def describe(name: str, kind: type) -> str:
    """What a command does, and its options."""
    return parser_of(name, kind).format_help().rstrip()


def overview(program: type, commands: Mapping[str, type]) -> str:
    """What a program can do, and its commands."""
    parser = parser_of("COMMAND [OPTIONS]", program)
    group = parser.add_argument_group("commands")
    for name, kind in commands.items():
        group.add_argument(name, help=_wrapped(kind.__doc__.partition("\n")[0], 66))
    group = parser.add_argument_group("options")
    about = "Show this help. With a command: explain its options."
    group.add_argument("-h", "--help", action="store_true", help=about)
    group.add_argument("--version", action="store_true", help="Show the version.")
    return parser.format_help().rstrip()


def flag(name: str) -> str:
    """An option's name as it is typed."""
    return "--" + name.replace("_", "-")


def typed(field: dataclasses.Field) -> str:
    """A field as it is typed; in capitals, what stands for a value without a name."""
    alone = field.default is dataclasses.MISSING or "alone" in field.metadata
    return field.name.upper() if alone else flag(field.name)


def listing(words: Iterable[Any], last: str = "or") -> str:
    """Words as a list in a sentence: a, b or c."""
    words = [str(word) for word in words]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to append to a message; empty if no known word comes close."""
    names = {each.strip("-"): each for each in known}
    plain = word.strip("-").lower().replace("_", "-")
    close = [name for name in names if plain and name.startswith(f"{plain}-")]
    close = close or difflib.get_close_matches(plain, names, n=1)
    if (alias := _ALIASES.get(plain)) in names:
        close = [alias]
    return f" Did you mean {listing(names[name] for name in close)}?" if close else ""

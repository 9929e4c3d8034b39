"""The parsers of the commands, and their help texts."""

import argparse
import inspect
import re
import shutil
import textwrap

from train.settings.commands import COMMANDS
from train.settings.fields import Option, options_of
from train.settings.suggestions import listing

_FIRST, _LAST = "arguments", "machinery"  # what stands alone, what stands nowhere
# The titles of options, in the order in which a person needs them. A group of options
# counts as a whole.
_TITLES = {
    _FIRST: (),
    "study": ("quick",),
    "arms": ("arms",),
    "data": ("data", "data_dir"),
    "network": ("model", "network"),
    "optimizer": ("optimizer",),
    "learning rate schedule": ("schedule",),
    "training": ("epochs", "batch_size", "drop_last", "on_nan"),
    "seeds": ("seed", "init_seed", "seeds"),
    "output": (
        *("out", "resume", "tensorboard", "report", "budget"),
        *("predictions", "overwrite", "json"),
    ),
    "a published run": ("preset",),
    "checkpoints": (
        "step",
        "checkpoint_every",
        "checkpoint_minutes",
        "keep_checkpoints",
    ),
    "tests and measurements": ("test_epochs", "eval_batch_size", "observe"),
    _LAST: (),
}

# What can be typed behind `python -m train`, and what it does.
_EXAMPLES = """
run --epochs 10
    LCAM on handwritten digits
run --data npz:mine.npz --optimizer sgd --momentum 0.95
    SGD on your own images
run --epochs 50 --out runs/long --resume
    begin a long run, or continue it
compare --arms sgd lcam --seeds 0 1 2
    two optimizers, three seeds of each
compare --arms sgd:momentum=0.95 lcam:low-loss-momentum=0.95
    with options
compare --arms sgd lcam --seeds 0 1 2 3 --out runs/four --resume
    begin a comparison, or continue it
study ablation --quick
    some minutes on two cores
study ablation --quick --arms lcam chance
    two arms and the reference
study ablation --quick --budget 60
    begin no run after an hour
report runs/study-ablation-quick
    make a report again
report runs/a runs/b --out runs/joined
    join two parts of a study
plot runs/digits-lcam-seed0
    draw a run
plot runs/compare-digits runs/a --out both.pdf
    draw a comparison and a run on common axes
evaluate runs/digits-lcam-seed0
    test the network of a run
evaluate runs/digits-lcam-seed0 --data npz:new.npz --predictions new.csv
    predict the classes of your own images
export runs/digits-lcam-seed0 weights.safetensors
    write the weights for other programs
runs
    list the runs in the folder runs
runs --json
    list them for a program
"""


def overview() -> str:
    """What the program can do."""
    about = "Trains networks with SGD, LCAM or AdamW, and compares optimizers."
    examples = [_examples("run")[0], _examples("compare")[0]]
    parser = _parser("COMMAND [OPTIONS]", about, examples)
    commands = parser.add_argument_group("commands")
    for name, kind in COMMANDS.items():
        commands.add_argument(name, help=_docstring(kind).splitlines()[0])
    options = parser.add_argument_group("options")
    about = "Show this help. With a command: explain its options."
    options.add_argument("-h", "--help", action="store_true", help=about)
    options.add_argument("--version", action="store_true", help="Show the version.")
    return parser.format_help().rstrip()


def describe(command: str) -> str:
    """What a command does, and its options."""
    return parser_of(command).format_help().rstrip()


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command: it holds what was typed, each value as text."""
    options = options_of(COMMANDS[command]).values()
    usage = [command]
    for option in options:
        if option.is_positional:
            word = option.typed + " ..." * option.is_many
            usage.append(word if option.is_required else f"[{word}]")
    usage += ["[OPTIONS]"] * (len(usage) <= len(options))
    about = _docstring(COMMANDS[command])
    parser = _parser(" ".join(usage), about, _examples(command))
    groups = {title: parser.add_argument_group(title) for title in _TITLES}
    for option in options:
        _add(groups[_title(option)], option)
    # argparse takes -1 as a value, and -1e-1 as an option.
    parser._negative_number_matcher = re.compile(r"-(\.?\d|inf|nan)")
    return parser


def _examples(command: str) -> list[str]:
    """The examples of a command, each two lines."""
    found = re.findall(rf"^{command}\b.*\n.*\n", _EXAMPLES, re.MULTILINE)
    return [textwrap.indent(f"python -m train {example}", "  ") for example in found]


def _parser(usage: str, about: str, examples: list[str]) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        usage=f"python -m train {usage}",
        description=about,
        epilog="examples:\n" + "".join(examples) if examples else None,
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )


def _title(option: Option) -> str:
    if option.is_positional:
        return _FIRST
    name = option.group or option.name
    return next((title for title, names in _TITLES.items() if name in names), _LAST)


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    """Adds an option; argparse requires none, for what lacks is told in our words."""
    kind = {"nargs": "*" if option.is_many else "?" if option.is_positional else None}
    if option.is_flag:
        kind = {"action": argparse.BooleanOptionalAction}
    action = group.add_argument(
        option.name if option.is_positional else f"--{option.typed}",
        help=_about(option).replace("%", "%%"),
        **kind,
    )
    action.metavar = _head(option)


def _head(option: Option) -> str:
    """An option and what stands for its value."""
    on = f"--{option.typed}"
    if option.is_positional:
        return option.typed
    if option.is_flag:
        return f"{on}, --no-{option.typed}" if option.default else on
    if option.choices or option.kind is bool:
        value = "{" + ",".join(map(str, option.choices or (True, False))) + "}"
    else:
        value = "TEXT" if option.kind is str else option.kind.__name__.upper()
    return f"{on} {value}" + " ..." * option.is_many


def _about(option: Option) -> str:
    """What an option means, with its default where the text does not tell it."""
    about, default = _joined(option.about), option.default
    if option.is_required:
        return about + f" One of {listing(option.choices)}." * bool(option.choices)
    if default is None or default is False:
        return about
    shown = " ".join(map(str, default)) if option.is_many else default
    if option.is_flag:
        shown = f"--{option.typed}"
    # Behind a list of choices the default has a line of its own.
    return about + ("\n" if "\n" in about else " ") + f"(default: {shown})"


def _docstring(command: type) -> str:
    return _joined(inspect.cleandoc(command.__doc__ or ""))


def _joined(text: str) -> str:
    """Makes one line of each paragraph, and of each entry of a list."""
    return re.sub(r"(?<!\n)\n(?!\n|- )", " ", text)


class _Formatter(argparse.HelpFormatter):
    """Layout: each line is a paragraph of its own, and words are never broken."""

    def __init__(self, prog: str):
        width = max(min(shutil.get_terminal_size().columns, 100), 60)
        super().__init__(prog, max_help_position=26, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return action.metavar or super()._format_action_invocation(action)

    def _split_lines(self, text: str, width: int) -> list[str]:
        lines = []
        for line in text.splitlines():
            if not line or line.startswith(" "):  # an example stays whole, to be copied
                lines.append(line)
                continue
            lines += textwrap.wrap(
                line,
                width,
                subsequent_indent="  " * line.startswith("- "),
                break_long_words=False,
                break_on_hyphens=False,
            )
        return lines

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(self._split_lines(text, width))

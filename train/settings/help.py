"""The help texts: `--help` of the program and of each command."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator

from train.settings.command_line import COMMANDS
from train.settings.fields import Option, options_of
from train.settings.suggestions import listing

# The titles of options, in the order in which a person needs them. A group of options
# counts as a whole. What stands nowhere comes last.
_TITLES = {
    "study": ("quick",),
    "arms": ("arms",),
    "data": ("data", "data_dir"),
    "network": ("model",),
    "optimizer": ("optimizer",),
    "learning rate schedule": ("schedule",),
    "training": ("epochs", "batch_size", "drop_last", "on_nan"),
    "seeds": ("seed", "init_seed", "seeds"),
    "output": ("out", "resume", "report", "budget"),
    "a published run": ("preset",),
    "checkpoints": ("checkpoint_every", "checkpoint_minutes", "keep_checkpoints"),
    "tests and measurements": ("test_epochs", "eval_batch_size", "observe"),
}
_LAST = "machinery"

_EXAMPLES = {
    "": (
        ("run --epochs 10", "train on handwritten digits"),
        ("compare --arms sgd lcam --seeds 0 1 2", "compare two optimizers"),
        ("run --help", "explain the options of a command"),
    ),
    "run": (
        ("run --epochs 10", "LCAM on handwritten digits"),
        (
            "run --data npz:mine.npz --optimizer sgd --momentum 0.95",
            "SGD on your own images",
        ),
        (
            "run --epochs 50 --out runs/long --resume",
            "begin a long run, or continue it",
        ),
    ),
    "compare": (
        ("compare --arms sgd lcam --seeds 0 1 2", "three seeds of each"),
        (
            "compare --arms sgd:momentum=0.95 lcam:low-loss-momentum=0.95",
            "with options",
        ),
        (
            "compare --arms sgd lcam --seeds 0 1 2 3 --out runs/four --resume",
            "begin a comparison, or continue it",
        ),
    ),
    "study": (
        ("study ablation --quick", "some minutes on two cores"),
        ("study ablation --quick --arms lcam chance", "two arms and the reference"),
        ("study ablation --quick --budget 60", "begin no run after an hour"),
    ),
    "report": (
        ("report runs/study-ablation-quick", "make a report again"),
        ("report runs/a runs/b --out runs/joined", "join two parts of a study"),
    ),
    "plot": (
        ("plot runs/digits-lcam-seed0", "draw a run"),
        ("plot runs/a runs/b --out both.pdf", "draw two runs side by side"),
    ),
}

_INDENT = 26  # of what explains an option


def overview() -> str:
    """What the program can do."""
    lines = [
        "usage: python -m train COMMAND [OPTIONS]",
        "",
        "Trains networks with SGD, LCAM or AdamW, and compares optimizers.",
        "",
        "commands:",
        *(line for name in COMMANDS for line in _entry(name, _docstring(name)[0])),
        "",
        "options:",
        *_entry("-h, --help", "Show this help. With a command: explain its options."),
        *_entry("--version", "Show the version."),
        *_examples(""),
    ]
    return "\n".join(lines)


def describe(command: str) -> str:
    """What a command does, and its options."""
    options = options_of(COMMANDS[command])
    first, *rest = _docstring(command)
    positional = [option for option in options.values() if option.is_positional]
    words = ["python -m train", command]
    words += [o.typed.upper() + " ..." * o.is_many for o in positional]
    words += ["[OPTIONS]"] * (len(options) > len(positional))
    lines = [f"usage: {' '.join(words)}", "", *_wrapped(first, 0)]
    for paragraph in rest:
        lines += ["", *_wrapped(paragraph, 0)]
    for title, members in _arranged(options.values()):
        lines += ["", f"{title}:"]
        for option in members:
            lines += _entry(_usage(option), _about(option))
    return "\n".join([*lines, *_examples(command)])


def _arranged(options: Iterable[Option]) -> Iterator[tuple[str, list[Option]]]:
    """Each title that has options, with them."""
    left = list(options)
    names = {"arguments": None, **_TITLES, _LAST: None}
    for title, wanted in names.items():
        if title == "arguments":
            members = [option for option in left if option.is_positional]
        elif wanted is None:
            members = left
        else:
            places = {name: place for place, name in enumerate(wanted)}
            members = [o for o in left if (o.group or o.name) in places]
            members.sort(key=lambda option: places[option.group or option.name])
        left = [option for option in left if option not in members]
        if members:
            yield title, members


def _usage(option: Option) -> str:
    """An option and its value, as they are typed."""
    if option.is_positional:
        return option.typed.upper()
    if option.is_flag:
        on = f"--{option.typed}"
        return f"{on}, --no-{option.typed}" if option.default else on
    if option.choices or option.kind is bool:
        value = "{" + ",".join(map(str, option.choices or (True, False))) + "}"
    else:
        value = "TEXT" if option.kind is str else option.kind.__name__.upper()
    return f"--{option.typed} {value}" + " ..." * option.is_many


def _about(option: Option) -> str:
    """What an option means, with its default where the text does not tell it."""
    default = option.default
    if option.is_positional and option.choices:
        return f"{option.about} One of {listing(option.choices)}."
    if option.is_positional or default is None or default is False:
        return option.about
    shown = " ".join(map(str, default)) if option.is_many else default
    if option.is_flag:
        shown = f"--{option.typed}"
    # Behind a list of choices the default has a line of its own.
    between = "\n- " if "\n- " in option.about else " "
    return f"{option.about}{between}(default: {shown})"


def _docstring(command: str) -> list[str]:
    """The paragraphs of a command's docstring, each as one line."""
    text = inspect.cleandoc(COMMANDS[command].__doc__ or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _entry(usage: str, about: str) -> list[str]:
    lines = []
    for text in re.split(r"\n(?=- )", about):
        text = " ".join(text.split()).replace("- (default", "(default")
        lines += _wrapped(text, _INDENT)
    head = f"  {usage}"
    if len(head) > _INDENT - 2:
        return [head, *lines]
    return [head.ljust(_INDENT) + lines[0].lstrip(), *lines[1:]]


def _wrapped(text: str, indent: int) -> list[str]:
    width = min(shutil.get_terminal_size().columns, 100)
    margin = " " * indent
    return textwrap.wrap(
        text,
        max(width, 60),
        initial_indent=margin,
        subsequent_indent=margin + "  " * text.startswith("- "),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _examples(command: str) -> list[str]:
    lines = []
    for words, what in _EXAMPLES.get(command, ()):
        lines += [f"  python -m train {words}", f"      {what}"]
    return ["", "examples:", *lines] if lines else []

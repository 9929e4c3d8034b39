"""The arms of a comparison: optimizers with their options, each as one word."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from train.errors import InputError
from train.paths import expand
from train.settings.cli import SPACES, make, parser_of, read, why_not
from train.settings.experiment import Experiment
from train.settings.fields import check
from train.settings.optimizer import Optimizer, parse_optimizer
from train.settings.options import own_sha256

# Options of all optimizers: those that belong to no optimizer.
_SHARED = [
    field.name.replace("_", "-")
    for field in dataclasses.fields(Optimizer)
    if "optimizer" not in field.metadata.get("of", {})
]


def _parts(arm: str) -> tuple[str, str | None]:
    """The name of an arm's optimizer, and its options as typed, if it has some."""
    return re.fullmatch(r"(.*?\.py:\w*|[^:]*)(?::(.*))?", arm, re.S).groups()


def parse_arm(text: str) -> Optimizer:
    """Parses `NAME` or `NAME:OPTION=VALUE,...`, as if the options were typed."""
    name, rest = _parts(text)
    parser = parser_of("run", Optimizer)
    known = [each[2:] for each in parser._option_string_actions]
    shared = [each[2:] for each in parser_of("run", Experiment)._option_string_actions]
    words, own = {"optimizer": name.strip()}, {}
    try:
        is_one = "," not in name or expand(Path(name.rpartition(":")[0])).is_file()
        check(is_one, f"NAME must be one optimizer, got {name!r}.{SPACES}")
        for word in rest.split(",") if rest is not None else ():
            key, equals, value = (part.strip() for part in word.partition("="))
            form = "OPTION=VALUE, as in sgd:momentum=0.95"
            check(equals == "=", f"expected {form}, got {word!r}.")
            check(":" not in value, f"got {word!r}: put a comma between options.")
            key = key.replace("_", "-")
            check(key not in words | own, f"{key} stands there twice: leave one out.")
            # What is no option of the program is one of the optimizer's own.
            is_own = "." in name and (key not in _SHARED or "/" in value)
            check(
                key not in shared, f"all arms share --{key}: give it outside of --arms."
            )
            if not is_own and key not in known:
                raise InputError(why_not(name, f"--{key}", parser, {}))
            (own if is_own else words)[key] = value
        typed = [f"--{key}={value}" for key, value in words.items()]
        typed += ["--optimizer-options"] * bool(own)
        typed += [f"{key}={value}" for key, value in own.items()]
        given, _ = read(parser, typed)
        optimizer = make(Optimizer, given)
        optimizer.check(given)
    except InputError as error:
        raise InputError(f"--arms {text}: {error}") from None
    return optimizer


def parse_arms(texts: Sequence[str]) -> dict[str, Optimizer]:
    """Parses arms, of which no two may be the same."""
    arms = {text: parse_arm(text) for text in texts}
    texts_of = {optimizer: text for text, optimizer in arms.items()}
    for text, optimizer in arms.items():
        own_sha256(parse_optimizer(optimizer.optimizer))  # refuses one without a file
        check(
            text == texts_of[optimizer],
            f"--arms {text} and {texts_of[optimizer]} are the same optimizer: an "
            "option at its default changes nothing. Leave one out.",
        )
    return arms


def at_rate(arm: str, rate: float) -> str:
    """The arm with a learning rate, of which it may have none of its own."""
    check(
        "learning_rate" not in arm.replace("-", "_"),
        f"--arms {arm} has a learning rate, and --learning-rates tries others with "
        "every arm: leave one out.",
    )
    return f"{arm}{':' if _parts(arm)[1] is None else ','}learning-rate={rate}"

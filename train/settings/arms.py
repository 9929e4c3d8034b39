"""The arms of a comparison: optimizers with their options, each as one word."""

from collections.abc import Sequence

from train.errors import InputError
from train.settings.cli import SPACES, flag, make, parser_of, read, why_not
from train.settings.experiment import Experiment
from train.settings.fields import check
from train.settings.optimizer import Optimizer


def parse_arm(text: str) -> Optimizer:
    """Parses `NAME` or `NAME:OPTION=VALUE,...`, as if the options were typed."""
    name, *rest = text.split(":", 1)
    words = {"--optimizer": name.strip()}
    try:
        check("," not in name, f"NAME must be one optimizer, got {name!r}.{SPACES}")
        for word in rest[0].split(",") if rest else ():
            key, equals, value = (part.strip() for part in word.partition("="))
            form = "OPTION=VALUE, as in sgd:momentum=0.95"
            check(equals == "=", f"expected {form}, got {word!r}.")
            check(":" not in value, f"got {word!r}: put a comma between options.")
            check(flag(key) not in words, f"{key} stands there twice: leave one out.")
            words[flag(key)] = value
        parser = parser_of("run", Optimizer)
        given, unknown = read(parser, [f"{key}={words[key]}" for key in words])
        if unknown is not None:
            key = unknown.partition("=")[0]
            shared = key in parser_of("run", Experiment)._option_string_actions
            check(not shared, f"all arms share {key}: give it outside of --arms.")
            raise InputError(why_not(name, key, parser, {}))
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
    return f"{arm}{',' if ':' in arm else ':'}learning-rate={rate}"

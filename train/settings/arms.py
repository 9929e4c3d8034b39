"""The arms of a comparison: optimizers with their options, each as one word."""

from collections.abc import Sequence

from train.errors import InputError
from train.settings.experiment import Experiment
from train.settings.fields import Option, options_of, read_value
from train.settings.optimizer import Optimizer
from train.settings.relevance import applies, check_typed
from train.settings.suggestions import did_you_mean, listing, spaces_hint


def parse_arm(text: str) -> Optimizer:
    """Parses `NAME` or `NAME:OPTION=VALUE,...`.

    Raises:
      InputError: the text is not of this form, there is no such optimizer or option, or
        a value cannot be used.
    """
    name, colon, rest = text.partition(":")
    options = options_of(Optimizer)
    try:
        if hint := spaces_hint(name):
            raise InputError(f"NAME must be one optimizer, got {name!r}.{hint}")
        values = {"optimizer": read_value(options["optimizer"], "NAME", name.strip())}
        for word in rest.split(",") if colon else ():
            key, equals, value = (part.strip() for part in word.partition("="))
            if not equals:
                raise InputError(
                    f"expected OPTION=VALUE, as in sgd:momentum=0.95, got {word!r}."
                )
            option = _option(values["optimizer"], key)
            if option.name in values:
                raise InputError(f"{key} stands there twice: leave one out.")
            values[option.name] = read_value(option, key, value)
        optimizer = Optimizer(**values)
        check_typed(optimizer, values)
    except InputError as error:
        raise InputError(f"--arms {text}: {error}") from None
    return optimizer


def parse_arms(texts: Sequence[str]) -> dict[str, Optimizer]:
    """Parses arms, and makes sure that they differ.

    Raises:
      InputError: two arms are the same optimizer with the same options, or one cannot
        be parsed.
    """
    arms = {text: parse_arm(text) for text in texts}
    by_optimizer: dict[Optimizer, str] = {}
    for text, optimizer in arms.items():
        other = by_optimizer.setdefault(optimizer, text)
        if other != text:
            raise InputError(
                f"--arms {other} and {text} are the same optimizer: an option at its "
                "default changes nothing. Leave one out."
            )
    return arms


def at_rate(arm: str, rate: float) -> str:
    """The arm with a learning rate.

    Raises:
      InputError: it has one of its own.
    """
    _, colon, options = arm.partition(":")
    keys = [word.partition("=")[0].strip() for word in options.split(",")]
    if "learning_rate" in (key.replace("-", "_") for key in keys):
        raise InputError(
            f"--arms {arm} has a learning rate, and --learning-rates tries others with "
            "every arm: leave one out."
        )
    return f"{arm}{',' if colon else ':'}learning-rate={rate}"


def _option(optimizer: str, key: str) -> Option:
    """The option that an arm names.

    Raises:
      InputError: arms have no such option.
    """
    options = options_of(Optimizer)
    name = key.replace("-", "_")
    if name in options and name != "optimizer":
        return options[name]
    if name in options_of(Experiment):
        raise InputError(f"all arms share --{key}: give it outside of --arms.")
    known = [
        option.typed
        for name, option in options.items()
        if name != "optimizer" and applies(name, optimizer)
    ]
    raise InputError(
        f"{optimizer} has no option {key!r}.{did_you_mean(key, known)} Its options are "
        f"{listing(known, 'and')}."
    )

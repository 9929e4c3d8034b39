"""Which options belong to which choices: one that would be ignored is refused."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from train.settings.checks import check, flag
from train.settings.suggestions import listing

DEFAULT_DECAY = 0.9  # that of `lcam_optax.ema_average`
# Decay of an average that decides nothing: against it SGD's phases are recorded.
UNUSED_DECAY = 0.99
SIGNALS = ("loss", "fixed", "examples")  # phases that a loss decides

# Options of the phase: of LCAM, and of AdamW where the phase picks its b1.
PHASE_OPTIONS = (
    *("loss_average", "ema_decay", "margin", "lagged"),
    *("phase", "low_loss_share", "phases_of"),
)

# Options that belong to some choices only.
_APPLIES_TO = {
    **dict.fromkeys(PHASE_OPTIONS, ("lcam", "adamw")),
    "data_dir": ("cifar10", "cifar100"),
    "momentum": ("sgd",),
    "high_loss_momentum": ("lcam",),
    "low_loss_momentum": ("lcam",),
    "nesterov": ("lcam", "sgd"),
    "adam_b1": ("adamw",),
    "high_loss_b1": ("adamw",),
    "low_loss_b1": ("adamw",),
    "adam_b2": ("adamw",),
    "adam_epsilon": ("adamw",),
    "depth": ("wide_resnet",),
    "widen": ("wide_resnet",),
    "dtype": ("transformer", "wide_resnet"),
    "hidden": ("mlp",),
    "width": ("transformer",),
    "layers": ("transformer",),
    "heads": ("transformer",),
    "milestones": ("step",),
    "milestone_factor": ("step",),
    "exponential_rate": ("exponential",),
    "exponential_after": ("exponential",),
}

# The same for a second choice, which the option above it must have made.
_ALSO_APPLIES_TO = {
    "ema_decay": {"loss_average": ("ema",), "phase": sorted(SIGNALS)},
    "loss_average": {"phase": sorted(SIGNALS)},
    "margin": {"phase": sorted(SIGNALS)},
    "low_loss_share": {"phase": ("chance",)},
}

# What an option may be where it is ignored, besides its default.
_UNUSED = {"ema_decay": (DEFAULT_DECAY, UNUSED_DECAY)}


def applies(option: str, choice: str) -> bool:
    """Whether an option acts with the choice that its group depends on."""
    return option not in _APPLIES_TO or choice in _APPLIES_TO[option]


def check_relevance(group: Any, choice: str, typed: Iterable[str] = ()) -> None:
    """Refuses an option that would be ignored: silence would mislead.

    Args:
      group: the options.
      choice: the option that the others depend on.
      typed: names of options that count even at their defaults.
    """
    for option in dataclasses.fields(group):
        if option.name not in typed and _is_default(group, option):
            continue
        rules = dict(_ALSO_APPLIES_TO.get(option.name, {}))
        if option.name in _APPLIES_TO:
            rules = {choice: _APPLIES_TO[option.name]} | rules
        for other, applies_to in rules.items():
            chosen = getattr(group, other)
            check(
                chosen in applies_to,
                f"{flag(option.name)} belongs to {flag(other)} "
                f"{listing(applies_to)}, and would be ignored with {chosen}.",
            )
        check(
            option.name not in PHASE_OPTIONS or group.by_phase,
            f"{flag(option.name)} belongs to adamw with --high-loss-b1 and "
            "--low-loss-b1, and would be ignored without them.",
        )


def _is_default(group: Any, option: dataclasses.Field) -> bool:
    return getattr(group, option.name) in (
        option.default,
        *_UNUSED.get(option.name, ()),
    )


def check_typed(group: Any, typed: Iterable[str]) -> None:
    """Refuses options that were typed and would be ignored, even at their defaults."""
    check_relevance(group, dataclasses.fields(group)[0].name, typed)

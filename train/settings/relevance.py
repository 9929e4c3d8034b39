"""Which options belong to which choices: one that would be ignored is refused."""

import dataclasses
from typing import Any

from train.settings.checks import check, flag

# Options that belong to some choices only.
_APPLIES_TO = {
    "data_dir": {"cifar10", "cifar100"},
    "momentum": {"sgd"},
    "high_loss_momentum": {"lcam"},
    "low_loss_momentum": {"lcam"},
    "loss_average": {"lcam"},
    "ema_decay": {"lcam"},
    "margin": {"lcam"},
    "lagged": {"lcam"},
    "phase": {"lcam"},
    "low_loss_share": {"lcam"},
    "phases_of": {"lcam"},
    "nesterov": {"sgd", "lcam"},
    "adam_b1": {"adamw"},
    "adam_b2": {"adamw"},
    "adam_epsilon": {"adamw"},
    "depth": {"wide_resnet"},
    "widen": {"wide_resnet"},
    "dtype": {"wide_resnet", "transformer"},
    "hidden": {"mlp"},
    "width": {"transformer"},
    "layers": {"transformer"},
    "heads": {"transformer"},
    "milestones": {"step"},
    "milestone_factor": {"step"},
    "exponential_rate": {"exponential"},
    "exponential_after": {"exponential"},
}


def check_relevance(group: Any, choice: str) -> None:
    """Refuses an option that would be ignored: silence would mislead."""
    chosen = getattr(group, choice)
    for option in dataclasses.fields(group):
        applies_to = _APPLIES_TO.get(option.name, {chosen})
        check(
            chosen in applies_to or getattr(group, option.name) == option.default,
            f"{flag(option.name)} belongs to {flag(choice)} "
            f"{' or '.join(sorted(applies_to))}, and would be ignored with {chosen}.",
        )

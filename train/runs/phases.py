"""A remark on a run whose phase does not change: it is not LCAM that trains then."""

from typing import Any

from train.settings.optimizer import SIGNALS, Optimizer

# Of an epoch's steps in one phase: there the two coefficients are as good as one.
NEARLY_ALL = 0.98

# An epoch of fewer steps has one phase by chance.
FEWEST_STEPS = 10


def same_phase(row: dict[str, Any], optimizer: Optimizer) -> str | None:
    """What to say of an epoch whose phase was nearly always the same; None otherwise.

    Args:
      row: of the epoch, in `metrics.jsonl`.
      optimizer: of the run.
    """
    low, high = optimizer.low_loss_momentum, optimizer.high_loss_momentum
    constant = "LCAM was SGD with momentum"
    if optimizer.optimizer == "adamw":
        low, high = optimizer.low_loss_b1, optimizer.high_loss_b1
        constant = "AdamW had a fixed b1 of"
    is_switched = optimizer.by_phase and optimizer.phase in SIGNALS
    if not is_switched or low == high or row["step"] < FEWEST_STEPS * row["epoch"]:
        return None
    share = row["low_loss_share"]
    if max(share, 1 - share) < NEARLY_ALL:
        return None
    phase, momentum = ("low", low) if share > 0.5 else ("high", high)
    if optimizer.margin:
        advice = "Inside the dead band the phase stays: try a smaller --margin."
    elif phase == "high":
        advice = "The loss hardly falls: try a smaller --learning-rate."
    elif optimizer.loss_average == "epoch":
        advice = "The average is slower than the loss: try --loss-average ema."
    else:
        advice = (
            "The average is slower than the loss: try an --ema-decay below "
            f"{optimizer.ema_decay:g}."
        )
    return (
        f"note: {100 * max(share, 1 - share):.0f} % of the steps of epoch "
        f"{row['epoch']} were in the {phase}-loss phase, so {constant} {momentum:g}. "
        f"{advice}"
    )

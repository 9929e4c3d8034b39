"""What is said of a run: that its phase hardly changes, and what it came to."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.data.dataset import in_units
from train.runs import records
from train.runs.display import as_clock
from train.settings.experiment import Run
from train.settings.optimizer import SIGNALS, Optimizer

# Of an epoch's steps in one phase: there the two coefficients are as good as one.
NEARLY_ALL = 0.98

# An epoch of fewer steps has one phase by chance.
FEWEST_STEPS = 10


def same_phase(row: dict[str, Any], optimizer: Optimizer) -> str | None:
    """What to say of an epoch whose phase was nearly always the same; None otherwise.

    It is not LCAM that trains then. The row is that of `metrics.jsonl`.
    """
    if optimizer.is_lcam:
        low, high = optimizer.low_loss_momentum, optimizer.high_loss_momentum
        constant = "LCAM was SGD with momentum {:g}"
    else:
        name, pair = next(iter(optimizer.pairs.items()), ("", (0.0, 0.0)))
        high, low = pair
        constant = f"{optimizer.short_name} had a fixed {name} of {{:g}}"
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
        f"{row['epoch']} were in the {phase}-loss phase, so "
        f"{constant.format(momentum)}. "
        f"{advice}"
    )


def summarize(
    config: Run, folder: Path, table: Mapping[str, Any], picture: Path | None = None
) -> list[str]:
    """What a run came to, where it is, and what can be done next, in lines."""
    rows, optimizer, units = records.read_metrics(folder), config.optimizer, []
    last = rows[-1]
    loss = "not finite" if last["train_loss"] is None else f"{last['train_loss']:.4f}"
    results = [f"training loss {loss}"]
    if (error := last.get("test_error")) is not None:
        units = in_units(table, error)
        unit = "% of the variance" if units else "%"
        results.insert(0, f"{config.data.tested} error {error:.2f} {unit}")
    clock = as_clock(sum(row["seconds"] for row in rows))
    epochs = _count(len(rows), "epoch", "s")
    lines = [f"{', '.join(results)} after {epochs} in {clock}", *units]
    if optimizer.by_phase:
        share = sum(row["low_loss_share"] for row in rows) / len(rows)
        switches = _count(sum(row["phase_switches"] for row in rows), "switch", "es")
        lines.append(f"low-loss phase in {share:.0%} of the steps, {switches}")
    if config.keep_best and (best := records.best_step(folder, last["step"])):
        lines.append(f"lowest validation error: step {best} (evaluate --step best)")
    lines.append(f"folder: {folder}")
    if picture is not None:
        lines.append(f"picture: {picture}")
    if config.tensorboard:
        lines.append(f"charts: tensorboard --logdir {shlex.quote(str(folder))}")
    if optimizer.phases_of is None:
        arms = f"sgd {optimizer.optimizer}"
        if optimizer.optimizer == "sgd":
            arms = "sgd lcam"
        elif optimizer.optimizer_options:
            own, ours = optimizer.optimizer_options, optimizer.optimizer
            base = ",".join(word for word in own if "/" not in word)
            base = f"{ours}:{base}".rstrip(":") if optimizer.by_phase else "sgd"
            arms = f"{base} {ours}:{','.join(own)}"
        lines.append(
            f"next: the same with compare --arms {arms} --seeds 0 1 2 in place of run"
        )
    return lines


def _count(number: int, noun: str, ending: str) -> str:
    """A number of things, with the noun's ending for several."""
    return f"{number:,} {noun}{ending if number != 1 else ''}"

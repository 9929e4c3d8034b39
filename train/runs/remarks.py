"""What is said of a run: that its phase hardly changes, and what it came to."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.data.dataset import in_units
from train.paths import command_line
from train.runs import records
from train.runs.display import as_clock, as_loss
from train.settings.experiment import Experiment, Run, shared_options
from train.settings.fields import as_words
from train.settings.optimizer import SIGNALS

# Of an epoch's steps in one phase: there the two coefficients are as good as one.
NEARLY_ALL = 0.98
# An epoch of fewer steps has one phase by chance; a batch of fewer examples any loss.
FEWEST_STEPS, FEWEST_EXAMPLES = 10, 8
GROWN = 2  # from so many times the loss of the first step
CALMER = "Try a smaller --learning-rate, --warmup-epochs or --clip-norm"
# Options that a run's opponent has too.
_OF_BOTH = ("learning-rate", "weight-decay", "clip-norm", "nesterov")


def oddity(row: dict[str, Any], config: Run, first_loss: float) -> str | None:
    """What to say of an epoch whose loss grew or whose phase hardly changed, or None.

    It is not LCAM that trains then. The row is that of `metrics.jsonl`, the loss that
    of the run's first step.
    """
    loss, optimizer = row["train_loss"], config.optimizer
    if config.batch_size >= FEWEST_EXAMPLES and not loss <= GROWN * first_loss:
        return (
            f"note: the training loss grew, from {as_loss(first_loss)} in the first "
            f"step to {as_loss(loss)} in epoch {row['epoch']}. {CALMER}."
        )
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
    results = [f"training loss {as_loss(last['train_loss'])}"]
    if (error := last.get("test_error")) is not None:
        units = [*map(" ".join, in_units(table, error).items())]
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
        lines.append(f"next: {_comparison(config)}")
    return lines


def _comparison(config: Run) -> str:
    """The command that compares a run with what it differs from in one thing."""
    optimizer, name = config.optimizer, config.optimizer.optimizer
    words = [word for word in as_words(optimizer) if "--optimizer" not in word]
    ours = [word.removeprefix("--") for word in words]
    other = name if optimizer.pairs else "lcam" if name == "sgd" else "sgd"
    kept = (*optimizer.optimizer_options, *_OF_BOTH)
    theirs = [word.partition("/")[0] for word in ours if word.startswith(kept)]
    theirs *= optimizer.by_phase or name == "sgd"
    arms = [
        f"{a}:{','.join(b)}".rstrip(":") for a, b in ((other, theirs), (name, ours))
    ]
    arms.sort(key=lambda arm: arm[:3] != "sgd")
    shared = as_words(Experiment(**shared_options(config)))
    return command_line("compare", "--arms", *arms, "--seeds", *"012", *shared)


def _count(number: int, noun: str, ending: str) -> str:
    """A number of things, with the noun's ending for several."""
    return f"{number:,} {noun}{ending if number != 1 else ''}"

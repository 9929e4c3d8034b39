"""The arms of a comparison, and the choice of their learning rates by validation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.data.dataset import Dataset
from train.errors import DivergedError
from train.reports.outcomes import Result, write_tables
from train.reports.tables import WIDTH, aligned
from train.runs.writing import no_link, writing
from train.settings.arms import parse_arms
from train.settings.commands import Compare
from train.settings.experiment import Experiment, shared_options
from train.studies.arms import Arm, Block
from train.studies.study import describe_study, run_blocks
from train.studies.trials import Clock

OUTCOMES = ["last_error", "last_epochs_error", "area"]  # of comparisons


def make_block(config: Compare, arms: Sequence[str]) -> Block:
    """The block of a comparison: `arms` as they are typed, the first its reference."""
    return Block(
        config.data.data.partition(":")[0],
        Experiment(**shared_options(config)),
        tuple(
            Arm(name, optimizer, folder=f"{number}-{optimizer.optimizer}")
            for number, (name, optimizer) in enumerate(parse_arms(arms).items(), 1)
        ),
        reference=arms[0],
    )


def choose_rates(
    config: Compare, dataset: Dataset, folder: Path, clock: Clock
) -> tuple[str, ...] | None:
    """Runs every arm at every rate; prints a table of their validation errors.

    An arm gets the rate with the lowest error of the last epoch, in the mean over the
    seeds; of several, the lowest. A rate at which a run diverges is not chosen.

    Args:
      config: the comparison, with `learning_rates`.
      dataset: its test set are the examples to choose by.
      folder: of these runs.
      clock: says when no further run is begun.

    Returns:
      The arms at their rates; None where runs are missing: the budget is used up, or
      another process works on them.
    """
    by_arm = config.arms_at_rates()
    block = make_block(config, [arm for tried in by_arm for arm in tried])
    question = "At which learning rate has each optimizer the lowest validation error?"
    about = describe_study("validation", question, [block], OUTCOMES)
    seeds = config.validation_seeds
    print(
        f"Choosing each arm's learning rate by {len(dataset.test_inputs):,} examples "
        "kept out of training."
    )
    with writing(folder):
        no_link(folder).mkdir(exist_ok=True)
    found = run_blocks(config, about, [block], seeds, folder, lambda _: dataset, clock)
    wanted = {(block.name, arm.name, seed) for arm in block.arms for seed in seeds}
    if not wanted <= set(found.runs.index):
        if not clock.is_over():
            print(
                "Its runs help to choose. When they have ended: the same command with "
                f"--out {folder.parent} --resume"
            )
        return None
    [result], _ = write_tables(no_link(folder / "report"), found)
    errors = [[_error(result, arm) for arm in tried] for tried in by_arm]
    chosen = [int(np.argmin(row)) for row in errors]
    print(f"\n{_table(config, errors, chosen)}\n")
    for arm, row in zip(config.arms, errors, strict=True):
        if np.isinf(row).all():
            raise DivergedError(
                f"{arm} diverged at every learning rate: try lower ones"
            )
    return tuple(tried[best] for tried, best in zip(by_arm, chosen, strict=True))


def _error(result: Result, arm: str) -> float:
    """Mean validation error of an arm; infinite if it diverged."""
    arms = result.arms
    return float(np.mean(arms[arm].last_error)) if arm in arms else np.inf


def _table(
    config: Compare, errors: Sequence[Sequence[float]], chosen: Sequence[int]
) -> str:
    """A row for each arm, and a warning where its best rate is at the end."""
    rates = config.learning_rates
    cells = [["learning rate", *(f"{rate:g}" for rate in rates)]]
    for arm, ours, best in zip(config.arms, errors, chosen, strict=True):
        row = [_shown(error) for error in ours]
        if np.isfinite(ours[best]):
            row[best] += " *"
        cells.append([arm, *row])
    ends = {min(rates): "lowest", max(rates): "highest"}
    count = len(config.validation_seeds)
    number = f"mean of {count} seeds" if count > 1 else "one seed"
    lines = [f"validation error after the last epoch, {number}; * is chosen"]
    lines += aligned(cells, WIDTH)
    for arm, best, ours in zip(config.arms, chosen, errors, strict=True):
        if rates[best] in ends and np.isfinite(ours[best]):
            lines.append(
                f"warning: {arm} is best at {rates[best]:g}, the {ends[rates[best]]} "
                "rate tried. Try others beyond it."
            )
    return "\n".join(lines)


def _shown(error: float) -> str:
    if np.isinf(error):
        return "diverged"
    return f"{error:.2f}" if error < 1e5 else f"{error:.1e}"

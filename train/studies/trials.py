"""Runs arms with seeds: resumable, shared between processes, within a budget."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.data.dataset import Dataset, fingerprint
from train.errors import BusyError, DivergedError, InputError
from train.runs import loop, records
from train.runs.folder import check_claim
from train.settings.experiment import Run, make_run
from train.settings.options import Data, Optimizer
from train.studies.arms import Arm, Block


class Trial(NamedTuple):
    """A run that has ended.

    Attributes:
      block: name of its block.
      arm: name of its arm.
      seed: of weights, order and augmentation.
      rows: of `metrics.jsonl`, one an epoch.
      diverged: whether a loss stopped being finite.
      folder: what it wrote.
    """

    block: str
    arm: str
    seed: int
    rows: list[dict[str, Any]]
    diverged: bool
    folder: Path


def run_trials(
    blocks: Sequence[Block],
    seeds: Sequence[int],
    folder: Path,
    load: Callable[[Data], Dataset],
    *,
    budget: float | None = None,
) -> None:
    """Runs what is not done; prints a line a run, with the time left.

    The seed is the outer loop and the arm the inner one, so that whatever stops the
    study leaves it balanced. A run that another process is at work on is left to it.

    Args:
      blocks: what is run.
      seeds: with which each arm of each block is run.
      folder: of the study.
      load: gives a block's data.
      budget: minutes after which no further run is begun.

    Raises:
      InputError: an option or a folder cannot be used, or a run that has ended is not
        the one that would be run now.
    """
    start = time.perf_counter()
    todo = _in_order(blocks, seeds)
    total, own = len(todo), 0
    waiting = todo  # of this process or another
    while todo:
        left = []
        for seed, block, arm in todo:
            dataset = load(block.experiment.data)
            if read_trial(folder, block, arm, seed) is not None:
                _check_same(folder, block, arm, seed, seeds, fingerprint(dataset))
                continue
            elapsed = time.perf_counter() - start
            if budget is not None and elapsed > 60 * budget:
                print(f"{budget:g} minutes are over: the same command goes on.")
                return
            try:
                config = _config(folder, block, arm, seed, seeds)
                loop.run(config, dataset, quiet=True)
            except BusyError:
                left.append((seed, block, arm))
                continue
            except DivergedError as error:
                print(f"{block.name}, {arm.name}, seed {seed}: {error}")
            own += 1
            waiting = [
                key for key in waiting if read_trial(folder, *key[1:], key[0]) is None
            ]
            rest = (time.perf_counter() - start) / own * len(waiting)
            print(
                f"[{total - len(waiting)}/{total}] {block.name}, {arm.name}, seed "
                f"{seed}: {_result(read_trial(folder, block, arm, seed))} "
                f"({_clock(rest)} left)",
                flush=True,
            )
        if len(left) == len(todo):
            print(f"{len(left)} runs are left to another process at work in {folder}.")
            return
        todo = left


def read_trial(folder: Path, block: Block, arm: Arm, seed: int) -> Trial | None:
    """Reads a run of a study; None if it has not ended."""
    out = trial_folder(folder, block, arm, seed)
    rows = records.read_ended(out, block.experiment.epochs)
    if rows is None:
        return None
    watches = block.experiment.observe != "nothing"
    if not all(_is_row(row) and (not watches or "observed" in row) for row in rows):
        raise InputError(
            f"{out / 'metrics.jsonl'} was changed or damaged: move {out} away, and "
            "this run will be done anew."
        )
    diverged = records.has_diverged(rows)
    return Trial(block.name, arm.name, seed, rows, diverged, out)


def _is_row(row: Any) -> bool:
    """Whether an epoch's row holds the numbers that outcomes are made of."""
    if not isinstance(row, dict):
        return False
    numbers = [row.get(name) for name in ("test_error", "mean_momentum", "seconds")]
    losses = "train_loss" in row and "test_loss" in row  # null where it diverged
    return losses and all(isinstance(number, int | float) for number in numbers)


def trial_folder(folder: Path, block: Block, arm: Arm, seed: int) -> Path:
    """Where a run of a study is kept."""
    return folder / "runs" / block.name / f"{arm.name}-seed{seed}"


def mean_of(rows: Sequence[dict[str, Any]], name: str) -> float:
    """Mean over the epochs of what a run reports."""
    return sum(row[name] for row in rows) / len(rows)


def matched_seed(arm: Arm, seed: int, seeds: Sequence[int]) -> int:
    """The seed of the run of `lcam` that an arm is matched with: most often its own.

    What is borrowed comes from the seed before; the first seed's from the second.
    """
    if arm.matched != "borrowed":
        return seed
    return seeds[abs(seeds.index(seed) - 1)]


def _in_order(
    blocks: Sequence[Block], seeds: Sequence[int]
) -> list[tuple[int, Block, Arm]]:
    """All runs, seed by seed; what borrows from a later seed comes behind it."""

    def when(run: tuple[int, Block, Arm]) -> tuple[int, bool]:
        own = seeds.index(run[0])
        other = seeds.index(matched_seed(run[2], run[0], seeds))
        return max(own, other), own < other

    runs = [
        (seed, block, arm) for seed in seeds for block in blocks for arm in block.arms
    ]
    return sorted(runs, key=when)


def _config(
    folder: Path, block: Block, arm: Arm, seed: int, seeds: Sequence[int]
) -> Run:
    """What a run of a study is; see `_matched` for what it raises."""
    return make_run(
        block.experiment,
        optimizer=_matched(folder, block, arm, matched_seed(arm, seed, seeds)),
        seed=seed,
        out=trial_folder(folder, block, arm, seed),
        resume=True,
    )


def _check_same(
    folder: Path,
    block: Block,
    arm: Arm,
    seed: int,
    seeds: Sequence[int],
    data_sha256: str,
) -> None:
    """Makes sure that a run that has ended is the one the study would run now.

    Raises:
      InputError: its options or data were others.
    """
    try:
        config = _config(folder, block, arm, seed, seeds)
    except (BusyError, DivergedError):  # nothing to match it with
        return
    check_claim(config.out, config, only_saved=True, data_sha256=data_sha256)


def _matched(folder: Path, block: Block, arm: Arm, seed: int) -> Optimizer:
    """The arm's optimizer, with what it takes from LCAM's run of a seed.

    Raises:
      BusyError: another process is at work on that run.
      DivergedError: that run diverged.
    """
    if arm.matched is None:
        return arm.optimizer
    lcam = next(arm for arm in block.arms if arm.name == "lcam")
    trial = read_trial(folder, block, lcam, seed)
    if trial is None:
        raise BusyError(f"{trial_folder(folder, block, lcam, seed)} has not ended.")
    if trial.diverged:
        raise DivergedError("lcam diverged: there is nothing to match.")
    momentum = mean_of(trial.rows, "mean_momentum")
    match arm.matched:
        case "momentum":
            changes = {"momentum": momentum}
        case "step":
            # Switching by chance has the mean path of the mean coefficient.
            stretch = (1 - arm.optimizer.momentum) / (1 - momentum)
            changes = {"learning_rate": arm.optimizer.learning_rate * stretch}
        case "share":
            share = min(mean_of(trial.rows, "low_loss_share"), 0.999999)
            changes = {"phase": "chance", "low_loss_share": share}
        case "phases":
            changes = {"phase": "shuffled", "phases_of": trial.folder}
        case "borrowed":
            changes = {"phase": "borrowed", "phases_of": trial.folder}
    return dataclasses.replace(arm.optimizer, **changes)


def _result(trial: Trial | None) -> str:
    if trial is None or trial.diverged:
        return "diverged"
    return f"test error {trial.rows[-1]['test_error']:.2f} %"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"

"""Runs arms with seeds: resumable, shared between processes, within a budget."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from train.data.dataset import Dataset, fingerprint
from train.errors import ADVICE, BusyError, DivergedError
from train.reports.collecting import Trial, read_trial_at
from train.runs import loop, records
from train.runs.display import as_clock
from train.runs.folder import check_claim
from train.settings.cli import listing
from train.settings.experiment import Run, make_run
from train.settings.optimizer import Optimizer
from train.settings.options import Data
from train.studies.arms import Arm, Block
from train.studies.clock import Clock


def run_trials(
    blocks: Sequence[Block],
    seeds: Sequence[int],
    folder: Path,
    load: Callable[[Data], Dataset],
    clock: Clock,
    *,
    keep_checkpoints: int = 0,
) -> None:
    """Runs what is not done; prints a line a run, with the time left.

    The seed is the outer loop and the arm the inner one, so that whatever stops the
    study leaves it balanced. A run that another process is at work on is left to it.

    Args:
      blocks: what is run.
      seeds: with which each arm of each block is run.
      folder: of the study.
      load: gives a block's data.
      clock: says when no further run is begun.
      keep_checkpoints: how many of each run are kept when it has finished.

    Raises:
      InputError: an option or a folder cannot be used, or a run that has ended is not
        the one that would be run now.
    """
    todo = _in_order(blocks, seeds)
    unmatched = []  # their donors diverged
    alone = [seed for seed in seeds if seed ^ 1 not in seeds]
    if alone and any(arm.matched == "borrowed" for b in blocks for arm in b.arms):
        print(
            f"The arm `borrowed` is left out for seed {listing(alone, 'and')}: it "
            f"replays a run with seed {listing((seed ^ 1 for seed in alone), 'and')}, "
            "which is not among --seeds."
        )
    total = len(todo)
    waiting = todo  # of this process or another
    while todo:
        left = []
        for seed, block, arm in todo:
            dataset = load(block.experiment.data)
            if read_trial(folder, block, arm, seed) is not None:
                _check_same(folder, block, arm, seed, fingerprint(dataset))
                continue
            if clock.is_over():
                over = f"The budget of {_minutes(clock.budget)} is used up."
                print(" ".join([over, *ADVICE]))
                return
            title = f"{block.name}, " * (len(blocks) > 1) + f"{arm.name}, seed {seed}"
            try:
                config = _config(folder, block, arm, seed)
            except BusyError:
                left.append((seed, block, arm))
                continue
            except DivergedError as error:
                unmatched.append((seed, block, arm))
                print(f"{title}: left out, because {error}", flush=True)
                continue
            if keep_checkpoints:
                config = dataclasses.replace(config, keep_checkpoints=keep_checkpoints)
            try:
                loop.run(config, dataset, quiet=True, light=keep_checkpoints == 0)
            except BusyError:
                left.append((seed, block, arm))
                continue
            except DivergedError as error:
                print(f"{title}: {error}")
            waiting = [
                key
                for key in waiting
                if key not in unmatched and read_trial(folder, *key[1:], key[0]) is None
            ]
            trial = read_trial(folder, block, arm, seed)
            print(
                f"[{total - len(waiting)}/{total}] {title}: {_result(block, trial)} "
                f"({as_clock(clock.after_run(len(waiting)))} left)",
                flush=True,
            )
        if len(left) == len(todo):
            runs = f"{len(left)} runs" if len(left) > 1 else "the last run"
            print(f"Another process works on {runs} in {folder}.")
            return
        todo = left


def read_trial(folder: Path, block: Block, arm: Arm, seed: int) -> Trial | None:
    """Reads a run of a study; None if it has not ended."""
    watched = block.experiment.observe != "nothing"
    path = trial_folder(folder, block, arm, seed)
    epochs = arm.epochs or block.experiment.epochs
    return read_trial_at(path, epochs, watched=watched)


def trial_folder(folder: Path, block: Block, arm: Arm, seed: int) -> Path:
    """Where a run of a study is kept."""
    return folder / "runs" / block.name / f"{arm.folder or arm.name}-seed{seed}"


def donor_seed(arm: Arm, seed: int) -> int:
    """The seed of the run that an arm is matched with: most often its own.

    Seeds borrow in pairs, 0 and 1, 2 and 3, so that more seeds change no donor.
    """
    return seed ^ 1 if arm.matched == "borrowed" else seed


def _in_order(
    blocks: Sequence[Block], seeds: Sequence[int]
) -> list[tuple[int, Block, Arm]]:
    """All runs, seed by seed; what borrows from a later seed comes behind it.

    An arm whose donor is not among the seeds is left out.
    """
    places = {seed: place for place, seed in enumerate(seeds)}

    def when(run: tuple[int, Block, Arm]) -> tuple[int, bool]:
        own, other = places[run[0]], places[donor_seed(run[2], run[0])]
        return max(own, other), own < other

    runs = [
        (seed, block, arm)
        for seed in seeds
        for block in blocks
        for arm in block.arms
        if donor_seed(arm, seed) in places
    ]
    return sorted(runs, key=when)


def _config(folder: Path, block: Block, arm: Arm, seed: int) -> Run:
    """What a run of a study is; see `_matched` for what it raises."""
    experiment = block.experiment
    if arm.epochs is not None:
        experiment = dataclasses.replace(experiment, epochs=arm.epochs)
    # Far from the seeds of any study, and one for each.
    init_seed = (seed + 2**31) % 2**32 if arm.other_weights else None
    return make_run(
        experiment,
        optimizer=_matched(folder, block, arm, donor_seed(arm, seed)),
        seed=seed,
        init_seed=init_seed,
        out=trial_folder(folder, block, arm, seed),
        resume=True,
    )


def _check_same(
    folder: Path, block: Block, arm: Arm, seed: int, data_sha256: str
) -> None:
    """Makes sure that a run that has ended is the one the study would run now.

    Raises:
      InputError: its options or data were others.
    """
    try:
        config = _config(folder, block, arm, seed)
    except (BusyError, DivergedError):  # nothing to match it with
        return
    check_claim(config.out, config, only_saved=True, data_sha256=data_sha256)


def _matched(folder: Path, block: Block, arm: Arm, seed: int) -> Optimizer:
    """The arm's optimizer, with what it takes from its donor's run of a seed.

    Raises:
      BusyError: another process is at work on that run.
      DivergedError: that run diverged.
    """
    if arm.matched is None:
        return arm.optimizer
    donor = next(each for each in block.arms if each.name == arm.donor)
    trial = read_trial(folder, block, donor, seed)
    if trial is None:
        raise BusyError(f"{trial_folder(folder, block, donor, seed)} has not ended.")
    if trial.diverged:
        raise DivergedError(f"{arm.donor} diverged, so there is nothing to match.")
    momentum = records.mean_of(trial.rows, "mean_momentum")
    match arm.matched:
        case "momentum":
            changes = {"momentum": momentum}
        case "step":
            # Switching by chance has the mean path of the mean coefficient.
            stretch = (1 - arm.optimizer.momentum) / (1 - momentum)
            changes = {"learning_rate": arm.optimizer.learning_rate * stretch}
        case "share":
            share = min(records.mean_of(trial.rows, "low_loss_share"), 0.999999)
            changes = {"phase": "chance", "low_loss_share": share}
        case "phases":
            changes = {"phase": "shuffled", "phases_of": trial.folder}
        case "borrowed" | "twin":
            changes = {"phase": "borrowed", "phases_of": trial.folder}
    # No average of the loss decides its phases.
    return dataclasses.replace(arm.optimizer, ema_decay=None, **changes)


def _result(block: Block, trial: Trial | None) -> str:
    if trial is None or trial.diverged:
        return "diverged"
    by = "validation" if block.experiment.data.validation else "test"
    return f"{by} error {trial.rows[-1]['test_error']:.2f} %"


def _minutes(number: float) -> str:
    return f"{number:g} minute{'s' if number != 1 else ''}"

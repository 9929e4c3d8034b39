"""Runs arms with seeds: resumable, within a budget."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.data.dataset import Dataset, fingerprint
from train.errors import ADVICE, DivergedError
from train.reports.rows import lender_of, read_ended
from train.reports.tables import span
from train.runs import loop, records
from train.runs.display import as_clock
from train.runs.folder import check_claim
from train.settings.cli import listing
from train.settings.experiment import Run, make_run
from train.settings.optimizer import Optimizer
from train.settings.options import Data
from train.studies.arms import Arm, Block
from train.studies.work import Work


class Clock:
    """Tells how long a study still takes, by the mean of its runs so far.

    Its budget is in minutes; None is no end.
    """

    def __init__(self, budget: float | None = None):
        self.budget = budget
        self._start = time.perf_counter()
        self._num_runs = 0

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        elapsed = time.perf_counter() - self._start
        return self.budget is not None and elapsed > 60 * self.budget

    def after_run(self, num_waiting: int) -> float:
        """Counts a run that has ended; returns the seconds for those that wait."""
        self._num_runs += 1
        return num_waiting * (time.perf_counter() - self._start) / self._num_runs


class Task(NamedTuple):
    """A run to train; `place` is its place in the order of the study."""

    place: int
    title: str
    config: Run
    dataset: Dataset
    light: bool


# Of what has ended: its place; why it diverged or was given up; where it was trained.
Ended = Iterator[tuple[int, str, str]]
# Trains the tasks of a study in a folder; None is none that can begin at the moment.
Train = Callable[[Path, Iterator[Task | None], Work], Ended]


def train_here(folder: Path, tasks: Iterator[Task | None], work: Work) -> Ended:
    """Trains one after another, in this process."""
    for task in tasks:
        diverged = ""
        try:
            loop.run(task.config, task.dataset, quiet=True, light=task.light)
        except DivergedError as error:
            diverged = str(error)
        yield task.place, diverged, ""


class Trial(NamedTuple):
    """A run of a study, done or not; `study` is the study's folder."""

    study: Path
    block: Block
    arm: Arm
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        name = f"{self.arm.folder or self.arm.name}-seed{self.seed}"
        return self.study / "runs" / self.block.name / name

    def rows(self) -> list[dict[str, Any]] | None:
        """Its rows; None if it has not ended."""
        return read_ended(self.folder, self.arm.epochs or self.block.experiment.epochs)

    @property
    def donor(self) -> "Trial | None":
        """The run that it is matched with, if any."""
        matched = self.arm.matched
        if matched is None:
            return None
        [arm] = [each for each in self.block.arms if each.name == self.arm.donor]
        return self._replace(arm=arm, seed=lender_of(matched, self.seed))

    def config(self) -> Run | None:
        """What it is; None if the run that it is matched with gives nothing to match.

        That one has not ended, or it diverged.
        """
        optimizer, experiment = self._optimizer(), self.block.experiment
        if optimizer is None:
            return None
        if self.arm.epochs is not None:
            experiment = dataclasses.replace(experiment, epochs=self.arm.epochs)
        # Far from the seeds of any study, and one for each.
        init_seed = (self.seed + 2**31) % 2**32 if self.arm.other_weights else None
        return make_run(
            experiment,
            optimizer=optimizer,
            seed=self.seed,
            init_seed=init_seed,
            out=self.folder,
            resume=True,
        )

    def _optimizer(self) -> Optimizer | None:
        """The arm's, with what it takes from the run that it is matched with."""
        donor, optimizer = self.donor, self.arm.optimizer
        if donor is None:
            return optimizer
        rows = donor.rows()
        if rows is None or records.has_diverged(rows):
            return None
        momentum = records.mean_of(rows, "mean_momentum")
        match self.arm.matched:
            case "momentum":
                changes = {"momentum": momentum}
            case "step":
                # Switching by chance has the mean path of the mean coefficient.
                stretch = (1 - optimizer.momentum) / (1 - momentum)
                changes = {"learning_rate": optimizer.learning_rate * stretch}
            case "share":
                share = min(records.mean_of(rows, "low_loss_share"), 0.999999)
                changes = {"phase": "chance", "low_loss_share": share}
            case "phases":
                changes = {"phase": "shuffled", "phases_of": donor.folder}
            case "borrowed" | "twin":
                changes = {"phase": "borrowed", "phases_of": donor.folder}
        # No average of the loss decides its phases.
        return dataclasses.replace(optimizer, ema_decay=None, **changes)

    def check(self, data_sha256: str) -> None:
        """Refuses a run that has ended and is not the one that would be run now."""
        config = self.config()
        if config is not None:
            check_claim(config.out, config, only_saved=True, data_sha256=data_sha256)

    def result(self) -> str:
        """What it came to, in words."""
        rows = self.rows()
        if rows is None:
            return "missing"
        if records.has_diverged(rows):
            return "diverged"
        by = self.block.experiment.data.tested
        return f"{by} error {rows[-1]['test_error']:.2f} %"


def run_trials(
    blocks: Sequence[Block],
    seeds: Sequence[int],
    folder: Path,
    load: Callable[[Data], Dataset],
    clock: Clock,
    train: Train = train_here,
    *,
    keep_checkpoints: int = 0,
) -> list[str]:
    """Runs what is not done; prints a line a run, with the time left.

    The seed is the outer loop and the arm the inner one, so that whatever stops the
    study leaves it balanced. When a run has finished, so many checkpoints of it are
    kept. What is returned names the runs that were given up.
    """
    trials = in_order(blocks, seeds, folder)
    alone = [seed for seed in seeds if seed ^ 1 not in seeds]
    if alone and any(arm.matched == "borrowed" for b in blocks for arm in b.arms):
        print(
            f"The arm `borrowed` is left out for seed {listing(alone, 'and')}: it "
            f"replays a run with seed {listing((seed ^ 1 for seed in alone), 'and')}, "
            "which is not among --seeds."
        )
    places = {trial.folder: place for place, trial in enumerate(trials)}
    donors = [trial.donor for trial in trials]
    work = Work([None if each is None else places[each.folder] for each in donors])

    def title(trial: Trial) -> str:
        block = f"{trial.block.name}, " * (len(blocks) > 1)
        return f"{block}{trial.arm.name}, seed {trial.seed}"

    def end(place: int, rows: list[dict[str, Any]] | None) -> None:
        diverged = rows is None or records.has_diverged(rows)
        for other in work.end(place, lends=not diverged):
            how = "is missing" if rows is None else "diverged"
            why = f"{trials[place].arm.name} {how}, so there is nothing to match"
            print(f"{title(trials[other])}: left out, because {why}.", flush=True)

    for place, trial in enumerate(trials):
        rows = trial.rows()
        if rows is not None:
            trial.check(fingerprint(load(trial.block.experiment.data)))
            end(place, rows)
    if work.left:
        waiting = [trials[place] for place in work.left]
        epochs = span([t.arm.epochs or t.block.experiment.epochs for t in waiting])
        print(
            f"runs: {len(waiting)} of {epochs} epoch{'s' * (epochs != '1')}. "
            "A line for each tells the time left: too\n"
            "long at first, as the first run of each kind compiles."
        )

    def tasks() -> Iterator[Task | None]:
        while work.left:
            place = work.begin()
            if place is None:
                yield None
                continue
            if clock.is_over():
                minutes = f"{clock.budget:g} minute{'s' * (clock.budget != 1)}"
                print(" ".join([f"The budget of {minutes} is used up.", *ADVICE]))
                return
            trial, config = trials[place], trials[place].config()
            if keep_checkpoints:
                config = dataclasses.replace(config, keep_checkpoints=keep_checkpoints)
            dataset = load(trial.block.experiment.data)
            yield Task(place, title(trial), config, dataset, keep_checkpoints == 0)

    missing = []
    for place, told, where in train(folder, tasks(), work):
        trial, rows = trials[place], trials[place].rows()
        if told:
            print(f"{title(trial)}: {told}")
        if rows is None:
            missing.append(f"{title(trial)}: {told}")
        end(place, rows)
        left = len(work.left)
        print(
            f"[{len(trials) - left}/{len(trials)}] {title(trial)}: {trial.result()} "
            f"({as_clock(clock.after_run(left))} left{where})",
            flush=True,
        )
    return missing


def in_order(
    blocks: Sequence[Block], seeds: Sequence[int], folder: Path
) -> list[Trial]:
    """All runs, seed by seed; what borrows from a later seed comes behind it.

    An arm whose donor is not among the seeds is left out.
    """
    places = {seed: place for place, seed in enumerate(seeds)}

    def when(trial: Trial) -> tuple[int, bool]:
        own, other = (
            places[trial.seed],
            places[lender_of(trial.arm.matched, trial.seed)],
        )
        return max(own, other), own < other

    runs = [
        Trial(folder, block, arm, seed)
        for seed in seeds
        for block in blocks
        for arm in block.arms
        if lender_of(arm.matched, seed) in places
    ]
    return sorted(runs, key=when)

"""What an experiment is: frozen dataclasses, which are also the command line.

As in `train.settings.options`, which holds their groups, the comment above a field is
its help text, every check raises `InputError`, and no JAX is imported.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from train.settings.checks import check, check_at_least, check_positive, flag
from train.settings.options import Cluster, Data, Model, Optimizer, Schedule


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a run and a comparison share."""

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    schedule: Schedule = field(default_factory=Schedule)
    #: Passes over the training set, at least 1.
    epochs: int = 20
    #: Images a training step, at least 1.
    batch_size: int = 64
    #: Leave out the images that don't fill a batch (others in each epoch), instead of
    #: taking a smaller last step with them.
    drop_last: bool = True
    #: Images a testing step, at least 1. The test set is always scored whole.
    eval_batch_size: int = 500
    #: Training steps in one call of the compiled program, between which progress and
    #: Ctrl-C come. None: a whole epoch, but no more than takes a second or two on a
    #: CPU, some seconds on an H200.
    steps_per_call: int | None = None
    #: Where the training examples lie: on the device, or on the host, which sends those
    #: of each call in time. None: on the device, if all data take less than half of its
    #: memory.
    data_on: Literal["device", "host"] | None = None
    #: Devices among which each batch is split, at least 1. None: all, of all processes.
    devices: int | None = None
    #: What to do when a loss is not finite: stop, with the last good checkpoint kept,
    #: or continue, whatever comes of it (LCAM leaves the loss out of its average).
    on_nan: Literal["stop", "continue"] = "stop"
    #: What to watch besides, reported each epoch as `observed` in metrics.jsonl:
    #: held_out, how often the phase is not that of the loss on the first testing batch
    #: (it costs a forward pass a step); mechanism, norms of gradients and updates in
    #: each phase, by array, and for the fastest and slowest tenth of the parameters.
    observe: Literal["nothing", "held_out", "mechanism"] = "nothing"

    def __post_init__(self):
        """Checks the options."""
        for option in ("epochs", "batch_size", "eval_batch_size"):
            check_at_least(flag(option), getattr(self, option), 1)
        for option in ("steps_per_call", "devices"):
            if getattr(self, option) is not None:
                check_at_least(flag(option), getattr(self, option), 1)


@dataclass(frozen=True, kw_only=True)
class Run(Experiment):
    """Trains one network with one optimizer.

    Writes into its own folder: config.json, provenance.json, metrics.jsonl (a row an
    epoch), steps.csv (a row a step), checkpoints/ and curves.png.
    """

    #: A published run, whose options take the place of the defaults; any can be given
    #: besides, and another --optimizer or --schedule comes with defaults of its own.
    #: `python -m train presets` lists them.
    preset: str | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    #: Seed of initial weights, data order and augmentation, at least 0.
    seed: int = 0
    #: Folder to write into; must be new or empty. None: runs/PRESET-seedSEED or
    #: runs/DATA-OPTIMIZER-seedSEED, with a number behind it if that is taken.
    out: Path | None = None
    #: Epochs between checkpoints; 0: as --checkpoint-minutes says, and one at the end.
    checkpoint_every: int = 0
    #: Minutes after which, between two calls, a checkpoint is due; 0: never.
    checkpoint_minutes: float = 10
    #: How many checkpoints are kept, the newest, at least 1.
    keep_checkpoints: int = 2
    #: Go on from the last checkpoint of the run in --out, with the same options and
    #: data; without one, start from nothing.
    resume: bool = False
    cluster: Cluster = field(default_factory=Cluster)

    def __post_init__(self):
        """Checks the options."""
        super().__post_init__()
        check(
            self.observe == "nothing" or self.optimizer.optimizer != "adamw",
            "--observe watches phases, which --optimizer adamw has not.",
        )
        check(
            self.observe != "held_out" or self.optimizer.phase == "loss",
            "--observe held_out asks whether the loss tells the phase, which with "
            f"--phase {self.optimizer.phase} it does not decide.",
        )
        _check_seed("--seed", self.seed)
        check_at_least("--checkpoint-every", self.checkpoint_every, 0)
        check_at_least("--checkpoint-minutes", self.checkpoint_minutes, 0)
        check_at_least("--keep-checkpoints", self.keep_checkpoints, 1)
        _check_resume(self)


def make_run(experiment: Experiment, **options: Any) -> Run:
    """A run of an experiment; `options` are those that `Run` has besides.

    Raises:
      InputError: the options do not go together.
    """
    shared = {
        option.name: getattr(experiment, option.name)
        for option in dataclasses.fields(Experiment)
    }
    return Run(**shared, **options)


@dataclass(frozen=True, kw_only=True)
class Compare(Experiment):
    """Trains the same networks with several optimizers and compares them.

    For every seed all arms start from the same weights and see the same batches, so
    their differences are paired. Writes a folder per run, comparison.json and
    comparison.png, and prints a table.
    """

    #: Optimizers, each NAME or NAME:OPTION=VALUE,... with the options of `run`, as in
    #: sgd:momentum=0.95 or lcam:low-loss-momentum=0.95,lagged=True. The others are
    #: compared with the first.
    arms: tuple[str, ...] = ("sgd", "lcam")
    #: Seeds of initial weights, data order and augmentation, each at least 0.
    seeds: tuple[int, ...] = (0,)
    #: Folder to write into; must be new or empty. None: runs/compare-DATA, with a
    #: number behind it if that is taken.
    out: Path | None = None
    #: Go on with the comparison in --out, with the same options and data: finished runs
    #: are not repeated, and may have been of fewer --seeds.
    resume: bool = False

    def __post_init__(self):
        """Checks the options."""
        super().__post_init__()
        _check_resume(self)
        check(
            len(self.arms) >= 2,
            f"--arms must name two optimizers or more, got {len(self.arms)}.",
        )
        check(
            len(set(self.arms)) == len(self.arms),
            f"--arms must differ, got {' '.join(self.arms)}.",
        )
        _check_seeds(self.seeds)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Runs a study: blocks of arms, each with the same seeds, and a report.

    A study goes on where it stopped: the same command repeats no finished run, and two
    processes in one folder share the work. Writes a folder per run, and report/ with
    report.md, pictures, and every run and epoch as CSV.
    """

    #: Which study; `python -m train studies` describes them.
    name: Literal["baseline", "priority", "noise", "domains", "ablation", "mechanism"]
    #: A small form: a small network on the digits, or with --data on a part of yours,
    #: in some minutes on two cores.
    quick: bool = False
    #: Data in place of the study's own, as in `run`. `domains` has several and takes
    #: none.
    data: str | None = None
    #: Where TensorFlow Datasets keeps cifar10 and cifar100.
    data_dir: Path = Path("~/tensorflow_datasets")
    #: Seeds of initial weights, data order and augmentation, each at least 0. None: the
    #: study's.
    seeds: tuple[int, ...] | None = None
    #: Arms to run of the study's, to ask one question with fewer comparisons; its
    #: reference is always one. None: all.
    arms: tuple[str, ...] | None = None
    #: Passes over the training set. None: the study's.
    epochs: int | None = None
    #: Minutes after which no further run is begun. None: no end.
    budget: float | None = None
    #: Folder to write into, or to go on in. None: runs/study-NAME, with -quick and
    #: the kind of --data behind it.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        if self.seeds is not None:
            _check_seeds(self.seeds)
        if self.epochs is not None:
            check_at_least("--epochs", self.epochs, 1)
        if self.budget is not None:
            check_positive("--budget", self.budget)
        check(
            self.data is None or self.name != "domains",
            "--data has no place in the study domains, which is one of its own data.",
        )
        if self.data is not None:
            Data(data=self.data)


@dataclass(frozen=True)
class Studies:
    """Describes the studies that `study` knows."""


@dataclass(frozen=True)
class Plot:
    """Draws runs side by side, finished or not.

    On common axes test error and training loss of every epoch; below, for each run, the
    loss of every step against its average with the phase it was in, and the momentum.
    """

    #: Folders of runs.
    runs: tuple[Path, ...]
    #: Picture to write (.png, .pdf or .svg); must be new. None: figure.png, with a
    #: number if that is taken.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check(len(self.runs) > 0, "plot needs the folder of a run, or of several.")
        check(
            len(set(self.runs)) == len(self.runs),
            f"plot needs runs that differ, got {' '.join(map(str, self.runs))}.",
        )
        check(
            self.out is None or self.out.suffix in (".png", ".pdf", ".svg"),
            f"--out must end in .png, .pdf or .svg, got {self.out}.",
        )


@dataclass(frozen=True)
class Presets:
    """Lists the published runs that `run --preset` knows."""


def _check_resume(config: Run | Compare) -> None:
    check(
        config.out is not None or not config.resume,
        "--resume needs --out, the folder to go on in.",
    )


def _check_seed(option: str, seed: int) -> None:
    check(0 <= seed < 2**32, f"{option} must be in [0, 2^32), got {seed}.")


def _check_seeds(seeds: tuple[int, ...]) -> None:
    check(
        0 < len(seeds) == len(set(seeds)),
        f"--seeds must be one or more and differ, got {seeds}.",
    )
    for seed in seeds:
        _check_seed("--seeds", seed)

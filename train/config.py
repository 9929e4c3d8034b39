"""What an experiment is: frozen dataclasses, which are also the command line.

The comment above a field is its help text. Every check raises `InputError` with the
option as it is typed. This module imports no JAX, so that `--help` comes at once.
"""

import dataclasses
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from train.errors import InputError


def _check(passes: bool, message: str) -> None:
    if not passes:
        raise InputError(message)


def _check_range(option: str, number: float, low: float, high: float) -> None:
    # As float32, which it will be: 0.99999999 is 1 then.
    [rounded] = struct.unpack("f", struct.pack("f", min(max(number, -1e30), 1e30)))
    _check(
        low <= number and rounded < high,
        f"{option} must be in [{low:g}, {high:g}), got {number}.",
    )


def _check_positive(option: str, number: float) -> None:
    _check(
        TINY <= number <= HUGE,
        f"{option} must be greater than 0 ({TINY:g} to {HUGE:g}), got {number:g}.",
    )


def _check_at_least(option: str, number: float, least: float) -> None:
    _check(
        least <= number <= HUGE,
        f"{option} must be at least {least:g} (and at most {HUGE:g}), got {number}.",
    )


# No sensible option is larger or, if it must be positive, smaller; beyond lie overflow
# and memory that no machine has.
TINY, HUGE = 1e-30, 1e6


@dataclass(frozen=True)
class Optimizer:
    """How the weights move."""

    #: SGD with a fixed momentum, LCAM, or AdamW (an adaptive baseline).
    optimizer: Literal["sgd", "lcam", "adamw"] = "lcam"
    #: Peak learning rate. None: 0.1 for sgd and lcam, 0.001 for adamw.
    learning_rate: float | None = None
    #: sgd, lcam: L2, this times the weight is added to the gradient before the momentum
    #: (every parameter decays); adamw: decoupled. None: 5e-4 for sgd and lcam, 0.01 for
    #: adamw.
    weight_decay: float | None = None
    #: sgd: the momentum coefficient, in [0, 1).
    momentum: float = 0.9
    #: lcam: the coefficient while the loss is not below its average, in [0, 1).
    high_loss_momentum: float = 0.9
    #: lcam: the coefficient while the loss is below its average, in [0, 1).
    low_loss_momentum: float = 0.93
    #: lcam: what the loss is compared with: an exponential moving average, or the mean
    #: of this epoch so far (the authors').
    loss_average: Literal["ema", "epoch"] = "ema"
    #: lcam: decay of the moving average per step, in [0, 1).
    ema_decay: float = 0.99
    #: lcam: dead band around the average in which the phase stays, relative to the
    #: average, at least 0.
    margin: float = 0.0
    #: lcam: let a comparison act on the next step (the authors' timing).
    lagged: bool = False
    #: lcam: what decides the phase: the loss; or, as controls that show whether the
    #: loss told anything, chance, or another run's phases, as they came or shuffled
    #: within each epoch.
    phase: Literal["loss", "chance", "borrowed", "shuffled"] = "loss"
    #: lcam, --phase chance: share of the steps in the low-loss phase, in [0, 1). Take
    #: that of a run with --phase loss.
    low_loss_share: float = 0.5
    #: lcam, --phase borrowed or shuffled: folder of the run whose phases are taken. It
    #: must have as many steps and epochs.
    phases_of: Path | None = None
    #: sgd, lcam: Nesterov momentum.
    nesterov: bool = False
    #: adamw: decay of the mean of the gradients, in [0, 1).
    adam_b1: float = 0.9
    #: adamw: decay of the mean of their squares, in [0, 1).
    adam_b2: float = 0.999
    #: adamw: added to the denominator, greater than 0.
    adam_epsilon: float = 1e-8

    def __post_init__(self):
        """Checks the options and fills in the two that depend on the optimizer."""
        adaptive = self.optimizer == "adamw"
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", 0.001 if adaptive else 0.1)
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", 0.01 if adaptive else 5e-4)
        _check_positive("--learning-rate", self.learning_rate)
        _check_at_least("--weight-decay", self.weight_decay, 0)
        _check_range("--momentum", self.momentum, 0, 1)
        _check_range("--high-loss-momentum", self.high_loss_momentum, 0, 1)
        _check_range("--low-loss-momentum", self.low_loss_momentum, 0, 1)
        _check_range("--ema-decay", self.ema_decay, 0, 1)
        _check_at_least("--margin", self.margin, 0)
        _check_range("--low-loss-share", self.low_loss_share, 0, 1)
        _check_range("--adam-b1", self.adam_b1, 0, 1)
        _check_range("--adam-b2", self.adam_b2, 0, 1)
        _check_positive("--adam-epsilon", self.adam_epsilon)
        _check_relevance(self, "optimizer")
        _check(
            self.loss_average == "ema" or self.ema_decay == 0.99,
            "--ema-decay belongs to --loss-average ema, and would be ignored with "
            "epoch.",
        )
        _check(
            self.phase == "chance" or self.low_loss_share == 0.5,
            "--low-loss-share belongs to --phase chance, and would be ignored with "
            f"{self.phase}.",
        )
        _check(
            (self.phase in ("borrowed", "shuffled")) == (self.phases_of is not None),
            "--phase borrowed or shuffled and --phases-of, the folder of a run, belong "
            "together.",
        )
        _check(
            self.phase == "loss"
            or (self.loss_average, self.ema_decay, self.margin) == ("ema", 0.99, 0.0),
            "--loss-average, --ema-decay and --margin belong to --phase loss, and "
            f"would be ignored with {self.phase}.",
        )


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes."""

    #: Constant; multiplied by --milestone-factor at each milestone; multiplied by
    #: --exponential-rate every step after an epoch; or half a cosine down to 0.
    schedule: Literal["constant", "step", "exponential", "cosine"] = "cosine"
    #: step: epochs completed before each drop. The default is the authors'.
    milestones: tuple[int, ...] = (31, 61, 91)
    #: step: factor at each milestone, greater than 0.
    milestone_factor: float = 0.2
    #: exponential: factor per step, greater than 0. The default is the authors'.
    exponential_rate: float = 0.99985
    #: exponential: epochs completed before the decay begins.
    exponential_after: int = 31
    #: Epochs over which the learning rate also rises linearly from 0, at least 0.
    warmup_epochs: float = 0.0

    def __post_init__(self):
        """Checks the options."""
        _check(
            list(self.milestones) == sorted(set(self.milestones))
            and all(1 <= epoch <= HUGE for epoch in self.milestones),
            f"--milestones must be increasing epochs from 1 to {HUGE:g}, got "
            f"{' '.join(map(str, self.milestones))}.",
        )
        _check_positive("--milestone-factor", self.milestone_factor)
        _check_positive("--exponential-rate", self.exponential_rate)
        _check_at_least("--exponential-after", self.exponential_after, 0)
        _check_at_least("--warmup-epochs", self.warmup_epochs, 0)
        _check_relevance(self, "schedule")


NO_IMAGES = ("breast_cancer", "diabetes", "english")
SOURCES = ("digits", "cifar10", "cifar100", *NO_IMAGES)


@dataclass(frozen=True)
class Data:
    """What is learned."""

    #: digits (1,797 images of 8x8 that come with scikit-learn); cifar10 or cifar100
    #: through TensorFlow Datasets; or npz:PATH, your own images in an .npz file with
    #: x_train and x_test (uint8; size, height, width and, if not grey, channels),
    #: y_train and y_test (integers from 0). Beyond images: breast_cancer (a table, two
    #: classes) and diabetes (a table, a number), which come with scikit-learn, and
    #: english (the next character of Python's own help texts).
    data: str = "digits"
    #: Where TensorFlow Datasets keeps cifar10 and cifar100.
    data_dir: Path = Path("~/tensorflow_datasets")
    #: Pixels of zero padding of which a random crop of the original size is taken in
    #: training; 0: no crop. None: 4 for cifar10 and cifar100, 0 for other data.
    crop_padding: int | None = None
    #: Whether to mirror half of the training images left to right. None: for cifar10
    #: and cifar100 only.
    flip: bool | None = None
    #: Mean and deviation that pixels (in [0, 1]) are normalised with: those of the
    #: training images, per channel; ImageNet's (the authors' choice; 3 channels); none.
    normalize: Literal["train", "imagenet", "none"] = "train"
    #: Train on every so manieth training image only, at least 1.
    every: int = 1
    #: Average squares of so many pixels a side into one, at least 1.
    shrink: int = 1

    def __post_init__(self):
        """Checks the options and fills in those that depend on the data."""
        is_cifar = self.data in ("cifar10", "cifar100")
        _check(
            self.data in SOURCES or self.data.startswith("npz:"),
            f"--data must be {', '.join(SOURCES)} or npz:PATH, got {self.data!r}.",
        )
        _check(
            self.data not in NO_IMAGES
            or (
                not (self.crop_padding or self.flip)
                and (self.normalize, self.shrink) == ("train", 1)
            ),
            "--crop-padding, --flip, --normalize and --shrink are for images, and "
            f"would be ignored with --data {self.data}.",
        )
        if self.crop_padding is None:
            object.__setattr__(self, "crop_padding", 4 if is_cifar else 0)
        if self.flip is None:
            object.__setattr__(self, "flip", is_cifar)
        _check_range("--crop-padding", self.crop_padding, 0, 1001)
        _check_at_least("--every", self.every, 1)
        _check_at_least("--shrink", self.shrink, 1)
        _check_relevance(self, "data")


@dataclass(frozen=True)
class Model:
    """What learns."""

    #: A Wide ResNet, for images; a multilayer perceptron, for tables and images; or a
    #: causal transformer, for text. None: by the data, for images a Wide ResNet.
    network: Literal["wide_resnet", "mlp", "transformer"] | None = None
    #: wide_resnet: depth, 6n + 4: 10, 16, 22, 28, ...
    depth: int = 10
    #: wide_resnet: channels relative to the original ResNet, at least 1. The authors'
    #: network is --depth 28 --widen 10.
    widen: int = 1
    #: wide_resnet, transformer: what convolutions, or the whole, compute in.
    #: Parameters, statistics and loss are float32.
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: mlp: units of each hidden layer, each at least 1.
    hidden: tuple[int, ...] = (64, 64)
    #: transformer: features of a token, at least 1, a multiple of --heads.
    width: int = 64
    #: transformer: layers, at least 1.
    layers: int = 2
    #: transformer: attention heads, at least 1.
    heads: int = 4

    def __post_init__(self):
        """Checks the options."""
        _check(
            10 <= self.depth <= 10_000 and self.depth % 6 == 4,
            f"--depth must be 6n + 4: 10, 16, 22, 28, ... (at most 10000); got "
            f"{self.depth}.",
        )
        _check_range("--widen", self.widen, 1, 1001)
        for option in ("width", "layers", "heads"):
            _check_range(_flag(option), getattr(self, option), 1, 100_001)
        for units in self.hidden:
            _check_range("--hidden", units, 1, 1_000_001)
        _check(
            self.width % self.heads == 0,
            f"--width must be a multiple of --heads, got {self.width} and "
            f"{self.heads}.",
        )
        if self.network is not None:
            _check_relevance(self, "network")


@dataclass(frozen=True)
class Cluster:
    """Several processes that train one network together."""

    #: Address of the first process, as in 10.0.0.1:8476, in every process; or auto:
    #: SLURM, Open MPI, Kubernetes or a Cloud TPU tells the rest too. The batch is split
    #: among the devices of all, and the first process writes. None: one process.
    coordinator: str | None = None
    #: How many processes there are, with HOST:PORT at least 1.
    num_processes: int | None = None
    #: Number of this process, with HOST:PORT from 0; each has one of its own.
    process_id: int | None = None

    def __post_init__(self):
        """Checks the options."""
        numbers = (self.num_processes, self.process_id)
        if self.coordinator in (None, "auto"):
            _check(
                numbers == (None, None),
                "--num-processes and --process-id belong to --coordinator HOST:PORT.",
            )
            return
        host, _, port = self.coordinator.rpartition(":")
        _check(
            bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 2**16,
            "--coordinator must be HOST:PORT, as in 10.0.0.1:8476, or auto; got "
            f"{self.coordinator!r}.",
        )
        _check(
            None not in numbers and 0 <= self.process_id < self.num_processes <= HUGE,
            "--coordinator HOST:PORT needs --num-processes, and a --process-id from 0 "
            f"to one below it; got {self.num_processes} and {self.process_id}.",
        )


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
            _check_at_least(_flag(option), getattr(self, option), 1)
        for option in ("steps_per_call", "devices"):
            if getattr(self, option) is not None:
                _check_at_least(_flag(option), getattr(self, option), 1)


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
        _check(
            self.observe == "nothing" or self.optimizer.optimizer != "adamw",
            "--observe watches phases, which --optimizer adamw has not.",
        )
        _check(
            self.observe != "held_out" or self.optimizer.phase == "loss",
            "--observe held_out asks whether the loss tells the phase, which with "
            f"--phase {self.optimizer.phase} it does not decide.",
        )
        _check_seed("--seed", self.seed)
        _check_at_least("--checkpoint-every", self.checkpoint_every, 0)
        _check_at_least("--checkpoint-minutes", self.checkpoint_minutes, 0)
        _check_at_least("--keep-checkpoints", self.keep_checkpoints, 1)
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
        _check(
            len(self.arms) >= 2,
            f"--arms must name two optimizers or more, got {len(self.arms)}.",
        )
        _check(
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
            _check_at_least("--epochs", self.epochs, 1)
        if self.budget is not None:
            _check_positive("--budget", self.budget)
        _check(
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
        _check(len(self.runs) > 0, "plot needs the folder of a run, or of several.")
        _check(
            len(set(self.runs)) == len(self.runs),
            f"plot needs runs that differ, got {' '.join(map(str, self.runs))}.",
        )
        _check(
            self.out is None or self.out.suffix in (".png", ".pdf", ".svg"),
            f"--out must end in .png, .pdf or .svg, got {self.out}.",
        )


@dataclass(frozen=True)
class Presets:
    """Lists the published runs that `run --preset` knows."""


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


def _check_relevance(group: Any, choice: str) -> None:
    """Refuses an option that would be ignored: silence would mislead."""
    chosen = getattr(group, choice)
    for option in dataclasses.fields(group):
        applies_to = _APPLIES_TO.get(option.name, {chosen})
        _check(
            chosen in applies_to or getattr(group, option.name) == option.default,
            f"{_flag(option.name)} belongs to {_flag(choice)} "
            f"{' or '.join(sorted(applies_to))}, and would be ignored with {chosen}.",
        )


def _check_resume(config: Run | Compare) -> None:
    _check(
        config.out is not None or not config.resume,
        "--resume needs --out, the folder to go on in.",
    )


def _check_seed(option: str, seed: int) -> None:
    _check(0 <= seed < 2**32, f"{option} must be in [0, 2^32), got {seed}.")


def _check_seeds(seeds: tuple[int, ...]) -> None:
    _check(
        0 < len(seeds) == len(set(seeds)),
        f"--seeds must be one or more and differ, got {seeds}.",
    )
    for seed in seeds:
        _check_seed("--seeds", seed)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")

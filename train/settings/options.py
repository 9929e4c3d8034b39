"""Groups of options: optimizer, schedule, data, network, processes.

The comment above a field is its help text. Every check raises `InputError` with the
option as it is typed. This module imports no JAX, so that `--help` comes at once.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from train.settings.checks import (
    HUGE,
    check,
    check_at_least,
    check_positive,
    check_range,
    flag,
)

SIGNALS = ("loss", "fixed", "examples")  # phases that a loss decides


@dataclass(frozen=True)
class Optimizer:
    """How the weights are updated."""

    #: SGD with a fixed momentum, LCAM, or AdamW (an adaptive baseline).
    optimizer: Literal["sgd", "lcam", "adamw"] = "lcam"
    #: Peak learning rate. None: 0.1 for sgd and lcam, 0.001 for adamw.
    learning_rate: float | None = None
    #: sgd, lcam: L2 weight decay of every parameter, added to the gradient before the
    #: momentum. adamw: decoupled weight decay. None: 5e-4 for sgd and lcam, 0.01 for
    #: adamw.
    weight_decay: float | None = None
    #: sgd: the momentum coefficient, in [0, 1).
    momentum: float = 0.9
    #: lcam: the coefficient while the loss is not below its average, in [0, 1).
    high_loss_momentum: float = 0.9
    #: lcam: the coefficient while the loss is below its average, in [0, 1).
    low_loss_momentum: float = 0.93
    #: lcam: which average the loss is compared with.
    #: - ema: an exponential moving average.
    #: - epoch: the mean of this epoch so far, as the authors do.
    loss_average: Literal["ema", "epoch"] = "ema"
    #: lcam: decay of the moving average per step, in [0, 1).
    ema_decay: float = 0.99
    #: lcam: dead band around the average, relative to the average, at least 0. Inside
    #: the band the phase does not change.
    margin: float = 0.0
    #: lcam: let a comparison act on the next step (the authors' timing), not this one.
    lagged: bool = False
    #: lcam: what decides the phase. The last three are controls that ignore the loss.
    #: - loss: the loss of the batch, compared with its average.
    #: - fixed: the loss on a fixed batch of 256 training examples, free of the noise of
    #: the batch. This costs a forward pass per step.
    #: - examples: the loss of the batch, minus how hard its examples were when they
    #: were last seen.
    #: - chance: drawn for each step; see --low-loss-share.
    #: - borrowed: the phases of another run, in their order; see --phases-of.
    #: - shuffled: the same phases, shuffled within each epoch.
    phase: Literal["loss", "fixed", "examples", "chance", "borrowed", "shuffled"] = (
        "loss"
    )
    #: lcam, --phase chance: share of low-loss steps, in [0, 1). For a fair control, use
    #: the share of a run with --phase loss.
    low_loss_share: float = 0.5
    #: lcam, --phase borrowed or shuffled: folder of the run that lends its phases. It
    #: must have as many epochs and steps as this run.
    phases_of: Path | None = None
    #: sgd, lcam: Nesterov momentum.
    nesterov: bool = False
    #: adamw: decay of the mean of the gradients, in [0, 1).
    adam_b1: float = 0.9
    #: adamw: decay of the mean of the squared gradients, in [0, 1).
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
        check_positive("--learning-rate", self.learning_rate)
        check_at_least("--weight-decay", self.weight_decay, 0)
        check_range("--momentum", self.momentum, 0, 1)
        check_range("--high-loss-momentum", self.high_loss_momentum, 0, 1)
        check_range("--low-loss-momentum", self.low_loss_momentum, 0, 1)
        check_range("--ema-decay", self.ema_decay, 0, 1)
        check_at_least("--margin", self.margin, 0)
        check_range("--low-loss-share", self.low_loss_share, 0, 1)
        check_range("--adam-b1", self.adam_b1, 0, 1)
        check_range("--adam-b2", self.adam_b2, 0, 1)
        check_positive("--adam-epsilon", self.adam_epsilon)
        check_relevance(self, "optimizer")
        check(
            self.loss_average == "ema" or self.ema_decay == 0.99,
            "--ema-decay belongs to --loss-average ema, and would be ignored with "
            "epoch.",
        )
        check(
            self.phase == "chance" or self.low_loss_share == 0.5,
            "--low-loss-share belongs to --phase chance, and would be ignored with "
            f"{self.phase}.",
        )
        check(
            (self.phase in ("borrowed", "shuffled")) == (self.phases_of is not None),
            "--phase borrowed or shuffled and --phases-of, the folder of a run, belong "
            "together: give both or neither.",
        )
        check(
            self.phase in SIGNALS
            or (self.loss_average, self.ema_decay, self.margin) == ("ema", 0.99, 0.0),
            "--loss-average, --ema-decay and --margin belong to --phase loss, fixed or "
            f"examples, and would be ignored with {self.phase}.",
        )


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes."""

    #: How the learning rate goes on from its peak.
    #: - constant: it stays.
    #: - step: multiplied by --milestone-factor at each milestone.
    #: - exponential: multiplied by --exponential-rate at each step, once the number of
    #: epochs in --exponential-after is over.
    #: - cosine: half a cosine, down to 0.
    schedule: Literal["constant", "step", "exponential", "cosine"] = "cosine"
    #: step: after how many epochs each drop comes. The default is the authors'.
    milestones: tuple[int, ...] = (31, 61, 91)
    #: step: factor at each milestone, greater than 0.
    milestone_factor: float = 0.2
    #: exponential: factor per step, greater than 0. The default is the authors'.
    exponential_rate: float = 0.99985
    #: exponential: epochs before the decay begins.
    exponential_after: int = 31
    #: Epochs of linear warm-up from 0, multiplied with the schedule; at least 0.
    warmup_epochs: float = 0.0

    def __post_init__(self):
        """Checks the options."""
        check(
            list(self.milestones) == sorted(set(self.milestones))
            and all(1 <= epoch <= HUGE for epoch in self.milestones),
            f"--milestones must be increasing epochs from 1 to {HUGE:g}, got "
            f"{' '.join(map(str, self.milestones))}.",
        )
        check_positive("--milestone-factor", self.milestone_factor)
        check_positive("--exponential-rate", self.exponential_rate)
        check_at_least("--exponential-after", self.exponential_after, 0)
        check_at_least("--warmup-epochs", self.warmup_epochs, 0)
        check_relevance(self, "schedule")


NO_IMAGES = ("breast_cancer", "diabetes", "english")
SOURCES = ("digits", "cifar10", "cifar100", *NO_IMAGES)


@dataclass(frozen=True)
class Data:
    """What to train on."""

    #: The data set.
    #: - digits: 1,797 images of 8x8 pixels, part of scikit-learn.
    #: - cifar10, cifar100: through TensorFlow Datasets.
    #: - npz:PATH: your own images, an .npz file with x_train and x_test (uint8; size,
    #: height, width and, if not grey, channels), y_train and y_test (integers from 0).
    #: - breast_cancer: a table with two classes, part of scikit-learn.
    #: - diabetes: a table with a regression target, part of scikit-learn.
    #: - english: text; predict the next character of Python's own help texts.
    data: str = "digits"
    #: Where TensorFlow Datasets keeps cifar10 and cifar100.
    data_dir: Path = Path("~/tensorflow_datasets")
    #: Random crops in training: pixels of zero padding on each side, before a crop back
    #: to the original size. With 0 there is no crop. None: 4 for cifar10 and cifar100,
    #: otherwise 0.
    crop_padding: int | None = None
    #: Whether to mirror half of the training images left to right. None: for cifar10
    #: and cifar100 only.
    flip: bool | None = None
    #: Mean and deviation, per channel, to normalise pixels (in [0, 1]) with.
    #: - train: those of the training images.
    #: - imagenet: those of ImageNet, as the authors do; only for 3 channels.
    #: - none: no normalisation.
    normalize: Literal["train", "imagenet", "none"] = "train"
    #: Train only on every n-th training example, at least 1.
    every: int = 1
    #: Also test on the training images that --every leaves out.
    test_rest: bool = False
    #: Keep the last n training images out of training, n at least 0, and test on them
    #: instead of the test set: for choosing options.
    validation: int = 0
    #: Share of the training labels to replace by other classes, in [0, 1).
    label_noise: float = 0.0
    #: Shrink images: average squares of n by n pixels into one, n at least 1.
    shrink: int = 1

    def __post_init__(self):
        """Checks the options and fills in those that depend on the data."""
        is_cifar = self.data in ("cifar10", "cifar100")
        check(
            self.data in SOURCES or self.data.startswith("npz:"),
            f"--data must be {', '.join(SOURCES)} or npz:PATH, got {self.data!r}.",
        )
        check(
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
        check_range("--crop-padding", self.crop_padding, 0, 1001)
        check_at_least("--every", self.every, 1)
        check_at_least("--shrink", self.shrink, 1)
        check_at_least("--validation", self.validation, 0)
        check_range("--label-noise", self.label_noise, 0, 1)
        check(
            not self.test_rest or (self.every > 1 and not self.validation),
            "--test-rest needs --every 2 or more, and no --validation.",
        )
        check_relevance(self, "data")


@dataclass(frozen=True)
class Model:
    """The network to train."""

    #: The kind of network. None: chosen by the data, for images a Wide ResNet.
    #: - wide_resnet: a Wide ResNet, for images.
    #: - mlp: a multilayer perceptron, for tables and images.
    #: - transformer: a causal transformer, for text.
    network: Literal["wide_resnet", "mlp", "transformer"] | None = None
    #: wide_resnet: depth, 6n + 4: 10, 16, 22, 28, ...
    depth: int = 10
    #: wide_resnet: channels relative to the original ResNet, at least 1. The authors'
    #: network is --depth 28 --widen 10.
    widen: int = 1
    #: wide_resnet: dtype of convolutions and normalisations. transformer: dtype of the
    #: whole computation. Parameters, statistics and loss are float32.
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: mlp: units of each hidden layer, each at least 1.
    hidden: tuple[int, ...] = (64, 64)
    #: transformer: features per token, at least 1, a multiple of --heads.
    width: int = 64
    #: transformer: number of layers, at least 1.
    layers: int = 2
    #: transformer: number of attention heads, at least 1.
    heads: int = 4

    def __post_init__(self):
        """Checks the options."""
        check(
            10 <= self.depth <= 10_000 and self.depth % 6 == 4,
            f"--depth must be 6n + 4: 10, 16, 22, 28, ... (at most 10000); got "
            f"{self.depth}.",
        )
        check_range("--widen", self.widen, 1, 1001)
        for option in ("width", "layers", "heads"):
            check_range(flag(option), getattr(self, option), 1, 100_001)
        for units in self.hidden:
            check_range("--hidden", units, 1, 1_000_001)
        check(
            self.width % self.heads == 0,
            f"--width must be a multiple of --heads, got {self.width} and "
            f"{self.heads}.",
        )
        if self.network is not None:
            check_relevance(self, "network")


@dataclass(frozen=True)
class Cluster:
    """Several processes that train one network together."""

    #: Address HOST:PORT of the first process, such as 10.0.0.1:8476, given to every
    #: process. With auto, SLURM, Open MPI, Kubernetes or a Cloud TPU supplies it, and
    #: also the two options below. The devices of all processes share each batch. The
    #: first process writes the files. None: one process.
    coordinator: str | None = None
    #: With HOST:PORT: how many processes there are, at least 1.
    num_processes: int | None = None
    #: With HOST:PORT: the number of this process, from 0, different in each process.
    process_id: int | None = None

    def __post_init__(self):
        """Checks the options."""
        numbers = (self.num_processes, self.process_id)
        if self.coordinator in (None, "auto"):
            check(
                numbers == (None, None),
                "--num-processes and --process-id belong to --coordinator HOST:PORT.",
            )
            return
        host, _, port = self.coordinator.rpartition(":")
        check(
            bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 2**16,
            "--coordinator must be HOST:PORT, as in 10.0.0.1:8476, or auto; got "
            f"{self.coordinator!r}.",
        )
        check(
            None not in numbers and 0 <= self.process_id < self.num_processes <= HUGE,
            "--coordinator HOST:PORT needs --num-processes, and a --process-id from 0 "
            f"to one below it; got {self.num_processes} and {self.process_id}.",
        )


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

"""Groups of options: data, network, processes.

The comment above a field is its help text. Every check raises `InputError` with the
option as it is typed. This module imports no JAX, so that `--help` comes at once.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.errors import InputError
from train.settings.checks import (
    HUGE,
    check,
    check_at_least,
    check_range,
    flag,
)
from train.settings.own import FORM, Own, parse_network
from train.settings.relevance import check_relevance
from train.settings.suggestions import closest, did_you_mean, listing

NO_IMAGES = ("breast_cancer", "diabetes", "english")
DIGITS = ("digits", "digit_pairs_left", "digit_pairs_sum", "digit_pairs")
SOURCES = (*DIGITS, "cifar10", "cifar100", *NO_IMAGES)
# The networks that take the inputs of each kind; the first is the default.
NETWORKS = {
    "images": ("wide_resnet", "mlp"),
    "rows": ("mlp",),
    "tokens": ("transformer",),
}


@dataclass(frozen=True)
class Data:
    """What to train on."""

    #: The data set.
    #: - digits: 1,797 images of 8x8 pixels, part of scikit-learn.
    #: - digit_pairs_left, digit_pairs_sum, digit_pairs: two of the digits side by side,
    #: 40,000 images. The class is the left digit, the sum of both, or both.
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
    #: to the original size. With 0 there is no crop. Default: 4 for cifar10 and
    #: cifar100, otherwise 0.
    crop_padding: int | None = None
    #: Whether to mirror half of the training images left to right. Default: for cifar10
    #: and cifar100 only.
    flip: bool | None = None
    #: Mean and deviation of each channel, with which pixels (in [0, 1]) are normalised.
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
    #: Shrink images: average squares of n by n pixels into one, n at least 1.
    shrink: int = 1

    def __post_init__(self):
        """Checks the options and fills in those that depend on the data."""
        is_cifar = self.data in ("cifar10", "cifar100")
        check(
            self.data in SOURCES or self.data.startswith("npz:"),
            f"--data must be {', '.join(SOURCES)} or npz:PATH, got {self.data!r}."
            f"{_meant(self.data)}",
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
        check(
            not self.test_rest or (self.every > 1 and not self.validation),
            "--test-rest needs --every 2 or more, and no --validation.",
        )
        check_relevance(self, "data")

    @property
    def tested(self) -> str:
        """What the examples are that it is tested on: "test" or "validation"."""
        return "validation" if self.validation else "test"

    @property
    def kind(self) -> str:
        """The kind of inputs, a key of `NETWORKS`."""
        if self.data not in NO_IMAGES:
            return "images"
        return "tokens" if self.data == "english" else "rows"


def _meant(source: str) -> str:
    kind, _, path = source.partition(":")
    if path and closest(kind, ["npz"]):
        return f" Did you mean npz:{path}?"
    if source.endswith(".npz"):
        return f" Did you mean npz:{source}?"
    return did_you_mean(source, SOURCES)


@dataclass(frozen=True)
class Model:
    """The network to train."""

    #: The kind of network. Default: chosen by the data, for images a Wide ResNet.
    #: - wide_resnet: a Wide ResNet, for images.
    #: - mlp: a multilayer perceptron, for tables and images.
    #: - transformer: a causal transformer, for text.
    #: - FILE.py:FUNCTION: a network of your own (Flax NNX), for any data. FUNCTION
    #: makes it: FUNCTION(input_shape, num_outputs, *, rngs). docs/training.md has an
    #: example.
    network: str | None = None
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
            parse_network(self.network)
            check_relevance(self, "network")

    @property
    def own(self) -> Own | None:
        """The user's own network; None if it is one that the program has."""
        return None if self.network is None else parse_network(self.network)

    def for_kind(self, kind: str) -> "Model":
        """The same with the network that inputs of a kind get.

        Raises:
          InputError: the network does not take them, or an option is another network's.
        """
        takes = NETWORKS[kind]
        check(
            self.network is None or self.network in takes or self.own is not None,
            f"--network must be {listing((*takes, FORM))} for {kind}, got "
            f"{self.network}.",
        )
        if self.network is not None:
            return self
        try:
            return dataclasses.replace(self, network=takes[0])
        except InputError as error:
            raise InputError(
                f"{error} Without --network, {kind} get {takes[0]}."
            ) from None


@dataclass(frozen=True)
class Cluster:
    """Several processes that train one network together."""

    #: Address HOST:PORT of the first process, such as 10.0.0.1:8476, given to every
    #: process. With auto, SLURM, Open MPI, Kubernetes or a Cloud TPU supplies it, and
    #: also the two options below. The devices of all processes share each batch. The
    #: first process writes the files. Default: one process.
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

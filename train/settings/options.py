"""Groups of options: data, network, processes; and the data sets and networks by name.

Nothing here imports JAX, so that `--help` comes at once.
"""

import dataclasses
import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from train.errors import InputError
from train.paths import expand
from train.settings.cli import did_you_mean, listing
from train.settings.fields import Options, at_least, check, option, within

# The networks that take the inputs of each kind; the first is the default.
NETWORKS = {
    "images": ("wide_resnet", "mlp"),
    "rows": ("mlp",),
    "tokens": ("transformer",),
}
BUILT_IN = tuple(dict.fromkeys(sum(NETWORKS.values(), ())))
FORM = "FILE.py:FUNCTION"


class DataSet(NamedTuple):
    """A data set that has a name."""

    kind: str  # of its inputs
    loader: str  # MODULE:FUNCTION in `train.data`
    crop_padding: int = 0
    flip: bool = False
    from_tfds: bool = False  # so that the loader is given the name and the folder


_CIFAR = DataSet("images", "cifar:load_cifar", 4, flip=True, from_tfds=True)
# Files of one's own: what is typed before the colon.
FILES = {
    "npz": DataSet("images", "sources:load_npz"),
    "folder": DataSet("images", "folders:load_folder"),
    "csv": DataSet("rows", "tables:load_table"),
}
DATA_SETS = {
    "digits": DataSet("images", "offline:load_digits"),
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "breast_cancer": DataSet("rows", "offline:load_breast_cancer"),
    "diabetes": DataSet("rows", "offline:load_diabetes"),
    "english": DataSet("tokens", "offline:load_english"),
}
NO_IMAGES = tuple(name for name in DATA_SETS if DATA_SETS[name].kind != "images")

# What options belong to.
_TFDS = {"data": tuple(name for name in DATA_SETS if DATA_SETS[name].from_tfds)}
_IMAGES = {"kind": ("images",)}
_FOLDER, _CSV = ({"source": (f"{name}:",)} for name in ("folder", "csv"))
_MLP, _WIDE_RESNET, _TRANSFORMER = (
    {"network": (name,)} for name in ("mlp", "wide_resnet", "transformer")
)

# How --validation chooses: runs keep it. Earlier versions took the last examples.
VALIDATION_SEED = 0
VALIDATION_SPLIT = f"stratified draw, seed {VALIDATION_SEED}"


@dataclass(frozen=True)
class Data(Options):
    """What to train on."""

    #: The data set.
    #: - digits: 1,797 images of 8x8 pixels, part of scikit-learn.
    #: - cifar10, cifar100: through TensorFlow Datasets.
    #: - npz:PATH: your own images, an .npz file with x_train and x_test (uint8; size,
    #: height, width and, if not grey, channels), y_train and y_test (integers from 0).
    #: - folder:PATH: your own images, in PATH/CLASS, or so in PATH/train and PATH/test.
    #: - csv:FILE: your own table, .csv, .tsv or .parquet; see --target.
    #: - breast_cancer: a table with two classes, part of scikit-learn.
    #: - diabetes: a table with a regression target, part of scikit-learn.
    #: - english: text; predict the next character of Python's own help texts.
    data: str = option("digits", rule=lambda source: check_source(source))
    #: Where TensorFlow Datasets keeps cifar10 and cifar100.
    data_dir: Path = option(Path("~/tensorflow_datasets"), of=_TFDS)
    #: folder: scale the shorter side of each image to N pixels, and cut the middle out.
    #: Default: the images must be of one size.
    image_size: int | None = within(None, 1, 4097, of=_FOLDER)
    #: folder: leave out images that cannot be read.
    skip_unreadable: bool = option(False, of=_FOLDER)
    #: csv: the column to predict.
    target: str | None = option(None, of=_CSV)
    #: csv: columns to leave out, such as a date or a number of the row.
    drop: tuple[str, ...] | None = option(None, of=_CSV)
    #: csv: the rows to test on. Default: a fifth of the rows, always the same.
    test_file: Path | None = option(None, of=_CSV)
    #: csv: what the target is. Default: classes where it has words or a few whole
    #: numbers, numbers where it has fractions.
    task: Literal["classes", "numbers"] | None = option(None, of=_CSV)
    #: Random crops in training: pixels of zero padding on each side, before a crop back
    #: to the original size. With 0 there is no crop. Default: 4 for cifar10 and
    #: cifar100, otherwise 0.
    crop_padding: int | None = within(
        None, 0, 1001, of=_IMAGES, follows=lambda o: o.data_set.crop_padding
    )
    #: Whether to mirror half of the training images left to right. Default: for cifar10
    #: and cifar100 only.
    flip: bool | None = option(None, of=_IMAGES, follows=lambda o: o.data_set.flip)
    #: Mean and deviation of each channel, with which pixels (in [0, 1]) are normalised.
    #: - train: those of the training images.
    #: - imagenet: those of ImageNet, as the authors do; only for 3 channels.
    #: - none: no normalisation.
    normalize: Literal["train", "imagenet", "none"] = option("train", of=_IMAGES)
    #: Train only on every n-th training example, at least 1.
    every: int = at_least(1, 1)
    #: Also test on the training images that --every leaves out.
    test_rest: bool = False
    #: Keep n training examples out of training, n at least 0, drawn from each class
    #: alike for all seeds. Test on them instead of the test set: for choosing options.
    validation: int = at_least(0, 0)
    #: Shrink images: average squares of n by n pixels into one, n at least 1.
    shrink: int = at_least(1, 1, of=_IMAGES)

    def check_together(self) -> None:
        """Refuses what cannot be used, or does not go together."""
        check(
            not self.test_rest or (self.every > 1 and not self.validation),
            "--test-rest needs --every 2 or more, and no --validation.",
        )
        check(
            self.source != "csv:" or self.target is not None,
            "--data csv:FILE needs --target COLUMN, the column to predict.",
        )

    @property
    def tested(self) -> str:
        """What the examples are that it is tested on: "test" or "validation"."""
        return "validation" if self.validation else "test"

    @property
    def source(self) -> str:
        """What options of files of one's own belong to."""
        kind, colon, _ = self.data.partition(":")
        return kind + colon

    @property
    def data_set(self) -> DataSet:
        """What is known of the data set."""
        return DATA_SETS.get(self.data) or FILES.get(self.source[:-1], FILES["npz"])

    @property
    def kind(self) -> str:
        """The kind of inputs, a key of `NETWORKS`."""
        return self.data_set.kind


def check_source(source: str) -> None:
    """Refuses what is neither a data set that is there nor one's own."""
    kind, colon, path = source.partition(":")
    hint, file = did_you_mean(source, DATA_SETS), Path(path or source)
    endings = {".npz": "npz", ".csv": "csv", ".tsv": "csv", ".parquet": "csv"}
    meant = "folder" if file.is_dir() else endings.get(file.suffix, kind)
    if colon and kind not in FILES and did_you_mean(kind, FILES):
        meant = did_you_mean(kind, FILES)[len(" Did you mean ") : -1]
    if meant != kind:
        hint = f" Did you mean {meant}:{file}?"
    known = listing((*DATA_SETS, *(f"{each}:PATH" for each in FILES)))
    check(
        source in DATA_SETS or (kind in FILES and colon != "" and meant == kind),
        f"--data must be {known}; got {source!r}.{hint}",
    )


def no_tensorboard(wanted: bool) -> str | None:
    """Says if what writes for TensorBoard is wanted, and not installed."""
    if not wanted or importlib.util.find_spec("tensorboardX") is not None:
        return None
    return "needs the package tensorboardX: `pip install tensorboardX` installs it"


class OwnFile(NamedTuple):
    """A network or an optimizer of one's own, as typed: a function of a file."""

    path: Path
    function: str


def parse_own(shown: str, text: str, known: str, hint: str) -> OwnFile:
    """The function of a file that an option names; `known` is what else it takes."""
    path, _, function = text.rpartition(":")
    check(
        path.endswith(".py") and function.isidentifier(),
        f"{shown} must be {known} or {FORM}; got {text!r}.{hint}",
    )
    return OwnFile(Path(path), function)


def parse_network(text: str) -> OwnFile | None:
    """What `--network` names; None for a network that the program has."""
    if text in BUILT_IN:
        return None
    hint = did_you_mean(text, BUILT_IN)
    return parse_own("--network", text, ", ".join(BUILT_IN), hint)


# Files of one's own that were sent here from another machine, by their paths there.
SENT: dict[Path, bytes] = {}


@functools.cache  # once by a process, as modules: its runs all have the same file
def read_own(path: Path) -> bytes:
    """The content of a file of one's own."""
    if path in SENT:
        return SENT[path]
    try:
        return expand(path).read_bytes()
    except (OSError, ValueError) as error:  # or no file can have such a name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}.") from None


def own_sha256(own: OwnFile | None) -> str | None:
    """The SHA-256 sum of a file of one's own; None if there is none."""
    return None if own is None else hashlib.sha256(read_own(own.path)).hexdigest()


def _depth(depth: int) -> str | None:
    """What the depth of a Wide ResNet must be, if it is not."""
    is_one = 10 <= depth <= 10_000 and depth % 6 == 4
    return None if is_one else "must be 6n + 4: 10, 16, 22, 28, ... (at most 10000)"


@dataclass(frozen=True)
class Model(Options):
    """The network to train."""

    #: The kind of network. Default: chosen by the data, for images a Wide ResNet.
    #: - wide_resnet: a Wide ResNet, for images.
    #: - mlp: a multilayer perceptron, for tables and images.
    #: - transformer: a causal transformer, for text.
    #: - FILE.py:FUNCTION: a network of your own (Flax NNX), for any data. FUNCTION
    #: makes it: FUNCTION(input_shape, num_outputs, *, rngs). docs/training.md has an
    #: example.
    network: str | None = option(None, rule=parse_network)
    #: wide_resnet: depth, 6n + 4: 10, 16, 22, 28, ...
    depth: int = option(10, rule=_depth, of=_WIDE_RESNET)
    #: wide_resnet: channels relative to the original ResNet, at least 1. The authors'
    #: network is --depth 28 --widen 10.
    widen: int = within(1, 1, 1001, of=_WIDE_RESNET)
    #: wide_resnet: dtype of convolutions and normalisations. transformer: dtype of the
    #: whole computation. Parameters, statistics and loss are float32.
    #: - float32: for a CPU and a TPU v5e. A TPU multiplies in bfloat16 all the same, an
    #: H200 in TF32.
    #: - bfloat16: for a GPU and a TPU v6e.
    dtype: Literal["float32", "bfloat16"] = option(
        "float32", of={"network": ("transformer", "wide_resnet")}
    )
    #: mlp: units of each hidden layer, each at least 1.
    hidden: tuple[int, ...] = within((64, 64), 1, 1_000_001, of=_MLP)
    #: transformer: features per token, at least 1, a multiple of --heads.
    width: int = within(64, 1, 100_001, of=_TRANSFORMER)
    #: transformer: number of layers, at least 1.
    layers: int = within(2, 1, 100_001, of=_TRANSFORMER)
    #: transformer: number of attention heads, at least 1.
    heads: int = within(4, 1, 100_001, of=_TRANSFORMER)

    def check_together(self) -> None:
        """Refuses what cannot be used, or does not go together."""
        check(
            self.network != "transformer" or self.width % self.heads == 0,
            f"--width must be a multiple of --heads, got {self.width} and "
            f"{self.heads}.",
        )

    @property
    def own(self) -> OwnFile | None:
        """The user's own network; None if it is one that the program has."""
        return None if self.network is None else parse_network(self.network)

    def for_kind(self, kind: str) -> "Model":
        """The same with the network that inputs of a kind get, or refused."""
        takes = NETWORKS[kind]
        check(
            self.network is None or self.network in takes or self.own is not None,
            f"--network must be {listing((*takes, FORM))} for {kind}, got "
            f"{self.network}.",
        )
        network = takes[0] if self.network is None else self.network
        return dataclasses.replace(self, network=network)


@dataclass(frozen=True)
class Cluster(Options):
    """Several processes that train one network together."""

    #: Address HOST:PORT of the first process, such as 10.0.0.1:8476, given to every
    #: process. With auto, SLURM, Open MPI, Kubernetes or a Cloud TPU supplies it, and
    #: also the two options below. The devices of all processes share each batch. The
    #: first process writes the files. Default: one process.
    coordinator: str | None = option(None, rule=lambda address: _address(address))
    #: With HOST:PORT: how many processes there are, at least 1.
    num_processes: int | None = at_least(None, 1)
    #: With HOST:PORT: the number of this process, from 0, different in each process.
    process_id: int | None = at_least(None, 0)

    def check_together(self) -> None:
        """Refuses an address without its processes, and the reverse."""
        told = [x for x in (self.process_id, self.num_processes) if x is not None]
        has_address = self.coordinator not in (None, "auto")
        check(
            len(told) == 2 * has_address and told == sorted({*told}),
            "--num-processes and --process-id, from 0 to one below it, belong to "
            "--coordinator HOST:PORT: give all three, or at most auto.",
        )


@dataclass(frozen=True)
class Sharing(Options):
    """Runs of a study that are trained at the same time, by Ray."""

    #: Train several runs at a time by Ray: local starts it on this machine, and
    #: HOST:PORT is that of a cluster. docs/clusters.md has examples. Default: one run
    #: after another, in this process.
    ray: str | None = option(None, rule=lambda address: _address(address, "local"))
    #: With --ray: GPUs of each run, at least 0. Default: 1 where the cluster has GPUs,
    #: otherwise 0.
    gpus_per_run: float | None = at_least(None, 0, needs=["ray"])
    #: With --ray: runs at a time, at least 1. Default: as many as have their GPUs, or
    #: their --threads.
    workers: int | None = at_least(None, 1, needs=["ray"])
    #: With --ray: show Ray's own lines. Without, they go to ray.log in the folder.
    verbose: bool = option(False, needs=["ray"])


def _address(address: str, word: str = "auto") -> str | None:
    """What the address of a process must be, if it is not; or a word in its place."""
    host, _, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
    is_one = address == word or (host and "/" not in host and is_port)
    usual = {"auto": 8476, "local": 6379}[word]
    return None if is_one else f"must be HOST:PORT, as in 10.0.0.1:{usual}, or {word}"

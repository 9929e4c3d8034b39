"""The commands: frozen dataclasses, which are also the command line (`cli.py`)."""

import typing
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from train.paths import expand
from train.settings.arms import at_rate, parse_arms
from train.settings.cli import listing
from train.settings.experiment import Experiment, Run, make_run
from train.settings.fields import (
    Options,
    at_least,
    check,
    group,
    option,
    positive,
    within,
)
from train.settings.options import Sharing, check_source, no_tensorboard, parse_network


def _ending(*endings: str, default: Any = MISSING) -> Any:
    """An option for a file to write, whose name ends in one of some ways."""

    def rule(path: Path) -> str | None:
        is_one = path.suffix.lower() in endings
        place = "comes behind the folder, and " * path.is_dir()
        return None if is_one else f"{place}must end in {listing(endings)}"

    return option(default, rule=rule, group="output")


def _step(text: str) -> str | None:
    """What `--step` must be, if it is not."""
    is_one = text == "best" or (text.isascii() and text.isdigit() and int(text) > 0)
    return None if is_one else "must be a number of steps, at least 1, or best"


@dataclass(frozen=True, kw_only=True)
class Compare(Experiment):
    """Compares optimizers on the same networks and the same batches.

    All arms of a seed start from the same weights and see the same batches, so their
    differences are paired. Prints a table. Writes one folder per run, and report/ with
    every run, epoch and comparison as CSV.

    Examples:
      python -m train compare --arms sgd lcam --seeds 0 1 2  # three seeds of each
      python -m train compare --arms sgd:momentum=0.95 lcam:low-loss-momentum=0.95
      python -m train compare --seeds 0 1 2 3 --out runs/a --resume  # or begin it
    """

    #: Optimizers to compare, each NAME or NAME:OPTION=VALUE,... with options of `run`.
    #: Examples: sgd:momentum=0.95 or lcam:low-loss-momentum=0.95,lagged=True. Each is
    #: compared with the first.
    arms: tuple[str, ...] = option(("sgd", "lcam"), distinct=2, group="arms")
    #: Seeds of initial weights, data order and augmentation, each at least 0.
    seeds: tuple[int, ...] = within((0,), 0, 2**32, distinct=1, group="seeds")
    #: Learning rates to try with every arm. Each arm's rate is chosen by the error on
    #: the examples that --validation keeps out of training. Then the arms are compared
    #: at their rates with --seeds, on all training data and the test set.
    learning_rates: tuple[float, ...] | None = option(
        None, distinct=1, ascending=True, group="arms"
    )
    #: With --learning-rates: seeds of the runs that choose, none of --seeds. Default:
    #: 2000 2001 2002.
    validation_seeds: tuple[int, ...] | None = within(
        *(None, 0, 2**32),
        distinct=1,
        needs=["learning_rates"],
        follows=lambda o: None if o.learning_rates is None else (2000, 2001, 2002),
        group="seeds",
    )
    #: Folder to write to; must be new or empty. Default: runs/compare-DATA, numbered if
    #: that exists.
    out: Path | None = option(None, group="output")
    #: Continue the comparison in --out, with the same options and data. Finished runs
    #: are skipped. You may add --seeds.
    resume: bool = option(False, needs=["out"], group="output")
    #: Also write report/report.md with pictures, as a study does.
    report: bool = option(False, group="output")
    #: Minutes after which no new run starts. Default: no limit.
    budget: float | None = positive(None, group="output")
    #: How many checkpoints to keep of each finished run, at least 0.
    keep_checkpoints: int = at_least(0, 0, group="checkpoints")
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True
    sharing: Sharing = group(Sharing, "several runs at a time")

    def check_together(self) -> None:
        """Refuses what does not go together, or with what the arms share."""
        check(
            self.learning_rates is None or self.data.validation > 0,
            "--learning-rates needs --validation N: the number of training examples to "
            "keep out of training and choose by.",
        )
        shared = sorted({*self.seeds} & {*(self.validation_seeds or ())})
        check(
            not shared,
            f"--seeds and --validation-seeds share {listing(shared, 'and')}: what was "
            "chosen is compared with fresh seeds.",
        )
        arms = self.arms
        if self.learning_rates is not None:
            arms = [arm for tried in self.arms_at_rates() for arm in tried]
        for optimizer in parse_arms(arms).values():
            make_run(self, optimizer=optimizer)

    def arms_at_rates(self) -> list[list[str]]:
        """For each of `arms`, the arms that it is at each of `learning_rates`."""
        return [
            [at_rate(arm, rate) for rate in self.learning_rates] for arm in self.arms
        ]


_ON_ANY_NETWORK = ("baseline", "priority", "noise", "ablation", "mechanism")
_ON_ANY_DATA = (*_ON_ANY_NETWORK, "rates", "plan-5k", "plan-dose", "plan-epochs")


@dataclass(frozen=True, kw_only=True)
class Study(Options):
    """Runs a study: blocks of arms, each with the same seeds, and a report.

    Run the same command again to continue: finished runs are skipped. Writes one folder
    per run, and report/ with report.md, pictures, and every run, epoch and comparison
    as CSV.

    Examples:
      python -m train study ablation --quick  # 2 to 80 minutes
      python -m train study ablation --quick --arms chance  # and the reference
      python -m train study ablation --quick --budget 60  # an hour
    """

    #: Which study to run. `python -m train studies` describes them.
    name: Literal[*_ON_ANY_DATA, "domains"]
    #: A small version: a small network on the digits, or on a part of your --data. It
    #: takes 2 to 80 minutes on two cores.
    quick: bool = option(False, group="study")
    #: Data to use instead of the study's own, as in `run`. Not for `domains`, which
    #: has several data sets of its own.
    data: str | None = option(
        None, rule=check_source, of={"name": _ON_ANY_DATA}, group="data"
    )
    #: Where TensorFlow Datasets keeps cifar10 and cifar100.
    data_dir: Path = option(Path("~/tensorflow_datasets"), group="data")
    #: Network to use instead of the study's own, as in `run`: FILE.py:FUNCTION is a
    #: network of your own. Not for `domains`, `rates` and the plan's studies, which
    #: have networks of their own.
    network: str | None = option(
        None, rule=parse_network, of={"name": _ON_ANY_NETWORK}, group="network"
    )
    #: Seeds of initial weights, data order and augmentation, each at least 0. Default:
    #: the study's own.
    seeds: tuple[int, ...] | None = within(None, 0, 2**32, distinct=1, group="seeds")
    #: Arms of the study to run, for one question with fewer comparisons. The reference
    #: always runs. Default: all arms.
    arms: tuple[str, ...] | None = option(None, group="arms")
    #: Passes over the training set. Default: the study's own.
    epochs: int | None = at_least(None, 1, group="training")
    #: Minutes after which no new run starts. Default: no limit.
    budget: float | None = positive(None, group="output")
    #: How many checkpoints to keep of each finished run, at least 0.
    keep_checkpoints: int = at_least(0, 0, group="checkpoints")
    #: Minutes after which a run saves a checkpoint, to go on from; 0: never.
    checkpoint_minutes: float = at_least(10, 0, group="checkpoints")
    #: Threads that compute on a CPU, as in `run`.
    threads: int | None = within(None, 1, 1025)
    #: Kind of device to train on, as in `run`.
    device: Literal["cpu", "gpu", "tpu"] | None = None
    #: Repeat results bit for bit on a GPU too, as in `run`.
    deterministic: bool = False
    #: Devices that share each batch, as in `run`.
    devices: int | None = at_least(None, 1)
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True
    #: Also write the numbers of each metrics.jsonl for TensorBoard, into the same
    #: folder. This needs the package tensorboardX.
    tensorboard: bool = option(False, rule=no_tensorboard, group="output")
    #: Folder to write to, or to continue in. Default: runs/study-NAME, plus -quick, the
    #: kind of --data and the name of --network if given.
    out: Path | None = option(None, group="output")
    sharing: Sharing = group(Sharing, "several runs at a time")

    @property
    def kept_in(self) -> Path:
        """The folder that it writes to."""
        name = f"study-{self.name}{'-quick' * self.quick}"
        name += f"-{self.data.partition(':')[0]}" if self.data else ""
        name += f"-{self.network.rpartition(':')[2]}" if self.network else ""
        return expand(self.out or Path("runs") / name)


@dataclass(frozen=True)
class Report(Options):
    """Writes a study's report from its rows, and joins the parts of a study.

    The parts of a study can run with different seeds on several machines. This command
    joins them into one report. It needs study.json, runs.csv and epochs.csv, and no
    folder of a run.

    Examples:
      python -m train report runs/study-ablation-quick
      python -m train report runs/a runs/b --out runs/joined  # two parts of a study
      python -m train report runs/study-ablation-quick --html  # for a browser
    """

    #: Folders of studies or comparisons, or the report/ in them.
    folders: tuple[Path, ...]
    #: Folder to write to; must be new or empty. Default: report/ in the folder, if only
    #: one is named.
    out: Path | None = option(None, group="output")

    #: Differences within it count as none, in points of error. Default: a tenth of the
    #: reference's error, one point at most and one test example at least.
    margin: float | None = positive(None, group="output")
    #: Also write report.html: report and details in one file, with the pictures in it.
    html: bool = option(False, group="output")

    def check_together(self) -> None:
        """Refuses what does not go together."""
        check(
            self.out is not None or len(self.folders) == 1,
            "report needs --out, the folder for the joined report.",
        )


@dataclass(frozen=True)
class Studies(Options):
    """Describes the studies that `study` knows."""


@dataclass(frozen=True)
class Plot(Options):
    """Draws runs, comparisons and studies side by side, finished or not.

    At the top: test error, training loss, phases and momentum per epoch. All that has
    the same data, network and batch size has common axes. Of a comparison or a study:
    the mean of each arm over its seeds. Below, for each run: the loss, its average, the
    phase and the momentum of each step.

    Examples:
      python -m train plot runs/digits-lcam-seed0
      python -m train plot runs/compare-digits runs/a --out both.pdf
    """

    #: Folders of runs, of comparisons and of studies, or the report/ in them.
    folders: tuple[Path, ...] = option(distinct=1)
    #: Picture to write: .png, .pdf or .svg. Default: figure.png in the first folder,
    #: drawn again if this program drew it.
    out: Path | None = _ending(".png", ".pdf", ".svg", default=None)
    #: Replace the picture, if it is there.
    overwrite: bool = option(False, group="output")


@dataclass(frozen=True)
class Evaluate(Options):
    """Tests the network of a run: error, error of each class, confusion matrix.

    The network is that of a checkpoint, with the normalisation of its run.

    Examples:
      python -m train evaluate runs/digits-lcam-seed0
      python -m train evaluate runs/a --data npz:new.npz --predictions new.csv
    """

    #: Folder of the run.
    folder: Path
    #: Data to test on, as in `run`. Without y_test, folders of classes or the target
    #: there are predictions, and no error. None: the run's own test set.
    data: str | None = option(None, rule=check_source, group="data")
    #: Steps taken at the checkpoint, or best: see `run --keep-best`. None: the newest.
    step: str | None = option(None, rule=_step, group="checkpoints")
    #: File for the prediction and the probabilities of each example: .csv or .npz.
    predictions: Path | None = _ending(".csv", ".npz", default=None)
    #: Replace the file for the predictions, if it is there.
    overwrite: bool = option(False, group="output")
    #: Kind of device to test on, as in `run`.
    device: Literal["cpu", "gpu", "tpu"] | None = None
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True


@dataclass(frozen=True)
class Export(Options):
    """Writes the weights and running statistics of a run's network into one file.

    A Wide ResNet has the names and the layout of PyTorch's network, other networks
    those of Flax. In Python, `models.load(FILE)` loads the file.

    Examples:
      python -m train export runs/digits-lcam-seed0 weights.safetensors
    """

    #: Folder of the run.
    folder: Path
    #: File to write: .safetensors or .npz.
    out: Path = _ending(".safetensors", ".npz")
    #: Steps taken at the checkpoint, or best: see `run --keep-best`. None: the newest.
    step: str | None = option(None, rule=_step, group="checkpoints")
    #: Replace the file, if it is there.
    overwrite: bool = option(False, group="output")


@dataclass(frozen=True)
class Runs(Options):
    """Lists the runs below a folder: state, epochs, error, time.

    A comparison or a study is one line, which says how many of its runs have finished.

    Examples:
      python -m train runs --all  # also the runs in comparisons and studies
      python -m train runs --json  # for a program
    """

    #: Where to look.
    folder: Path = option(Path("runs"), alone=True)
    #: List the runs in comparisons and studies too, each on its own.
    all: bool = option(False, group="output")
    #: Print JSON instead of a table.
    json: bool = option(False, group="output")


@dataclass(frozen=True)
class Doctor(Options):
    """Tells whether a run works on this machine, and what to do if not.

    Trains for a moment on each kind of device. The exit code is 1 if that fails.

    Examples:
      python -m train doctor --device gpu  # fails where there is none
      python -m train doctor --json  # for a bug report
    """

    #: Kind of device to try. Default: what a run takes, and the CPU.
    device: Literal["cpu", "gpu", "tpu"] | None = None
    #: Print JSON.
    json: bool = option(False, group="output")


@dataclass(frozen=True)
class Presets(Options):
    """Lists the published runs that `run --preset` knows."""


@dataclass(frozen=True)
class Program(Options):
    """Trains networks with SGD, LCAM or any optimizer of Optax, and compares them.

    Examples:
      python -m train run --epochs 10  # LCAM on handwritten digits
      python -m train compare --arms sgd lcam --seeds 0 1 2  # three seeds of each
    """


Command = Run | Compare | Study | Report | Studies | Plot | Evaluate | Export | Runs
Command |= Doctor | Presets
COMMANDS = {kind.__name__.lower(): kind for kind in typing.get_args(Command)}

"""The commands: frozen dataclasses, which are also the command line.

As in `train.settings.options`, the comment above a field is its help text.
"""

import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.settings.arms import at_rate, parse_arms
from train.settings.checks import (
    check,
    check_at_least,
    check_different,
    check_positive,
    check_resume,
    check_seeds,
    check_tensorboard,
)
from train.settings.experiment import Experiment, Run, make_run
from train.settings.finished import Evaluate, Export, Runs
from train.settings.options import Data, Model
from train.settings.suggestions import listing, spaces_hint


@dataclass(frozen=True, kw_only=True)
class Compare(Experiment):
    """Compares optimizers on the same networks and the same batches.

    All arms of a seed start from the same weights and see the same batches, so their
    differences are paired. Prints a table. Writes one folder per run, and report/ with
    every run, epoch and comparison as CSV.
    """

    #: Optimizers to compare, each NAME or NAME:OPTION=VALUE,... with options of `run`.
    #: Examples: sgd:momentum=0.95 or lcam:low-loss-momentum=0.95,lagged=True. Each is
    #: compared with the first.
    arms: tuple[str, ...] = ("sgd", "lcam")
    #: Seeds of initial weights, data order and augmentation, each at least 0.
    seeds: tuple[int, ...] = (0,)
    #: Learning rates to try with every arm. Each arm's rate is chosen by the error on
    #: the examples that --validation keeps out of training. Then the arms are compared
    #: at their rates with --seeds, on all training data and the test set.
    learning_rates: tuple[float, ...] | None = None
    #: With --learning-rates: seeds of the runs that choose, none of --seeds. Default:
    #: 2000 2001 2002.
    validation_seeds: tuple[int, ...] | None = None
    #: Folder to write to; must be new or empty. Default: runs/compare-DATA, numbered if
    #: that exists.
    out: Path | None = None
    #: Continue the comparison in --out, with the same options and data. Finished runs
    #: are skipped. You may add --seeds. Processes that continue the same folder share
    #: the work.
    resume: bool = False
    #: Also write report/report.md with pictures, as a study does.
    report: bool = False
    #: Minutes after which no new run starts. Default: no limit.
    budget: float | None = None
    #: How many checkpoints to keep of each finished run, at least 0.
    keep_checkpoints: int = 0
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True

    def __post_init__(self):
        """Checks the options."""
        super().__post_init__()
        check_resume(self.out, self.resume)
        _check_work(self.budget, self.keep_checkpoints)
        hint = spaces_hint(" ".join(self.arms))
        check(
            len(self.arms) >= 2,
            f"--arms must name two optimizers or more, got {len(self.arms)}.{hint}",
        )
        check(
            len(set(self.arms)) == len(self.arms),
            f"--arms must be different, got {' '.join(self.arms)}.",
        )
        check_seeds("--seeds", self.seeds)
        arms = self.arms
        if self.learning_rates is None:
            check(
                self.validation_seeds is None,
                "--validation-seeds belongs to --learning-rates, and would be ignored "
                "without it.",
            )
        else:
            self._check_rates()
            arms = [arm for tried in self.arms_at_rates() for arm in tried]
        for optimizer in parse_arms(arms).values():
            make_run(self, optimizer=optimizer)

    def _check_rates(self):
        check(
            self.data.validation > 0,
            "--learning-rates needs --validation N: the number of training examples to "
            "keep out of training and choose by.",
        )
        check_different("--learning-rates", self.learning_rates)
        # Of rates that do equally well the lowest is chosen, however they are typed.
        object.__setattr__(self, "learning_rates", tuple(sorted(self.learning_rates)))
        if self.validation_seeds is None:
            object.__setattr__(self, "validation_seeds", (2000, 2001, 2002))
        check_seeds("--validation-seeds", self.validation_seeds)
        shared = sorted({*self.seeds} & {*self.validation_seeds})
        check(
            not shared,
            f"--seeds and --validation-seeds share {listing(shared, 'and')}: what was "
            "chosen is compared with fresh seeds.",
        )

    def arms_at_rates(self) -> list[list[str]]:
        """For each of `arms`, the arms that it is at each of `learning_rates`."""
        return [
            [at_rate(arm, rate) for rate in self.learning_rates] for arm in self.arms
        ]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Runs a study: blocks of arms, each with the same seeds, and a report.

    Run the same command again to continue: finished runs are skipped. Processes in the
    same folder share the work. Writes one folder per run, and report/ with report.md,
    pictures, and every run, epoch and comparison as CSV.
    """

    #: Which study to run. `python -m train studies` describes them.
    name: Literal[
        *("baseline", "priority", "noise", "domains", "ablation", "mechanism"),
        "rates",
        *("plan-5k", "plan-dose", "plan-epochs", "plan-pairs"),
    ]
    #: A small version: a small network on the digits, or on a part of your --data. It
    #: takes some minutes on two cores.
    quick: bool = False
    #: Data to use instead of the study's own, as in `run`. Not for `domains`, which
    #: has several data sets of its own.
    data: str | None = None
    #: Where TensorFlow Datasets keeps cifar10 and cifar100.
    data_dir: Path = Path("~/tensorflow_datasets")
    #: Network to use instead of the study's own, as in `run`: FILE.py:FUNCTION is a
    #: network of your own. Not for `domains`, `rates` and the plan's studies, which
    #: have networks of their own.
    network: str | None = None
    #: Seeds of initial weights, data order and augmentation, each at least 0. Default:
    #: the study's own.
    seeds: tuple[int, ...] | None = None
    #: Arms of the study to run, for one question with fewer comparisons. The reference
    #: always runs. Default: all arms.
    arms: tuple[str, ...] | None = None
    #: Passes over the training set. Default: the study's own.
    epochs: int | None = None
    #: Minutes after which no new run starts. Default: no limit.
    budget: float | None = None
    #: How many checkpoints to keep of each finished run, at least 0.
    keep_checkpoints: int = 0
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True
    #: Also write the numbers of each metrics.jsonl for TensorBoard, into the same
    #: folder. This needs the package tensorboardX.
    tensorboard: bool = False
    #: Folder to write to, or to continue in. Default: runs/study-NAME, plus -quick, the
    #: kind of --data and the name of --network if given.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        if self.seeds is not None:
            check_seeds("--seeds", self.seeds)
        if self.epochs is not None:
            check_at_least("--epochs", self.epochs, 1)
        _check_work(self.budget, self.keep_checkpoints)
        check_tensorboard(self.tensorboard)
        check(
            self.data is None or self.name != "domains",
            "--data cannot be used with the study domains, which has data of its own.",
        )
        if self.data is not None:
            Data(data=self.data)
        if self.network is not None:
            check(
                self.name not in ("domains", "rates") and "plan-" not in self.name,
                f"--network cannot be used with the study {self.name}, which has "
                "networks of its own.",
            )
            Model(self.network)


@dataclass(frozen=True)
class Report:
    """Writes a study's report from its rows, and joins the parts of a study.

    The parts of a study can run with different seeds on several machines. This command
    joins them into one report. It needs study.json, runs.csv and epochs.csv, and no
    folder of a run.
    """

    #: Folders of studies or comparisons, or the report/ in them.
    folders: tuple[Path, ...]
    #: Folder to write to; must be new or empty. Default: report/ in the folder, if only
    #: one is named.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check(len(self.folders) > 0, "report needs the folder of one study or more.")
        check(
            self.out is not None or len(self.folders) == 1,
            "report needs --out, the folder for the joined report.",
        )


@dataclass(frozen=True)
class Studies:
    """Describes the studies that `study` knows."""


@dataclass(frozen=True)
class Plot:
    """Draws runs, comparisons and studies side by side, finished or not.

    At the top: test error, training loss, phases and momentum per epoch. All that has
    the same data, network and batch size has common axes. Of a comparison or a study:
    the mean of each arm over its seeds. Below, for each run: the loss, its average, the
    phase and the momentum of each step.
    """

    #: Folders of runs, of comparisons and of studies, or the report/ in them.
    folders: tuple[Path, ...]
    #: Picture to write: .png, .pdf or .svg. Default: figure.png in the first folder,
    #: drawn again if this program drew it.
    out: Path | None = None
    #: Replace the picture, if it is there.
    overwrite: bool = False

    def __post_init__(self):
        """Checks the options."""
        check(
            len(self.folders) > 0,
            "plot needs the folder of a run, a comparison or a study.",
        )
        check(
            len(set(self.folders)) == len(self.folders),
            f"plot needs different folders, got {' '.join(map(str, self.folders))}.",
        )
        check(
            self.out is None or self.out.suffix.lower() in (".png", ".pdf", ".svg"),
            f"--out must end in .png, .pdf or .svg, got {self.out}.",
        )


@dataclass(frozen=True)
class Presets:
    """Lists the published runs that `run --preset` knows."""


def _check_work(budget: float | None, keep_checkpoints: int) -> None:
    if budget is not None:
        check_positive("--budget", budget)
    check_at_least("--keep-checkpoints", keep_checkpoints, 0)


Command = (
    Run | Compare | Study | Report | Studies | Plot | Evaluate | Export | Runs | Presets
)
COMMANDS = {kind.__name__.lower(): kind for kind in typing.get_args(Command)}

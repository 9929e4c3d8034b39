"""The commands beside `run`: frozen dataclasses, which are also the command line.

As in `train.settings.options`, the comment above a field is its help text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.settings.checks import (
    check,
    check_at_least,
    check_positive,
    check_resume,
    check_seeds,
)
from train.settings.experiment import Experiment
from train.settings.options import Data


@dataclass(frozen=True, kw_only=True)
class Compare(Experiment):
    """Trains the same networks with several optimizers and compares them.

    For every seed all arms start from the same weights and see the same batches, so
    their differences are paired. Prints a table. Writes a folder per run, and report/
    with every run, epoch and comparison as CSV.
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
    #: are not repeated, and may have been of fewer --seeds. Several processes that do
    #: so at once share the work.
    resume: bool = False
    #: Write report/report.md too, with pictures, as a study does.
    report: bool = False
    #: Minutes after which no further run is begun. None: no end.
    budget: float | None = None
    #: How many checkpoints of each run are kept when it has finished, at least 0.
    keep_checkpoints: int = 0

    def __post_init__(self):
        """Checks the options."""
        super().__post_init__()
        check_resume(self.out, self.resume)
        _check_work(self.budget, self.keep_checkpoints)
        check(
            len(self.arms) >= 2,
            f"--arms must name two optimizers or more, got {len(self.arms)}.",
        )
        check(
            len(set(self.arms)) == len(self.arms),
            f"--arms must differ, got {' '.join(self.arms)}.",
        )
        check_seeds(self.seeds)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Runs a study: blocks of arms, each with the same seeds, and a report.

    The same command goes on where the study stopped, and repeats no finished run. Two
    processes in one folder share the work. Writes a folder per run, and report/ with
    report.md, pictures, and every run, epoch and comparison as CSV.
    """

    #: Which study; `python -m train studies` describes them.
    name: Literal[
        *("baseline", "priority", "noise", "domains", "ablation", "mechanism"),
        *("plan-5k", "plan-50k", "plan-half", "plan-noise"),
    ]
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
    #: How many checkpoints of each run are kept when it has finished, at least 0.
    keep_checkpoints: int = 0
    #: Folder to write into, or to go on in. None: runs/study-NAME, with -quick and
    #: the kind of --data behind it.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        if self.seeds is not None:
            check_seeds(self.seeds)
        if self.epochs is not None:
            check_at_least("--epochs", self.epochs, 1)
        _check_work(self.budget, self.keep_checkpoints)
        check(
            self.data is None or self.name != "domains",
            "--data has no place in the study domains, which is one of its own data.",
        )
        if self.data is not None:
            Data(data=self.data)


@dataclass(frozen=True)
class Report:
    """Makes the report of a study from its rows, and joins the parts of a study.

    A study can be run in parts with other seeds, on several machines: this makes one
    report of them. It needs study.json, runs.csv and epochs.csv, and no run.
    """

    #: Folders of studies or comparisons, or the report/ in them.
    folders: tuple[Path, ...]
    #: Folder to write into; must be new or empty. None, with one folder: its report/.
    out: Path | None = None

    def __post_init__(self):
        """Checks the options."""
        check(len(self.folders) > 0, "report needs the folder of a study.")
        check(
            self.out is not None or len(self.folders) == 1,
            "report needs --out, the folder for the joined report.",
        )


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


@dataclass(frozen=True)
class Quadratic:
    """Shows what switching does on a noisy quadratic, where theory gives the answer.

    Prints the tables of docs/mechanism.md; takes some minutes.
    """


def _check_work(budget: float | None, keep_checkpoints: int) -> None:
    if budget is not None:
        check_positive("--budget", budget)
    check_at_least("--keep-checkpoints", keep_checkpoints, 0)

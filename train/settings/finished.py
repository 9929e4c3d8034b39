"""The commands for runs that are there: evaluate, export, list.

As in `train.settings.options`, the comment above a field is its help text.
"""

from dataclasses import dataclass, field
from pathlib import Path

from train.settings.checks import check, check_at_least
from train.settings.options import Data


@dataclass(frozen=True)
class Evaluate:
    """Tests the network of a run: error, error of each class, confusion matrix.

    The network is that of a checkpoint, with the normalisation of its run.
    """

    #: Folder of the run.
    folder: Path
    #: Data to test on, as in `run`; npz:PATH needs x_test only. Without y_test there
    #: are predictions, and no error. None: the run's own test set.
    data: str | None = None
    #: Steps taken at the checkpoint. None: the newest.
    step: int | None = None
    #: File for the prediction and the probabilities of each example: .csv or .npz.
    predictions: Path | None = None
    #: Replace the file for the predictions, if it is there.
    overwrite: bool = False
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True

    def __post_init__(self):
        """Checks the options."""
        _check_step(self.step)
        _check_ending("--predictions", self.predictions, (".csv", ".npz"))
        if self.data is not None:
            Data(data=self.data)


@dataclass(frozen=True)
class Export:
    """Writes the weights and running statistics of a run's network into one file.

    A Wide ResNet has the names and the layout of PyTorch's network, other networks
    those of Flax.
    """

    #: Folder of the run.
    folder: Path
    #: File to write: .safetensors or .npz.
    out: Path
    #: Steps taken at the checkpoint. None: the newest.
    step: int | None = None
    #: Replace the file, if it is there.
    overwrite: bool = False

    def __post_init__(self):
        """Checks the options."""
        _check_step(self.step)
        _check_ending("OUT", self.out, (".safetensors", ".npz"))


@dataclass(frozen=True)
class Runs:
    """Lists the runs below a folder: state, epochs, test error, time."""

    #: Where to look.
    folder: Path = field(default=Path("runs"), metadata={"positional": True})
    #: Print JSON instead of a table.
    json: bool = False


def _check_step(step: int | None) -> None:
    if step is not None:
        check_at_least("--step", step, 1)


def _check_ending(option: str, path: Path | None, endings: tuple[str, ...]) -> None:
    check(
        path is None or path.suffix in endings,
        f"{option} must end in {' or '.join(endings)}, got {path}.",
    )

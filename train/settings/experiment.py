"""A run's options, as frozen dataclasses that are also the command line.

The groups of options are in `train.settings.options`. As there, the comment above a
field is its help text, every check raises `InputError`, and no JAX is imported.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from train.settings.checks import (
    check,
    check_at_least,
    check_resume,
    check_seed,
    check_tensorboard,
    flag,
)
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Cluster, Data, Model
from train.settings.relevance import SIGNALS


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a run and a comparison share."""

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    schedule: Schedule = field(default_factory=Schedule)
    #: Passes over the training set, at least 1.
    epochs: int = 20
    #: Examples per training step, at least 1.
    batch_size: int = 64
    #: Leave out the examples that do not fill a batch, different ones in each epoch.
    #: With --no-drop-last the last step of an epoch is smaller.
    drop_last: bool = True
    #: Examples per test step, at least 1. The whole test set is always scored.
    eval_batch_size: int = 500
    #: Training steps per call of the compiled program. Progress and Ctrl-C wait for the
    #: end of a call. Default: on a CPU about two seconds of work, at least one step;
    #: otherwise an epoch, or some seconds of an H200.
    steps_per_call: int | None = None
    #: Devices that share each batch, at least 1. Default: all devices of all processes.
    devices: int | None = None
    #: What to do when a loss is not finite.
    #: - stop: end the run and keep the last good checkpoint.
    #: - continue: train on. LCAM leaves that loss out of its average.
    on_nan: Literal["stop", "continue"] = "stop"
    #: What else to measure. Each epoch, metrics.jsonl gets it as `observed`.
    #: - held_out: how often the phase differs from that of the loss on the first test
    #: batch. This costs a forward pass per step.
    #: - fixed: the same for a fixed batch of 256 training examples.
    #: - mechanism: norms of gradients and updates in each phase, per array, and for the
    #: fastest and the slowest tenth of the parameters.
    #: - sparsity: how sparse the gradients are.
    observe: Literal["nothing", "held_out", "fixed", "mechanism", "sparsity"] = (
        "nothing"
    )
    #: Test only after the last n epochs, n at least 1. Default: after each epoch.
    test_epochs: int | None = None
    #: Also write the numbers of metrics.jsonl for TensorBoard, into the same folder.
    #: This needs the package tensorboardX.
    tensorboard: bool = False

    def __post_init__(self):
        """Checks the options."""
        self.model.for_kind(self.data.kind)
        for option in ("epochs", "batch_size", "eval_batch_size"):
            check_at_least(flag(option), getattr(self, option), 1)
        for option in ("steps_per_call", "devices", "test_epochs"):
            if getattr(self, option) is not None:
                check_at_least(flag(option), getattr(self, option), 1)
        check_tensorboard(self.tensorboard)

    def is_tested(self, epoch: int) -> bool:
        """Whether there is a test after an epoch, counted from 0."""
        return epoch >= self.epochs - (self.test_epochs or self.epochs)


@dataclass(frozen=True, kw_only=True)
class Run(Experiment):
    """Trains one network with one optimizer.

    Writes to its own folder: config.json, provenance.json, metrics.jsonl (one row per
    epoch), steps.csv (one row per step), checkpoints/ and curves.png.
    """

    #: A published run, whose options replace the defaults. Other options that you give
    #: override it. Another --optimizer, --schedule or --network brings its own
    #: defaults. The command `python -m train presets` lists the published runs.
    preset: str | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    #: Seed of initial weights, data order and augmentation, at least 0.
    seed: int = 0
    #: Seed of the initial weights alone, at least 0. Default: that of --seed.
    init_seed: int | None = None
    #: Folder to write to; must be new or empty. Default: runs/PRESET-seedSEED or
    #: runs/DATA-OPTIMIZER-seedSEED, numbered if that exists.
    out: Path | None = None
    #: Epochs between checkpoints. With 0, only --checkpoint-minutes sets when to save.
    #: The last epoch always leaves a checkpoint.
    checkpoint_every: int = 0
    #: Minutes after which to save another checkpoint, at the end of a call; 0: never.
    checkpoint_minutes: float = 10
    #: How many of the newest checkpoints to keep, at least 1.
    keep_checkpoints: int = 2
    #: Continue from the last checkpoint of the run in --out, with the same options and
    #: data. Without a checkpoint the run starts from the beginning. --epochs may be
    #: another number if the epochs that are trained keep their learning rates: with any
    #: --schedule but cosine.
    resume: bool = False
    #: Print only a summary at the end.
    quiet: bool = False
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True
    cluster: Cluster = field(default_factory=Cluster)

    def __post_init__(self):
        """Checks the options."""
        super().__post_init__()
        check(
            self.observe == "nothing" or self.optimizer.optimizer != "adamw",
            "--observe measures phases of sgd and lcam, not those of adamw.",
        )
        check(
            self.observe not in ("held_out", "fixed")
            or self.optimizer.phase in SIGNALS,
            f"--observe {self.observe} checks how well a loss tells the phase. With "
            f"--phase {self.optimizer.phase} no loss decides it.",
        )
        check_seed("--seed", self.seed)
        if self.init_seed is not None:
            check_seed("--init-seed", self.init_seed)
        check_at_least("--checkpoint-every", self.checkpoint_every, 0)
        check_at_least("--checkpoint-minutes", self.checkpoint_minutes, 0)
        check_at_least("--keep-checkpoints", self.keep_checkpoints, 1)
        check_resume(self.out, self.resume)

    @property
    def changeable(self) -> tuple[str, ...]:
        """Options that a resumed run may change, if what is trained allows it."""
        # Phases of another run are those of all epochs.
        return ("epochs",) if self.optimizer.phases_of is None else ()


def make_run(experiment: Experiment, **options: Any) -> Run:
    """A run of an experiment; `options` are those that `Run` has besides.

    Raises:
      InputError: the options do not go together.
    """
    return Run(**shared_options(experiment), **options)


def shared_options(options: Experiment) -> dict[str, Any]:
    """The options that runs and comparisons have."""
    names = [option.name for option in dataclasses.fields(Experiment)]
    return {name: getattr(options, name) for name in names}

"""A run's options, as frozen dataclasses that are also the command line (`cli.py`)."""

import dataclasses
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from train.settings.fields import Options, at_least, check, group, option, within
from train.settings.optimizer import SIGNALS, Optimizer, Schedule
from train.settings.options import Cluster, Data, Model, no_tensorboard

_TESTS = "tests and measurements"


@dataclass(frozen=True, kw_only=True)
class Experiment(Options):
    """What a run and a comparison share."""

    data: Data = group(Data, "data")
    model: Model = group(Model, "network")
    schedule: Schedule = group(Schedule, "learning rate schedule")
    #: Passes over the training set, at least 1.
    epochs: int = at_least(20, 1, group="training")
    #: Examples per training step, at least 1.
    batch_size: int = at_least(64, 1, group="training")
    #: Leave out the examples that do not fill a batch, different ones in each epoch.
    #: With --no-drop-last the last step of an epoch is smaller.
    drop_last: bool = option(True, group="training")
    #: Examples per test step, at least 1. The whole test set is always scored.
    eval_batch_size: int = at_least(500, 1, group=_TESTS)
    #: Training steps per call of the compiled program. Progress and Ctrl-C wait for the
    #: end of a call. Default: on a CPU about two seconds of work, at least one step;
    #: otherwise a share of an epoch with some 8 million numbers of the inputs.
    steps_per_call: int | None = at_least(None, 1)
    #: Kind of device to train on. What is not there is refused. Default: a GPU or TPU
    #: where JAX finds one, else the CPU.
    device: Literal["cpu", "gpu", "tpu"] | None = None
    #: Repeat results bit for bit on a GPU too, which may take longer. Elsewhere they
    #: repeat in any case.
    deterministic: bool = False
    #: Devices that share each batch, at least 1. Default: all devices of all processes.
    devices: int | None = at_least(None, 1)
    #: Threads that compute on a CPU, in [1, 1025). Sums are split among them, so that
    #: other numbers of threads round otherwise. Default: the cores that the process may
    #: use.
    threads: int | None = within(None, 1, 1025)
    #: What to do when a loss is not finite.
    #: - stop: end the run and keep the last good checkpoint.
    #: - continue: train on. LCAM leaves that loss out of its average.
    on_nan: Literal["stop", "continue"] = option("stop", group="training")
    #: What else to measure. Each epoch, metrics.jsonl gets it as `observed`.
    #: - held_out: how often the phase differs from that of the loss on the first test
    #: batch. This costs a forward pass per step.
    #: - fixed: the same for a fixed batch of 256 training examples.
    #: - mechanism: norms of gradients and updates in each phase, per array, and for the
    #: fastest and the slowest tenth of the parameters.
    observe: Literal["nothing", "held_out", "fixed", "mechanism"] = option(
        "nothing", group=_TESTS
    )
    #: Test only after the last n epochs, n at least 1. Default: after each epoch.
    test_epochs: int | None = at_least(None, 1, group=_TESTS)
    #: Also write the numbers of metrics.jsonl for TensorBoard, into the same folder.
    #: This needs the package tensorboardX.
    tensorboard: bool = option(False, rule=no_tensorboard, group="output")

    def check(self, given: Container[str] = ()) -> None:
        """Refuses what cannot be used, alone or together, as `Options` does."""
        super().check(given)
        self.model.for_kind(self.data.kind).check(given)

    def is_tested(self, epoch: int) -> bool:
        """Whether there is a test after an epoch, counted from 0."""
        return epoch >= self.epochs - (self.test_epochs or self.epochs)


@dataclass(frozen=True, kw_only=True)
class Run(Experiment):
    """Trains one network with one optimizer.

    Writes to its own folder: config.json, provenance.json, metrics.jsonl (one row per
    epoch), steps.csv (one row per step), checkpoints/ and curves.png.

    Examples:
      python -m train run --epochs 10  # LCAM on handwritten digits
      python -m train run --data npz:mine.npz --optimizer sgd --momentum 0.95
      python -m train run --epochs 50 --out runs/long --resume  # or begin it
    """

    #: A published run, whose options replace the defaults. Other options that you give
    #: override it. Another --optimizer, --schedule or --network brings its own
    #: defaults. The command `python -m train presets` lists the published runs.
    preset: str | None = option(None, group="a published run")
    optimizer: Optimizer = group(Optimizer, "optimizer")
    #: Seed of initial weights, data order and augmentation, at least 0.
    seed: int = within(0, 0, 2**32, group="seeds")
    #: Seed of the initial weights alone, at least 0. Default: that of --seed.
    init_seed: int | None = within(None, 0, 2**32, group="seeds")
    #: Folder to write to; must be new or empty. Default: runs/PRESET-seedSEED or
    #: runs/DATA-OPTIMIZER-seedSEED, numbered if that exists.
    out: Path | None = option(None, group="output")
    #: Epochs between checkpoints. With 0, only --checkpoint-minutes sets when to save.
    #: The last epoch always leaves a checkpoint.
    checkpoint_every: int = at_least(0, 0, group="checkpoints")
    #: Minutes after which to save another checkpoint, at the end of a call; 0: never.
    checkpoint_minutes: float = at_least(10, 0, group="checkpoints")
    #: How many of the newest checkpoints to keep, at least 1.
    keep_checkpoints: int = at_least(2, 1, group="checkpoints")
    #: Keep the checkpoint of the epoch with the lowest validation error too, for
    #: evaluate and export with --step best. This needs --validation.
    keep_best: bool = option(False, group="checkpoints")
    #: Continue from the last checkpoint of the run in --out, with the same options and
    #: data. Without a checkpoint the run starts from the beginning. --epochs may be
    #: another number if the epochs that are trained keep their learning rates: with any
    #: --schedule but cosine.
    resume: bool = option(False, needs=["out"], group="output")
    #: Print only a summary at the end.
    quiet: bool = False
    #: Keep compiled programs for the next start, in the user's cache folder.
    compile_cache: bool = True
    cluster: Cluster = group(Cluster, "machinery")

    def check_together(self) -> None:
        """Refuses to observe what is not there, or to choose by the test set."""
        phase = self.optimizer.phase
        check(
            not self.keep_best or self.data.validation > 0,
            "--keep-best needs --validation N: the number of training examples to keep "
            "out of training and choose by. The test set never chooses a network.",
        )
        check(
            self.observe == "nothing" or self.optimizer.is_lcam,
            "--observe measures phases of sgd and lcam, not those of other optimizers.",
        )
        check(
            self.observe not in ("held_out", "fixed") or phase in SIGNALS,
            f"--observe {self.observe} checks how well a loss tells the phase. With "
            f"--phase {phase} no loss decides it.",
        )

    @property
    def changeable(self) -> tuple[str, ...]:
        """Options that a resumed run may change, if what is trained allows it."""
        # Phases of another run are those of all epochs.
        return ("epochs",) if self.optimizer.phases_of is None else ()


def make_run(experiment: Experiment, **options: Any) -> Run:
    """A run of an experiment; `options` are those that `Run` has besides."""
    return Run(**shared_options(experiment), **options)


def shared_options(options: Experiment) -> dict[str, Any]:
    """The options that runs and comparisons have."""
    names = [option.name for option in dataclasses.fields(Experiment)]
    return {name: getattr(options, name) for name in names}

"""What an experiment is: frozen dataclasses, which are also the command line.

As in `train.settings.options`, which holds their groups, the comment above a field is
its help text, every check raises `InputError`, and no JAX is imported.
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
    flag,
)
from train.settings.options import (
    SIGNALS,
    Cluster,
    Data,
    Model,
    Optimizer,
    Schedule,
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
    #: (it costs a forward pass a step); fixed, the same for a fixed batch of 256
    #: training examples; mechanism, norms of gradients and updates in each phase, by
    #: array, and for the fastest and slowest tenth of the parameters.
    observe: Literal["nothing", "held_out", "fixed", "mechanism"] = "nothing"
    #: Test after the last so many epochs only, at least 1. None: after each.
    test_epochs: int | None = None

    def __post_init__(self):
        """Checks the options."""
        for option in ("epochs", "batch_size", "eval_batch_size"):
            check_at_least(flag(option), getattr(self, option), 1)
        for option in ("steps_per_call", "devices", "test_epochs"):
            if getattr(self, option) is not None:
                check_at_least(flag(option), getattr(self, option), 1)


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
    #: Seed of the initial weights alone, at least 0. None: --seed.
    init_seed: int | None = None
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
        check(
            self.observe == "nothing" or self.optimizer.optimizer != "adamw",
            "--observe watches phases, which --optimizer adamw has not.",
        )
        check(
            self.observe not in ("held_out", "fixed")
            or self.optimizer.phase in SIGNALS,
            f"--observe {self.observe} asks whether a loss tells the phase. With "
            f"--phase {self.optimizer.phase} no loss decides it.",
        )
        check_seed("--seed", self.seed)
        if self.init_seed is not None:
            check_seed("--init-seed", self.init_seed)
        check_at_least("--checkpoint-every", self.checkpoint_every, 0)
        check_at_least("--checkpoint-minutes", self.checkpoint_minutes, 0)
        check_at_least("--keep-checkpoints", self.keep_checkpoints, 1)
        check_resume(self.out, self.resume)


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

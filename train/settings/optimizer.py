"""The options of the optimizer and of its learning rate.

As in `train.settings.options`, the comment above a field is its help text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.settings.checks import (
    HUGE,
    check,
    check_at_least,
    check_positive,
    check_range,
    flag,
)
from train.settings.relevance import (
    DEFAULT_DECAY,
    SIGNALS,
    UNUSED_DECAY,
    check_relevance,
)


@dataclass(frozen=True)
class Optimizer:
    """How the weights are updated."""

    #: SGD with a fixed momentum, LCAM, or AdamW (an adaptive baseline).
    optimizer: Literal["sgd", "lcam", "adamw"] = "lcam"
    #: Peak learning rate. Default: 0.1 for sgd and lcam, 0.001 for adamw.
    learning_rate: float | None = None
    #: sgd, lcam: L2 weight decay of every parameter, added to the gradient before the
    #: momentum. adamw: decoupled weight decay. Default: 5e-4 for sgd and lcam, 0.01 for
    #: adamw.
    weight_decay: float | None = None
    #: sgd: the momentum coefficient, in [0, 1).
    momentum: float = 0.9
    #: lcam: the coefficient while the loss is not below its average, in [0, 1).
    high_loss_momentum: float = 0.9
    #: lcam: the coefficient while the loss is below its average, in [0, 1).
    low_loss_momentum: float = 0.93
    #: lcam, and adamw by phase: which average the loss is compared with.
    #: - ema: an exponential moving average.
    #: - epoch: the mean of this epoch so far, as the authors do.
    loss_average: Literal["ema", "epoch"] = "ema"
    #: lcam, and adamw by phase: decay of the moving average per step, in [0, 1). A
    #: decay d averages over about 1 / (1 - d) steps. Default: 0.9, the library's.
    ema_decay: float | None = None
    #: lcam, and adamw by phase: dead band around the average, relative to the average,
    #: at least 0. Inside the band the phase does not change.
    margin: float = 0.0
    #: lcam, and adamw by phase: let a comparison act on the next step (the authors'
    #: timing), not this one.
    lagged: bool = False
    #: lcam, and adamw by phase: what decides the phase. The last three are controls
    #: that ignore the loss.
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
    #: --phase chance: share of low-loss steps, in [0, 1). For a fair control, use
    #: the share of a run with --phase loss.
    low_loss_share: float = 0.5
    #: --phase borrowed or shuffled: folder of the run that lends its phases. It
    #: must have as many epochs and steps as this run.
    phases_of: Path | None = None
    #: sgd, lcam: Nesterov momentum.
    nesterov: bool = False
    #: adamw: decay of the mean of the gradients, in [0, 1).
    adam_b1: float = 0.9
    #: adamw: --adam-b1 while the loss is not below its average, in [0, 1). Give
    #: --low-loss-b1 too: the phase then picks b1.
    high_loss_b1: float | None = None
    #: adamw: --adam-b1 while the loss is below its average, in [0, 1).
    low_loss_b1: float | None = None
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
        if self.ema_decay is not None:
            check_range("--ema-decay", self.ema_decay, 0, 1)
        check_at_least("--margin", self.margin, 0)
        check_range("--low-loss-share", self.low_loss_share, 0, 1)
        check_range("--adam-b1", self.adam_b1, 0, 1)
        for name in ("high_loss_b1", "low_loss_b1"):
            if (decay := getattr(self, name)) is not None:
                check_range(flag(name), decay, 0, 1)
        check_range("--adam-b2", self.adam_b2, 0, 1)
        check_positive("--adam-epsilon", self.adam_epsilon)
        check_relevance(self, "optimizer")
        check(
            (self.high_loss_b1 is None) == (self.low_loss_b1 is None),
            "--high-loss-b1 and --low-loss-b1 belong together: give both or neither.",
        )
        check(
            self.high_loss_b1 is None or self.adam_b1 == 0.9,
            "--adam-b1 belongs to both phases, and would be ignored with "
            "--high-loss-b1 and --low-loss-b1.",
        )
        check(
            (self.phase in ("borrowed", "shuffled")) == (self.phases_of is not None),
            "--phase borrowed or shuffled and --phases-of, the folder of a run, belong "
            "together: give both or neither.",
        )
        if self.ema_decay is None:
            decay = DEFAULT_DECAY if self._has_moving_average else UNUSED_DECAY
            object.__setattr__(self, "ema_decay", decay)

    @property
    def by_phase(self) -> bool:
        """Whether the phase picks a coefficient."""
        return self.optimizer == "lcam" or self.high_loss_b1 is not None

    @property
    def _has_moving_average(self) -> bool:
        """Whether a moving average decides the phase."""
        return self.by_phase and self.loss_average == "ema" and self.phase in SIGNALS


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes."""

    #: How the learning rate changes from its peak.
    #: - constant: not at all.
    #: - step: multiplied by --milestone-factor at each milestone.
    #: - exponential: multiplied by --exponential-rate at each step, after the first
    #: --exponential-after epochs.
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
            f"--milestones must be increasing epochs from 1 to {HUGE:,.0f}, got "
            f"{' '.join(map(str, self.milestones))}.",
        )
        check_positive("--milestone-factor", self.milestone_factor)
        check_positive("--exponential-rate", self.exponential_rate)
        check_at_least("--exponential-after", self.exponential_after, 0)
        check_at_least("--warmup-epochs", self.warmup_epochs, 0)
        check_relevance(self, "schedule")

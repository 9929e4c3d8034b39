"""The options of the optimizer and of its learning rate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.settings.fields import Options, at_least, check, option, positive, within

DEFAULT_DECAY = 0.9  # that of `lcam_optax.ema_average`
# Decay of an average that decides nothing: against it SGD's phases are recorded.
UNUSED_DECAY = 0.99
SIGNALS = ("loss", "fixed", "examples")  # phases that a loss decides

# What options belong to.
_BY_PHASE = " with --high-loss-b1 and --low-loss-b1"
_SGD, _LCAM, _ADAMW = ({"optimizer": (name,)} for name in ("sgd", "lcam", "adamw"))
_STEP, _EXPONENTIAL = ({"schedule": (name,)} for name in ("step", "exponential"))
_PHASE = {"form": ("--optimizer lcam", f"--optimizer adamw{_BY_PHASE}")}
_LOSS = _PHASE | {"phase": tuple(sorted(SIGNALS))}


@dataclass(frozen=True)
class Optimizer(Options):
    """How the weights are updated."""

    #: SGD with a fixed momentum, LCAM, or AdamW (an adaptive baseline).
    optimizer: Literal["sgd", "lcam", "adamw"] = "lcam"
    #: Peak learning rate. Default: 0.1 for sgd and lcam, 0.001 for adamw.
    learning_rate: float | None = positive(
        None, follows=lambda o: 0.001 if o.optimizer == "adamw" else 0.1
    )
    #: sgd, lcam: L2 weight decay of every parameter, added to the gradient before the
    #: momentum. adamw: decoupled weight decay. Default: 5e-4 for sgd and lcam, 0.01 for
    #: adamw.
    weight_decay: float | None = at_least(
        None, 0, follows=lambda o: 0.01 if o.optimizer == "adamw" else 5e-4
    )
    #: sgd: the momentum coefficient, in [0, 1).
    momentum: float = within(0.9, 0, 1, of=_SGD)
    #: lcam: the coefficient while the loss is not below its average, in [0, 1).
    high_loss_momentum: float = within(0.9, 0, 1, of=_LCAM)
    #: lcam: the coefficient while the loss is below its average, in [0, 1).
    low_loss_momentum: float = within(0.93, 0, 1, of=_LCAM)
    #: lcam, and adamw by phase: which average the loss is compared with.
    #: - ema: an exponential moving average.
    #: - epoch: the mean of this epoch so far, as the authors do.
    loss_average: Literal["ema", "epoch"] = option("ema", of=_LOSS)
    #: lcam, and adamw by phase: decay of the moving average per step, in [0, 1). A
    #: decay d averages over about 1 / (1 - d) steps. Default: 0.9, the library's.
    ema_decay: float | None = within(
        *(None, 0, 1),
        of=_LOSS | {"loss_average": ("ema",)},
        follows=lambda o: o._usual_decay,
    )
    #: lcam, and adamw by phase: dead band around the average, relative to the average,
    #: at least 0. Inside the band the phase does not change.
    margin: float = at_least(0.0, 0, of=_LOSS)
    #: lcam, and adamw by phase: let a comparison act on the next step (the authors'
    #: timing), not this one.
    lagged: bool = option(False, of=_PHASE)
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
        option("loss", of=_PHASE)
    )
    #: --phase chance: share of low-loss steps, in [0, 1). For a fair control, use
    #: the share of a run with --phase loss.
    low_loss_share: float = within(0.5, 0, 1, of=_PHASE | {"phase": ("chance",)})
    #: --phase borrowed or shuffled: folder of the run that lends its phases. It
    #: must have as many epochs and steps as this run.
    phases_of: Path | None = option(None, of=_PHASE)
    #: sgd, lcam: Nesterov momentum.
    nesterov: bool = option(False, of={"optimizer": ("lcam", "sgd")})
    #: adamw: decay of the mean of the gradients, in [0, 1).
    adam_b1: float = within(0.9, 0, 1, of={"form": ("--optimizer adamw",)})
    #: adamw: --adam-b1 while the loss is not below its average, in [0, 1). Give
    #: --low-loss-b1 too: the phase then picks b1.
    high_loss_b1: float | None = within(None, 0, 1, of=_ADAMW, needs=["low_loss_b1"])
    #: adamw: --adam-b1 while the loss is below its average, in [0, 1).
    low_loss_b1: float | None = within(None, 0, 1, of=_ADAMW, needs=["high_loss_b1"])
    #: adamw: decay of the mean of the squared gradients, in [0, 1).
    adam_b2: float = within(0.999, 0, 1, of=_ADAMW)
    #: adamw: added to the denominator, greater than 0.
    adam_epsilon: float = positive(1e-8, of=_ADAMW)

    def check_together(self) -> None:
        """Refuses borrowed phases without a run that lends them, and the reverse."""
        check(
            (self.phase in ("borrowed", "shuffled")) == (self.phases_of is not None),
            "--phase borrowed or shuffled and --phases-of, the folder of a run, belong "
            "together: give both or neither.",
        )

    @property
    def by_phase(self) -> bool:
        """Whether the phase picks a coefficient."""
        return self.optimizer == "lcam" or self.high_loss_b1 is not None

    @property
    def form(self) -> str:
        """The optimizer as it is typed, with what lets the phase pick its b1."""
        by_phase = _BY_PHASE * (self.high_loss_b1 is not None)
        return f"--optimizer {self.optimizer}{by_phase}"

    @property
    def _usual_decay(self) -> float:
        """The library's where a moving average decides the phase."""
        decides = self.by_phase and self.loss_average == "ema"
        return DEFAULT_DECAY if decides and self.phase in SIGNALS else UNUSED_DECAY


@dataclass(frozen=True)
class Schedule(Options):
    """How the learning rate changes."""

    #: How the learning rate changes from its peak.
    #: - constant: not at all.
    #: - step: multiplied by --milestone-factor at each milestone.
    #: - exponential: multiplied by --exponential-rate at each step, after the first
    #: --exponential-after epochs.
    #: - cosine: half a cosine, down to 0.
    schedule: Literal["constant", "step", "exponential", "cosine"] = "cosine"
    #: step: after how many epochs each drop comes. The default is the authors'.
    milestones: tuple[int, ...] = at_least(
        (31, 61, 91), 1, of=_STEP, distinct=1, ascending=True
    )
    #: step: factor at each milestone, greater than 0.
    milestone_factor: float = positive(0.2, of=_STEP)
    #: exponential: factor per step, greater than 0. The default is the authors'.
    exponential_rate: float = positive(0.99985, of=_EXPONENTIAL)
    #: exponential: epochs before the decay begins.
    exponential_after: int = at_least(31, 0, of=_EXPONENTIAL)
    #: Epochs of linear warm-up from 0, multiplied with the schedule; at least 0.
    warmup_epochs: float = at_least(0.0, 0)

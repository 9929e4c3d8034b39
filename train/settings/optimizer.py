"""The options of the optimizer and of its learning rate.

As in `train.settings.options`, the comment above a field is its help text.
"""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.settings.cli import did_you_mean
from train.settings.fields import Options, at_least, check, option, positive, within
from train.settings.options import OwnFile, parse_own

DEFAULT_DECAY = 0.9  # that of `lcam_optax.ema_average`
# Decay of an average that decides nothing: against it SGD's phases are recorded.
UNUSED_DECAY = 0.99
SIGNALS = ("loss", "fixed", "examples")  # phases that a loss decides

# What options belong to.
_SGD, _LCAM = ({"optimizer": (name,)} for name in ("sgd", "lcam"))
_STEP, _EXPONENTIAL = ({"schedule": (name,)} for name in ("step", "exponential"))
_BY_PHASE = "an option HIGH/LOW"
_PHASE = {"form": ("--optimizer lcam", f"another optimizer with {_BY_PHASE}")}
_LOSS = _PHASE | {"phase": tuple(sorted(SIGNALS))}


def parse_optimizer(text: str) -> OwnFile | None:
    """What `--optimizer` names; None for one of the program's or of Optax."""
    if text in ("sgd", "lcam") or re.fullmatch(r"optax(\.contrib)?\.\w+", text):
        return None
    known = "sgd, lcam, optax.NAME, optax.contrib.NAME"
    hint = did_you_mean(text, ("sgd", "lcam")) or (
        f" Did you mean optax.{text}?" if text.isidentifier() else ""
    )
    return parse_own("--optimizer", text, known, hint)


def phase_pair(text: str) -> tuple[float, float] | None:
    """HIGH/LOW as two numbers; None if it is something else."""
    high, slash, low = text.partition("/")
    with contextlib.suppress(ValueError):
        return (float(high), float(low)) if slash else None


@dataclass(frozen=True)
class Optimizer(Options):
    """How the weights are updated."""

    #: The optimizer.
    #: - sgd: SGD with a fixed momentum.
    #: - lcam: LCAM.
    #: - optax.NAME, optax.contrib.NAME: any of Optax that has a learning_rate, such as
    #: optax.adamw or optax.contrib.muon.
    #: - FILE.py:FUNCTION: your own. FUNCTION(learning_rate, **options) returns an Optax
    #: transformation. docs/optimizers.md has an example.
    optimizer: str = option("lcam", rule=parse_optimizer)
    #: Options of another optimizer than sgd and lcam, each KEY=VALUE. KEY is a
    #: parameter of its function. A number may be HIGH/LOW: the first value while the
    #: loss is not below its average, the second while it is.
    optimizer_options: tuple[str, ...] = ()
    #: Peak learning rate. Default: 0.1 for sgd and lcam, 0.001 for others.
    learning_rate: float | None = positive(
        None, follows=lambda o: 0.1 if o.is_lcam else 0.001
    )
    #: sgd, lcam: L2 weight decay of every parameter, added to the gradient before the
    #: momentum. Default: 5e-4. Others: their own weight_decay, with their own default.
    weight_decay: float | None = at_least(
        None, 0, follows=lambda o: 5e-4 if o.is_lcam else None
    )
    #: Largest norm of the gradient of all weights; a longer one is shortened to it.
    clip_norm: float | None = positive(None)
    #: sgd: the momentum coefficient, in [0, 1).
    momentum: float = within(0.9, 0, 1, of=_SGD)
    #: lcam: the coefficient while the loss is not below its average, in [0, 1).
    high_loss_momentum: float = within(0.9, 0, 1, of=_LCAM)
    #: lcam: the coefficient while the loss is below its average, in [0, 1).
    low_loss_momentum: float = within(0.93, 0, 1, of=_LCAM)
    #: By phase: which average the loss is compared with.
    #: - ema: an exponential moving average.
    #: - epoch: the mean of this epoch so far, as the authors do.
    loss_average: Literal["ema", "epoch"] = option("ema", of=_LOSS)
    #: By phase: decay of the moving average per step, in [0, 1). A decay d averages
    #: over about 1 / (1 - d) steps. Default: 0.9, the library's.
    ema_decay: float | None = within(
        None,
        0,
        1,
        of=_LOSS | {"loss_average": ("ema",)},
        follows=lambda o: o._usual_decay,
    )
    #: By phase: dead band around the average, relative to the average, at least 0.
    #: Inside the band the phase does not change.
    margin: float = at_least(0.0, 0, of=_LOSS)
    #: By phase: let a comparison act on the next step (the authors' timing), not this
    #: one.
    lagged: bool = option(False, of=_PHASE)
    #: By phase: what decides the phase. The last three are controls that ignore the
    #: loss.
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

    def check_together(self) -> None:
        """Refuses borrowed phases without a run that lends them, and the reverse."""
        check(
            (self.phase in ("borrowed", "shuffled")) == (self.phases_of is not None),
            "--phase borrowed or shuffled and --phases-of, the folder of a run, belong "
            "together: give both or neither.",
        )
        check(
            not (self.is_lcam and self.optimizer_options),
            "--optimizer-options is for other optimizers, such as optax.sgd. sgd has "
            "--momentum; lcam has --high-loss-momentum and --low-loss-momentum.",
        )
        check(
            "/" in self.own_options.get("learning_rate", "/"),
            "--optimizer-options learning-rate is for HIGH/LOW: one rate is given by "
            "--learning-rate.",
        )
        check(
            "learning_rate" not in self.pairs or self.learning_rate == 0.001,
            "--learning-rate would be ignored: the optimizer's own learning-rate "
            "HIGH/LOW gives the rates.",
        )

    @property
    def own_options(self) -> dict[str, str]:
        """The options that only this optimizer has, by their names in Python."""
        found = {}
        if self.weight_decay is not None and not self.is_lcam:
            found["weight_decay"] = str(self.weight_decay)
        for word in self.optimizer_options:
            key, equals, value = (part.strip() for part in word.partition("="))
            key = key.replace("-", "_")
            good = equals and key.isidentifier() and value
            check(good, f"--optimizer-options takes KEY=VALUE, got {word!r}.")
            check(key not in found, f"{key} stands there twice: leave one out.")
            found[key] = value
        return found

    @property
    def short_name(self) -> str:
        """What folders are called by: adamw, for optax.adamw."""
        return re.split("[.:]", self.optimizer)[-1]

    @property
    def is_lcam(self) -> bool:
        """Whether it is LCAM, or SGD: LCAM with equal coefficients."""
        return self.optimizer in ("sgd", "lcam")

    @property
    def pairs(self) -> dict[str, tuple[float, float]]:
        """The options that the phase picks: at high and at low loss."""
        found = {name: phase_pair(text) for name, text in self.own_options.items()}
        return {name: pair for name, pair in found.items() if pair is not None}

    @property
    def by_phase(self) -> bool:
        """Whether the phase picks something."""
        return self.optimizer == "lcam" or bool(self.pairs)

    @property
    def family(self) -> str:
        """What options of other optimizers belong to."""
        return f"--optimizer {self.optimizer}" if self.is_lcam else "another optimizer"

    @property
    def form(self) -> str:
        """What options of the phase belong to."""
        is_pair = self.by_phase and not self.is_lcam
        return self.family + f" with {_BY_PHASE}" * is_pair

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

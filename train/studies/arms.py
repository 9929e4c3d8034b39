"""The arms of studies, and blocks of them."""

from typing import Literal, NamedTuple

from train.settings.experiment import Experiment
from train.settings.options import Optimizer


class Arm(NamedTuple):
    """What is compared.

    Attributes:
      name: in tables and folders.
      optimizer: its options.
      matched: what is taken from the run of `lcam` with the same seed: a fixed
        momentum, its mean one; a learning rate, so that the effective step
        lr / (1 - momentum) is that of this mean; the share of low-loss steps over the
        whole run, chosen by chance; its phases, shuffled within each epoch; or, from
        the run of `lcam` with another seed, its phases as they came.
    """

    name: str
    optimizer: Optimizer
    matched: Literal["momentum", "step", "share", "phases", "borrowed"] | None = None


class Block(NamedTuple):
    """Arms that are run with the same seeds on the same data.

    Attributes:
      name: in headings and folders.
      experiment: what the arms share.
      arms: `lcam` before those that are matched with it.
      reference: name of the arm that the others are compared with.
      reach: test errors in percent; the first epoch at most there is reported.
    """

    name: str
    experiment: Experiment
    arms: tuple[Arm, ...]
    reference: str
    reach: tuple[float, ...] = ()


def sgd_arm(name: str = "sgd-0.9", momentum: float = 0.9) -> Arm:
    """SGD with a fixed momentum."""
    return Arm(name, Optimizer("sgd", momentum=momentum))


def lcam_arm(name: str, decay: float | None, **options) -> Arm:
    """LCAM, with 0.95 in the low-loss phase unless `options` say otherwise."""
    options = {"low_loss_momentum": 0.95} | options
    if decay is not None:
        options["ema_decay"] = decay
    return Arm(name, Optimizer("lcam", **options))


def reversed_arm(decay: float) -> Arm:
    """LCAM with its two coefficients exchanged."""
    return lcam_arm(
        "lcam-reversed", decay, high_loss_momentum=0.95, low_loss_momentum=0.9
    )


def control_arms() -> tuple[Arm, ...]:
    """Controls: they copy LCAM's momentum, step or switching, and ignore the loss."""
    return (
        Arm("mean-momentum", Optimizer("sgd"), "momentum"),
        Arm("matched-step", Optimizer("sgd"), "step"),
        Arm("chance", Optimizer("lcam", low_loss_momentum=0.95), "share"),
        Arm("shuffled", Optimizer("lcam", low_loss_momentum=0.95), "phases"),
        Arm("borrowed", Optimizer("lcam", low_loss_momentum=0.95), "borrowed"),
    )


def authors_arm() -> Arm:
    """LCAM as its authors' code has it: the mean of the epoch, one step late."""
    return lcam_arm("lcam-authors", None, loss_average="epoch", lagged=True)

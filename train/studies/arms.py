"""The arms of studies, and blocks of them."""

from typing import Literal, NamedTuple

from train.settings.experiment import Experiment
from train.settings.options import Optimizer


class Arm(NamedTuple):
    """What is compared.

    Attributes:
      name: in tables, and of the folders of its runs.
      optimizer: its options.
      matched: what is taken from a run of `lcam`: a fixed momentum, its mean one; a
        learning rate, so that the effective step lr / (1 - momentum) is that of this
        mean; the share of low-loss steps over the whole run, drawn by chance; its
        phases, shuffled within each epoch; or, from the run with another seed, its
        phases as they came.
      about: what it is, in the report's table of arms.
      folder: of its runs, where the name cannot be one.
    """

    name: str
    optimizer: Optimizer
    matched: Literal["momentum", "step", "share", "phases", "borrowed"] | None = None
    about: str = ""
    folder: str = ""


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


def sgd_arm(name: str = "sgd-0.9", momentum: float = 0.9, **options) -> Arm:
    """SGD with a fixed momentum."""
    about = f"SGD with momentum {momentum:g}"
    return Arm(name, Optimizer("sgd", momentum=momentum, **options), about=about)


def lcam_arm(name: str, decay: float | None, about: str = "", **options) -> Arm:
    """LCAM, with 0.95 in the low-loss phase unless `options` say otherwise."""
    options = {"low_loss_momentum": 0.95} | options
    if decay is not None:
        options["ema_decay"] = decay
    optimizer = Optimizer("lcam", **options)
    about = about or (
        f"LCAM: momentum {optimizer.low_loss_momentum:g} in the low-loss phase, "
        f"{optimizer.high_loss_momentum:g} in the high-loss phase"
    )
    return Arm(name, optimizer, about=about)


def reversed_arm(decay: float) -> Arm:
    """LCAM with its two coefficients exchanged."""
    return lcam_arm(
        "lcam-reversed", decay, high_loss_momentum=0.95, low_loss_momentum=0.9
    )


def authors_arm() -> Arm:
    """LCAM as its authors' code has it: the mean of the epoch, one step late."""
    return lcam_arm(
        "lcam-authors",
        None,
        "LCAM as in the authors' code: the average is the mean of this epoch so far, "
        "and the comparison acts on the next step",
        loss_average="epoch",
        lagged=True,
    )


def control_arms(**options) -> tuple[Arm, ...]:
    """Controls: they copy LCAM's momentum, step or switching, and ignore the loss."""
    fixed = Optimizer("sgd", **options)
    switched = Optimizer("lcam", low_loss_momentum=0.95, **options)
    return (
        Arm(
            "mean-momentum",
            fixed,
            "momentum",
            "control: SGD with LCAM's mean momentum m",
        ),
        Arm(
            "matched-step",
            fixed,
            "step",
            "control: SGD with momentum 0.9 and the learning rate times 0.1 / (1 - m), "
            "so with the effective step of momentum m",
        ),
        Arm(
            "chance",
            switched,
            "share",
            "control: LCAM with each phase drawn at random, as often low-loss as in "
            "LCAM's run",
        ),
        Arm(
            "shuffled",
            switched,
            "phases",
            "control: LCAM with its own phases, shuffled within each epoch",
        ),
        Arm(
            "borrowed",
            switched,
            "borrowed",
            "control: LCAM with the phases of its run with another seed, in their "
            "order; seeds 0 and 1 lend to each other, and so do 2 and 3, and so on",
        ),
    )

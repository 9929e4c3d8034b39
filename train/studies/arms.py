"""The arms of studies, and blocks of them."""

from typing import Literal, NamedTuple

from train.data.dataset import Dataset
from train.errors import InputError
from train.settings.experiment import Experiment
from train.settings.optimizer import UNUSED_DECAY, Optimizer


class Arm(NamedTuple):
    """What is compared.

    Attributes:
      name: in tables, and of the folders of its runs.
      optimizer: its options.
      matched: what is taken from a run of `lcam`: a fixed momentum, its mean one; a
        learning rate, so that the effective step lr / (1 - momentum) is that of this
        mean; the share of low-loss steps over the whole run, drawn by chance; its
        phases, shuffled within each epoch; or its phases in their order, from the run
        with another seed ("borrowed") or with the same seed ("twin").
      about: what it is, in the report's table of arms.
      donor: name of the arm that it is matched with.
      folder: of its runs, where the name cannot be one.
      other_weights: whether its initial weights are those of no other arm.
      epochs: of its runs, each with a schedule of that length; None: the block's.
    """

    name: str
    optimizer: Optimizer
    matched: (
        Literal["momentum", "step", "share", "phases", "borrowed", "twin"] | None
    ) = None
    about: str = ""
    donor: str = "lcam"
    folder: str = ""
    other_weights: bool = False
    epochs: int | None = None


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


def average_decay(experiment: Experiment, dataset: Dataset) -> float:
    """Decay of an average over a quarter of an epoch: 0.99 for the authors' 390 steps.

    All studies have it, whatever the library's default is.
    """
    size, batch_size = len(dataset.train_inputs), experiment.batch_size
    if size < batch_size:
        raise InputError(
            f"the study trains on one example in {experiment.data.every}, in batches "
            f"of {batch_size}: it needs {batch_size * experiment.data.every} training "
            f"examples or more. {size} are left of yours."
        )
    return round(1 - 4 / max(size // batch_size, 8), 4)


# --- SGD and LCAM ---------------------------------------------------------------------

REVERSED = {"high_loss_momentum": 0.95, "low_loss_momentum": 0.9}


def sgd_arm(name: str = "sgd-0.9", momentum: float = 0.9, **options) -> Arm:
    """SGD with a fixed momentum."""
    about = f"SGD with momentum {momentum:g}"
    return Arm(name, Optimizer("sgd", momentum=momentum, **options), about=about)


def dose_arm() -> Arm:
    """A control that must show: a harness that finds no known effect finds nothing."""
    arm = sgd_arm("dose", learning_rate=0.05)
    return arm._replace(about="SGD with momentum 0.9 and half the learning rate")


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


def slower_arm(decay: float, **options) -> Arm:
    """LCAM with an average over four times as many steps."""
    about = "LCAM with an average that follows the loss four times as slowly"
    return lcam_arm("ema-slower", round(1 - (1 - decay) / 4, 4), about, **options)


def margin_arm(margin: float, decay: float, **options) -> Arm:
    """LCAM with a dead band, relative to the average."""
    about = f"LCAM that keeps its phase within {100 * margin:g} % of the average"
    return lcam_arm(f"margin-{margin:g}", decay, about, margin=margin, **options)


def reversed_arm(decay: float) -> Arm:
    """LCAM with its two coefficients exchanged."""
    return lcam_arm("lcam-reversed", decay, **REVERSED)


def authors_arm() -> Arm:
    """LCAM as its authors' code has it: the mean of the epoch, one step late."""
    about = (
        "LCAM as in the authors' code: the average is the mean of this epoch so far, "
        "and the comparison acts on the next step"
    )
    options = {"loss_average": "epoch", "lagged": True}
    return lcam_arm("lcam-authors", None, about, **options)


def signal_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM by the loss on a fixed batch, in both orders, or less the examples' own."""
    fixed = "by the loss on a fixed batch of 256 training examples"
    turned = f"LCAM with its coefficients exchanged, {fixed}"
    by_example = (
        "LCAM by the loss of the batch, less how far above the average the losses of "
        "its examples were when they were last seen"
    )
    return (
        lcam_arm("oracle", decay, f"LCAM {fixed}", phase="fixed"),
        lcam_arm("oracle-reversed", decay, turned, phase="fixed", **REVERSED),
        lcam_arm("example-baseline", decay, by_example, phase="examples"),
    )


# --- What copies a run of LCAM, and ignores the loss ----------------------------------

_CONTROLS = {
    "mean-momentum": ("momentum", "SGD with LCAM's mean momentum m"),
    "matched-step": (
        "step",
        "SGD with momentum 0.9 and the learning rate times 0.1 / (1 - m), so with the "
        "effective step of momentum m",
    ),
    "chance": (
        "share",
        "LCAM with each phase drawn at random, as often low-loss as in LCAM's run",
    ),
    "shuffled": ("phases", "LCAM with its own phases, shuffled within each epoch"),
    "borrowed": (
        "borrowed",
        "LCAM with the phases of its run with another seed, in their order; seeds 0 "
        "and 1 lend to each other, and so do 2 and 3, and so on",
    ),
}


def _switched(**options) -> Optimizer:
    """LCAM whose phases are given; no average decides them."""
    return Optimizer(
        "lcam", ema_decay=UNUSED_DECAY, **({"low_loss_momentum": 0.95} | options)
    )


def control_arms(**options) -> tuple[Arm, ...]:
    """Controls: they copy LCAM's momentum, step or switching, and ignore the loss."""
    fixed, switched = Optimizer("sgd", **options), _switched(**options)
    return tuple(
        Arm(
            name,
            fixed if matched in ("momentum", "step") else switched,
            matched,
            f"control: {about}",
        )
        for name, (matched, about) in _CONTROLS.items()
    )


def twin_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM with the phases of a run that has its batches, and other initial weights."""
    donor = lcam_arm("twin-donor", decay, "LCAM with other initial weights")
    about = (
        "control: LCAM with the phases of `twin-donor`: the same batches in the same "
        "order, other initial weights"
    )
    return (
        donor._replace(other_weights=True),
        Arm("twin", _switched(), "twin", about, "twin-donor"),
    )


def dose_study_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM with coefficients far apart: by order and timing, own or borrowed phases."""
    arms = []
    for timing, lagged in (("", False), ("-lagged", True)):
        for order, high, low in (("", 0.8, 0.98), ("-reversed", 0.98, 0.8)):
            form, name = f"{timing}{order}", f"lcam{timing}{order}"
            options = {"high_loss_momentum": high, "low_loss_momentum": low}
            options["lagged"] = lagged
            about = f"LCAM: momentum {low:g} in the low-loss phase, {high:g} otherwise"
            about += ", one step late" * lagged
            replay = f"control: `{name}` with the phases of its run with another seed"
            arms += [
                lcam_arm(name, decay, about, **options),
                Arm(f"borrowed{form}", _switched(**options), "borrowed", replay, name),
            ]
    return tuple(arms)

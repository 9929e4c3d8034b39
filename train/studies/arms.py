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
      donor: name of the arm that it is matched with.
      about: what it is, in the report's table of arms.
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

    Raises:
      InputError: the training set does not fill a batch.
    """
    size, batch_size = len(dataset.train_inputs), experiment.batch_size
    if size < batch_size:
        raise InputError(
            f"the study trains on one example in {experiment.data.every}, in batches "
            f"of {batch_size}: it needs {batch_size * experiment.data.every} training "
            f"examples or more. {size} are left of yours."
        )
    return round(1 - 4 / max(size // batch_size, 8), 4)


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
    switched = Optimizer(
        "lcam", low_loss_momentum=0.95, ema_decay=UNUSED_DECAY, **options
    )
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


def twin_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM with the phases of a run that has its batches, and other initial weights."""
    donor = lcam_arm("twin-donor", decay, "LCAM with other initial weights")
    switched = Optimizer("lcam", low_loss_momentum=0.95, ema_decay=UNUSED_DECAY)
    about = (
        "control: LCAM with the phases of `twin-donor`: the same batches in the same "
        "order, other initial weights"
    )
    return donor._replace(other_weights=True), Arm(
        "twin", switched, "twin", about, "twin-donor"
    )


def dose_study_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM with coefficients far apart: by order and timing, own or borrowed phases."""
    arms = []
    for timing, lagged in (("", False), ("-lagged", True)):
        for order, high, low in (("", 0.8, 0.98), ("-reversed", 0.98, 0.8)):
            name = f"lcam{timing}{order}"
            coefficients = {"high_loss_momentum": high, "low_loss_momentum": low}
            about = f"LCAM: momentum {low:g} in the low-loss phase, {high:g} otherwise"
            about += ", one step late" * lagged
            own = lcam_arm(name, decay, about, lagged=lagged, **coefficients)
            replay = Optimizer(
                "lcam", ema_decay=UNUSED_DECAY, lagged=lagged, **coefficients
            )
            about = f"control: `{name}` with the phases of its run with another seed"
            borrowed = Arm(f"borrowed{timing}{order}", replay, "borrowed", about, name)
            arms += [own, borrowed]
    return tuple(arms)


def oracle_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM, in both orders, by the loss on a fixed batch: no noise of the batch."""
    what = "by the loss on a fixed batch of 256 training examples"
    reverse = {"high_loss_momentum": 0.95, "low_loss_momentum": 0.9}
    return (
        lcam_arm("oracle", decay, f"LCAM {what}", phase="fixed"),
        lcam_arm(
            "oracle-reversed",
            decay,
            f"LCAM with its coefficients exchanged, {what}",
            phase="fixed",
            **reverse,
        ),
    )


def example_arm(decay: float) -> Arm:
    """LCAM by the loss of the batch, less how hard its examples were before."""
    about = (
        "LCAM by the loss of the batch, less how far above the average the losses of "
        "its examples were when they were last seen"
    )
    return lcam_arm("example-baseline", decay, about, phase="examples")


def dose_arm() -> Arm:
    """A control that must show: a harness that finds no known effect finds nothing."""
    arm = sgd_arm("dose", learning_rate=0.05)
    return arm._replace(about="SGD with momentum 0.9 and half the learning rate")

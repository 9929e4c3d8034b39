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


# --- The arms by name -----------------------------------------------------------------

_TURNED = {"high_loss_momentum": 0.95, "low_loss_momentum": 0.9}
# What `make_arm` gets of each; those that are matched with LCAM ignore the loss.
_ARMS = {
    "sgd-0.9": {"optimizer": "sgd"},
    "sgd-0.95": {"optimizer": "sgd", "momentum": 0.95},
    "sgd-0.9-rate-0.2": {"optimizer": "sgd", "learning_rate": 0.2},
    "dose": {"optimizer": "sgd", "learning_rate": 0.05},
    "lcam": {},
    "lcam-0.93": {"low_loss_momentum": 0.93},
    "lcam-rate-0.05": {"learning_rate": 0.05},
    "lcam-rate-0.2": {"learning_rate": 0.2},
    "lcam-reversed": _TURNED,
    "lagged": {"lagged": True},
    "epoch-mean": {"loss_average": "epoch"},
    "lcam-authors": {"loss_average": "epoch", "lagged": True},
    "ema-faster": {},
    "ema-slower": {},
    "margin-0.02": {"margin": 0.02},
    "margin-0.05": {"margin": 0.05},
    "margin-0.1": {"margin": 0.1},
    "oracle": {"phase": "fixed"},
    "oracle-reversed": {"phase": "fixed"} | _TURNED,
    "example-baseline": {"phase": "examples"},
    "mean-momentum": {"optimizer": "sgd", "matched": "momentum"},
    "matched-step": {"optimizer": "sgd", "matched": "step"},
    "chance": {"matched": "share"},
    "shuffled": {"matched": "phases"},
    "borrowed": {"matched": "borrowed"},
    "twin-donor": {"other_weights": True},
    "twin": {"matched": "twin", "donor": "twin-donor"},
}
_FIXED = "by the loss on a fixed batch of 256 training examples"
_FOLLOWS = "LCAM with an average that follows the loss four times as"
# In the report's table of arms; what is missing follows from the momentum.
_ABOUT = {
    # It must show: a harness that finds no known effect finds nothing.
    "dose": "SGD with momentum 0.9 and half the learning rate",
    "lcam-rate-0.05": "LCAM at half the rate",
    "lcam-rate-0.2": "LCAM at twice the rate",
    "lagged": "LCAM, one step late",
    "epoch-mean": "LCAM with the mean of this epoch so far as its average",
    "lcam-authors": "LCAM as in the authors' code: the average is the mean of this "
    "epoch so far, and the comparison acts on the next step",
    "ema-faster": f"{_FOLLOWS} fast",
    "ema-slower": f"{_FOLLOWS} slowly",
    "margin-0.02": "LCAM that keeps its phase within 2 % of the average",
    "margin-0.05": "LCAM that keeps its phase within 5 % of the average",
    "margin-0.1": "LCAM that keeps its phase within 10 % of the average",
    "oracle": f"LCAM {_FIXED}",
    "oracle-reversed": f"LCAM with its coefficients exchanged, {_FIXED}",
    "example-baseline": "LCAM by the loss of the batch, less how far above the average "
    "the losses of its examples were when they were last seen",
    "mean-momentum": "control: SGD with LCAM's mean momentum m",
    "matched-step": "control: SGD with momentum 0.9 and the learning rate times 0.1 / "
    "(1 - m), so with the effective step of momentum m",
    "chance": "control: LCAM with each phase drawn at random, as often low-loss as in "
    "LCAM's run",
    "shuffled": "control: LCAM with its own phases, shuffled within each epoch",
    "borrowed": "control: LCAM with the phases of its run with another seed, in their "
    "order; seeds 0 and 1 lend to each other, and so do 2 and 3, and so on",
    "twin-donor": "LCAM with other initial weights",
    "twin": "control: LCAM with the phases of `twin-donor`: the same batches in the "
    "same order, other initial weights",
}
CONTROLS = "mean-momentum matched-step chance shuffled borrowed"


def make_arms(names: str, decay: float, **options) -> tuple[Arm, ...]:
    """Arms by their names, with spaces between.

    The decay is that of the average of the loss. The options are for arms that have
    none of their own.
    """
    # With few steps an epoch, four times as fast would be no average at all.
    decays = {"ema-faster": round(max(1 - 4 * (1 - decay), decay / 2), 4)}
    decays["ema-slower"] = round(1 - (1 - decay) / 4, 4)
    return tuple(
        make_arm(
            name,
            decays.get(name, decay),
            _ABOUT.get(name, ""),
            **(options | _ARMS[name]),
        )
        for name in names.split()
    )


def make_arm(
    name: str,
    decay: float,
    about: str = "",
    optimizer: str = "lcam",
    matched: str | None = None,
    donor: str = "lcam",
    other_weights: bool = False,
    **options,
) -> Arm:
    """An arm; LCAM has 0.95 in the low-loss phase unless `options` say otherwise."""
    if optimizer == "lcam":
        options = {"low_loss_momentum": 0.95} | options
        if options.get("loss_average") != "epoch":
            options["ema_decay"] = UNUSED_DECAY if matched else decay
    made = Optimizer(optimizer, **options)
    if not about and optimizer == "sgd":
        about = f"SGD with momentum {made.momentum:g}"
    elif not about:
        about = (
            f"LCAM: momentum {made.low_loss_momentum:g} in the low-loss phase, "
            f"{made.high_loss_momentum:g} in the high-loss phase"
        )
    return Arm(name, made, matched, about, donor, other_weights=other_weights)


def far_apart_arms(decay: float) -> tuple[Arm, ...]:
    """LCAM with coefficients far apart: by order and timing, own or borrowed phases."""
    arms = []
    for timing, lagged in (("", False), ("-lagged", True)):
        for order, high, low in (("", 0.8, 0.98), ("-reversed", 0.98, 0.8)):
            own, borrowed = (f"{name}{timing}{order}" for name in ("lcam", "borrowed"))
            options = {"high_loss_momentum": high, "low_loss_momentum": low}
            options["lagged"] = lagged
            about = f"LCAM: momentum {low:g} in the low-loss phase, {high:g} otherwise"
            about += ", one step late" * lagged
            arms.append(make_arm(own, decay, about, **options))
            about = f"control: `{own}` with the phases of its run with another seed"
            options |= {"matched": "borrowed", "donor": own}
            arms.append(make_arm(borrowed, decay, about, **options))
    return tuple(arms)

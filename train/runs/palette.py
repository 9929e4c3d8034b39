"""The colours of the project's pictures: one for each kind of arm, and the phases'.

Most are Okabe and Ito's, which are colour-blind safe. Several arms of one kind share
its colour; the dashes of their lines differ.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

INK, GREY = "#222222", "#6b6b6b"
PHASE_COLORS = {1: "#0072B2", 0: "#D55E00"}  # as in steps.csv: low and high loss
ARM_COLORS = {
    "sgd": "#000000",
    "lcam": "#0072B2",
    "lcam-reversed": "#D55E00",
    "mean-momentum": "#009E73",
    "matched-step": "#CC79A7",
    "chance": "#E69F00",
    "shuffled": "#882255",
    "borrowed": "#56B4E9",
    "timing": "#332288",  # one step late, or the mean of the epoch
    "average": "#999933",  # quicker, slower, or with a dead band
    "signal": "#A6761D",  # another loss than the batch's
}
# Of optimizers of Optax or of files, one after another. Few pictures show controls too.
OTHER_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#882255", "#56B4E9", "#888888")

# What the options of these arms do not tell: they are taken from a run of LCAM.
_BY_NAME = {
    **{name: name for name in ("mean-momentum", "matched-step", "chance")},
    **{"shuffled": "shuffled", "borrowed": "borrowed", "twin": "borrowed"},
    **{"ema-faster": "average", "ema-slower": "average"},
}
_BY_PHASE = {"fixed": "signal", "examples": "signal", "chance": "chance"}
_BY_PHASE |= {"borrowed": "borrowed", "shuffled": "shuffled"}


def colors_of(kinds: Iterable[str]) -> dict[str, str]:
    """The colours of all kinds in a picture."""
    others = [kind for kind in dict.fromkeys(kinds) if kind not in ARM_COLORS]
    return ARM_COLORS | dict(zip(others, itertools.cycle(OTHER_COLORS), strict=False))


def kind_of(name: str, options: Mapping[str, Any]) -> str:
    """The kind of an arm by its optimizer's options or name: a key of `ARM_COLORS`.

    An optimizer of Optax, or of a file, is a kind of its own, and no key.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    optimizer = options.get("optimizer", name if name in ARM_COLORS else "")
    if "." in optimizer:
        return optimizer
    if optimizer != "lcam" or "high_loss_momentum" not in options:
        kind = optimizer or name.replace(":", "-").partition("-")[0]
        return kind if kind in ARM_COLORS else "lcam"
    low, high = options["low_loss_momentum"], options["high_loss_momentum"]
    if low == high:  # SGD, whose phases are only watched
        return "sgd"
    if low < high:
        return "lcam-reversed"
    if (phase := options.get("phase", "loss")) in _BY_PHASE:
        return _BY_PHASE[phase]
    if options.get("lagged") or options.get("loss_average") == "epoch":
        return "timing"
    return "average" if options.get("margin") else "lcam"

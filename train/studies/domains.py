"""Data of other kinds, tables, numbers and text; and the choice of learning rates."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from train.data.dataset import Dataset
from train.settings.commands import Study
from train.settings.experiment import Experiment
from train.settings.options import Data, Model
from train.studies import plan
from train.studies.arms import Block, average_decay, control_arms, lcam_arm, sgd_arm

Load = Callable[[Data], Dataset]


class Rates(NamedTuple):
    """Learning rates of a data set.

    Attributes:
      tried: by the study `rates`, for SGD and for LCAM.
      sgd: the best of SGD with momentum 0.9, by results/rates-quick.
      lcam: the best of LCAM, by the same.
      validation: training examples that the choice was made by.
    """

    tried: tuple[float, ...]
    sgd: float
    lcam: float
    validation: int


RATES = {
    "breast_cancer": Rates((0.001, 0.003, 0.01, 0.03, 0.1), 0.001, 0.001, 100),
    "diabetes": Rates((0.0003, 0.001, 0.003, 0.01, 0.03, 0.1), 0.003, 0.003, 100),
    "digits": Rates((0.003, 0.01, 0.03, 0.1, 0.3), 0.1, 0.03, 300),
    "english": Rates((0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 0.03, 0.01, 160),
    "5k": Rates((0.05, 0.1, 0.2), 0.2, 0.1, 1000),
}


def make_domains(study: Study, load: Load) -> list[Block]:
    """LCAM and its controls, with other networks, each at its own learning rate."""
    blocks = []
    for source, experiment in _experiments(study).items():
        decay = average_decay(experiment, load(experiment.data))
        rates = RATES[source]
        # What copies LCAM copies its learning rate.
        arms = (
            lcam_arm("lcam", decay, learning_rate=rates.lcam),
            sgd_arm(learning_rate=rates.sgd),
            sgd_arm("sgd-0.95", 0.95, learning_rate=rates.lcam),
            *control_arms(learning_rate=rates.lcam),
        )
        blocks.append(Block(source, experiment, arms, "lcam"))
    return blocks


def make_rates(study: Study, load: Load) -> list[Block]:
    """SGD and LCAM at several rates, tested on training examples kept from training."""
    experiments = _experiments(study) | {"5k": plan.small_experiment(study)}
    blocks = []
    for name, experiment in experiments.items():
        rates = RATES[name]
        data = dataclasses.replace(
            experiment.data, test_rest=False, validation=rates.validation
        )
        experiment = dataclasses.replace(experiment, data=data)
        decay = average_decay(experiment, load(data))
        arms = []
        for rate in rates.tried:
            about = {"learning_rate": rate}
            arms += [
                sgd_arm(f"sgd-0.9-rate-{rate:g}", **about),
                lcam_arm(f"lcam-rate-{rate:g}", decay, **about),
            ]
        reference = f"sgd-0.9-rate-{rates.tried[1]:g}"
        blocks.append(Block(name, experiment, tuple(arms), reference))
    return blocks


def _experiments(study: Study) -> dict[str, Experiment]:
    """By data set."""
    quick = study.quick
    text = {"every": 4} if quick else {}
    transformer = Model("transformer", width=32 if quick else 64)
    choices = {
        "breast_cancer": (40, 16, Model("mlp"), {}),
        "diabetes": (40, 16, Model("mlp"), {}),
        "digits": (20, 32, Model("mlp"), {}),
        "english": (4 if quick else 20, 32, transformer, text),
    }
    return {
        source: Experiment(
            data=Data(data=source, **options),
            model=model,
            epochs=study.epochs or epochs,
            batch_size=batch_size,
        )
        for source, (epochs, batch_size, model, options) in choices.items()
    }

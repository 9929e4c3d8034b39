"""What the arms of a study share: data, network, schedule, in both forms."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from train.data.dataset import Dataset
from train.settings.commands import Study
from train.settings.experiment import Experiment
from train.settings.optimizer import Schedule
from train.settings.options import NO_IMAGES, Data, Model

Load = Callable[[Data], Dataset]


class Rates(NamedTuple):
    """Learning rates of a data set; the best ones are those of results/rates-quick."""

    tried: tuple[float, ...]  # by the study `rates`, for SGD and for LCAM
    sgd: float  # the best of SGD with momentum 0.9
    lcam: float  # the best of LCAM
    validation: int  # training examples that the choice was made by


RATES = {
    "breast_cancer": Rates((0.001, 0.003, 0.01, 0.03, 0.1), 0.03, 0.03, 100),
    "diabetes": Rates((0.0003, 0.001, 0.003, 0.01, 0.03, 0.1), 0.001, 0.001, 100),
    "digits": Rates((0.003, 0.01, 0.03, 0.1, 0.3), 0.1, 0.03, 300),
    "english": Rates((0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 0.03, 0.01, 160),
    "5k": Rates((0.05, 0.1, 0.2), 0.2, 0.1, 1000),
}
# Test errors, in percent, that say how fast the first experiments converge.
_REACH = {"digits": (5.0, 2.0), "cifar10": (20.0, 10.0), "cifar100": (50.0, 30.0)}
_REACH_QUICK = (65.0, 55.0)


def make_experiment(study: Study, source: str, load: Load) -> Experiment:
    """The authors' network and schedule; in the quick form what two cores can do."""
    source = study.data or ("digits" if study.quick else source)
    data = _of_source(study, source)
    if source in NO_IMAGES:
        epochs, options = 12 if study.quick else 40, {}
    elif not study.quick:
        data, epochs = _augmented(data, load), 150
        model = Model(depth=28, widen=10, dtype="bfloat16")
        schedule = Schedule("step", milestones=(31, 61, 91))
        options = {"model": model, "schedule": schedule, "batch_size": 128}
    elif source == "digits":
        epochs, options = 12, {"batch_size": 32}
    else:
        data = _augmented(dataclasses.replace(data, every=10, shrink=2), load)
        epochs, options = 12, {"batch_size": 64}
    if study.network is not None:
        options["model"] = Model(study.network)
    return Experiment(data=data, epochs=study.epochs or epochs, **options)


def _of_source(study: Study, source: str) -> Data:
    is_cifar = source in ("cifar10", "cifar100")
    return Data(data=source, **({"data_dir": study.data_dir} if is_cifar else {}))


def _augmented(data: Data, load: Load) -> Data:
    """Crops of an eighth of the side, and mirroring: the authors' for 32 pixels."""
    padding = load(data).train_inputs.shape[1] // 8
    return dataclasses.replace(data, crop_padding=padding, flip=True)


def reach_of(experiment: Experiment) -> tuple[float, ...]:
    """The test errors that say how fast such data are learned."""
    is_reduced = experiment.data.every > 1
    return _REACH_QUICK if is_reduced else _REACH.get(experiment.data.data, ())


def small_experiment(study: Study) -> Experiment:
    """That of `plan-5k`: CIFAR-10, or a copy, averaged to half of its size."""
    data = dataclasses.replace(
        _of_source(study, study.data or "cifar10"),
        **{"every": 10, "shrink": 2, "crop_padding": 2, "flip": True},
        test_rest=True,
    )
    return Experiment(
        data=data,
        schedule=Schedule("cosine"),
        epochs=study.epochs or 12,
        batch_size=64,
        test_epochs=3,
    )


def domain_experiments(study: Study) -> dict[str, Experiment]:
    """Data of other kinds, tables, numbers and text, by name."""
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

"""What the arms of a study share: data, network, schedule, in both forms."""

import dataclasses
from collections.abc import Callable

from train.data.dataset import Dataset
from train.settings.commands import Study
from train.settings.experiment import Experiment
from train.settings.optimizer import Schedule
from train.settings.options import NO_IMAGES, Data, Model
from train.studies.arms import Arm, Block

# Test errors, in percent, that say how fast the first experiments converge.
_REACH = {"digits": (5.0, 2.0), "cifar10": (20.0, 10.0), "cifar100": (50.0, 30.0)}
_REACH_QUICK = (65.0, 55.0)


def make_experiment(
    study: Study, source: str, load: Callable[[Data], Dataset]
) -> Experiment:
    """The authors' network and schedule; in the quick form what two cores can do."""
    experiment = _usual(study, source, load)
    if study.network is not None:
        experiment = dataclasses.replace(experiment, model=Model(study.network))
    return experiment


def _usual(study: Study, source: str, load: Callable[[Data], Dataset]) -> Experiment:
    """The same with the study's own network."""
    data_dir = study.data_dir
    if study.data in NO_IMAGES:
        epochs = study.epochs or (12 if study.quick else 40)
        return Experiment(data=Data(data=study.data), epochs=epochs)
    if study.data is not None:
        source = study.data
    elif study.quick:
        source = "digits"
    options = {"data_dir": data_dir} if source in ("cifar10", "cifar100") else {}
    if not study.quick:
        experiment = Experiment(
            data=_augmented(Data(data=source, **options), load),
            model=Model(depth=28, widen=10, dtype="bfloat16"),
            schedule=Schedule("step", milestones=(31, 61, 91)),
            epochs=150,
            batch_size=128,
        )
    elif source == "digits":
        experiment = Experiment(data=Data(data=source), epochs=12, batch_size=32)
    else:
        experiment = Experiment(
            data=_augmented(Data(data=source, every=10, shrink=2, **options), load),
            epochs=12,
            batch_size=64,
        )
    if study.epochs is not None:
        experiment = dataclasses.replace(experiment, epochs=study.epochs)
    return experiment


def _augmented(data: Data, load: Callable[[Data], Dataset]) -> Data:
    """Crops of an eighth of the side, and mirroring: the authors' for 32 pixels."""
    padding = load(data).train_inputs.shape[1] // 8
    return dataclasses.replace(data, crop_padding=padding, flip=True)


def make_block(
    experiment: Experiment, name: str, arms: tuple[Arm, ...], reference: str
) -> Block:
    """A block, with the test errors that say how fast such data are learned."""
    source = experiment.data.data
    reach = _REACH_QUICK if experiment.data.every > 1 else _REACH.get(source, ())
    return Block(name, experiment, arms, reference, reach)


def kind_of(experiment: Experiment) -> str:
    """The name of the data, without the path of a file."""
    return experiment.data.data.partition(":")[0]

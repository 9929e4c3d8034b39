"""The studies of results/PLAN.md: what is run. `planned` has what they ask."""

import dataclasses
from collections.abc import Callable

from train.data.dataset import Dataset
from train.settings.commands import Study
from train.settings.experiment import Experiment
from train.settings.optimizer import Schedule
from train.settings.options import Data
from train.studies.arms import (
    Arm,
    Block,
    average_decay,
    control_arms,
    dose_arm,
    dose_study_arms,
    example_arm,
    lcam_arm,
    oracle_arms,
    reversed_arm,
    sgd_arm,
    twin_arms,
)

Load = Callable[[Data], Dataset]


def make_5k(study: Study, load: Load) -> list[Block]:
    """5,000 training images, tested on all others in the last epochs."""
    experiment = small_experiment(study)
    decay = average_decay(experiment, load(experiment.data))
    arms = (
        *_primary(decay),
        lcam_arm("lcam-rate-0.05", decay, "LCAM at half the rate", learning_rate=0.05),
        lcam_arm("lcam-rate-0.2", decay, "LCAM at twice the rate", learning_rate=0.2),
        sgd_arm("sgd-0.9-rate-0.2", learning_rate=0.2),
        sgd_arm("sgd-0.95", 0.95),
        reversed_arm(decay),
        *oracle_arms(decay),
        example_arm(decay),
    )
    return [Block("5k", experiment, arms, "lcam")]


def make_dose(study: Study, load: Load) -> list[Block]:
    """The setting of `plan-5k`, with coefficients far apart."""
    experiment = small_experiment(study)
    decay = average_decay(experiment, load(experiment.data))
    arms = (*dose_study_arms(decay), sgd_arm(), dose_arm())
    return [Block("5k", experiment, arms, "lcam")]


def make_epochs(study: Study, load: Load) -> list[Block]:
    """The setting of `plan-5k`, trained for all, three quarters and half as long."""
    experiment = small_experiment(study)
    decay = average_decay(experiment, load(experiment.data))
    arms = []
    for quarters in (4, 3, 2):
        epochs = max(experiment.epochs * quarters // 4, 1)
        for arm in (lcam_arm("lcam", decay), sgd_arm()):
            name, about = f"{arm.name}-{epochs}", f"{arm.about}; {epochs} epochs"
            arms.append(arm._replace(name=name, about=about, epochs=epochs))
    return [Block("5k", experiment, tuple(arms), arms[0].name)]


def _primary(decay: float) -> tuple[Arm, ...]:
    """The arms that both sizes share; the two primary ones come first."""
    controls = {arm.name: arm for arm in control_arms()}
    return (
        lcam_arm("lcam", decay),
        controls["borrowed"],
        controls["matched-step"],
        controls["mean-momentum"],
        *twin_arms(decay),
        sgd_arm(),
        dose_arm(),
    )


def small_experiment(study: Study) -> Experiment:
    """The experiment of `plan-5k`."""
    data = dataclasses.replace(_images(study), every=10, test_rest=True)
    return Experiment(
        data=data,
        schedule=Schedule("cosine"),
        epochs=study.epochs or 12,
        batch_size=64,
        test_epochs=3,
    )


def _images(study: Study) -> Data:
    """CIFAR-10, or a copy, averaged to half of its size."""
    source = study.data or "cifar10"
    options = {"data_dir": study.data_dir} if source == "cifar10" else {}
    return Data(data=source, shrink=2, crop_padding=2, flip=True, **options)

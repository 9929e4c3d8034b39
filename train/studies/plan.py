"""The studies of results/PLAN.md, which was written before they were run."""

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
    Plan,
    average_decay,
    control_arms,
    dose_arm,
    example_arm,
    lcam_arm,
    margin_arm,
    oracle_arms,
    reversed_arm,
    sgd_arm,
    slower_arm,
    twin_arms,
)

MARGIN = 0.3  # points of test error that count as no difference

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
    return [Block("5k", experiment, arms, "lcam", plan=_two_questions(seeds=80))]


def make_50k(study: Study, load: Load) -> list[Block]:
    """All training images."""
    experiment = Experiment(
        data=_images(study),
        schedule=Schedule("cosine"),
        epochs=study.epochs or 8,
        batch_size=128,
        test_epochs=3,
    )
    decay = average_decay(experiment, load(experiment.data))
    arms = (*_primary(decay), oracle_arms(decay)[0])
    return [Block("50k", experiment, arms, "lcam", plan=_two_questions(seeds=40))]


def make_half(study: Study, load: Load) -> list[Block]:
    """LCAM in half of the epochs, and SGD in all of them and in half."""
    experiment = small_experiment(study)
    decay = average_decay(experiment, load(experiment.data))
    half = {"epochs": max(experiment.epochs // 2, 1)}
    lcam = lcam_arm("lcam-half", decay, "LCAM in half of the epochs")
    sgd = sgd_arm("sgd-0.9-half")._replace(about="SGD in half of the epochs")
    arms = (lcam._replace(**half), sgd_arm(), sgd._replace(**half))
    plan = Plan(
        {"sgd-0.9": "Is LCAM in half of the epochs as good as SGD in all of them?"},
        MARGIN,
        seeds=40,
        one_sided=True,
    )
    return [Block("half", experiment, arms, "lcam-half", plan=plan)]


def make_pairs(study: Study, load: Load) -> list[Block]:
    """The same pairs of digits, with 10, 19 and 100 classes: does the order matter?"""
    blocks = []
    for source in ("digit_pairs_left", "digit_pairs_sum", "digit_pairs"):
        experiment = Experiment(
            # A mirrored pair would have its digits exchanged.
            data=Data(data=source, crop_padding=1),
            schedule=Schedule("cosine"),
            epochs=study.epochs or 6,
            batch_size=128,
            test_epochs=3,
            observe="sparsity",
        )
        decay = average_decay(experiment, load(experiment.data))
        arms = (lcam_arm("lcam", decay), sgd_arm(), reversed_arm(decay))
        blocks.append(Block(source, experiment, arms, "lcam"))
    return blocks


def make_noise(study: Study, load: Load) -> list[Block]:
    """Wrong labels, and small and large batches: how well the phase is told."""
    blocks = []
    for percent in (0, 20, 40):
        for batch_size in (32, 128):
            experiment = small_experiment(study)
            experiment = dataclasses.replace(
                experiment,
                data=dataclasses.replace(experiment.data, label_noise=percent / 100),
                batch_size=batch_size,
                observe="fixed",
            )
            rate = {"learning_rate": 0.1 * batch_size / 64}
            decay = average_decay(experiment, load(experiment.data))
            arms = (
                sgd_arm(**rate),
                lcam_arm("lcam", decay, **rate),
                slower_arm(decay, **rate),
                margin_arm(0.05, decay, **rate),
                *(_at(arm, rate) for arm in oracle_arms(decay)[:1]),
                _at(example_arm(decay), rate),
            )
            name = f"noise-{percent}-batch-{batch_size}"
            blocks.append(Block(name, experiment, arms, "lcam"))
    return blocks


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


def _two_questions(seeds: int) -> Plan:
    questions = {
        "borrowed": "Does the loss matter?",
        "matched-step": "Is LCAM better than a fixed momentum?",
    }
    return Plan(questions, MARGIN, seeds)


def _at(arm: Arm, options: dict[str, float]) -> Arm:
    return arm._replace(optimizer=dataclasses.replace(arm.optimizer, **options))


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

"""The published runs, by name: `python -m train run --preset NAME`.

The twelve runs of LCAM's authors follow their scripts (commit acb3cff of
https://github.com/hakumaicc/Asymmetric-Momentum-LCAM). All train WRN-28-10 for 150
epochs of 391 steps, the smaller last batch included, with batch 128. Images get zero
padding of 4, a random crop, a flip, and ImageNet's mean and deviation. The learning
rate is 0.1, the weight decay 5e-4, without Nesterov momentum. A comparison of the loss
with the epoch's mean acts on the next step. The scripts set no seeds.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from train.settings.experiment import Run
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model

# Of WRN-28-10's convolutions on 50,000 images: two operations for each multiplication,
# and a backward pass of twice the forward pass's 10.5 GFLOP an image.
PFLOP_PER_EPOCH = 1.573


@dataclass(frozen=True)
class Preset:
    """A published run.

    Attributes:
      run: its options.
      source: where it was published.
      expected: the final test error as published, or what is known of it.
    """

    run: Run
    source: str
    expected: str

    def describe(self) -> str:
        """Source, command, result as published, cost."""
        pflop = PFLOP_PER_EPOCH * self.run.epochs
        return (
            f"{self.run.preset}\n"
            f"  source    {self.source}\n"
            f"  command   python -m train run --preset {self.run.preset}\n"
            f"  expected  {self.expected}\n"
            f"  cost      {self.run.epochs} epochs of WRN-28-10, {pflop:.0f} PFLOP "
            f"(arithmetic: {pflop / 6:.0f} minutes at 100 TFLOP/s sustained)"
        )


DataName = Literal["cifar10", "cifar100"]
_ONLY_A_CURVE = "the figure shows a curve; no number is published"


def _authors_run(
    data: DataName, schedule: Schedule, *, below: float, otherwise: float
) -> Run:
    """A run of the authors' scripts: the momentum below the average, and otherwise."""
    if below == otherwise:
        optimizer = Optimizer("sgd", 0.1, 5e-4, momentum=below)
    else:
        optimizer = Optimizer(
            "lcam",
            0.1,
            5e-4,
            high_loss_momentum=otherwise,
            low_loss_momentum=below,
            loss_average="epoch",
            lagged=True,
        )
    return Run(
        data=Data(data, normalize="imagenet"),
        model=Model(depth=28, widen=10),
        schedule=schedule,
        optimizer=optimizer,
        epochs=150,
        batch_size=128,
        drop_last=False,
    )


def _baseline(data: DataName, schedule: Schedule) -> Run:
    """The Wide ResNet paper's recipe, with a schedule."""
    return Run(
        data=Data(data),
        model=Model(depth=28, widen=10),
        schedule=schedule,
        optimizer=Optimizer("sgd", 0.1, 5e-4, momentum=0.9, nesterov=True),
        epochs=200,
        batch_size=128,
        drop_last=False,
    )


def _presets() -> dict[str, Preset]:
    # `if epoch == 30` at the end of a 0-based epoch: after 31, 61 and 91 epochs.
    drops = Schedule("step", milestones=(31, 61, 91), milestone_factor=0.2)
    decay = Schedule("exponential", exponential_rate=0.99985, exponential_after=31)
    presets = {}
    figures: tuple[tuple[int, DataName], ...] = ((3, "cifar10"), (4, "cifar100"))
    for figure, data in figures:
        script = f"py_Figure{figure}_Cifar{data[5:]}.py"
        for group, below, otherwise in (
            (1, 0.9, 0.9),
            (2, 0.95, 0.95),
            (3, 0.95, 0.9),
            (4, 0.9, 0.95),
        ):
            arm = f"sgd-{below}" if group <= 2 else f"lcam-{below}-{otherwise}"
            presets[f"figure{figure}-{arm}"] = Preset(
                _authors_run(data, drops, below=below, otherwise=otherwise),
                f"arXiv 2309.02130, figure {figure}, group {group}; {script}",
                _ONLY_A_CURVE,
            )
    for data, below, otherwise in (("cifar10", 0.9, 0.95), ("cifar100", 0.93, 0.9)):
        source = (
            "arXiv 2309.02130, figure 5, {}, group {}; py_Figure5_Cifar10&Cifar100.py"
        )
        name = data.upper().replace("R", "R-")
        presets[f"figure5-{data}-sgd"] = Preset(
            _authors_run(data, decay, below=0.9, otherwise=0.9),
            source.format(name, 1),
            _ONLY_A_CURVE,
        )
        presets[f"figure5-{data}-lcam"] = Preset(
            _authors_run(data, decay, below=below, otherwise=otherwise),
            source.format(name, 2),
            _ONLY_A_CURVE
            if data == "cifar10"
            else "19.22 % at about 120 epochs, a peak (abstract of version 1)",
        )
    for data, wrn, cosine in (
        ("cifar10", "4.00 %", "not given by LCAM's authors"),
        (
            "cifar100",
            "19.25 %",
            "19.58 % as LCAM's authors cite it (their abstract, version 1)",
        ),
    ):
        presets[f"wrn-{data}"] = Preset(
            _baseline(data, Schedule("step", milestones=(60, 120, 160))),
            "Wide ResNets, arXiv 1605.07146, without dropout; they pad by reflection, "
            "this program with zeros",
            f"{wrn} (arXiv 1605.07146, version 4)",
        )
        presets[f"cosine-{data}"] = Preset(
            _baseline(data, Schedule("cosine")),
            "SGDR, arXiv 1608.03983, without restarts: a cosine over 200 epochs; they "
            "pad by reflection, this program with zeros",
            cosine,
        )
    return {
        name: dataclasses.replace(
            preset, run=dataclasses.replace(preset.run, preset=name)
        )
        for name, preset in presets.items()
    }


PRESETS = _presets()

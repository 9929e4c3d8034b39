"""The published runs, by name: `python -m train run --preset NAME`.

The twelve runs of LCAM's authors follow their scripts (commit acb3cff of
https://github.com/hakumaicc/Asymmetric-Momentum-LCAM). All train WRN-28-10 for 150
epochs of 391 steps, the smaller last batch included, with batch 128. Images get zero
padding of 4, a random crop, a flip, and ImageNet's mean and deviation. The learning
rate is 0.1, the weight decay 5e-4, without Nesterov momentum. A comparison of the loss
with the epoch's mean acts on the next step. The scripts set no seeds.
"""

import textwrap
from typing import NamedTuple

# Of WRN-28-10's convolutions on 50,000 images: two operations for each multiplication,
# and a backward pass of twice the forward pass's 10.5 GFLOP an image.
PFLOP_PER_EPOCH = 1.573


class Preset(NamedTuple):
    """A published run: its options as typed, epochs, source, and published error."""

    options: str
    epochs: int
    source: str
    expected: str

    @property
    def words(self) -> list[str]:
        """All options, as they are typed."""
        shared = (
            "--crop-padding 4 --flip True --depth 28 --widen 10 --batch-size 128 "
            "--no-drop-last --learning-rate 0.1 --weight-decay 5e-4 --epochs"
        )
        return f"{self.options} {shared} {self.epochs}".split()


def describe() -> str:
    """Name, source, command, result as published and cost of each."""
    lines = []
    for name, preset in PRESETS.items():
        pflop = PFLOP_PER_EPOCH * preset.epochs
        cost = (
            f"{preset.epochs} epochs of WRN-28-10, {pflop:.0f} PFLOP (arithmetic: "
            f"{pflop / 6:.0f} minutes at 100 TFLOP/s sustained)"
        )
        command = f"python -m train run --preset {name}"
        lines += ["", name]
        for what, text in (
            ("source", preset.source),
            ("command", command),
            ("expected", preset.expected),
            ("cost", cost),
        ):
            indents = {"initial_indent": f"  {what:10}", "subsequent_indent": " " * 12}
            lines += textwrap.wrap(text, 80, break_on_hyphens=False, **indents)
    return "\n".join(lines[1:])


def _of_authors(schedule: str, data: str, low: float, high: float, at: str) -> Preset:
    """A run of the authors' scripts: the momentum below the average, and otherwise."""
    options = f"--data {data} --normalize imagenet {schedule} --optimizer "
    if low == high:
        options += f"sgd --momentum {low}"
    else:
        options += f"lcam --high-loss-momentum {high} --low-loss-momentum {low} "
        options += "--loss-average epoch --lagged"
    expected = "the figure shows a curve; no number is published"
    return Preset(options, 150, f"arXiv 2309.02130, {at}", expected)


def _baseline(schedule: str, data: str, source: str, expected: str) -> Preset:
    """The Wide ResNet paper's recipe, with a schedule."""
    options = f"--data {data} {schedule} --optimizer sgd --momentum 0.9 --nesterov"
    source += "; they pad by reflection, this program with zeros"
    return Preset(options, 200, source, expected)


def _presets() -> dict[str, Preset]:
    """All published runs, in the order of the papers."""
    # `if epoch == 30` at the end of a 0-based epoch: after 31, 61 and 91 epochs.
    drops = "--schedule step --milestones 31 61 91 --milestone-factor 0.2"
    decay = "--schedule exponential --exponential-rate 0.99985 --exponential-after 31"
    found = {}
    for figure, data in ((3, "cifar10"), (4, "cifar100")):
        momenta = ((0.9, 0.9), (0.95, 0.95), (0.95, 0.9), (0.9, 0.95))
        for group, (low, high) in enumerate(momenta, start=1):
            arm = f"sgd-{low}" if low == high else f"lcam-{low}-{high}"
            script = f"py_Figure{figure}_Cifar{data[5:]}.py"
            at = f"figure {figure}, group {group}; {script}"
            found[f"figure{figure}-{arm}"] = _of_authors(drops, data, low, high, at)
    for data, low, high in (("cifar10", 0.9, 0.95), ("cifar100", 0.93, 0.9)):
        at = f"figure 5, CIFAR-{data[5:]}, group {{}}; py_Figure5_Cifar10&Cifar100.py"
        sgd = _of_authors(decay, data, 0.9, 0.9, at.format(1))
        lcam = _of_authors(decay, data, low, high, at.format(2))
        found |= {f"figure5-{data}-sgd": sgd, f"figure5-{data}-lcam": lcam}
    peak = "19.22 % at about 120 epochs, a peak (abstract of version 1)"
    name = "figure5-cifar100-lcam"
    found[name] = found[name]._replace(expected=peak)
    wrn = "Wide ResNets, arXiv 1605.07146, without dropout"
    sgdr = "SGDR, arXiv 1608.03983, without restarts: a cosine over 200 epochs"
    cited = "19.58 % as LCAM's authors cite it (their abstract, version 1)"
    steps = "--schedule step --milestones 60 120 160"
    for data, error, cosine in (
        ("cifar10", "4.00 %", "not given by LCAM's authors"),
        ("cifar100", "19.25 %", cited),
    ):
        error += " (arXiv 1605.07146, version 4)"
        found[f"wrn-{data}"] = _baseline(steps, data, wrn, error)
        found[f"cosine-{data}"] = _baseline("--schedule cosine", data, sgdr, cosine)
    return found


PRESETS = _presets()

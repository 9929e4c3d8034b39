from pathlib import Path

import pytest

from train.errors import InputError
from train.settings.command_line import parse
from train.settings.commands import Compare, Plot, Report, Study
from train.settings.experiment import Run
from train.settings.finished import Evaluate, Export, Runs
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("run", Run()),
        # Defaults follow from what was typed, not from the default data or optimizer.
        ("run --data cifar10", Run(data=Data("cifar10", crop_padding=4, flip=True))),
        (
            "run --optimizer adamw",
            Run(optimizer=Optimizer("adamw", learning_rate=0.001, weight_decay=0.01)),
        ),
        ("run --epochs 3 --epochs=4", Run(epochs=4)),
        ("run --batch_size 5", Run(batch_size=5)),
        ("run --no-drop-last --nesterov", Run(drop_last=False,
                                              optimizer=Optimizer(nesterov=True))),
        ("run --flip None --devices None", Run()),
        ("run --flip True", Run(data=Data(flip=True))),
        ("run --network mlp --hidden 8 9", Run(model=Model("mlp", hidden=(8, 9)))),
        ("run --network mlp --hidden", Run(model=Model("mlp", hidden=()))),
        ("run --out ~/a --resume", Run(out=Path("~/a"), resume=True)),
        ("run --schedule step --milestones 2", Run(schedule=Schedule("step", (2,)))),
        ("compare --arms sgd adamw --seeds 1 2",
         Compare(arms=("sgd", "adamw"), seeds=(1, 2))),
        ("study ablation --quick --seeds None", Study(name="ablation", quick=True)),
        ("study --quick ablation", Study(name="ablation", quick=True)),
        ("report a b --out c", Report((Path("a"), Path("b")), out=Path("c"))),
        ("report a --out c b", Report((Path("a"), Path("b")), out=Path("c"))),
        ("evaluate a --step 3", Evaluate(Path("a"), step=3)),
        ("export a --overwrite b.npz",
         Export(Path("a"), Path("b.npz"), overwrite=True)),
        ("runs", Runs()),
        ("runs --json a", Runs(Path("a"), json=True)),
        ("plot --out a.png b c", Plot((Path("b"), Path("c")), out=Path("a.png"))),
    ],
)  # fmt: skip
def test_command_is_its_dataclass(command, expected):
    assert parse(command.split()) == expected


def test_negative_number_is_a_value():
    with pytest.raises(InputError, match="--margin must be at least 0, got"):
        parse(["run", "--margin", "-1e-1"])

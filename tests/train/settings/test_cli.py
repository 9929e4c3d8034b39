import dataclasses
import re
from pathlib import Path

import pytest

from train.errors import InputError
from train.settings.cli import describe, overview, parse
from train.settings.commands import (
    COMMANDS,
    Compare,
    Evaluate,
    Export,
    Plot,
    Program,
    Report,
    Run,
    Runs,
    Study,
)
from train.settings.optimizer import Optimizer, Schedule
from train.settings.options import Data, Model


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("run", Run()),
        # Defaults follow from what was typed, not from the default data or optimizer.
        ("run --data cifar10", Run(data=Data("cifar10", crop_padding=4, flip=True))),
        (
            "run --optimizer optax.adamw --optimizer-options b1=0.8 b2=0.9/0.99",
            Run(optimizer=Optimizer("optax.adamw", ("b1=0.8", "b2=0.9/0.99"), 0.001)),
        ),
        ("run --epochs 3 --epochs=4", Run(epochs=4)),
        ("run --batch_size 5", Run(batch_size=5)),
        ("run --no-drop-last --nesterov", Run(drop_last=False,
                                              optimizer=Optimizer(nesterov=True))),
        ("run --flip None --devices None", Run()),
        ("run --flip True", Run(data=Data(flip=True))),
        ("run --nesterov=True --drop-last=False", Run(drop_last=False,
                                              optimizer=Optimizer(nesterov=True))),
        ("run --network mlp --hidden 8 9", Run(model=Model("mlp", hidden=(8, 9)))),
        ("run --network mlp --hidden", Run(model=Model("mlp", hidden=()))),
        ("run --out ~/a --resume", Run(out=Path("~/a"), resume=True)),
        ("run --schedule step --milestones 2", Run(schedule=Schedule("step", (2,)))),
        ("compare --arms sgd optax.lion --seeds 1 2",
         Compare(arms=("sgd", "optax.lion"), seeds=(1, 2))),
        ("study ablation --quick --seeds None", Study(name="ablation", quick=True)),
        ("study --quick ablation", Study(name="ablation", quick=True)),
        ("report a b --out c", Report((Path("a"), Path("b")), out=Path("c"))),
        ("report a --out c b", Report((Path("a"), Path("b")), out=Path("c"))),
        ("evaluate a --step 3", Evaluate(Path("a"), step="3")),
        ("export a --overwrite b.npz",
         Export(Path("a"), Path("b.npz"), overwrite=True)),
        ("runs", Runs()),
        ("runs --json a", Runs(Path("a"), json=True)),
        ("plot --out a.png b c", Plot((Path("b"), Path("c")), out=Path("a.png"))),
    ],
)  # fmt: skip
def test_command_is_its_dataclass(command, expected):
    assert parse(command.split(), COMMANDS) == expected


def test_negative_number_is_a_value():
    with pytest.raises(InputError, match="--margin must be at least 0, got"):
        parse(["run", "--margin", "-1e-1"], COMMANDS)


# --- Help -----------------------------------------------------------------------------


def names_of(kind):
    """The options of a dataclass, as its help text begins their lines."""
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            yield from names_of(field.type)
        elif field.default is dataclasses.MISSING:
            yield field.name.upper()
        elif (kind, field.name) != (Runs, "folder"):
            yield "--" + field.name.replace("_", "-")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_once(command):
    text = describe(command, COMMANDS[command]).partition("\nexamples:")[0]
    heads = re.findall(r"^  ([^\s,]+)(?: .*?)??\n?  +\S", text, re.M)
    heads = [head.replace("[no-]", "") for head in heads]
    for name in names_of(COMMANDS[command]):
        assert heads.count(name) == 1


def test_groups_of_run_stand_in_the_order_in_which_a_person_needs_them():
    titles = re.findall(r"^(\w.*):$", describe("run", Run), re.M)
    assert titles[:5] == [
        *("data", "network", "optimizer", "learning rate schedule", "training"),
    ]
    assert titles[5:7] + titles[-2:] == ["seeds", "output", "machinery", "examples"]


def test_help_of_run_says_nothing_about_studies():
    assert "stud" not in describe("run", Run)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_examples_can_be_typed_and_fit_a_terminal(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = overview(Program, COMMANDS)
    if command:
        text = describe(command, COMMANDS[command])
    assert max(map(len, text.splitlines())) <= 80
    examples = re.findall(r"^  python -m train (.*)", text, re.M)
    assert len(examples) >= (command in ("run", "compare", "study")) * 3
    for words in examples:
        parse(words.partition("  #")[0].split(), COMMANDS)

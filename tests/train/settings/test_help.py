import re

import pytest

from train.settings.command_line import parse
from train.settings.commands import COMMANDS
from train.settings.fields import options_of
from train.settings.help import describe, overview


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_once(command):
    lines = describe(command).partition("\nexamples:")[0].splitlines()
    heads = [match[1] for line in lines if (match := re.match(r"  ([^\s,]+)", line))]
    for option in options_of(COMMANDS[command]).values():
        assert option.about
        name = option.typed if option.is_positional else f"--{option.typed}"
        assert heads.count(name) == 1


def test_groups_of_run_stand_in_the_order_in_which_a_person_needs_them():
    titles = [line for line in describe("run").splitlines() if line.endswith(":")]
    titles = [title for title in titles if not title.startswith(" ")]
    assert titles[:7] == [
        *("data:", "network:", "optimizer:", "learning rate schedule:", "training:"),
        *("seeds:", "output:"),
    ]
    assert titles[-2:] == ["machinery:", "examples:"]


def test_help_of_run_says_nothing_about_studies():
    assert "stud" not in describe("run")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_examples_can_be_typed(command):
    text = describe(command) if command else overview()
    examples = [
        line.split()[3:]
        for line in text.partition("\nexamples:\n")[2].splitlines()
        if line.startswith("  python -m train ")
    ]
    assert len(examples) >= (command in ("run", "compare", "study")) * 3
    for words in examples:
        if "--help" not in words:
            parse(words)


def test_help_fits_a_terminal_of_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, describe("run").splitlines())) <= 80

"""A comparison that chooses its learning rates on a validation split first."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from train.__main__ import main
from train.runs import records
from train.settings.cli import parse
from train.settings.commands import COMMANDS
from train.studies import catalogue, compare
from train.studies import study as studies
from train.studies.trials import run_trials

RATES = ["1e-05", "0.01", "1e6"]  # too low, sensible, and one that diverges


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command of a comparison of two arms at three rates, and its folder."""
    out = tmp_path_factory.mktemp("choosing") / "out"
    command = ["compare", "--data", "diabetes", "--hidden", "8", "--epochs", "1"]
    command += ["--arms", "sgd", "lcam:low-loss-momentum=0.95", "--seeds", "0", "1"]
    command += ["--learning-rates", *RATES, "--validation", "100"]
    command += ["--validation-seeds", "2", "8", "--out", str(out)]
    return command, out


@pytest.fixture(scope="module")
def compared(command):
    """The same, run."""
    assert main(command[0]) == 0
    return command


def config_of(run):
    return json.loads((run / "config.json").read_text())


def test_each_arm_is_compared_at_its_rate_of_lowest_validation_error(compared):
    _, out = compared
    errors = {}
    for run in (out / "validation" / "runs" / "diabetes").iterdir():
        options, rows = config_of(run)["optimizer"], records.read_metrics(run)
        key = options["optimizer"], options["learning_rate"]
        diverged = rows[-1]["train_loss"] is None
        error = np.inf if diverged else rows[-1]["test_error"]
        errors.setdefault(key, []).append(error)
    assert all(len(seeds) == 2 for seeds in errors.values())
    best = {
        arm: min((np.mean(errors[arm, float(rate)]), float(rate)) for rate in RATES)[1]
        for arm in ("sgd", "lcam")
    }
    used = {
        (options["optimizer"], options["learning_rate"])
        for run in (out / "runs" / "diabetes").iterdir()
        for options in [config_of(run)["optimizer"]]
    }
    assert used == set(best.items())


def test_rates_are_chosen_on_training_examples_and_compared_on_the_test_set(compared):
    _, out = compared
    choosing, comparing = (
        {
            (config_of(run)["data"]["validation"], config_of(run)["seed"])
            for run in folder.iterdir()
        }
        for folder in (
            out / "validation" / "runs" / "diabetes",
            out / "runs" / "diabetes",
        )
    )
    assert choosing == {(100, 2), (100, 8)}
    assert comparing == {(0, 0), (0, 1)}


def test_all_arms_and_seeds_choose_by_the_same_examples(compared):
    _, out = compared
    runs = [config_of(run) for run in (out / "validation/runs/diabetes").iterdir()]
    assert len({run["data_sha256"] for run in runs}) == 1
    splits = {run["data"]["validation_split"] for run in runs}
    assert splits == {"stratified draw, seed 0"}


@pytest.mark.parametrize("whose", ["", "validation/runs/diabetes/*-seed2/"])
def test_what_was_chosen_on_the_split_of_before_is_not_gone_on_with(
    compared, tmp_path, capsys, whose
):
    command, out = compared
    shutil.copytree(out, tmp_path / "copy")
    for path in (tmp_path / "copy").glob(f"{whose}config.json"):
        config = json.loads(path.read_text())
        del config["data"]["validation_split"]
        path.write_text(json.dumps(config))
    assert main([*command[:-1], str(tmp_path / "copy"), "--resume"]) == 2
    assert "split was the last examples, is stratified" in capsys.readouterr().err


def test_comparison_on_validation_examples_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.reports.panels.plot_block", lambda *_: None)
    command = ["compare", "--data", "diabetes", "--epochs", "1", "--validation", "100"]
    assert main([*command, "--hidden", "8", "--out", str(tmp_path / "out")]) == 0
    assert "\nfinal validation squared error after 1 ep" in capsys.readouterr().out


def test_report_says_how_validation_examples_were_chosen(compared, tmp_path):
    _, out = compared
    path = tmp_path / "report"
    assert main(["report", str(out / "validation/report"), "--out", str(path)]) == 0
    kept = "tested on: 100 training examples, kept from it: stratified draw, seed 0;"
    assert kept in (path / "report.md").read_text()


def test_study_on_the_split_of_before_is_not_gone_on_with(
    tmp_path, monkeypatch, capsys
):
    for module in (catalogue, studies):
        monkeypatch.setattr(module, "make_blocks", lambda *_: [])
    monkeypatch.setattr(studies, "run_blocks", lambda *_: sys.exit(3))
    command = ["study", "rates", "--out", str(tmp_path / "out")]
    for _ in range(2):
        with pytest.raises(SystemExit):
            main(command)
    path = tmp_path / "out" / "config.json"
    config = json.loads(path.read_text())
    del config["validation_split"]
    path.write_text(json.dumps(config))
    assert main(command) == 2
    assert "split was the last examples, is stratified" in capsys.readouterr().err


def test_finished_comparison_chooses_the_same_and_shows_why(
    compared, capsys, monkeypatch
):
    command, _ = compared
    made = []
    monkeypatch.setattr(studies, "run_trials", lambda *args, **_: made.append(args))
    assert main([*command, "--resume"]) == 0
    assert len(made) == 2
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert (
        "validation error after the last epoch, mean of 2 seeds; * is chosen" in lines
    )
    [sgd] = [line for line in lines if re.fullmatch(r"sgd [\d.]+ [\d.]+ \* .*", line)]
    assert sgd.endswith(" * diverged")
    assert "lcam:low-loss-momentum=0.95,learning-rate=0.01" in " ".join(lines)


def test_seeds_that_chose_the_rates_are_not_among_those_to_add(
    compared, capsys, monkeypatch
):
    command, out = compared
    monkeypatch.setattr(studies, "run_trials", lambda *_, **__: None)
    assert main([*command, "--resume"]) == 0
    [*_, line] = capsys.readouterr().out.splitlines()
    assert line.startswith("next: ")
    assert " --seeds 0 1 3 " in line
    assert line.endswith(f" --out={out} --resume")


def test_nothing_is_compared_before_all_rates_were_tried(command, tmp_path, capsys):
    words = [*command[0][:-1], str(tmp_path / "out"), "--budget", "1e-9"]
    assert main(words) == 0
    assert "is used up" in capsys.readouterr().out
    assert not (tmp_path / "out" / "runs").exists()


def test_both_parts_share_the_budget(command, tmp_path, monkeypatch):
    clocks = []

    def counting(blocks, seeds, folder, load, clock, train, **options):
        clocks.append(clock)
        return run_trials(blocks, seeds, folder, load, clock, train, **options)

    monkeypatch.setattr(studies, "run_trials", counting)
    words = [*command[0][:-1], str(tmp_path / "out"), "--seeds", "0"]
    words += ["--learning-rates", "0.01", "--validation-seeds", "7"]
    assert main(words) == 0
    assert clocks[0] is clocks[1]


def test_best_rate_at_the_end_of_those_tried_is_pointed_out(command, tmp_path, capsys):
    words = [*command[0][:-1], str(tmp_path / "out"), "--seeds", "0"]
    words += ["--learning-rates", "1e-5", "0.01", "--validation-seeds", "7"]
    assert main(words) == 0
    assert "warning: sgd is best at 0.01, the highest rate" in capsys.readouterr().out


def test_arm_that_diverges_at_every_rate_ends_the_comparison(command, tmp_path, capsys):
    words = [*command[0][:-1], str(tmp_path / "out")]
    words += ["--learning-rates", "1e6", "--validation-seeds", "7"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert "sgd diverged at every learning rate: try lower ones" in err
    assert "*" not in out.replace("* is chosen", "")
    assert "warning" not in out


def test_order_in_which_rates_are_typed_does_not_matter():
    def make(*rates):
        words = ["compare", "--validation", "9", "--learning-rates"]
        return parse([*words, *rates], COMMANDS)

    assert make("0.2", "0.1") == make("0.1", "0.2")


def test_of_rates_that_do_equally_well_the_lowest_is_chosen(
    compared, tmp_path, capsys, monkeypatch
):
    command, out = compared
    shutil.copytree(out, tmp_path / "copy")
    monkeypatch.setattr(compare, "_error", lambda *_: 3.0)
    monkeypatch.setattr(studies, "run_trials", lambda *_, **__: None)
    main([*command[:-1], str(tmp_path / "copy"), "--resume"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "learning rate 1e-05 0.01 1e+06" in lines
    assert "sgd 3.00 * 3.00 3.00" in lines
    assert "lcam:low-loss-momentum=0.95 3.00 * 3.00 3.00" in lines

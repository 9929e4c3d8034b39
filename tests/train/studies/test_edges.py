"""Edges of studies that went wrong once: kills, divergence, damage, other seeds."""

import json
import multiprocessing
import re
from pathlib import Path

import pytest

from tests.train.reports.written import BLOCK, run, study
from train.__main__ import main
from train.errors import DivergedError, InputError
from train.reports.report import write_report
from train.reports.rows import ENVIRONMENT, collect
from train.runs import records, writing
from train.runs.folder import config_as_json
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.studies import trials
from train.studies.arms import Arm, Block
from train.studies.study import describe_study
from train.studies.trials import Clock

MLP = ["--network", "mlp", "--hidden", "8"]
RESULTS = Path(__file__).parents[3] / "results"


def test_regression_that_diverges_does_not_end_the_comparison(tmp_path, capsys):
    arms = ["--arms", "sgd", "sgd:learning-rate=1e4,momentum=0.99"]
    command = ["compare", "--data", "diabetes", *MLP, *arms, "--epochs", "2"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1  # 2: "damaged"
    unit = r"^RMSE in progression, by the mean error: sgd \d\d\.\d+$"
    assert re.search(unit, capsys.readouterr().out, re.M)


def test_run_with_on_nan_continue_has_not_ended_before_its_last_epoch(tmp_path):
    row = {"epoch": 1, "step": 1, "train_loss": float("nan"), "test_loss": 1.0}
    records.append_metrics(tmp_path, row | {"test_error": 90.0, "seconds": 1.0})
    (tmp_path / "config.json").write_text(json.dumps({"on_nan": "continue"}))
    assert records.read_ended(tmp_path, 5) is None


def write_often(path, failures, both_are_there):
    both_are_there.wait()
    count = 0
    for _ in range(2000):
        try:
            writing.replace(path, 2000 * "x")
        except InputError:
            count += 1
    failures.put(count)


@pytest.mark.torture
def test_two_processes_may_write_one_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    arguments = (tmp_path / "study.json", failures, context.Barrier(2))
    both = [context.Process(target=write_often, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    assert failures.get() + failures.get() == 0


def test_tables_of_before_do_not_stay(tmp_path):
    runs = {("lcam", s): run(s + 1.0) for s in range(3)}
    runs |= {("sgd-0.9", s): run(2.0 * s) for s in range(3)}
    write_report(tmp_path, study(runs))
    write_report(tmp_path, study(runs | {("lcam", 3): run(diverged=True)}))
    assert not (tmp_path / "comparisons.csv").exists()


def test_arm_without_a_match_is_no_run_and_did_not_diverge(
    tmp_path, monkeypatch, capsys
):
    def train(config, dataset, **_):
        config.out.mkdir(parents=True)
        (config.out / "config.json").write_text('{"on_nan": "stop"}')
        is_bad = config.seed == 0 and config.optimizer.phase == "loss"
        row = {"epoch": 1, "step": 1, "test_loss": 1.0}
        row["train_loss"] = None if is_bad else 1.0
        row |= {"test_error": 1.0, "seconds": 9.0, "mean_momentum": 0.9}
        records.append_metrics(config.out, row | {"low_loss_share": 0.5})
        if is_bad:
            raise DivergedError("boom")
        records.write_finished(config.out, 1)

    monkeypatch.setattr(trials.loop, "run", train)
    arms = (Arm("lcam", Optimizer()), Arm("chance", Optimizer(), "share"))
    block = Block("digits", Experiment(epochs=1), arms, "lcam")
    trials.run_trials([block], [0, 1], tmp_path, lambda _: None, Clock())
    printed = capsys.readouterr().out
    assert "chance, seed 0: left out, because lcam diverged" in printed
    progress = [line for line in printed.splitlines() if line.startswith("[")]
    assert progress[-1].endswith("(0:00:00 left)")  # nothing waits


def test_report_of_a_study_has_all_its_seeds(tmp_path):
    command = ["compare", *MLP, "--epochs", "1", "--out", str(tmp_path / "out")]
    assert main([*command, "--seeds", "0"]) == 0
    assert main([*command, "--seeds", "1", "--resume"]) == 0
    table = (tmp_path / "out" / "report" / "runs.csv").read_text()
    assert len(table.splitlines()) == 1 + 4  # as `python -m train report` has them


def test_run_that_diverged_leaves_no_checkpoints(tmp_path):
    arms = ["--arms", "sgd", "sgd:learning-rate=1e6"]
    out = tmp_path / "out"
    assert main(["compare", *MLP, *arms, "--epochs", "1", "--out", str(out)]) == 1
    assert not list(out.glob("runs/*/*/checkpoints"))


def test_all_commits_of_a_resumed_run_are_listed(tmp_path):
    folder = tmp_path / "runs" / "digits" / "lcam-seed0"
    folder.mkdir(parents=True)
    row = {"epoch": 1, "step": 1, "train_loss": 1.0, "test_loss": 1.0}
    row["test_error"] = 1.0
    records.append_metrics(folder, row | {"seconds": 1.0, "mean_momentum": 0.9})
    records.write_finished(folder, 1)
    options = config_as_json(Optimizer())
    config = {"optimizer": options, "data_sha256": 64 * "0"}
    (folder / "config.json").write_text(json.dumps(config))
    known = dict.fromkeys(ENVIRONMENT) | {"command": ["a"]}
    starts = [known | {"commit": commit} for commit in "ab"]
    (folder / "provenance.json").write_text(json.dumps(starts))
    about = describe_study("x", "y?", [BLOCK], ["last_error"])
    found = collect(about, tmp_path).about["environments"]
    assert [each["commit"] for each in found] == ["a", "b"]

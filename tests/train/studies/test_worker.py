"""What a worker does with a run, without Ray."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from train.data.sources import load_dataset
from train.runs import loop, records
from train.settings.experiment import Run
from train.settings.optimizer import Optimizer
from train.settings.options import Data, Model
from train.studies.worker import carry_out, make_job, scratch, settle

RUN = Run(
    data=Data(every=3),
    model=Model("mlp", hidden=(8,)),
    epochs=3,
    optimizer=Optimizer("sgd"),
    steps_per_call=1,
    checkpoint_minutes=0,
    resume=True,
    out=Path("runs"),
)
TIMES = ("seconds", "images_per_second")


def rows(folder):
    steps = (folder / "steps.csv").read_text()
    epochs = records.read_metrics(folder)
    return steps, [{k: v for k, v in row.items() if k not in TIMES} for row in epochs]


@pytest.fixture(scope="module")
def data():
    return load_dataset(RUN.data)


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """The folder of the same run by one process."""
    config = dataclasses.replace(RUN, out=tmp_path_factory.mktemp("run") / "plain")
    return loop.run(config, data, quiet=True, light=True)


def test_run_comes_back_as_one_process_leaves_it(data, plain, tmp_path):
    config = dataclasses.replace(RUN, out=tmp_path / "plain", threads=None)
    outcome = carry_out(make_job(config, light=True), data, lambda: False)
    settle(config, outcome.files, command=["typed"], commit="c")
    assert outcome.has_ended
    assert rows(config.out) == rows(plain)
    names = {path.name for path in plain.iterdir()} - {".lock"}
    assert {path.name for path in config.out.iterdir()} == names
    [start] = json.loads((config.out / "provenance.json").read_text())
    assert (start["command"], start["commit"]) == (["typed"], "c")
    saved = json.loads((config.out / "config.json").read_text())
    assert saved["out"] == str(config.out)
    assert saved["data_sha256"]


def test_run_goes_on_from_what_came_back_each_time(data, plain, tmp_path):
    # Saved after each call; the third worker may be on another machine.
    config = dataclasses.replace(
        RUN, out=tmp_path / "run", checkpoint_minutes=1e-9, threads=None
    )
    ends = []
    while not any(ends):
        outcome = carry_out(make_job(config, light=True), data, lambda: False)
        settle(config, outcome.files)
        ends.append(outcome.has_ended)
        assert bool(records.steps_in(config.out)) == (not outcome.has_ended)
    assert len(ends) > 3
    assert rows(config.out) == rows(plain)


def test_folders_of_killed_processes_are_removed(tmp_path):
    with scratch("lcam-", str(tmp_path)) as in_use:
        for name, age in {"lcam-killed": 100, "lcam-new": 0, "other": 100}.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").touch()
            os.utime(tmp_path / name, (os.stat(tmp_path).st_mtime - age,) * 2)
        os.utime(in_use, (0, 0))
        with scratch("lcam-", str(tmp_path)) as mine:
            assert {*tmp_path.iterdir()} == {
                *(in_use, mine, tmp_path / "lcam-new", tmp_path / "other")
            }
    assert not in_use.exists()

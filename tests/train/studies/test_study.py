"""Studies in parts, and reports made from rows, by the real command line."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.train.two_classes import two_classes
from train.__main__ import main
from train.runs import records

ROOT = Path(__file__).parents[4]
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Compares SGD and LCAM on tiny images, with a network that compiles fast."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **two_classes({"train": 52, "test": 21}))
    network = ["--network", "mlp", "--hidden", "8", "--batch-size", "8"]
    return ["compare", "--data", f"npz:{path}", *network, "--epochs", "2"]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The folder of a comparison with seeds 0 to 3."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main([*command, "--out", str(out), "--seeds", "0", "1", "2", "3"]) == 0
    return out


@pytest.fixture(scope="module")
def halves(command, tmp_path_factory):
    """The folders of the same comparison in two parts."""
    root = tmp_path_factory.mktemp("halves")
    for name, seeds in (("a", ["2", "3"]), ("b", ["0", "1"])):
        assert main([*command, "--out", str(root / name), "--seeds", *seeds]) == 0
    return [str(root / "a"), str(root / "b")]


def tables(folder):
    """The rows of a report, without what depends on the machine's speed."""
    found = {}
    for name in ("runs", "epochs", "comparisons"):
        with (folder / f"{name}.csv").open(newline="") as file:
            found[name] = [
                {key: row[key] for key in row if key not in TIMES}
                for row in csv.DictReader(file)
            ]
    return found


@pytest.mark.torture
@pytest.mark.parametrize("part", ["", "/report"])
def test_joined_halves_equal_the_study_in_one_folder(
    whole, halves, tmp_path, capsys, part
):
    folders = [f"{half}{part}" for half in halves]
    assert main(["report", *folders, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path}/out/report.md\n"
    joined = tables(tmp_path / "out")
    assert joined == tables(whole / "report")
    assert len(joined["runs"]) == 8


def test_comparison_goes_on_with_the_threads_that_it_began_with(
    command, halves, capsys
):
    resumed = [*command, "--out", halves[0], "--seeds", "2", "3", "--resume"]
    assert main([*resumed, "--threads", "7"]) == 2
    assert ", not 7. Sums on a CPU" in capsys.readouterr().err
    [block] = json.loads((Path(halves[0]) / "study.json").read_text())["blocks"]
    began = block["experiment"]["threads"]
    assert main([*resumed, "--threads", str(began)]) == 0


def test_report_replaces_a_link_and_not_what_it_leads_to(halves, tmp_path, capsys):
    folder, outside = tmp_path / "part", tmp_path / "thesis.md"
    shutil.copytree(halves[0], folder)
    outside.write_text("precious")
    report = folder / "report" / "report.md"
    report.unlink(missing_ok=True)
    report.symlink_to(outside)
    assert main(["report", str(folder)]) == 0
    assert outside.read_text() == "precious"
    assert report.read_text().startswith("# comparison")
    shutil.move(folder / "report", tmp_path / "moved")
    (folder / "report").symlink_to(tmp_path / "moved")
    assert main(["report", str(folder)]) == 2
    assert f"{folder / 'report'} is a link" in capsys.readouterr().err


def test_report_of_a_study_is_made_anew_in_its_folder(whole):
    before = tables(whole / "report")
    (whole / "report" / "comparisons.csv").unlink()
    assert main(["report", str(whole)]) == 0
    assert tables(whole / "report") == before
    assert "# comparison: " in (whole / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{whole}", "{other}", "--out", "{new}"], "epochs is 2 and 3"),
        (["{whole}", "{halves[0]}"], "report needs --out"),
        (["{whole}", "--out", "{whole}"], "exists and is not an empty folder"),
        (["{new}"], "there is no folder"),
    ],
)
def test_what_cannot_be_reported_gets_one_message(
    command, whole, halves, tmp_path, capsys, arguments, message
):
    other = [*command[:-1], "3", "--seeds", "7", "--out", str(tmp_path / "other")]
    if "{other}" in arguments:
        assert main(other) == 0
    known = {"whole": whole, "halves": halves}
    known |= {"other": tmp_path / "other", "new": tmp_path / "new"}
    capsys.readouterr()
    assert main(["report", *(text.format(**known) for text in arguments)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_report_needs_no_runs(halves, tmp_path):
    folder = tmp_path / "part"
    shutil.copytree(halves[0], folder)
    before = tables(folder / "report")
    shutil.rmtree(folder / "runs")
    assert main(["report", str(folder)]) == 0
    assert tables(folder / "report") == before


def test_signal_at_the_end_of_a_run_ends_the_comparison(command, tmp_path, monkeypatch):
    write_finished = records.write_finished

    def finish_and_stop(*arguments):
        write_finished(*arguments)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(records, "write_finished", finish_and_stop)
    out = tmp_path / "out"
    assert main([*command, "--out", str(out)]) == 143
    assert len(list(out.glob("runs/npz/*/finished.json"))) == 1


def test_finished_run_that_lost_rows_is_not_passed_over(halves, tmp_path, capsys):
    folder = tmp_path / "part"
    shutil.copytree(halves[0], folder)
    [path] = folder.glob("runs/npz/2-lcam-seed2/metrics.jsonl")
    path.write_text(path.read_text()[:-9])
    assert main(["report", str(folder)]) == 2
    assert f"cannot read {path}: it was changed or damaged" in capsys.readouterr().err


def test_study_that_has_only_begun_has_no_report(command, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main([*command, "--out", out, "--budget", "1e-9"]) == 0
    capsys.readouterr()
    assert main(["report", out]) == 2
    assert "no run has finished yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("study.json", '"outcomes": [', '"outcomes": ["x", '),
        ("study.json", '"versions"', '"v"'),
        ("study.json", '"name": "npz"', '"name": "../outside"'),
        ("runs.csv", ",cpu,", ",cpu,0,"),
        ("epochs.csv", ",0.9", ",high"),
    ],
)
def test_damage_gets_one_message_and_nothing_is_lost(
    whole, tmp_path, capsys, name, old, new
):
    folder = tmp_path / "report"
    shutil.copytree(whole / "report", folder)
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert main(["report", str(folder)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert str(folder) in errors
    assert errors.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.torture
def test_comparison_survives_a_kill(command, whole, tmp_path):
    out = tmp_path / "out"
    seeds = ["--seeds", "0", "1", "2", "3"]
    arguments = [sys.executable, "-m", "train", *command, *seeds, "--out", str(out)]

    def start():
        return subprocess.Popen(
            [*arguments, "--resume"], cwd=ROOT, stdout=subprocess.DEVNULL
        )

    first = start()
    while not list(out.glob("runs/npz/*/finished.json")):
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert start().wait(timeout=300) == 0
    assert tables(out / "report") == tables(whole / "report")

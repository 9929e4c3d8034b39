"""Rows on disk: what is written is read back, and what is damaged is refused."""

import json

import pytest

from tests.train.reports.written import BLOCK, run, study
from train.errors import InputError
from train.reports import rows
from train.reports.outcomes import make_results
from train.reports.report import write_report, write_tables
from train.settings.experiment import Experiment


@pytest.fixture
def found():
    runs = {("lcam", 3): run(5.0), ("lcam", 4): run(6.25), ("sgd-0.9", 3): run(7.5)}
    return study(runs)


@pytest.fixture
def folder(found, tmp_path):
    write_tables(tmp_path / "report", found)
    return tmp_path / "report"


def test_rows_are_read_as_they_were_written(found, folder):
    assert rows.read_rows(folder) == found


def test_report_made_again_is_the_same(found, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    write_report(first, found)
    write_report(again, rows.read_rows(first))
    for path in first.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_what_was_watched_is_read_back(tmp_path):
    block = BLOCK._replace(experiment=Experiment(epochs=1, observe="held_out"))
    watched = {"misread": [0.25], "misread_by_chance": [0.5], "held_out": [None, 2.0]}
    one = run()
    one.epochs[0]["observed"] = watched
    found = study({("lcam", 0): one}, block)
    rows.write_rows(tmp_path, found)
    key = {"block": "digits", "arm": "lcam", "seed": 0}
    rows.write_csv(tmp_path / "runs.csv", [key | one.facts])
    [read] = rows.read_rows(tmp_path).runs.values()
    assert read.epochs[0]["observed"] == watched


def test_a_run_that_diverged_is_read_back(tmp_path):
    found = study({("lcam", 0): run(diverged=True), ("sgd-0.9", 0): run()})
    write_tables(tmp_path, found)
    [result] = make_results(rows.read_rows(tmp_path))
    assert result.diverged == {"lcam": [0]}


@pytest.mark.parametrize("name", ["study.json", "runs.csv", "epochs.csv"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "garbage"])
def test_damaged_rows_get_one_message(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        cut = content[: len(content) * 2 // 3]
        path.write_bytes({"empty": b"", "cut": cut, "garbage": b"\xff\x00"}[damage])
    with pytest.raises(InputError, match=str(folder)) as error:
        rows.read_rows(folder)
    assert "\n" not in str(error.value)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("epochs.csv", "digits,sgd-0.9", "digits,other", "damaged"),
        ("epochs.csv", "digits,lcam,4,1", "digits,lcam,4,2", r"epochs \[2\] of lcam"),
        ("epochs.csv", "digits,lcam,4,", "digits,lcam,3,", r"epochs \[1, 1\] of lcam"),
        ("epochs.csv", ",7.5,", ",,", "a number is missing of sgd-0.9"),
        ("epochs.csv", ",7.5,", ",", "damaged"),
        ("runs.csv", "digits,lcam,4", "digits,lcam,x", "damaged"),
        ("runs.csv", "digits,lcam,4", "digits,lcamm,4", "damaged"),
        ("study.json", '"name": "sgd-0.9"', '"name": "sgd"', "knows no arm sgd-0.9"),
    ],
)
def test_changed_rows_are_refused(folder, name, old, new, message):
    change(folder / name, old, new)
    with pytest.raises(InputError, match=message):
        rows.read_rows(folder)


def test_rows_of_another_version_are_refused(folder):
    about = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(InputError, match="its format is 99, and this version reads 1"):
        rows.read_rows(folder)


def test_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no study.json: name the folder of"):
        rows.read_rows(tmp_path)

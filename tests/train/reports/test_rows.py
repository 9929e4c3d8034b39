"""Rows on disk: what is written is read back, and what is damaged is refused."""

import json

import pytest

from tests.train.reports.written import BLOCK, run, same, study
from train.errors import InputError
from train.reports import rows
from train.reports.outcomes import make_results, write_tables
from train.reports.report import write_report
from train.settings.experiment import Experiment

FOUND = study({("lcam", 3): run(5.0), ("lcam", 4): run(6.25), ("NA", 3): run(7.5)})


@pytest.fixture
def folder(tmp_path):
    write_tables(tmp_path / "report", FOUND)
    return tmp_path / "report"


def test_rows_are_read_as_they_were_written(folder):
    assert same(rows.read_rows(folder), FOUND)


def test_report_made_again_is_the_same(tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    write_report(first, FOUND)
    write_report(again, rows.read_rows(first))
    for path in first.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_what_was_watched_is_read_back(tmp_path):
    block = BLOCK._replace(experiment=Experiment(epochs=1, observe="held_out"))
    watched = {"misread": [0.25], "pair": [[None, 2.0], [3.0, 4.0]]}
    found = study({("lcam", 0): run(observed=watched)}, block)
    write_tables(tmp_path, found)
    read = rows.read_rows(tmp_path)
    assert same(read, found)
    assert read.observed.number.fillna(-1).tolist() == [0.25, -1, 2, 3, 4]


def test_a_run_that_diverged_is_read_back(tmp_path):
    write_tables(
        tmp_path, study({("lcam", 0): run(diverged=True), ("sgd-0.9", 0): run()})
    )
    [result] = make_results(rows.read_rows(tmp_path))
    assert result.diverged == {"lcam": [0]}


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("digits,lcam,4,1", "digits,lcam,4,2", r"the epochs \[2\] of"),
        ("digits,lcam,4,", "digits,lcam,3,", r"the epochs \[1, 1\] of"),
        (",7.5,", ",x,", "could not convert"),
        ("digits,NA", "digits,lost", "KeyError"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(folder, old, new, message):
    change(folder / "epochs.csv", old, new)
    with pytest.raises(InputError, match=f"^cannot read {folder}: .*{message}"):
        rows.read_rows(folder)


def test_rows_of_another_version_are_refused(folder):
    about = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(InputError, match="its format is 99, and this version reads 1"):
        rows.read_rows(folder)


def test_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no study.json: name the folder of"):
        rows.read_rows(tmp_path)

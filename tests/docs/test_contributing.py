"""The examples of CONTRIBUTING.md do what the page says."""

import ast
import re
from pathlib import Path

import numpy as np

from train.data import offline
from train.data.sources import load_dataset
from train.settings.options import DATA_SETS, Data, DataSet
from train.studies import arms

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
ARM, LOADER, DATA_SET = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE)


def test_arm_is_lcam_with_the_option(monkeypatch):
    [(name, options)] = ast.literal_eval(f"{{{ARM}}}").items()
    monkeypatch.setitem(arms._ARMS, name, options)
    lcam, arm = arms.make_arms(f"lcam {name}", 0.9)
    assert arm.optimizer != lcam.optimizer
    assert arm.optimizer.nesterov


def test_data_set_is_loaded_by_its_name(monkeypatch):
    names = vars(offline) | {}
    exec(LOADER, names)
    monkeypatch.setattr(offline, "load_wine", names["load_wine"], raising=False)
    [(name, entry)] = eval(f"{{{DATA_SET}}}", {"DataSet": DataSet}).items()
    monkeypatch.setitem(DATA_SETS, name, entry)
    data = load_dataset(Data(data=name))
    assert data.train_inputs.shape == (124, 13)
    assert np.bincount(data.test_targets).tolist() == [18, 21, 15]


def test_every_data_set_has_a_row_on_the_page_of_data():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    table = page.partition("\n## Data sets\n")[2].partition("\n<sub>")[0]
    firsts = re.findall(r"(?m)^\| (`.*?) \|", table)
    assert set(DATA_SETS) <= set(re.findall(r"`(\w+)`", " ".join(firsts)))

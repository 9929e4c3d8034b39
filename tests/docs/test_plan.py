"""The figures of results/PLAN.md follow from the pilots."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from train.studies.joining import join
from train.studies.rows import read_rows
from train.studies.statistics import detectable, equivalence_power

RESULTS = Path(__file__).parents[2] / "results"
PLAN = (RESULTS / "PLAN.md").read_text()
LEVEL = 0.025  # of Holm's first step


def errors(study, arm):
    with (RESULTS / f"{study}-pilot" / "runs.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["arm"] == arm]
    return np.array([float(row["last_epochs_error"]) for row in rows])


@pytest.mark.parametrize("study", ["plan-5k", "plan-50k"])
@pytest.mark.parametrize("arm", ["borrowed", "matched-step", "sgd-0.9"])
def test_standard_deviations_are_those_of_the_pilots(study, arm):
    column = {"plan-5k": 2, "plan-50k": 3}[study]
    [row] = [x for x in PLAN.splitlines() if x.startswith(f"| LCAM less `{arm}` | ")]
    cell = row.split("|")[column].strip()
    if cell == "not run":
        assert len(errors(study, arm)) == 0
        return
    differences = errors(study, "lcam") - errors(study, arm)
    assert len(differences) == 4
    assert f"{np.std(differences, ddof=1):.2f}" == cell


def test_powers_are_those_of_the_standard_deviations():
    found = re.findall(r"^\| (0\.\d\d) \| (.*) \|$", PLAN, re.MULTILINE)
    assert [deviation for deviation, _ in found] == ["0.47", "0.76", "0.79", "0.84"]
    for deviation, cells in found:
        for seeds, cell in zip((40, 60, 80, 100), cells.split(" | "), strict=True):
            power = equivalence_power(float(deviation), seeds, 0.3, LEVEL)
            assert f"{100 * power:.0f} %" == cell


def test_what_40_seeds_can_see():
    assert equivalence_power(0.84, 85, 0.3, LEVEL) > 0.8
    assert equivalence_power(0.84, 84, 0.3, LEVEL) < 0.8
    assert f"{detectable(0.84, 40, LEVEL):.2f}" == "0.42"


@pytest.mark.parametrize("study", ["plan-5k", "plan-50k"])
def test_parts_that_were_run_belong_together(study):
    parts = sorted((RESULTS / study).glob("part-*"))
    runs = join([(part, read_rows(part)) for part in parts]).runs
    seeds = {arm: [] for _, arm, _ in runs}
    for _, arm, seed in runs:
        seeds[arm].append(seed)
    # Each arm has the first seeds, in whole pairs.
    assert len({tuple(each) for each in seeds.values()}) == 1
    [first, *_] = seeds.values()
    assert first == list(range(len(first)))
    assert len(first) % 2 == 0

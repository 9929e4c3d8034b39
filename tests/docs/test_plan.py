"""The figures of results/PLAN.md follow from the pilots."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from train.reports import planned
from train.reports.rows import read_rows

PLAN_5K = planned.PLANS["plan-5k"]
RESULTS = Path(__file__).parents[2] / "results"
PLAN = (RESULTS / "PLAN.md").read_text()


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


def deviations():
    """Of LCAM less each arm in the seeds 0 to 33 of plan-5k."""
    errors = planned.errors_of(PLAN_5K, read_rows(RESULTS / "plan-5k")).loc[:33]
    return {
        arm: (errors["lcam"] - errors[arm]).std()
        for arm in ("borrowed", "matched-step")
    }


def equivalence_power(deviation, number, margin, level):
    """The chance that two one-sided t-tests find two equal arms equivalent.

    Args:
      deviation: standard deviation of the paired differences.
      number: of the differences, at least 2.
      margin: differences below it, in either direction, count as none.
      level: of each of the two tests.
    """
    freedom, root = number - 1, np.sqrt(number)
    critical = stats.t.ppf(1 - level, freedom)

    def found(ratio):
        """Given the ratio of the deviation that is seen to the true one."""
        reach = margin * root / deviation - critical * ratio
        seen = stats.chi.pdf(ratio * np.sqrt(freedom), freedom)
        return max(2 * stats.norm.cdf(reach) - 1, 0.0) * seen * np.sqrt(freedom)

    most = margin * root / (deviation * critical)
    return integrate.quad(found, 0, most, limit=200, points=[min(1.0, most)])[0]


def test_deviations_are_those_of_the_first_34_seeds():
    sentence = "standard deviation of {borrowed:.3f} (`borrowed`) and {step:.3f}"
    found = deviations()
    said = sentence.format(borrowed=found["borrowed"], step=found["matched-step"])
    assert said in " ".join(PLAN.split())


def test_powers_are_those_of_the_deviations():
    found = re.findall(r"^\| ([01]\.\d{3}) \| (.*) \|$", PLAN, re.MULTILINE)
    assert [each for each, _ in found] == ["0.765", "0.850", "0.894", "1.000"]
    for deviation, cells in found:
        for seeds, cell in zip((40, 60, 80, 100), cells.split(" | "), strict=True):
            of_pairs = float(deviation) / math.sqrt(2)
            power = equivalence_power(of_pairs, seeds // 2, 0.3, 0.05)
            assert f"{100 * power:.0f} %" == cell


def simulated(deviation, difference, number=40, times=100_000):
    """Chances of *equal within 0.3* and of *better or worse*, over pairs of seeds."""
    rng = np.random.default_rng(0)
    deviation /= math.sqrt(2)
    error = deviation / math.sqrt(number)
    means = rng.normal(difference, error, times)
    errors = error * np.sqrt(rng.chisquare(number - 1, times) / (number - 1))
    half_90, half_95 = (stats.t.ppf(p, number - 1) * errors for p in (0.95, 0.975))
    return np.mean(np.abs(means) + half_90 < 0.3), np.mean(np.abs(means) > half_95)


def test_chances_with_a_true_difference_are_those_of_a_simulation():
    rows = re.findall(r"^\| (0\.\d) \| (.*) \|$", PLAN, re.MULTILINE)
    assert [difference for difference, _ in rows] == ["0.1", "0.2", "0.3", "0.5"]
    for difference, cells in rows:
        expected = [float(cell.rstrip(" %")) for cell in cells.split(" | ")]
        found = [
            100 * chance
            for deviation in (0.765, 0.894)
            for chance in simulated(deviation, float(difference))
        ]
        assert found == pytest.approx(expected, abs=1)


def test_what_plan_dose_can_see():
    # A mean of four forms, each with the deviation of plan-5k; 24 pairs of seeds.
    of_pairs = 0.765 / math.sqrt(4) / math.sqrt(2)
    critical = stats.t.ppf(0.975, 23)

    def power(difference):
        return stats.nct.sf(critical, 23, difference * math.sqrt(24) / of_pairs)

    assert power(0.155) < 0.8 < power(0.165)
    assert "a true difference of 0.16 points" in PLAN


def test_plan_5k_is_complete_and_its_secondary_arms_have_seeds_of_their_own():
    seeds = {}
    for _, arm, seed in read_rows(RESULTS / "plan-5k").runs.index:
        seeds.setdefault(arm, []).append(seed)
    assert seeds.pop("lcam") == list(range(96))
    for arm in ("borrowed", "matched-step"):
        assert seeds.pop(arm) == list(range(80))
    assert {tuple(each) for each in seeds.values()} == {tuple(range(80, 96))}


@pytest.mark.parametrize(("study", "num_arms"), [("plan-dose", 10), ("plan-epochs", 6)])
def test_plan_is_complete(study, num_arms):
    seeds = {}
    for _, arm, seed in read_rows(RESULTS / study).runs.index:
        seeds.setdefault(arm, []).append(seed)
    assert len(seeds) == num_arms
    wanted = list(range(planned.PLANS[study].seeds))
    assert all(each == wanted for each in seeds.values())

"""The committed reports: their numbers follow from their rows, worked out anew."""

import csv
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from matplotlib import pyplot as plt

from train.reports.report import write_report
from train.reports.rows import read_rows

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/report.md"))
PLANNED = [folder for folder in FOLDERS if not (folder / "comparisons.csv").exists()]


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "folder",
    [f for f in FOLDERS if f not in PLANNED],
    ids=lambda folder: folder.name,
)
def test_comparisons_follow_from_the_epochs(folder):
    curves = defaultdict(list)
    for row in read(folder / "epochs.csv"):
        key = row["block"], row["arm"]
        if row["epoch"] == "1":
            curves[key].append([])
        if row["test_error"]:
            curves[key][-1].append(float(row["test_error"]))
    # 12, 20 or 40 epochs: the last 3, or a tenth.
    outcomes = {
        "last_epochs_error": lambda runs: runs[:, -max(3, runs.shape[1] // 10) :],
        "area": lambda runs: runs,
    }
    families = 0
    for outcome, chosen in outcomes.items():
        rows = [
            row for row in read(folder / "comparisons.csv") if row["outcome"] == outcome
        ]
        for block in {row["block"] for row in rows}:
            family = [row for row in rows if row["block"] == block]
            reference = chosen(np.array(curves[block, family[0]["reference"]]))
            arms = [chosen(np.array(curves[block, row["arm"]])) for row in family]
            numbers = np.array([each.mean(axis=1) for each in (reference, *arms)])
            assert_follows(family, numbers)
            families += 1
    assert families


def assert_follows(family, numbers):
    """Checks rows of a family by its numbers, [reference and arms, seeds]."""
    num_arms, num_seeds = len(family), numbers.shape[1]
    left = numbers - numbers.mean(axis=1, keepdims=True) - numbers.mean(axis=0)
    left += numbers.mean()
    for row, ours in zip(family, numbers[1:], strict=True):
        differences = ours - numbers[0]
        assert float(row["mean"]) == pytest.approx(np.mean(differences), abs=1e-9)
        if row["p_value"] == "nan":
            assert np.ptp(differences) < 1e-9
            continue
        if row["method"] == "two-way":
            freedom = num_arms * (num_seeds - 1)
            error = np.sqrt(np.sum(left**2) / freedom * 2 / num_seeds)
            correlation = np.full((num_arms, num_arms), 0.5) + 0.5 * np.eye(num_arms)
            family_of_t = scipy.stats.multivariate_t(
                np.zeros(num_arms), correlation, df=freedom, seed=0
            )
            t = np.full(num_arms, float(row["half_width"]) / error)
            inside = family_of_t.cdf(t, lower_limit=-t)
            assert inside == pytest.approx(0.95, abs=2e-3)
        else:
            freedom, error = num_seeds - 1, scipy.stats.sem(differences)
            critical = scipy.stats.t.ppf(1 - 0.025 / num_arms, freedom)
            assert float(row["half_width"]) == pytest.approx(critical * error)
        alone = scipy.stats.t.ppf(0.95, freedom) * error
        assert float(row["half_width_90"]) == pytest.approx(alone)
        is_out = abs(float(row["mean"])) > float(row["half_width"])
        assert is_out == (float(row["p_value"]) < 0.05)
        assert is_out == row["verdict"].startswith(("better", "worse"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_report_says_where_it_comes_from(folder):
    text = (folder / "report.md").read_text()
    for what in ("- command: `python -m train study", "- commit of the runs: ", "jax "):
        assert what in text
    assert "+" not in text.partition("commit of the runs: ")[2].partition("\n")[0]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_report_is_what_its_rows_give(folder, tmp_path, monkeypatch):
    # Pictures are looked at, and not compared: they take most of the time.
    monkeypatch.setattr("train.reports.panels.plot_block", lambda *_: None)
    monkeypatch.setattr("train.runs.drawing.save", lambda figure, path: path)
    write_report(tmp_path, read_rows(folder))
    plt.close("all")
    for name in sorted(path.name for path in folder.iterdir()):
        if name.endswith(".png"):
            continue
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_primary_answers_of_plan_5k_follow_from_the_epochs():
    folder = ROOT / "results" / "plan-5k"
    errors = defaultdict(list)
    for row in read(folder / "epochs.csv"):
        if row["epoch"] in ("10", "11", "12"):
            errors[row["arm"], int(row["seed"])].append(float(row["test_error"]))
    primary = [
        row for row in read(folder / "questions.csv") if row["primary"] == "True"
    ]
    assert [row["question"] for row in primary] == ["borrowed", "matched-step"]
    for row in primary:
        ours, theirs = (
            np.array([np.mean(errors[arm, seed]) for seed in range(80)])
            for arm in ("lcam", row["question"])
        )
        pairs = (ours - theirs).reshape(40, 2).mean(axis=1)
        assert float(row["mean"]) == pytest.approx(np.mean(pairs))
        p = scipy.stats.ttest_1samp(pairs, 0).pvalue
        assert float(row["different_p"]) == pytest.approx(p)
        low, high = scipy.stats.ttest_1samp(pairs, 0).confidence_interval(0.9)
        assert float(row["half_width_90"]) == pytest.approx((high - low) / 2)
        assert (-0.3 < low < high < 0.3) == (float(row["equal_p"]) < 0.05)


def test_factor_of_plan_epochs_follows_from_the_epochs():
    folder, last = ROOT / "results" / "plan-epochs", {}
    for row in read(folder / "epochs.csv"):  # the last row of a run stays
        if row["test_error"]:
            last[row["arm"], int(row["seed"])] = float(row["test_error"])
    errors = {
        arm: np.array(
            [[last[f"{arm}-{n}", seed] for n in (6, 9, 12)] for seed in range(24)]
        )
        for arm in ("lcam", "sgd-0.9")
    }
    x = np.log([6, 9, 12])
    distances = (errors["lcam"] - errors["sgd-0.9"]).mean(axis=1)
    both = (errors["lcam"] + errors["sgd-0.9"]) / 2
    slopes = np.array([np.polyfit(x, each, 1)[0] for each in both])
    text = (folder / "report.md").read_text()
    factor, low, high = map(
        float,
        re.search(
            r"([\d.]+) times as many .*, 95 % interval ([\d.]+) to ([\d.]+)\.", text
        ).groups(),
    )
    ours = np.exp(distances.mean() / slopes.mean())
    assert factor == pytest.approx(ours, abs=5e-3)

    def too_sure(end):  # where a t-test just finds nothing (Fieller)
        rest = distances - np.log(end) * slopes
        return scipy.stats.ttest_1samp(rest, 0).pvalue - 0.05

    for end, beyond in ((low, 0.5), (high, 2.0)):
        exact = scipy.optimize.brentq(too_sure, ours, beyond)
        assert end == pytest.approx(exact, abs=5e-3)
    last = errors["lcam"][:, 2] - errors["sgd-0.9"][:, 2]
    half = scipy.stats.t.ppf(0.975, 23) * scipy.stats.sem(last)
    said = f"is {last.mean():.2f} points worse than `sgd-0.9` [{last.mean() - half:.2f}"
    page = (ROOT / "docs" / "results.md").read_text()
    assert f"{said}, {last.mean() + half:.2f}]" in page
    # The three errors of SGD are not on a line: the middle one against the others.
    weights = np.linalg.svd(np.vander(x, 2).T)[2][-1]
    bend = scipy.stats.ttest_1samp(errors["sgd-0.9"] @ weights, 0).pvalue
    assert f"(p = {bend:.1g})" in page.partition("How many epochs")[2][:1200]


def test_differences_of_plan_dose_follow_from_the_epochs():
    folder, errors = ROOT / "results" / "plan-dose", defaultdict(list)
    for row in read(folder / "epochs.csv"):
        if row["test_error"]:
            errors[row["arm"], int(row["seed"])].append(float(row["test_error"]))
    forms = ["", "-reversed", "-lagged", "-lagged-reversed"]
    own = np.array(
        [
            [
                np.mean(errors[f"lcam{form}", seed])
                - np.mean(errors[f"borrowed{form}", seed])
                for form in forms
            ]
            for seed in range(48)
        ]
    )
    pairs = own.reshape(24, 2, 4).mean(axis=1)
    # At once less late, and LCAM's order less the reversed one, whole.
    lines = (folder / "report.md").read_text().splitlines()
    page = (ROOT / "docs" / "results.md").read_text()
    for name, sums in {
        "of the order depend on the timing": pairs @ [1, -1, -1, 1],
        "on the order of the coef": pairs @ [1, -1, 1, -1] / 2,
        "it depend on the timing": pairs @ [1, 1, -1, -1] / 2,
    }.items():
        half = scipy.stats.t.ppf(0.975, 23) * scipy.stats.sem(sums)
        mean, low, high = (f"{sums.mean() + end:+.2f}" for end in (0, -half, half))
        [line] = [x for x in lines if x.startswith("- ") and name in x]
        assert f"points. The whole is {mean} [{low}, {high}], " in line
        ends = np.abs(scipy.stats.ttest_1samp(sums, 0).confidence_interval(0.9))
        verdict = "yes" if max(ends) < 0.3 else "undecided"
        assert f"| {mean} | {low} to {high} | {verdict} |" in page
    half = scipy.stats.t.ppf(0.975, 23) * scipy.stats.sem(pairs[:, 2])
    p = scipy.stats.ttest_1samp(pairs[:, 2], 0).pvalue
    said = f"{-pairs[:, 2].mean():.2f} points [{-pairs[:, 2].mean() - half:.2f}, "
    assert f"{said}{-pairs[:, 2].mean() + half:.2f}], p = {p:.2g}" in page
    for arm in ("lcam", "lcam-lagged"):
        less_sgd = np.array(
            [
                np.mean(errors[arm, seed]) - np.mean(errors["sgd-0.9", seed])
                for seed in range(48)
            ]
        )
        half = scipy.stats.t.ppf(0.975, 47) * scipy.stats.sem(less_sgd)
        low, high = less_sgd.mean() - half, less_sgd.mean() + half
        assert f"{less_sgd.mean():+.2f} points [{low:.2f}, {high:.2f}]" in page


def test_table_of_the_mechanism_is_that_of_the_report():
    text = (ROOT / "docs" / "mechanism.md").read_text()
    section = text.partition("## In a network")[2].partition("\n## ")[0]
    reports = "".join((folder / "details.md").read_text() for folder in FOLDERS)
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    assert set(rows) <= set(reports.splitlines())

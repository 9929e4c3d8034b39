"""Planned studies: their tests against statsmodels, and what is said when."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.train.reports.written import BLOCK, run, study
from train.reports import planned
from train.reports.planned import PLANS, Plan, Question
from train.reports.report import write_report
from train.reports.statistics import fieller
from train.studies.arms import far_apart_arms, make_arms

# `statsmodels.stats.weightstats.DescrStatsW(numbers).ttost_mean(-0.3, 0.3)` of version
# 0.15.0 gives 0.017446 and 0.091572.
EQUAL = [0.1, -0.2, 0.05, 0.3, -0.1]
OPEN = [0.42, 0.31, -0.12, 0.25, 0.18, 0.36, 0.05, 0.22]
BORROWED = Question("borrowed", "Own?", {"lcam": 1, "borrowed": -1})
MATCHED = Question("matched-step", "Step?", {"lcam": 1, "matched-step": -1})


def in_pairs(differences):
    """Errors of LCAM less those of an arm of 0, whose means of pairs are these."""
    both = np.repeat(differences, 2) + np.tile([1.0, -1.0], len(differences))
    return both


def answered(differences, margin=0.3):
    plan = Plan(2 * len(differences), (BORROWED,), margin=margin)
    errors = pd.DataFrame({"lcam": in_pairs(differences), "borrowed": 0.0})
    return planned.answer(plan, errors).iloc[0]


@pytest.mark.parametrize(("numbers", "p"), [(EQUAL, 0.017446), (OPEN, 0.091572)])
def test_p_of_equivalence_is_that_of_statsmodels(numbers, p):
    assert answered(numbers).equal_p == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(
    ("differences", "margin", "words"),
    [
        (EQUAL, 0.3, "equal within 0.3 points"),
        (OPEN, 0.2, "LCAM is worse"),
        ([-x for x in OPEN], 0.2, "LCAM is better"),
        (OPEN, 1.0, "LCAM is worse, by less than 1 point"),
        ([-2.0, -1.0, -1.5, -1.8], 0.3, "LCAM is better, by more than 0.3 points"),
        ([2.0, -2.0, 1.0, -1.5], 0.3, "undecided"),
    ],
)
def test_verdict_has_three_sides(differences, margin, words):
    assert answered(differences, margin).verdict == words


def test_mean_of_two_seeds_is_one_observation():
    # Of the seeds 0 and 1, 2 and 3: 0.05 and -0.35; seed 4 has no partner.
    errors = pd.DataFrame({"lcam": [0.3, -0.2, -0.4, -0.3, 7.0], "borrowed": 0.0})
    [found] = planned.answer(Plan(5, (BORROWED,)), errors).itertuples()
    assert (found.number, found.unit) == (2, "pairs")
    assert found.mean == pytest.approx(-0.15)
    assert found.deviation == pytest.approx(0.4 / math.sqrt(2))


def test_after_an_undecided_question_none_is_judged():
    plan = Plan(8, (BORROWED, MATCHED))
    wide, narrow = in_pairs([2.0, -2.0, 1.0, -1.5]), in_pairs([1.0, 1.1, 1.2, 1.3])
    errors = pd.DataFrame({"lcam": 0.0, "borrowed": wide, "matched-step": narrow})
    first, second = planned.answer(plan, errors).verdict
    assert first == "undecided"
    assert second.startswith("not judged")
    both = planned.answer(plan, errors.assign(borrowed=narrow)).verdict
    assert both.tolist() == ["LCAM is better, by more than 0.3 points"] * 2


def test_secondary_questions_take_all_seeds_and_are_corrected_for_all_of_the_plan():
    dose = Question("dose", "?", {"dose": 1, "sgd": -1})
    other = Question("other", "?", {"other": 1, "sgd": -1})
    not_run = Question("not run", "?", {"none": 1, "sgd": -1})
    plan = Plan(2, (BORROWED,), (dose, other, not_run))
    errors = {"sgd": 0.0, "dose": [1.0, 1.2, 0.9], "other": [0.2, -0.3, 0.5]}
    errors = pd.DataFrame(errors, [80, 81, 82])
    _, found, second = planned.answer(plan, errors).itertuples()
    assert (found.number, found.unit) == (3, "seeds")
    _, alone = planned.answer(plan._replace(secondary=(dose,)), errors).itertuples()
    assert found.different_p == pytest.approx(3 * alone.different_p)
    assert second.different_p > found.different_p


# --- The questions of plan-dose -------------------------------------------------------


def test_questions_of_plan_dose_of_a_hand_table():
    # Own less borrowed of the four forms: 1, 2, 4 and 8.
    forms = {"": 1.0, "-reversed": 2.0, "-lagged": 4.0, "-lagged-reversed": 8.0}
    errors = {f"lcam{form}": 50 + e for form, e in forms.items()}
    errors |= {f"borrowed{form}": 50.0 for form in forms}
    errors = pd.DataFrame(errors, range(48))
    answers = planned.answer(PLANS["plan-dose"], errors).itertuples()
    found = {each.question.name: each.mean for each in answers}
    assert found == pytest.approx(
        {f"lcam{form}": error for form, error in forms.items()}
        | {
            "own loss": 15 / 4,
            "by order and timing": (1 - 2 - 4 + 8) / 4,
            "by order": (1 - 2 + 4 - 8) / 4,
            "by timing": (1 + 2 - 4 - 8) / 4,
        }
    )


# --- Which runs count -----------------------------------------------------------------

ARMS = make_arms("lcam", 0.9) + far_apart_arms(0.9)[1:4]
DOSE = BLOCK._replace(arms=ARMS)  # lcam, borrowed, lcam-reversed, borrowed-reversed


def test_diverged_run_counts_as_chance_and_who_borrows_of_it_as_its_pair():
    runs = {(arm.name, seed): run(40.0) for arm in ARMS for seed in (0, 1)}
    runs["lcam-reversed", 0] = run(99.0, diverged=True)
    runs["borrowed-reversed", 0] = run(41.0)
    del runs["borrowed-reversed", 1]  # it had no phases to replay
    rows = study(runs, DOSE)
    plan = Plan(2, (BORROWED,))
    found = planned.errors_of(plan, rows)
    assert found["lcam-reversed"].tolist() == [90.0, 40.0]
    assert found["borrowed-reversed"].tolist() == [41.0, 41.0]
    assert found["borrowed"].tolist() == [40.0, 40.0]
    assert planned.runs_done(plan, found).all(axis=None)


def test_donor_of_rows_from_before_it_was_kept_is_in_the_name():
    runs = {("lcam-reversed", 0): run(99.0, diverged=True)}
    rows = study(runs, DOSE)
    for arm in rows.about["blocks"][0]["arms"]:
        del arm["donor"]
    found = planned.errors_of(Plan(2), rows)
    assert found["borrowed-reversed"].dropna().to_dict() == {1: 90.0}
    assert found["borrowed"].isna().all()


@pytest.mark.parametrize(
    ("name", "seed", "has_plan"),
    [("plan-5k", 1000, False), ("plan-5k", 79, True), ("ablation", 0, False)],
)
def test_rows_without_a_planned_seed_are_no_plans(name, seed, has_plan):
    rows = study({("lcam", seed): run()})
    rows.about["study"] = name
    assert planned.plan_of(rows) == (PLANS[name] if has_plan else None)


# --- The factor of epochs saved -------------------------------------------------------


def test_saving_of_two_exact_curves():
    # Errors 60 - 10 log2(epochs / 6); LCAM's with 1.5 times as many epochs.
    arms = []
    for epochs in (12, 9, 6):
        for arm in make_arms("lcam sgd-0.9", 0.9):
            arms.append(arm._replace(name=f"{arm.name}-{epochs}", epochs=epochs))
    block = study({}, BLOCK._replace(arms=tuple(arms))).about["blocks"][0]
    noise = np.random.default_rng(0).normal(0, 0.01, (24, 6))
    errors = {
        arm.name: 60
        - 10 * math.log2(arm.epochs / 6 * (1.5 if "lcam" in arm.name else 1))
        + noise[:, place]
        for place, arm in enumerate(arms)
    }
    plan = PLANS["plan-epochs"]
    factor, low, high = planned.saving(plan, block, pd.DataFrame(errors))
    assert factor == pytest.approx(1.5, abs=0.002)
    assert 1.49 < low < 1.5 < high < 1.51


def test_fieller_interval_is_where_a_t_test_finds_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 0.3, 12), rng.normal(2, 0.3, 12)
    ratio, low, high = fieller(x, y)
    assert ratio == pytest.approx(np.mean(x) / np.mean(y))
    for end in (low, high):
        rest = x - end * y
        t = np.mean(rest) / (np.std(rest, ddof=1) / math.sqrt(12))
        assert abs(t) == pytest.approx(2.2009852, abs=1e-6)  # of a t-table, 11 degrees


def test_fieller_interval_is_infinite_where_the_denominator_may_be_0():
    _, low, high = fieller([1.0, 1.1, 0.9], [0.1, -0.2, 0.15])
    assert (low, high) == (-math.inf, math.inf)


# --- The report -----------------------------------------------------------------------


@pytest.fixture
def small_plan(monkeypatch):
    """`ablation` as a planned study of four seeds."""
    dose = Question("dose", "Dose?", {"lcam": 1, "sgd-0.9": -1})
    plan = Plan(4, (BORROWED, MATCHED), (dose,))
    monkeypatch.setitem(PLANS, "ablation", plan)


def runs_of(seeds):
    return {
        (arm, seed): run(50 + place + 0.1 * ((seed + 1) ** (place + 1) % 3))
        for place, arm in enumerate(("lcam", "borrowed", "matched-step", "sgd-0.9"))
        for seed in seeds
    }


def test_unfinished_plan_tells_counts_and_spreads_only(tmp_path, small_plan):
    text = write_report(tmp_path, study(runs_of(range(3)))).read_text()
    assert "3 of the 4 planned seeds have been run" in text
    assert "| `borrowed` | 3 of 4 |" in text
    assert "| Own? | 1 | - | - |" in text
    assert "verdict" not in text
    files = {path.name for path in tmp_path.iterdir()}
    pages = {"report.md", "details.md"}
    assert files == {"epochs.csv", "runs.csv", "study.json"} | pages


def test_arms_of_a_plan_alone_are_not_judged_either(tmp_path, small_plan):
    runs = {key: row for key, row in runs_of(range(4)).items() if key[0] != "borrowed"}
    text = write_report(tmp_path, study(runs)).read_text()
    assert "0 of the 4 planned seeds have been run" in text
    assert not (tmp_path / "comparisons.csv").exists()


def test_complete_plan_is_answered(tmp_path, small_plan):
    text = write_report(tmp_path, study(runs_of(range(4)))).read_text()
    assert "**LCAM is better, by more than 0.3 points**: " in text
    assert "half the learning rate, `dose`, changes the error by -2.9" in text
    lines = (tmp_path / "questions.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [
        "borrowed",
        "matched-step",
        "dose",
    ]
    assert (tmp_path / "forest.png").exists()

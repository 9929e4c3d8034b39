"""Primary questions: their tests against statsmodels, and what is said when."""

import math

import numpy as np
import pytest

from tests.train.studies.written import BLOCK, run, study
from train.studies import planned
from train.studies.arms import Plan
from train.studies.outcomes import compare_arms, make_results
from train.studies.report import write_report

# `statsmodels.stats.weightstats.DescrStatsW(numbers).ttost_mean(-0.3, 0.3)` of version
# 0.15.0 gives 0.017446 and 0.091572.
EQUAL = [0.1, -0.2, 0.05, 0.3, -0.1]
OPEN = [0.42, 0.31, -0.12, 0.25, 0.18, 0.36, 0.05, 0.22]
QUESTIONS = {"borrowed": "Does the loss matter?", "matched-step": "Is it better?"}


def block_with(seeds, margin=0.3, one_sided=False, questions=QUESTIONS):
    return BLOCK._replace(plan=Plan(questions, margin, seeds, one_sided))


def outcomes(errors):
    """Of one arm, by seed."""
    return {seed: {"last_epochs_error": error} for seed, error in enumerate(errors)}


def judged(differences, margin=0.3, one_sided=False):
    """The verdict on LCAM less one arm, with these differences."""
    plan = Plan({"borrowed": "Q?"}, margin, len(differences), one_sided)._asdict()
    block = {"name": "b", "reference": "lcam", "plan": plan}
    runs = {"lcam": outcomes(differences), "borrowed": outcomes([0.0] * 9)}
    [found] = planned.answer(block, runs)
    return found, planned.judge(found, plan, "LCAM")


@pytest.mark.parametrize(("numbers", "p"), [(EQUAL, 0.017446), (OPEN, 0.091572)])
def test_p_of_equivalence_is_that_of_statsmodels(numbers, p):
    assert judged(numbers)[0].equivalence_p == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(
    ("differences", "margin", "one_sided", "words"),
    [
        (EQUAL, 0.3, False, "equal within 0.3 points"),
        (OPEN, 0.2, False, "LCAM is worse"),
        ([-x for x in OPEN], 0.2, False, "LCAM is better"),
        (OPEN, 1.0, False, "LCAM is worse, by less than 1 points"),
        ([2.0, -2.0, 1.0, -1.5], 0.3, False, "open"),
        ([-2.0, -1.0, -1.5, -1.8], 0.3, True, "LCAM is not worse by 0.3 points"),
        ([2.0, 1.0, 1.5, 1.8], 0.3, True, "LCAM is worse"),
    ],
)
def test_verdict_of_a_question(differences, margin, one_sided, words):
    assert judged(differences, margin, one_sided)[1] == words


def test_two_questions_are_corrected_for_two():
    # The smaller p-value is doubled, the larger stays if it is larger than that.
    plan = Plan(QUESTIONS, 0.3, 5)._asdict()
    block = {"name": "b", "reference": "lcam", "plan": plan}
    runs = {
        "lcam": outcomes(EQUAL),
        "borrowed": outcomes([0.0] * 5),
        "matched-step": outcomes(np.subtract(EQUAL, OPEN[:5])),
    }
    first, second = planned.answer(block, runs)
    assert first.equivalence_p == pytest.approx(2 * 0.017446, abs=2e-6)
    assert second.equivalence_p > first.equivalence_p


def test_pairs_of_seeds_count_once():
    # Means of the pairs 0 and 1, 2 and 3: 0.05 and -0.35; seed 4 has no partner.
    plan = Plan({"borrowed": "Q?"}, 0.3, 5)._asdict()
    block = {"name": "b", "reference": "lcam", "plan": plan}
    runs = {
        "lcam": outcomes([0.3, -0.2, -0.4, -0.3, 7.0]),
        "borrowed": outcomes([0.0] * 5),
    }
    [found] = planned.answer(block, runs, pairs=True)
    assert found.difference.num_seeds == 2
    assert found.difference.mean == pytest.approx(-0.15)
    assert found.deviation == pytest.approx(0.4 / math.sqrt(2))


def runs_of(seeds, arms=("lcam", "borrowed", "matched-step", "sgd-0.9")):
    return {
        (arm, seed): run(50 + place + 0.1 * ((seed + 1) ** place % 3))
        for place, arm in enumerate(arms)
        for seed in seeds
    }


def test_seeds_beside_the_plans_do_not_count():
    block = block_with(4)
    whole = make_results(study(runs_of([0, 1, 2, 3, 9]), block))
    found = {each.arm: each for each in compare_arms(whole, ["last_epochs_error"])}
    assert found["borrowed"].difference.num_seeds == 4
    assert found["sgd-0.9"].difference.num_seeds == 5
    assert [each.difference.num_seeds for each in planned.answer(*whole[0][:2])] == [
        4,
        4,
    ]


def test_primary_and_secondary_comparisons_are_corrected_apart():
    runs = runs_of(range(4))
    for seed, error in enumerate((49.1, 48.2, 47.3, 46.1)):
        runs["borrowed", seed] = runs["sgd-0.9", seed] = run(error)
        runs["matched-step", seed] = run(error + 6 * (-1) ** seed)  # a larger p
    results = make_results(study(runs, block_with(4)))
    found = {each.arm: each for each in compare_arms(results, ["last_epochs_error"])}
    # Alone in its family, and one of two.
    p = found["sgd-0.9"].difference.p_value
    assert found["sgd-0.9"].corrected_p == pytest.approx(p)
    assert found["borrowed"].corrected_p == pytest.approx(2 * p)


@pytest.mark.parametrize(("seeds", "is_judged"), [(4, True), (5, False)])
def test_nothing_is_judged_before_all_planned_seeds_are_there(
    tmp_path, seeds, is_judged
):
    runs = runs_of(range(4))
    text = write_report(tmp_path, study(runs, block_with(seeds))).read_text()
    assert ("4 of the 5 planned seeds have been run" in text) == (not is_judged)
    assert ("not judged yet" in text) == (not is_judged)
    assert ("All else is secondary" in text) == is_judged
    # In the tables: p-values, or dashes.
    [line] = [row for row in text.splitlines() if row.startswith("| Does the loss")][:1]
    assert ("| - | - |" in line) == (not is_judged)


def test_report_without_secondary_arms_has_no_table_of_them(tmp_path):
    runs = runs_of(range(4), ("lcam", "borrowed", "matched-step"))
    text = write_report(tmp_path, study(runs, block_with(4))).read_text()
    assert "### Primary questions" in text
    assert "Secondary differences" not in text

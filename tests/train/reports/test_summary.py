import re

import pytest

from tests.train.reports.written import BLOCK, run, study
from train.reports.outcomes import Comparison, make_results
from train.reports.report import conclusions, findings, summarize
from train.settings.experiment import Experiment


def against(arm, mean, corrected_p, block="digits", reference="lcam"):
    numbers = mean, 0.1, 0.01, 5, 0.2
    return Comparison(block, arm, reference, "area", *numbers, corrected_p)


@pytest.mark.parametrize(
    ("comparisons", "words"),
    [
        ([("chance", 1.0, 0.01), ("shuffled", 1.0, 0.01)], "LCAM beats .*`shuffled`:"),
        ([("chance", 1.0, 0.01), ("shuffled", 1.0, 0.06)], "not beat .*`shuffled`:"),
        ([("shuffled", 1.0, 0.01), ("borrowed", -1.0, 0.01)], "not beat .*`borrowed`:"),
        ([("borrowed", 1.0, 0.01), ("chance", -1.0, 0.01)], "LCAM beats .*`borrowed`:"),
    ],
)
def test_conclusion_is_drawn_from_the_sharpest_control(comparisons, words):
    [found] = conclusions([against(*each) for each in comparisons])
    assert re.search(words, found)


def test_blocks_with_the_same_conclusion_share_a_sentence():
    found = conclusions(
        [against("borrowed", 1.0, 0.5, block) for block in ("digits", "english")]
        + [against("borrowed", 1.0, 0.01, "numbers")]
    )
    assert len(found) == 2
    assert "not beat its sharpest control, `borrowed`, on digits, english:" in found[0]
    assert "LCAM beats its sharpest control, `borrowed`, on numbers:" in found[1]


@pytest.mark.parametrize(
    "comparison",
    [against("sgd-0.9", 1.0, 0.01), against("chance", 1.0, 0.01, reference="sgd")],
)
def test_without_controls_of_lcam_there_is_no_conclusion(comparison):
    assert conclusions([comparison]) == []


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        ([], ""),
        ([("a", 1.0, 0.5)], "The difference is not significant."),
        (
            [("a", 1.0, 0.5), ("b", 1.0, 0.06)],
            "None of 2 differences is significant after correction.",
        ),
        (
            [("a", 1.0, 0.5), ("b", -1.5, 0.04)],
            "The test error of `b` is 1.50 points lower than that of `lcam`. No other "
            "difference is significant after correction.",
        ),
        (
            [("a", 1.0, 0.01)],
            "The test error of `a` is 1.00 points higher than that of `lcam`.",
        ),
    ],
)
def test_verdict_names_what_is_significant(comparisons, expected):
    assert findings([against(*each) for each in comparisons]) == expected


def test_verdict_of_one_seed_is_no_evidence():
    one = against("a", 1.0, float("nan"))
    assert findings([one._replace(num_seeds=1)]) == "One seed is no evidence."


def test_summary_says_how_well_the_phase_is_told():
    block = BLOCK._replace(experiment=Experiment(epochs=2, observe="fixed"))
    watched = run(5.0, 4.0)
    for row, misread in zip(watched[0], (0.25, 0.5), strict=True):
        row["observed"] = {"misread": misread, "misread_by_chance": [0.5]}
    results = make_results(study({("lcam", 0): watched}, block))
    # 1 - (0.25 + 0.5) / (0.5 + 0.5)
    assert "is 0.25 on digits for `lcam`." in summarize(study({}).about, results, [])

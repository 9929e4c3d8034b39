import re

import pytest

from tests.train.reports.written import BLOCK, run, study
from train.reports.outcomes import Comparison, make_results
from train.reports.report import conclusions, findings, summarize, write_report
from train.reports.rows import make_rows
from train.reports.section import seeds_text
from train.settings.arms import parse_arm
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.studies.arms import Arm
from train.studies.study import describe_study


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ([4], "seed 4"),
        ([1, 0], "seeds 0, 1"),
        ([0, 1, 2, 7, 9, 10, 11], "seeds 0 to 2, 7, 9 to 11"),
    ],
)
def test_seeds_are_written_as_ranges(seeds, text):
    assert seeds_text(seeds) == text


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of LCAM with errors 0, 1, 3 and SGD with 5, 6, 8 more or less."""
    runs = {("lcam", seed): run(error) for seed, error in enumerate((0.0, 1.0, 3.0))}
    runs |= {("sgd-0.9", seed): run(e) for seed, e in enumerate((5.0, 6.1, 7.9))}
    out = tmp_path_factory.mktemp("written") / "report"
    return write_report(out, study(runs, note="A note."))


def test_report_begins_with_what_was_run_the_answer_and_a_picture(written):
    lines = written.read_text().splitlines()
    assert lines[0] == "# Study: ablation"
    assert lines[2] == (
        "Compared: `lcam`, `sgd-0.9`. Data: digits, MLP, 1 epoch, batches of 64. "
        "Seeds 0 to 2."
    )
    assert lines[4].startswith("**What matters?** A note. The test error of `sgd-0.9`")
    assert lines[6].endswith("(forest.png)")
    assert (written.parent / "forest.png").exists()


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ("lcam:lagged=True,loss-average=epoch", "the epoch so far, one step late"),
        (
            "lcam:phase=chance,weight-decay=0",
            "at high loss, phases by chance, 0.5 of them low-loss |",
        ),
        ("lcam:margin=0.1", "with decay 0.9, dead band 0.1"),
        ("optax.adamw:b1=0.9/0.95", "the loss averaged with decay 0.9, b1=0.9/0.95 |"),
        ("optax.adamw", "| optax.adamw | learning rate 0.001 |"),
    ],
)
def test_report_of_a_comparison_has_the_options_of_its_arms(tmp_path, arm, words):
    arms = (Arm("sgd", Optimizer("sgd")), Arm(arm, parse_arm(arm)))
    block = BLOCK._replace(arms=arms, reference="sgd")
    runs = {("sgd", 0): run(), (arm, 0): run()}
    text = write_report(tmp_path, study(runs, block)).read_text()
    [row] = [line for line in text.splitlines() if line.startswith(f"| `{arm}` |")]
    assert words in row


def test_options_that_differ_between_blocks_are_all_named(tmp_path):
    blocks = [
        BLOCK._replace(name=name, arms=(Arm("lcam", Optimizer(learning_rate=rate)),))
        for name, rate in (("a", 0.1), ("b", 0.03))
    ]
    about = study({}).about | describe_study("noise", "?", blocks, ["last_error"])
    about |= {"environments": study({}).about["environments"]}
    found = make_rows(about, {(name, "lcam", 0): run() for name in "ab"})
    text = write_report(tmp_path, found).read_text()
    assert "| learning rate 0.1 / 0.03, momentum 0.93 at low loss" in text


def test_intervals_of_errors_stay_between_0_and_100(written):
    # Of 0, 1 and 3: the mean is 4 / 3, and the interval would begin below 0.
    assert "| lcam | 3 | 1.33 ± 1.53 [0.00, 5.13] |" in written.read_text()


def test_report_says_what_one_example_weighs(written):
    assert (
        "test error: 0.5 points for one test example" in written.read_text()
    )  # 1 of 200


def test_no_sentence_of_a_report_is_repeated(tmp_path):
    runs = {(arm.name, s): run(s + 1.0) for arm in BLOCK.arms for s in range(4)}
    text = write_report(tmp_path, study(runs)).read_text()
    prose = [line for line in text.splitlines() if line and line[0] not in "|#!"]
    sentences = [s for line in prose for s in re.split(r"(?<=[.:?]) ", line)]
    assert len(set(sentences)) == len(sentences)


def test_study_without_a_finished_run_has_no_report(tmp_path):
    assert write_report(tmp_path / "report", study({})) is None
    assert not (tmp_path / "report").exists()


def test_arm_that_diverged_is_named_and_compared_with_nothing(tmp_path):
    runs = {("lcam", 0): run(), ("sgd-0.9", 0): run(diverged=True)}
    text = write_report(tmp_path, study(runs)).read_text()
    assert "`sgd-0.9` diverged with seed 0. It is compared with nothing." in text
    assert "| sgd-0.9 |" not in text


# --- Its first sentences --------------------------------------------------------------


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


def test_nothing_is_concluded_from_one_seed():
    one = against("borrowed", 1.0, float("nan"))._replace(num_seeds=1)
    assert findings([one]) == "One seed is no evidence: it takes 3 or more."
    assert conclusions([one, against("chance", 1.0, 0.01)]) == []


def test_arm_with_one_seed_is_no_difference_that_was_tested():
    one = against("borrowed", 1.0, float("nan"))._replace(num_seeds=1)
    found = findings([one, against("a", 1.0, 0.5), against("b", 1.0, 0.5)])
    assert found == (
        "None of 2 differences is significant after correction. One seed of `borrowed` "
        "is no evidence: it takes 3 or more."
    )


def test_summary_says_how_well_the_phase_is_told():
    block = BLOCK._replace(experiment=Experiment(epochs=2, observe="fixed"))
    watched = run(5.0, 4.0)
    for row, misread in zip(watched[0], (0.25, 0.5), strict=True):
        row["observed"] = {"misread": misread, "misread_by_chance": [0.5]}
    results = make_results(study({("lcam", 0): watched}, block))
    # 1 - (0.25 + 0.5) / (0.5 + 0.5)
    assert "is 0.25 on digits for `lcam`." in summarize(study({}).about, results, [])

import math
import re

import pytest
from matplotlib.text import Text

from tests.train.reports.written import BLOCK, run, study
from train.reports.details import seeds_text
from train.reports.outcomes import Comparison, make_results
from train.reports.page import answer, conclusions, headline
from train.reports.report import write_html, write_report
from train.reports.rows import make_rows
from train.reports.statistics import Difference
from train.settings.arms import parse_arm
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Data
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


def details_of(path):
    return (path.parent / "details.md").read_text()


def test_page_has_answer_certainty_setting_differences_and_source(written):
    text = written.read_text()
    lines = text.splitlines()
    assert lines[0] == "# ablation: What matters?"
    assert lines[2] == (
        "**Answer.** **lcam against sgd-0.9: better, by more than 0.5 points.** Over "
        "all epochs, LCAM is better than `sgd-0.9`. A note."
    )
    heads = re.findall(r"^\*\*(\w+)\.\*\*", text, re.M)
    assert " ".join(heads) == "Answer Certainty Setting Controls How From More"
    # -5, -5.1 and -4.9; Student's t for 2 degrees of freedom is 4.303.
    assert "points | -5.00 [-5.25, -4.75] | 0.00013 | 6.33 | 3 |" in text
    assert (written.parent / "forest.png").exists()


def test_html_holds_both_pages_and_their_pictures(tmp_path):
    runs = {(arm, seed): run(seed) for arm in ("lcam", "sgd-0.9") for seed in range(3)}
    write_report(tmp_path, study(runs))
    text = write_html(tmp_path).read_text()
    assert text.count('src="data:image/png;base64,') == 2
    assert "How to read this" in text
    assert set(re.findall('href="(.*?)"', text)) == {"#details", "#"}


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
    text = details_of(write_report(tmp_path, study(runs, block)))
    [row, *_] = [line for line in text.splitlines() if line.startswith(f"| `{arm}` |")]
    assert words in row


def test_options_that_differ_between_blocks_are_all_named(tmp_path):
    blocks = [
        BLOCK._replace(name=name, arms=(Arm("lcam", Optimizer(learning_rate=rate)),))
        for name, rate in (("a", 0.1), ("b", 0.03))
    ]
    about = study({}).about | describe_study("noise", "?", blocks, ["last_error"])
    about |= {"environments": study({}).about["environments"]}
    found = make_rows(about, {(name, "lcam", 0): run() for name in "ab"})
    text = details_of(write_report(tmp_path, found))
    assert "| learning rate 0.1 / 0.03, momentum 0.93 at low loss" in text


def test_intervals_of_errors_stay_between_0_and_100(written):
    # Of 0, 1 and 3: the mean is 4 / 3, and the interval would begin below 0.
    assert "| lcam | 3 | 1.33 ± 1.53 [0.00, 5.13] |" in details_of(written)


def test_report_says_what_one_example_weighs(written):
    assert "0.5 points for one test example" in written.read_text()  # 1 of 200


def test_report_of_validation_examples_calls_their_errors_so(tmp_path, drawn):
    experiment = Experiment(epochs=1, data=Data(validation=50))
    runs = {(arm, seed): run(seed) for arm in ("lcam", "sgd-0.9") for seed in range(3)}
    path = write_report(tmp_path, study(runs, BLOCK._replace(experiment=experiment)))
    pictures = [[t.get_text() for t in figure.findobj(Text)] for figure in drawn]
    texts = [path.read_text(), *map("\n".join, pictures)]
    assert all("validation error" in text for text in texts)
    assert not re.search("[Tt]est (error|example|set)", str(texts) + details_of(path))


def test_no_sentence_of_a_report_is_repeated(tmp_path):
    runs = {(arm.name, s): run(s + 1.0) for arm in BLOCK.arms for s in range(4)}
    path = write_report(tmp_path, study(runs))
    text = path.read_text() + details_of(path)
    prose = [line for line in text.splitlines() if line and line[0] not in "|#!"]
    sentences = [s for line in prose for s in re.split(r"(?<=[.:?]) ", line)]
    assert len(set(sentences)) == len(sentences)


def test_study_without_a_finished_run_has_no_report(tmp_path):
    assert write_report(tmp_path / "report", study({})) is None
    assert not (tmp_path / "report").exists()


def test_arm_that_diverged_is_named_and_compared_with_nothing(tmp_path):
    runs = {("lcam", 0): run(), ("sgd-0.9", 0): run(diverged=True)}
    text = details_of(write_report(tmp_path, study(runs)))
    assert "`sgd-0.9` diverged with seed 0. It is compared with nothing." in text
    assert "| sgd-0.9 |" not in text


# --- Its first sentences --------------------------------------------------------------


def against(arm, mean, p, block="digits", reference="lcam", num_seeds=5):
    """An arm less LCAM, its interval of 90 % alone within the margin of 1 point."""
    numbers = mean, abs(mean) + 0.1 * (p - 0.05), 0.6, p, num_seeds, 0.2, 0.1, "paired"
    found = Difference(*numbers)
    return Comparison(block, arm, reference, "area", 1.0, found)


@pytest.mark.parametrize(
    ("comparisons", "words"),
    [
        ([("chance", 1.0, 0.01), ("shuffled", 2.0, 0.01)], "helps: .* than `shuffled`"),
        ([("chance", 2.0, 0.01), ("shuffled", 2.0, 0.5)], "No effect .* `shuffled`"),
        (
            [("shuffled", 2.0, 0.01), ("borrowed", -2.0, 0.01)],
            "harms: .* than `borrowed`",
        ),
        (
            [("borrowed", 0.1, 0.5), ("chance", -1.0, 0.01)],
            "nothing beyond the margin: .* equals `borrowed`",
        ),
    ],
)
def test_conclusion_is_drawn_from_the_sharpest_control(comparisons, words):
    [found] = conclusions([against(*each) for each in comparisons])
    assert re.search(words, found)


def test_blocks_with_the_same_conclusion_share_a_sentence():
    found = conclusions(
        [against("borrowed", 2.0, 0.5, block) for block in ("digits", "english")]
        + [against("borrowed", 2.0, 0.01, "numbers")]
    )
    assert len(found) == 2
    assert "against `borrowed`, its sharpest control, on digits, english." in found[0]
    assert "better than `borrowed`, its sharpest control, on numbers." in found[1]


@pytest.mark.parametrize(
    "comparison",
    [
        against("sgd-0.9", 1.0, 0.01),
        against("chance", 1.0, 0.01, reference="sgd"),
        against("borrowed", 1.0, math.nan, num_seeds=1),
    ],
)
def test_without_controls_of_lcam_there_is_no_conclusion(comparison):
    assert conclusions([comparison]) == []


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        ([against("a", 2.0, 0.5)], "lcam against a: undecided"),
        (
            [
                against("a", 2.0, 0.5, reference="sgd"),
                against("b", 0.1, 0.5, "", "sgd"),
            ],
            "2 arms against sgd in 2 settings: 1 equal within 1 point, 1 undecided",
        ),
        (
            [
                against("a", 2.0, 0.01),
                against("b", -2.0, 0.01),
                against("c", -2.0, 0.01),
                against("d", 0.0, math.nan),
                against("e", 0.1, 0.5),
                against("f", 0.1, math.nan, num_seeds=1),
            ],
            "LCAM against 6 arms: 2 worse, 1 better, 1 equal within 1 point, 1 "
            "identical, 1 one seed",
        ),
    ],
)
def test_headline_counts_the_verdicts(comparisons, expected):
    assert headline(comparisons) == expected


def test_answer_names_what_is_better_or_worse():
    about = study({}).about | {"outcomes": ["area"]}
    arms = [("a", 2.0, 0.01), ("b", 2.0, 0.01), ("c", -2.0, 0.01), ("d", 2.0, 0.5)]
    found = answer(about, [], [against(*each) for each in arms])
    assert "LCAM is better than `a`, `b`; LCAM is worse than `c`." in found


def test_nothing_is_concluded_from_one_seed():
    about = study({}).about | {"outcomes": ["area"]}
    found = answer(about, [], [against("borrowed", 1.0, math.nan, num_seeds=1)])
    assert "One seed is no evidence: it takes 3 or more." in found
    assert "loss" not in found


def test_summary_says_how_well_the_phase_is_told():
    block = BLOCK._replace(experiment=Experiment(epochs=2, observe="fixed"))
    watched = run(5.0, 4.0)
    for row, misread in zip(watched[0], (0.25, 0.5), strict=True):
        row["observed"] = {"misread": misread, "misread_by_chance": [0.5]}
    results = make_results(study({("lcam", 0): watched}, block))
    # 1 - (0.25 + 0.5) / (0.5 + 0.5)
    assert "1 at most): 0.25 on digits.**" in answer(study({}).about, results, [])


def test_study_of_rates_names_the_best_of_each_optimizer():
    rates = (0.1, 0.3)
    arms = [
        Arm(f"{name}-rate-{rate}", Optimizer(name, learning_rate=rate))
        for name in ("sgd", "lcam")
        for rate in rates
    ]
    errors = dict(zip([arm.name for arm in arms], (5.0, 4.0, 2.0, 3.0), strict=True))
    block = BLOCK._replace(arms=tuple(arms), reference=arms[0].name)
    rows = study({(name, 0): run(error) for name, error in errors.items()}, block)
    about = rows.about | {"study": "rates"}
    found = answer(about, make_results(rows), [])
    assert "digits: `sgd` at 0.3, `lcam` at 0.1." in found

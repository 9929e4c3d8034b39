"""The figures of docs/results.md follow from the rows of the committed reports."""

import csv
import itertools
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from train.data.sources import load_dataset
from train.settings.options import Data

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text()
LEVEL, POWER = 0.05, 0.8

FIRST = "ablation-digits-quick", "digits"
FRESH = "ablation-digits-fresh-seeds", "digits"
FRESH_SGD = "baseline-digits-fresh-seeds", "digits"
BASELINE = "baseline-digits-quick", "digits"
PRIORITY = "priority-digits-quick", "digits"
CIFAR = "ablation-cifar10-jpeg-quick", "npz"
TEXT, CANCER, DIABETES, MLP = (
    ("domains-quick", block)
    for block in ("english", "breast_cancer", "diabetes", "digits")
)


@cache
def read_runs(study):
    """By block, arm and seed, an array of [epochs, (test error, test loss, ...)]."""
    runs = defaultdict(list)
    columns = ("test_error", "test_loss", "train_error", "train_loss", "low_loss_share")
    with (ROOT / "results" / study / "epochs.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["block"], row["arm"], int(row["seed"])
            runs[key].append([float(row[name] or "nan") for name in columns])
    return {key: np.array(rows) for key, rows in runs.items()}


def outcome(rows, name):
    last = max(3, len(rows) // 10)
    return {
        "error": rows[-last:, 0].mean(),
        "loss": rows[-last:, 1].mean(),
        "area": rows[:, 0].mean(),
        "first": rows[0, 0],
        "second": rows[1, 0],
        "first_share": rows[0, 4],
        "last_share": rows[-1, 4],
    }[name]


def numbers(source, arm, name):
    study, block = source
    return {
        seed: outcome(rows, name)
        for (its_block, its_arm, seed), rows in read_runs(study).items()
        if (its_block, its_arm) == (block, arm)
    }


def differences(left, right, name):
    """Outcomes of two (source, arm), one less the other, in the order of the seeds."""
    left, right = numbers(*left, name), numbers(*right, name)
    assert sorted(left) == sorted(right)
    return np.array([left[seed] - right[seed] for seed in sorted(left)])


def interval(sample):
    half = scipy.stats.t.ppf(1 - LEVEL / 2, len(sample) - 1) * scipy.stats.sem(sample)
    return np.mean(sample), np.mean(sample) - half, np.mean(sample) + half


def section(heading):
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, heading
    return found[1]


def table(heading):
    """Rows of a section's table: cells without backticks, the header left out."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    rows = [line.replace("`", "").strip("| ").split(" | ") for line in lines]
    assert len(rows) > 2
    return rows[2:]


def assert_reads(cell, sample):
    said = re.fullmatch(r"([+-]?[\d.]+) \[([+-]?[\d.]+), ([+-]?[\d.]+)\]", cell)
    assert said, cell
    decimals = len(said[1].partition(".")[2])
    for text, number in zip(said.groups(), interval(sample), strict=True):
        assert float(text) == pytest.approx(number, abs=0.501 * 10**-decimals), cell
        # A sign where there is one, and none before 0.
        assert (text[0] in "+-") == (float(text) != 0), cell


def less_lcam(source):
    return lambda arm: ((source, "lcam"), (source, arm))


def less_sgd(source):
    return lambda arm: ((source, arm), (source, "sgd-0.9"))


def fresh(arm):
    """With the fresh seeds `sgd-0.9` has a report of its own."""
    return (FRESH, "lcam"), (FRESH_SGD if arm == "sgd-0.9" else FRESH, arm)


def fresh_less_sgd(arm):
    return (FRESH, arm), (FRESH_SGD, "sgd-0.9")


def eight_seeds(arm):
    return less_sgd(PRIORITY if arm == "lcam-reversed" else BASELINE)(arm)


def batches(size):
    return less_sgd(("noise-digits-quick", f"batch-{size}"))("lcam")


# By heading, for each column with an interval: its pairs of arms, and its outcome.
TABLES = {
    "Digits": [(less_lcam(FIRST), "error"), (fresh, "error")],
    "Is LCAM slower on the digits?": [(fresh_less_sgd, "area")],
    "Which phase should get the higher coefficient?": [
        (eight_seeds, "error"),
        (eight_seeds, "area"),
    ],
    "Text": [(less_lcam(TEXT), "error"), (less_lcam(TEXT), "loss")],
    "Tables, numbers, and images without convolutions": [
        (less_lcam(source), "error") for source in (CANCER, DIABETES, MLP)
    ],
    "With rates chosen for both": [
        (less_lcam(("domains-rates-quick", block)), "error")
        for block in ("english", "breast_cancer", "diabetes", "digits")
    ],
    "Larger batches": [(batches, "error"), (batches, "area")],
}


@pytest.mark.parametrize("heading", TABLES)
def test_differences_follow_from_the_epochs(heading):
    for arm, *cells in table(heading):
        for cell, (pair, name) in zip(cells, TABLES[heading], strict=False):
            if cell != "not run":
                assert_reads(cell, differences(*pair(arm), name))


def test_p_values_of_the_area_follow_from_the_epochs():
    for arm, _, p in table("Is LCAM slower on the digits?"):
        sample = differences(*fresh_less_sgd(arm), "area")
        exact = scipy.stats.ttest_1samp(sample, 0).pvalue
        assert float(p) == float(f"{exact:.0e}")


def analyse(source):
    """Two-way analysis of variance: F, its degrees of freedom, residual deviation."""
    study, block = source
    arms = sorted({key[1] for key in read_runs(study) if key[0] == block})
    errors = np.array([list(numbers(source, arm, "error").values()) for arm in arms])
    num_arms, num_seeds = errors.shape
    by_arm = errors.mean(axis=1, keepdims=True)
    residuals = errors - by_arm - errors.mean(axis=0) + errors.mean()
    between, within = num_arms - 1, (num_arms - 1) * (num_seeds - 1)
    square = np.sum(residuals**2) / within
    f = num_seeds * np.var(by_arm, ddof=1) / square
    return f, between, within, np.sqrt(square), by_arm


@pytest.mark.parametrize(
    ("heading", "source"), [("Digits", FIRST), ("CIFAR-10", CIFAR)]
)
def test_arms_together_differ_as_the_page_says(heading, source):
    f, between, within, *_ = analyse(source)
    p = scipy.stats.f.sf(f, between, within)
    said = f"F({between}, {within}) = {f:.2f}, p = {p:.2f}"
    assert said in section(heading).replace("\n", " ")


def test_arms_on_cifar10_are_as_close_as_the_page_says():
    text = section("CIFAR-10").replace("\n", " ")
    *_, by_arm = analyse(CIFAR)
    assert f"within {np.ptp(by_arm):.1f} points" in text
    [cell] = re.findall(r"`borrowed` is (\S+) points (\[.*?\])", text)
    assert_reads(" ".join(cell), differences(*less_lcam(CIFAR)("borrowed"), "error"))


def power(difference, standard_error, within, level):
    critical = scipy.stats.t.ppf(1 - level / 2, within)
    return scipy.stats.nct.sf(critical, within, difference / standard_error)


@pytest.mark.parametrize(
    ("name", "source", "comparisons"),
    [
        ("digits, first seeds", FIRST, 15),
        ("digits, fresh seeds", FRESH, 3),
        ("CIFAR-10", CIFAR, 15),
        ("text", TEXT, 28),
        ("breast cancer", CANCER, 28),
        ("diabetes", DIABETES, 28),
        ("digits, no convolutions", MLP, 28),
    ],
)
def test_detectable_differences_have_the_power_the_page_says(name, source, comparisons):
    rows = {row[0]: row[1:] for row in table("What could have been seen")}
    _, seeds, error, _, alone, corrected = rows[name]
    lcam = list(numbers(source, "lcam", "error").values())
    assert int(seeds) == len(lcam)
    assert error == f"{np.mean(lcam):.2f}"
    _, _, within, deviation, _ = analyse(source)
    standard_error = deviation * np.sqrt(2 / len(lcam))
    for cell, level in ((alone, LEVEL), (corrected, LEVEL / comparisons)):
        shown = float(cell)
        assert power(shown - 0.006, standard_error, within, level) < POWER
        assert power(shown + 0.006, standard_error, within, level) > POWER


def test_first_epochs_are_as_the_page_says():
    text = section("Is LCAM slower on the digits?").replace("\n", " ")
    for source, arm in ((FRESH, "lcam"), (FRESH_SGD, "sgd-0.9")):
        error = np.mean(list(numbers(source, arm, "first").values()))
        assert f"{error:.1f} %" in text
    pair = fresh_less_sgd("lcam")
    whole = np.mean(differences(*pair, "area"))
    part = np.mean(differences(*pair, "first")) / 12  # epochs
    assert f"{part:.2f} of the {whole:.2f} points" in text
    share = np.mean(list(numbers(FRESH, "lcam", "first_share").values()))
    assert f"first epoch {share:.0%} of".replace("%", " %") in text
    [cell] = re.findall(r"`matched-step` (\S+) points are left (\[.*?\])", text)
    assert_reads(" ".join(cell), differences(*fresh("matched-step"), "area"))
    text = section("Text").replace("\n", " ")
    for name in ("first_share", "last_share"):
        share = np.mean(list(numbers(TEXT, "lcam", name).values()))
        assert f"{100 * share:.0f} %" in text


def test_shared_runs_are_as_many_as_the_page_says():
    def curves(study, block=None):
        return [
            rows[:, :4].tobytes()
            for key, rows in read_runs(study).items()
            if block in (None, key[0])
        ]

    for report, total, repeated, origins in table("Which reports share runs"):
        study, _, batches_of = report.partition(", batches of ")
        runs = curves(study, f"batch-{batches_of}" if batches_of else None)
        known = {rows for origin in origins.split(", ") for rows in curves(origin)}
        assert (len(runs), sum(rows in known for rows in runs)) == (
            int(total),
            int(repeated),
        )


def test_every_report_is_in_the_index():
    index = (ROOT / "results" / "README.md").read_text()
    reports = {path.parent.name for path in (ROOT / "results").glob("*/report.md")}
    assert set(re.findall(r"\]\(([\w-]+)/report\.md\)", index)) == reports


@pytest.mark.parametrize(
    ("heading", "source", "arm", "name", "said"),
    [
        ("Digits", FIRST, "shuffled", "last_epochs_error", "p = {p}, and {corrected}"),
        ("Is LCAM slower on the digits?", FRESH_SGD, "lcam", "area", "p = {corrected}"),
        ("Text", TEXT, "matched-step", "last_epochs_error", "here is {corrected}"),
        (
            "Tables, numbers, and images without convolutions",
            DIABETES,
            "sgd-0.95",
            "last_epochs_error",
            "smallest corrected p is {corrected}",
        ),
        (
            "Larger batches",
            ("noise-digits-quick", "batch-128"),
            "lcam",
            "area",
            "p = {corrected} after",
        ),
    ],
)
def test_p_values_in_the_text_are_those_of_the_reports(
    heading, source, arm, name, said
):
    study, block = source
    with (ROOT / "results" / study / "comparisons.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["outcome"] == name]
    [row] = [row for row in rows if (row["block"], row["arm"]) == (block, arm)]
    p, corrected = (f"{float(row[key]):.2g}" for key in ("p_value", "corrected_p"))
    text = section(heading).replace("\n", " ")
    assert said.format(p=p, corrected=corrected) in text
    if "smallest" in said or heading == "Text":
        blocks = {block} if heading == "Text" else {row["block"] for row in rows}
        among = [float(row["corrected_p"]) for row in rows if row["block"] in blocks]
        assert np.nanmin(among) == float(row["corrected_p"])


def corrected_p(sources, name):
    """By source and arm, p corrected for all of them (Holm); equal pairs have none."""
    p_values = {}
    for source, (arm, *_) in itertools.product(sources, table("Text")):
        sample = differences(*less_lcam(source)(arm), name)
        varies = np.ptp(sample) > 1e-9
        p = scipy.stats.ttest_1samp(sample, 0).pvalue if varies else 1.0
        p_values[source, arm] = p
    largest, corrected = 0.0, {}
    for rank, key in enumerate(sorted(p_values, key=p_values.get)):
        largest = max(largest, (len(p_values) - rank) * p_values[key])
        corrected[key] = largest
    return corrected


def test_losses_are_as_significant_as_the_page_says():
    found = corrected_p((TEXT, CANCER, DIABETES, MLP), "loss")
    assert len(found) == 28
    significant = {key: p for key, p in found.items() if p < LEVEL}
    assert [f"{p:.2g}" for p in sorted(significant.values())] == [
        *("0.0051", "0.012", "0.023", "0.049", "0.05")
    ]
    text = section("Text").replace("\n", " ")
    for (source, arm), p in significant.items():
        shown = next(f"{p:.{n}f}" for n in (3, 4) if float(f"{p:.{n}f}") < LEVEL)
        assert source in (TEXT, CANCER)
        assert f"`{arm}` {shown}" in text


def test_rates_chosen_for_both_are_as_significant_as_the_page_says():
    text = section("With rates chosen for both").replace("\n", " ")
    said = {
        "english": {
            "sgd-0.95": "(p = 0.00003)",
            "matched-step": "(0.0011)",
            "chance": "(0.0016)",
            "mean-momentum": "(0.0017)",
            "sgd-0.9": "(0.0084)",
            "shuffled": "(0.029)",
        },
        "diabetes": {"sgd-0.95": "(0.019)"},
        "breast_cancer": {},
        "digits": {},
    }
    for block, words in said.items():
        source = ("domains-rates-quick", block)
        found = {arm: p for (_, arm), p in corrected_p([source], "error").items()}
        assert {arm for arm, p in found.items() if p < LEVEL} == words.keys()
        for arm, shown in words.items():
            digits = shown.strip("()p= ")
            assert float(digits) == float(f"{found[arm]:.{len(digits) - 2}f}")
            assert f"`{arm}` {shown}" in text
    sample = differences(
        *less_lcam(("domains-rates-quick", "diabetes"))("sgd-0.9"), "error"
    )
    assert f"{np.mean(sample):.2f} points has p = 0.022, and 0.13" in text
    assert scipy.stats.ttest_1samp(sample, 0).pvalue == pytest.approx(0.022, abs=5e-4)
    sgd = [
        ((study, "breast_cancer"), "sgd-0.9")
        for study in ("domains-rates-quick", "domains-quick")
    ]
    mean, low, high = interval(differences(*sgd, "error"))
    assert f"{mean:.1f} points for SGD [{low:.1f}, {high:.1f}]" in text


def of_pairs(sample):
    return (sample[::2] + sample[1::2]) / 2


def test_borrowed_is_as_close_as_the_page_says():
    sources = {
        "text": TEXT,
        "text, rates chosen for both": ("domains-rates-quick", "english"),
        "tenth of CIFAR-10, with crop and flip": ("plan-5k", "5k"),
        "digits, no convolutions": MLP,
        "diabetes": DIABETES,
        "digits": FIRST,
        "diabetes, rates chosen for both": ("domains-rates-quick", "diabetes"),
        "tenth of CIFAR-10, without crop and flip": CIFAR,
    }
    rows = table("How close is `borrowed`?")
    assert [row[0] for row in rows] == list(sources)
    for name, seeds, margin, error in rows:
        arms = {}
        for arm in ("lcam", "borrowed"):
            found = numbers((sources[name]), arm, "error")
            arms[arm] = np.array([found[seed] for seed in sorted(found) if seed < 80])
        assert int(seeds) == len(arms["lcam"]) == len(arms["borrowed"])
        sample = arms["lcam"] - arms["borrowed"]
        sample = of_pairs(sample) if len(sample) == 80 else sample
        half = scipy.stats.t.ppf(0.95, len(sample) - 1) * scipy.stats.sem(sample)
        assert margin == f"{abs(np.mean(sample)) + half:.2f}"
        assert error == f"{np.mean(arms['lcam']):.1f}"


def test_longer_steps_explain_the_share_that_the_page_says():
    step, lcam = (
        differences(*fresh_less_sgd(arm), "area") for arm in ("matched-step", "lcam")
    )
    drawn = np.random.default_rng(0).integers(0, len(lcam), (100_000, len(lcam)))
    ends = np.percentile(
        step[drawn].mean(axis=1) / lcam[drawn].mean(axis=1), [2.5, 97.5]
    )
    said = "a share of {:.2f} [{:.2f}, {:.2f}]".format(step.mean() / lcam.mean(), *ends)
    text = section("Is LCAM slower on the digits?").replace("\n", " ")
    assert said in text
    mean, low, high = interval(differences(*fresh_less_sgd("lcam"), "second"))
    assert f"{mean:.2f} points [{low:.2f}, {high:.2f}]" in text


@pytest.mark.parametrize(
    ("name", "source", "size"),
    [
        ("digits, first seeds", FIRST, 360),
        ("digits, fresh seeds", FRESH, 360),
        ("CIFAR-10", CIFAR, 10_000),
        ("text", TEXT, 725 * 64),
        ("breast cancer", CANCER, 171),
        ("digits, no convolutions", MLP, 360),
    ],
)
def test_one_test_example_weighs_what_the_page_says(name, source, size):
    rows = {row[0]: row[1:] for row in table("What could have been seen")}
    assert rows[name][3] == f"{100 / size:.{3 if size > 10_000 else 2}f}"
    study, block = source
    for key, run in read_runs(study).items():
        if key[0] == block:
            wrong = run[:, 0] * size / 100
            np.testing.assert_allclose(wrong, np.round(wrong), atol=0.01)


def test_text_is_learned_less_than_by_counting_pairs():
    # The error of always naming the character that most often follows this one.
    data = load_dataset(Data(data="english", every=4))
    pairs = np.zeros((data.num_classes, data.num_classes))
    np.add.at(pairs, (data.train_inputs.ravel(), data.train_targets.ravel()), 1)
    named = pairs.argmax(axis=1)[data.test_inputs.ravel()]
    error = 100 * np.mean(named != data.test_targets.ravel())
    assert "has 59.7 %" in PAGE
    # Python's help texts differ a little between versions.
    assert error == pytest.approx(59.7, abs=1)
    pairs[:] = 0
    np.add.at(pairs, (data.train_inputs[:-160], data.train_targets[:-160]), 1)
    named = pairs.argmax(axis=1)[data.train_inputs[-160:]]
    error = 100 * np.mean(named != data.train_targets[-160:])
    assert "the same table errs 69.6 %" in PAGE
    assert error == pytest.approx(69.6, abs=1)

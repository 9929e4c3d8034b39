import math

import pytest

from tests.train.studies.written import BLOCK, run, study
from train.studies.interaction import section
from train.studies.outcomes import make_results

ARMS = ("lcam", "sgd-0.9")


def results(differences):
    """Blocks in which LCAM less SGD is so much, by seed."""
    found = []
    for name, by_seed in differences.items():
        runs = {("sgd-0.9", seed): run(20.0 + seed) for seed in by_seed}
        runs |= {("lcam", seed): run(20.0 + seed + d) for seed, d in by_seed.items()}
        found += make_results(study(runs, BLOCK._replace(name=name)))
    return found


def test_difference_of_differences_of_a_hand_table():
    blocks = {"few": {0: 0.5, 1: 0.5, 2: 0.5}, "many": {0: -0.5, 1: -1.5, 2: -2.5}}
    text = section(results(blocks), ARMS, "last_error")[-1]
    # -1, -2, -3: as in test_statistics, half-width 2.484 and p 0.0742.
    assert "| many less few | 3 | -2.00 | -4.48 to +0.48 | 0.074 | open |" in text


def test_rows_are_corrected_for_their_number():
    few = dict.fromkeys(range(3), 0.0)
    blocks = {"few": few, "a": {0: -1.0, 1: -2.0, 2: -3.0}, "b": {0: 9, 1: -9, 2: 1}}
    text = section(results(blocks), ARMS, "last_error")[-1]
    p = 2 * (1 - 3.4641 / math.sqrt(14))
    assert f"| {p:.2g} | open |" in text


def test_significant_interaction_is_said():
    few = dict.fromkeys(range(3), 0.0)
    blocks = {"few": few, "many": {0: -1.0, 1: -1.1, 2: -0.9}}
    assert "depends on the data" in section(results(blocks), ARMS, "last_error")[-1]


@pytest.mark.parametrize("missing", ["lcam-reversed", "none"])
def test_blocks_without_both_arms_have_no_interaction(missing):
    blocks = {"few": {0: 1.0}, "many": {0: 2.0}}
    assert section(results(blocks), ("lcam", missing), "last_error") == []

"""The learning rates of studies are those that results/rates-quick found."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from train.studies.experiments import RATES

RUNS = Path(__file__).parents[2] / "results" / "rates-quick" / "runs.csv"


@pytest.mark.parametrize("block", RATES)
@pytest.mark.parametrize(("arm", "name"), [("sgd-0.9", "sgd"), ("lcam", "lcam")])
def test_rate_has_the_lowest_error_on_examples_kept_from_training(block, arm, name):
    errors = defaultdict(list)
    with RUNS.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["block"] == block and row["arm"].startswith(f"{arm}-rate-"):
                rate = float(row["option_learning_rate"])
                errors[rate].append(float(row["last_epochs_error"] or np.inf))
    assert set(errors) == set(RATES[block].tried)
    means = {rate: np.mean(found) for rate, found in errors.items()}
    assert getattr(RATES[block], name) == min(means, key=means.get)

"""Figures of docs/mechanism.md that no report holds, worked out anew."""

import collections
import csv
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import lcam_optax
from docs.theory.moments import fixed_variance
from docs.theory.quadratic import print_tables

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/mechanism.md").read_text()


def interval(numbers, spec=".3f"):
    """Mean and 95 % interval over the seeds, as text."""
    result = scipy.stats.ttest_1samp(numbers, 0.0).confidence_interval(0.95)
    texts = [f"{x:{spec}}" for x in (np.mean(numbers), result.low, result.high)]
    return "{} [{}, {}]".format(*texts)


def observed(study, block, arm):
    """What was observed, by seed and then by (name, index): a number an epoch."""
    seeds = collections.defaultdict(lambda: collections.defaultdict(list))
    with (ROOT / "results" / study / "observed.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if (row["block"], row["arm"]) == (block, arm):
                name = (row["name"], int(row["index"]))
                seeds[row["seed"]][name].append(float(row["number"]))
    return seeds.values()


def test_exact_tables_are_what_is_printed(capsys):
    print_tables(numbers=2, warmup=50, steps=50)
    by_chance, in_runs, by_loss = capsys.readouterr().out.split("\n\n")
    assert f"```text\n{by_chance}\n```" in DOCUMENT
    assert f"```text\n{in_runs}\n```" in DOCUMENT
    # The simulation's full size takes minutes: its head and its cases.
    head = by_loss.splitlines()[:3]
    assert "\n".join(head) in DOCUMENT
    simulated = DOCUMENT.partition(head[-1] + "\n")[2].partition("\n```")[0]
    cases = [line[:41] for line in by_loss.splitlines()[3:]]
    assert [line[:41] for line in simulated.splitlines()] == cases


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_kappas_are_those_of_the_observations(size):
    runs = observed("noise-digits-quick", f"batch-{size}", "lcam")
    differ = np.array([run["misread", 0] for run in runs])
    chance = np.array([run["misread_by_chance", 0] for run in runs])
    with np.errstate(invalid="ignore"):
        by_epoch = 1 - differ / chance  # NaN where chance would never differ
    cells = [
        str(size),
        f"{100 * differ.mean():.1f}",
        f"{100 * chance.mean():.1f}",
        interval(1 - differ.sum(axis=1) / chance.sum(axis=1)),
        f"{by_epoch[:, 0].mean():.2f}",
        interval(1 - differ[:, 1:].sum(axis=1) / chance[:, 1:].sum(axis=1)),
        interval(np.nanmean(by_epoch, axis=1)),
    ]
    assert f"\n| {' | '.join(cells)} |\n" in DOCUMENT


@pytest.mark.parametrize(
    "arm", ["lcam", "sgd-0.9", "sgd-0.95", "lcam-reversed", "chance"]
)
def test_fast_and_slow_parameters_are_those_of_the_observations(arm):
    ratios = []
    for run in observed("mechanism-digits-quick", "digits", arm):
        high, low = 0, 1  # the phases
        fast = np.array(run["fast_speed", low]) / run["fast_speed", high]
        slow = np.array(run["slow_speed", low]) / run["slow_speed", high]
        ratios.append(math.exp(np.mean(np.log(fast / slow)[1:])))
    assert f"\n| {arm} | {interval(ratios)} |\n" in DOCUMENT


@pytest.mark.parametrize("lagged", [False, True])
@pytest.mark.parametrize("row", DOCUMENT.split("low over high |")[1].splitlines()[2:6])
def test_a_gradient_counts_as_the_page_says(row, lagged):
    coefficients, *said = row.strip("| ").split(" | ")
    low, high = map(float, re.findall(r"\d\.\d+", coefficients))
    middle = lcam_optax.LossAverage(
        lambda: (), lambda state, _: (jnp.float32(1.5), state)
    )
    optimizer = lcam_optax.scale_by_lcam(high, low, loss_average=middle, lagged=lagged)
    losses = np.random.default_rng(0).uniform(1, 2, 40_000)

    def step(state, loss):
        _, state = optimizer.update(0.0, state, value=loss)
        return state, (state.momentum, loss < state.average_loss)

    state = optimizer.init(0.0)
    _, seen = jax.lax.scan(step, state, jnp.float32(losses))
    momenta, is_low = map(np.asarray, seen)
    factors, factor = np.empty(len(losses)), 1 / (1 - (low + high) / 2)
    for t in reversed(range(len(losses))):  # of g(t): 1 + mu(t+1) * (that of g(t+1))
        factors[t] = factor
        factor = 1 + float(momenta[t]) * factor
    seen = [factors[is_low].mean(), factors[~is_low].mean()]
    if not lagged:  # what a batch's loss decides comes before its gradient
        assert seen[0] / seen[1] == pytest.approx(1, abs=0.02)
        return
    assert seen[0] / seen[1] == pytest.approx(float(said[2]), abs=0.02)
    exact = [1 + mu / (1 - (low + high) / 2) for mu in (low, high)]
    assert said == [f"{x:.2f}" for x in (*exact, exact[0] / exact[1])]


def test_a_hundred_weights_count_as_many_as_the_page_says():
    curvatures = np.geomspace(0.01, 10, 100)
    shares = [c * fixed_variance(c, 0.1, 0.925, math.sqrt(c)) for c in curvatures]
    number = sum(shares) ** 2 / sum(share**2 for share in shares)
    assert f"a hundred weights count as {number:.0f}." in DOCUMENT

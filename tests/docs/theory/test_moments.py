import math

import numpy as np
import pytest

from docs.theory.moments import fixed_variance, markov_moments, switched_moments


def sigmas(estimate, expected):
    """The largest distance of a Monte Carlo mean, in standard errors."""
    return np.max(np.abs(estimate[0] - expected) / estimate[1])


def estimate(numbers):
    return np.mean(numbers), np.std(numbers, ddof=1) / math.sqrt(len(numbers))


def chance_chains(start, steps, chains=100_000):
    """(w, m) of many chains after some steps, written out anew.

    Curvature 2, learning rate 0.1, coefficients 0.3 and 0.9 with share 0.25 of the
    first: mean 0.75; noise of standard deviation 0.5.
    """
    rng = np.random.default_rng(1)
    w, m = np.full(chains, start[0]), np.full(chains, start[1])
    for _ in range(steps):
        momentum = rng.choice([0.3, 0.9], chains, p=[0.25, 0.75])
        m = momentum * m + 2 * w + 0.5 * rng.standard_normal(chains)
        w = w - 0.1 * m
    return w, m


@pytest.mark.parametrize(
    ("curvature", "learning_rate", "momentum", "noise_std", "expected"),
    [
        # Without momentum w' = (1 - x) w - lr s xi: V = (lr s)^2 / (1 - (1 - x)^2),
        # that is lr s^2 / (c (2 - x)).
        (1.0, 1.0, 0.0, 1.0, 1.0),  # w' = -xi
        (2.0, 0.5, 0.0, 3.0, 9 / 4),  # w' = -1.5 xi
        (1.0, 0.1, 0.0, 2.0, 0.4 / 1.9),
        (0.1, 0.1, 0.0, 1.0, 1 / 1.99),
        # x = 1 + mu leaves w' = -mu w_before - lr s xi: V = (lr s)^2 / (1 - mu^2).
        (1.5, 1.0, 0.5, 1.0, 4 / 3),
        (19.0, 0.1, 0.9, 1.0, 0.01 / 0.19),
        # x = 1, mu = 1/2: w' = w/2 - w_before/2 - xi. Autocovariances: r1 = r0/2 - r1/2
        # is r1 = r0/3; r2 = r1/2 - r0/2 = -r0/3; r0 = r1/2 - r2/2 + 1 = r0/3 + 1.
        (1.0, 1.0, 0.5, 1.0, 3 / 2),
    ],
)
def test_fixed_variance_of_a_hand_table(
    curvature, learning_rate, momentum, noise_std, expected
):
    variance = fixed_variance(curvature, learning_rate, momentum, noise_std)
    assert variance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("curvature", [0.01, 1.0, 30.0])
def test_chance_without_a_choice_is_a_fixed_coefficient(curvature, share):
    moments = switched_moments(curvature, 0.1, 0.95, 0.6, share, 2.0)
    fixed = fixed_variance(curvature, 0.1, 0.95 if share else 0.6, 2.0)
    assert moments.w_squared == pytest.approx(fixed, rel=1e-9)


@pytest.mark.parametrize("curvature", [0.01, 1.0, 10.0])
def test_chance_is_the_mean_coefficient_with_more_noise(curvature):
    # mu = mean + deviation: the second moments feel the deviation only as a noise
    # deviation * m on the gradient, of variance v E[m^2]. So all of them are the mean
    # coefficient's times r = 1 + v E[m^2] / s^2. Because m = (w_before - w) / lr,
    # E[m^2] = 2 E[w^2] (1 - r1) / lr^2; autocorrelation r1 = (1 + mu - x) / (1 + mu).
    # And w_before = w + lr m is as large as w: E[w m] = -lr E[m^2] / 2.
    share, low, high, rate, noise = 0.25, 0.3, 0.9, 0.1, 2.0
    mean, variance = 0.75, 0.25 * 0.75 * 0.6**2
    fixed = fixed_variance(curvature, rate, mean, noise)
    fixed_m_squared = 2 * fixed * (rate * curvature / (1 + mean)) / rate**2
    ratio = 1 / (1 - variance * fixed_m_squared / noise**2)
    assert ratio > 1.1  # far from the mean coefficient's
    moments = switched_moments(curvature, rate, low, high, share, noise)
    assert moments.w_squared == pytest.approx(ratio * fixed, rel=1e-9)
    assert moments.m_squared == pytest.approx(ratio * fixed_m_squared, rel=1e-9)
    assert moments.w_m == pytest.approx(-rate / 2 * moments.m_squared, rel=1e-9)


def test_exact_moments_agree_with_monte_carlo():
    w, m = chance_chains((0.0, 0.0), 100)  # the mean decays as 0.75^(steps / 2)
    moments = switched_moments(2.0, 0.1, 0.3, 0.9, 0.25, 0.5)
    assert sigmas(estimate(w * w), moments.w_squared) < 5
    assert sigmas(estimate(w * m), moments.w_m) < 5
    assert sigmas(estimate(m * m), moments.m_squared) < 5


def test_mean_under_chance_follows_the_mean_coefficient():
    path = [(1.0, -3.0)]
    for _ in range(10):
        w, m = path[-1]
        m = 0.75 * m + 2 * w
        path.append((w - 0.1 * m, m))
    # By hand: m' = -2.25 + 2 = -0.25, w' = 1.025; m'' = -0.1875 + 2.05 = 1.8625,
    # w'' = 0.83875.
    np.testing.assert_allclose(path[1:3], [(1.025, -0.25), (0.83875, 1.8625)])
    for steps in (1, 3, 10):
        w, m = chance_chains((1.0, -3.0), steps)
        assert sigmas(estimate(w), path[steps][0]) < 5
        assert sigmas(estimate(m), path[steps][1]) < 5


def test_chance_can_be_unstable_though_its_mean_coefficient_is_not():
    # The ratio above, 1 / (1 - v M) with M = 2 / ((1 - mu) (2 (1 + mu) - x)), has a
    # pole: for mu = 0.5 and v = 0.25 (coefficients 0 and 1) at x = 3 - 1 = 2.
    assert switched_moments(1.99, 1.0, 0.0, 1.0, 0.5, 1.0).w_squared > 0
    with pytest.raises(ValueError, match="spectral radius below 1"):
        switched_moments(2.01, 1.0, 0.0, 1.0, 0.5, 1.0)
    assert fixed_variance(2.01, 1.0, 0.5, 1.0) > 0


def markov_chains(steps=200, chains=100_000):
    """(w, m) of many chains whose phase is a Markov chain, written out anew.

    Curvature 2, learning rate 0.1, noise of standard deviation 0.5; coefficient 0.3 in
    runs of 5 steps, 0.9 in runs of 20. The first phase is drawn by its share, 1/5.
    """
    rng = np.random.default_rng(1)
    w, m = np.zeros(chains), np.zeros(chains)
    is_low = rng.random(chains) < 0.2
    for _ in range(steps):
        ends = rng.random(chains) < np.where(is_low, 1 / 5, 1 / 20)
        is_low = is_low ^ ends
        m = np.where(is_low, 0.3, 0.9) * m + 2 * w + 0.5 * rng.standard_normal(chains)
        w = w - 0.1 * m
    return w, m


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("curvature", [0.01, 1.0, 10.0])
def test_runs_as_long_as_chance_makes_them_are_chance(curvature, share):
    runs = (1 / (1 - share), 1 / share)
    moments = markov_moments(curvature, 0.1, 0.95, 0.6, *runs, 2.0)
    by_chance = switched_moments(curvature, 0.1, 0.95, 0.6, share, 2.0)
    np.testing.assert_allclose(moments, by_chance, rtol=1e-9)


@pytest.mark.parametrize("runs", [(1, 1), (3, 100), (1e6, 2)])
def test_runs_of_equal_coefficients_are_a_fixed_one(runs):
    moments = markov_moments(1.0, 0.1, 0.9, 0.9, *runs, 2.0)
    fixed = fixed_variance(1.0, 0.1, 0.9, 2.0)
    assert moments.w_squared == pytest.approx(fixed, rel=1e-9)


def test_moments_of_runs_agree_with_monte_carlo():
    w, m = markov_chains()
    moments = markov_moments(2.0, 0.1, 0.3, 0.9, 5, 20, 0.5)
    for products, exact in zip((w * w, w * m, m * m), moments, strict=True):
        error = np.std(products, ddof=1) / np.sqrt(len(products))
        assert sigmas((np.mean(products), error), exact) < 5
        assert error < 0.02 * abs(exact)  # else five of them would hide much
    # Far from what chance with the same share gives: the runs matter here.
    by_chance = switched_moments(2.0, 0.1, 0.3, 0.9, 0.2, 0.5)
    assert abs(moments.w_squared / by_chance.w_squared - 1) > 0.1


def test_coefficients_in_turn_are_those_of_two_steps_at_once():
    # Runs of one step: low, high, low, high. Two steps are one matrix and two noises.
    rate, curvature = 0.1, 2.0

    def step(momentum):
        row_m = np.array([curvature, momentum])
        return np.stack([np.array([1.0, 0.0]) - rate * row_m, row_m])

    noise = np.outer([-rate, 1.0], [-rate, 1.0])
    low, high = step(0.3), step(0.9)
    after_high = np.zeros((2, 2))
    for _ in range(500):
        after_low = low @ after_high @ low.T + noise
        after_high = high @ after_low @ high.T + noise
    moments = markov_moments(curvature, rate, 0.3, 0.9, 1, 1, 1.0)
    expected = (after_low + after_high) / 2
    assert moments.w_squared == pytest.approx(expected[0, 0], rel=1e-9)
    assert moments.w_m == pytest.approx(expected[0, 1], rel=1e-9)
    assert moments.m_squared == pytest.approx(expected[1, 1], rel=1e-9)


@pytest.mark.parametrize("curvature", [0.01, 1.0])
def test_runs_longer_than_the_weight_remembers_give_the_mean_of_both_variances(
    curvature,
):
    # Shares 1/4 and 3/4. What is left is the part of a run that the change takes.
    low, high = (fixed_variance(curvature, 0.1, mu, 1.0) for mu in (0.95, 0.9))
    moments = markov_moments(curvature, 0.1, 0.95, 0.9, 1e6, 3e6, 1.0)
    assert moments.w_squared == pytest.approx(low / 4 + 3 * high / 4, rel=1e-3)


def test_runs_between_the_memories_of_trace_and_weight_average_the_step():
    # The trace remembers 10 to 20 steps, this flat weight (1 - mu) / (lr c) = 5e6 to
    # 1e7. Between them the weight sees steps of lr a, a = 1 / (1 - mu) = 20 or 10:
    # drift E[a] and noise E[a^2], so V = lr s^2 E[a^2] / (2 c E[a]). With shares of
    # 1/2 that is 250 / 15 = 50 / 3, and 40 / 3 for the fixed mean of 0.925: 1.25 times.
    moments = markov_moments(1e-7, 0.1, 0.95, 0.9, 1e4, 1e4, 3.0)
    assert moments.w_squared == pytest.approx(0.1 * 9 / 2e-7 * 50 / 3, rel=5e-3)
    fixed = fixed_variance(1e-7, 0.1, 0.925, 3.0)
    assert moments.w_squared / fixed == pytest.approx(1.25, rel=5e-3)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ((0.9, 2), r"`low_loss_run` must be 1 step or more, and finite, got 0\.9"),
        ((2, 0), r"`high_loss_run` must be 1 step or more, and finite, got 0"),
        ((np.inf, 2), r"`low_loss_run` must be 1 step or more, and finite, got inf"),
        ((2, np.nan), r"`high_loss_run` must be 1 step or more, and finite, got nan"),
    ],
)
def test_runs_out_of_range_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        markov_moments(1.0, 0.1, 0.95, 0.9, *runs, 1.0)


@pytest.mark.parametrize("curvature", [0.0, -1.0, 40.1])
def test_unstable_runs_are_refused(curvature):
    # x = 4.01 is beyond the limit of both coefficients, 2 (1 + mu) < 4.
    with pytest.raises(ValueError, match=r"not stable: .* spectral radius below 1"):
        markov_moments(curvature, 0.1, 0.95, 0.9, 10, 10, 1.0)

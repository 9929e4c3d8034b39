import math

import numpy as np
import pytest

from train.studies.quadratic import (
    below_average,
    fixed_variance,
    mean_path,
    print_tables,
    simulate,
    switched_moments,
)


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
    path = mean_path(2.0, 0.1, 0.75, (1.0, -3.0), 10)
    assert path.shape == (11, 2)
    # By hand, w = 1, m = -3: m' = -2.25 + 2 = -0.25, w' = 1.025;
    # m'' = -0.1875 + 2.05 = 1.8625, w'' = 0.83875.
    np.testing.assert_allclose(
        path[:3], [(1, -3), (1.025, -0.25), (0.83875, 1.8625)], rtol=1e-12
    )
    for steps in (1, 3, 10):
        w, m = chance_chains((1.0, -3.0), steps)
        assert sigmas(estimate(w), path[steps, 0]) < 5
        assert sigmas(estimate(m), path[steps, 1]) < 5


@pytest.mark.parametrize(
    ("curvature", "momentum", "message"),
    [
        (0.0, 0.5, "above 0 and below 2"),
        (-1.0, 0.5, "above 0 and below 2"),
        (3.0, 0.5, r"below 2 \* \(1 \+ momentum\) = 3, got 3"),
        (1.0, 1.0, r"`momentum` must be in \[0, 1\), got 1\.0"),
        (1.0, -0.1, r"`momentum` must be in \[0, 1\)"),
    ],
)
def test_unstable_fixed_coefficient_is_refused(curvature, momentum, message):
    with pytest.raises(ValueError, match=message):
        fixed_variance(curvature, 1.0, momentum, 1.0)
    with pytest.raises(ValueError, match=message):
        simulate([0.1, curvature], 1.0, momentum, 0.1, 1.0, phase="loss")


@pytest.mark.parametrize("curvature", [0.0, -1.0, 30.1])
def test_unstable_chance_is_refused(curvature):
    # x = 3.01 is just beyond the mean coefficient's own limit, 2 (1 + 0.5) = 3.
    with pytest.raises(ValueError, match=r"not stable: .* spectral radius below 1"):
        switched_moments(curvature, 0.1, 0.5, 0.5, 0.5, 1.0)
    with pytest.raises(ValueError, match="not stable"):
        simulate([0.1, curvature], 0.1, 0.5, 0.5, 1.0, phase="chance")


def test_chance_can_be_unstable_though_its_mean_coefficient_is_not():
    # The ratio above, 1 / (1 - v M) with M = 2 / ((1 - mu) (2 (1 + mu) - x)), has a
    # pole: for mu = 0.5 and v = 0.25 (coefficients 0 and 1) at x = 3 - 1 = 2.
    assert switched_moments(1.99, 1.0, 0.0, 1.0, 0.5, 1.0).w_squared > 0
    with pytest.raises(ValueError, match="spectral radius below 1"):
        switched_moments(2.01, 1.0, 0.0, 1.0, 0.5, 1.0)
    assert fixed_variance(2.01, 1.0, 0.5, 1.0) > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phase": "luck"}, '`phase` must be "chance", "loss" or "borrowed"'),
        ({"phase": "chance", "low_loss_share": 1.1}, r"must be in \[0, 1\], got 1\.1"),
        ({"phase": "loss", "chains": 1}, "2 `chains` or more, got 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        simulate([1.0], 0.1, 0.9, 0.9, 1.0, **settings)


def test_phase_rule_follows_a_hand_computed_sequence():
    # Decay 1/2: weighted sums 4, 2 + 2, 2 + 7, 4.5 + 0.5, ... over the weights 1, 3/2,
    # 7/4, 15/8. The first loss is its own average, and an equal one is not below.
    rows = [  # losses of two chains, averages, below?
        ((4, 3), (4, 3), (False, False)),
        ((2, 3), (8 / 3, 3), (True, False)),
        ((7, 3), (36 / 7, 3), (False, False)),
        ((0.5, 2), (8 / 3, 37 / 15), (True, True)),
    ]
    average, weight = np.zeros(2), 0.0
    for losses, averages, below in rows:
        is_low, average, weight = below_average(np.array(losses), average, weight, 0.5)
        np.testing.assert_allclose(average, averages, rtol=1e-15)
        assert tuple(is_low) == below


def test_simulation_without_noise_is_a_hand_computed_path():
    # The example of `lcam`: losses 0.5, 0.405, 0.2592, 0.1181 fall, so all steps but
    # the first are low loss. The warm-up leaves out the first step.
    result = simulate(
        [1.0], 0.1, 0.9, 0.0, 0.0, phase="loss", start=1.0, chains=2, warmup=1, steps=3
    )
    square = (0.9**2 + 0.72**2 + 0.486**2) / 3
    assert result.square.mean == pytest.approx([square])
    assert result.loss.mean == pytest.approx(square / 2)
    assert result.low_loss_share.mean == 1
    assert result.momentum.mean == pytest.approx(0.9)
    assert result.square.standard_error == [0]


@pytest.mark.parametrize(
    ("curvature", "squares", "losses", "low_loss_steps"),
    [  # Beside a dimension of curvature 1, from w = 1, m = 0, with learning rate 1.
        # Loss 1.6, high: m = (2.2, 1), w = (-1.2, 0). Loss 1.584 is low, though the
        # first dimension's part rose: m = (0.44 - 2.64, 0.2), w = (1, -0.2). Loss 1.1 +
        # 0.02 is low.
        (2.2, [1 + 1.44 + 1, 1 + 0.04], [1.6, 1.584, 1.12], 2),
        # Loss 1.65, high: m = (2.3, 1), w = (-1.3, 0). Loss 1.9435 is high, though the
        # sum of squares fell: m = (1.15 - 2.99, 0.5), w = (0.54, -0.5). Loss 0.33534 +
        # 0.125 is low.
        (2.3, [1 + 1.69 + 0.2916, 1 + 0.25], [1.65, 1.9435, 0.46034], 1),
    ],
)
def test_loss_is_that_of_all_dimensions(curvature, squares, losses, low_loss_steps):
    result = simulate(
        [curvature, 1.0], 1.0, 0.2, 0.5, 0.0, phase="loss", start=1.0, chains=2,
        warmup=0, steps=3,
    )  # fmt: skip
    assert result.square.mean == pytest.approx(np.array(squares) / 3)
    assert result.loss.mean == pytest.approx(sum(losses) / 3)
    assert result.low_loss_share.mean == pytest.approx(low_loss_steps / 3)
    assert result.momentum.mean == pytest.approx(0.5 - 0.3 * low_loss_steps / 3)


def test_chance_simulation_agrees_with_the_exact_moments():
    curvatures = np.array([0.5, 2.0, 20.0])
    result = simulate(
        curvatures, 0.1, 0.3, 0.9, 0.5, phase="chance", low_loss_share=0.25,
        chains=300, warmup=300, steps=2000,
    )  # fmt: skip
    exact = [
        switched_moments(c, 0.1, 0.3, 0.9, 0.25, 0.5).w_squared for c in curvatures
    ]
    assert sigmas(result.square, exact) < 5
    assert sigmas(result.loss, np.dot(curvatures, exact) / 2) < 5
    assert sigmas(result.low_loss_share, 0.25) < 5
    assert sigmas(result.momentum, 0.75) < 5
    # No bound holds for large errors: half a million steps must tell 1 % apart.
    assert np.all(result.square.standard_error < 0.01 * np.array(exact))


def test_loss_phase_of_equal_coefficients_is_a_fixed_one():
    settings = {"chains": 300, "warmup": 500, "steps": 2000}
    by_loss = simulate([0.5, 5.0], 0.1, 0.8, 0.8, 1.0, phase="loss", **settings)
    exact = [fixed_variance(c, 0.1, 0.8, 1.0) for c in (0.5, 5.0)]
    assert sigmas(by_loss.square, exact) < 5
    assert np.all(by_loss.square.standard_error < 0.01 * np.array(exact))
    # The phases differ, the random numbers do not.
    by_chance = simulate([0.5, 5.0], 0.1, 0.8, 0.8, 1.0, phase="chance", **settings)
    np.testing.assert_array_equal(by_chance.square.mean, by_loss.square.mean)
    assert by_chance.low_loss_share.mean != by_loss.low_loss_share.mean


def test_share_of_low_losses_is_that_of_a_squared_normal_below_its_mean():
    # One dimension: the loss is a squared normal number. It is below its mean, which a
    # long average comes close to, with probability P(|xi| < 1) = 0.6827.
    settings = {"phase": "loss", "decay": 0.999, "chains": 200, "steps": 2000}
    result = simulate([5.0], 0.1, 0.5, 0.5, 1.0, **settings)
    assert result.low_loss_share.mean == pytest.approx(0.6827, abs=0.01)


def test_noise_in_the_loss_makes_the_phase_chance():
    # A symmetric noise that drowns the loss is below its average half of the time, and
    # independent of w: the exact moments of chance.
    result = simulate(
        [5.0], 0.1, 0.95, 0.3, 1.0, phase="loss", decay=0.999, loss_noise_std=1e6,
        chains=200, steps=2000,
    )  # fmt: skip
    assert sigmas(result.low_loss_share, 0.5) < 5
    exact = switched_moments(5.0, 0.1, 0.95, 0.3, 0.5, 1.0).w_squared
    assert sigmas(result.square, exact) < 5


def test_borrowed_phases_are_those_of_the_loss_with_nothing_learned_from_them():
    # The same random numbers: the lenders are the chains of the phase by the loss.
    settings = {"chains": 300, "warmup": 500, "steps": 2000}
    by_loss = simulate([5.0], 0.1, 0.95, 0.3, 1.0, phase="loss", **settings)
    borrowed = simulate([5.0], 0.1, 0.95, 0.3, 1.0, phase="borrowed", **settings)
    assert borrowed.low_loss_share == by_loss.low_loss_share
    assert sigmas(by_loss.square, borrowed.square.mean) > 5
    # With equal coefficients a borrower is a chain like any other.
    equal = simulate([5.0], 0.1, 0.8, 0.8, 1.0, phase="borrowed", **settings)
    assert sigmas(equal.square, fixed_variance(5.0, 0.1, 0.8, 1.0)) < 5


def test_table_of_the_document_is_what_is_printed(capsys):
    print_tables(numbers=2, warmup=50, steps=50)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 + 1 + 3 + 20

import numpy as np
import pytest

from docs.theory.moments import fixed_variance, switched_moments
from docs.theory.quadratic import below_average, print_tables, simulate
from tests.docs.theory.test_moments import sigmas


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
    assert len(lines) == (3 + 4) + 1 + (3 + 10) + 1 + (3 + 24)

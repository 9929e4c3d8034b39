"""The exact theory of switched momentum on a noisy quadratic.

One step of heavy-ball momentum, in each dimension by itself::

    gradient = curvature * w + noise_std * xi      (xi standard normal)
    m <- mu * m + gradient
    w <- w - learning_rate * m

The coefficient mu is the low-loss or the high-loss one. Chosen by chance, anew in each
step or in runs, it has an exact theory.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Moments(NamedTuple):
    """Stationary second moments of the weight and the trace, after a step."""

    w_squared: float
    w_m: float
    m_squared: float


def fixed_variance(
    curvature: float, learning_rate: float, momentum: float, noise_std: float
) -> float:
    """Stationary variance of w with a fixed coefficient.

    Without m the step is an autoregression of order 2, with x = learning_rate *
    curvature: `w' = (1 + mu - x) w - mu w_before - learning_rate * noise_std * xi`. The
    textbook variance of one, with a = 1 + mu - x and b = -mu, is that of its noise
    times (1 - b) / ((1 + b) ((1 - b)^2 - a^2)). It is stationary where |b| < 1 and
    |a| < 1 - b, which for 0 <= mu < 1 is 0 < x < 2 (1 + mu).

    Raises:
      ValueError: the step is not stable, or the coefficient outside [0, 1).
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"`momentum` must be in [0, 1), got {momentum!r}.")
    x = learning_rate * curvature
    if not 0 < x < 2 * (1 + momentum):
        raise ValueError(
            "not stable: `learning_rate * curvature` must be above 0 and below "
            f"2 * (1 + momentum) = {2 * (1 + momentum):g}, got {x:g}."
        )
    noise = (learning_rate * noise_std) ** 2
    return noise * (1 + momentum) / ((1 - momentum) * x * (2 * (1 + momentum) - x))


def switched_moments(
    curvature: float,
    learning_rate: float,
    low_loss_momentum: float,
    high_loss_momentum: float,
    low_loss_share: float,
    noise_std: float,
) -> Moments:
    """Exact stationary moments where chance chooses each step's coefficient.

    It is the low-loss one with probability `low_loss_share`, independently of
    everything. The moments S of (w, m) then solve S = E[A S A^T] + noise.

    Raises:
      ValueError: the moments do not settle, or the share is outside [0, 1].
    """
    if not 0 <= low_loss_share <= 1:
        raise ValueError(f"`low_loss_share` must be in [0, 1], got {low_loss_share!r}.")
    # E[A kron A] is not the kron of the mean: chance adds the variance of the choice.
    transition = np.zeros((4, 4))
    for share, momentum in (
        (low_loss_share, low_loss_momentum),
        (1 - low_loss_share, high_loss_momentum),
    ):
        step = _step_matrix(curvature, learning_rate, momentum)
        transition += share * np.kron(step, step)
    return _stationary(transition, _noise(learning_rate, noise_std))


def markov_moments(
    curvature: float,
    learning_rate: float,
    low_loss_momentum: float,
    high_loss_momentum: float,
    low_loss_run: float,
    high_loss_run: float,
    noise_std: float,
) -> Moments:
    """Exact stationary moments where the phase is a Markov chain of two states.

    The phase ignores w and m, but it comes in runs. Each step ends a low-loss run with
    probability 1 / `low_loss_run`, and a high-loss run with 1 / `high_loss_run`. So
    these two are the runs' mean lengths in steps, and the share of low-loss steps is
    `low_loss_run / (low_loss_run + high_loss_run)`. Runs of 1 / (1 - p) and 1 / p
    steps are `switched_moments` with a share of p.

    The moments are split by the phase of the step just taken: S_j = E[S; phase j].
    With the chain's transition matrix P and its shares p they solve
    S_j = A_j (sum over i of P_ij S_i) A_j^T + p_j noise, and S is their sum.

    Raises:
      ValueError: the moments do not settle, or a run is shorter than one step.
    """
    for name, run in (("low_loss_run", low_loss_run), ("high_loss_run", high_loss_run)):
        if not 1 <= run < np.inf:
            raise ValueError(
                f"`{name}` must be 1 step or more, and finite, got {run!r}."
            )
    leave_low, leave_high = 1 / low_loss_run, 1 / high_loss_run
    change = np.array([[1 - leave_low, leave_low], [leave_high, 1 - leave_high]])
    shares = np.array([leave_high, leave_low]) / (leave_low + leave_high)
    transition = np.zeros((8, 8))
    for phase, momentum in enumerate((low_loss_momentum, high_loss_momentum)):
        step = _step_matrix(curvature, learning_rate, momentum)
        rows = slice(4 * phase, 4 * phase + 4)
        transition[rows] = np.kron(change[:, phase], np.kron(step, step))
    return _stationary(transition, np.kron(shares, _noise(learning_rate, noise_std)))


def _step_matrix(
    curvature: float, learning_rate: float, momentum: float
) -> NDArray[np.float64]:
    """What a step without noise does to (w, m)."""
    x = learning_rate * curvature
    return np.array([[1 - x, -learning_rate * momentum], [curvature, momentum]])


def _noise(learning_rate: float, noise_std: float) -> NDArray[np.float64]:
    """What a step's noise adds to the second moments of (w, m), flattened."""
    direction = noise_std * np.array([-learning_rate, 1.0])
    return np.outer(direction, direction).ravel()


def _stationary(transition: NDArray[np.float64], noise: NDArray[np.float64]) -> Moments:
    """Solves S = transition S + noise, and adds up what S holds of each phase."""
    radius = np.max(np.abs(np.linalg.eigvals(transition)))
    if not radius < 1:
        raise ValueError(
            "not stable: the second moments' step must have a spectral radius below 1, "
            f"got {radius:g}: see `learning_rate * curvature`."
        )
    solution = np.linalg.solve(np.eye(len(noise)) - transition, noise)
    w_squared, w_m, _, m_squared = solution.reshape(-1, 4).sum(axis=0)
    return Moments(float(w_squared), float(w_m), float(m_squared))

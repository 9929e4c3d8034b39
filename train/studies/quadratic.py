"""Switched momentum on a noisy quadratic, where the answer can be calculated.

One step of heavy-ball momentum, in each dimension by itself::

    gradient = curvature * w + noise_std * xi      (xi standard normal)
    m <- mu * m + gradient
    w <- w - learning_rate * m

The coefficient mu is the low-loss or the high-loss one. Chosen by chance it has an
exact theory; chosen by the loss it has to be simulated. The difference of the two is
what the loss knows.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Moments(NamedTuple):
    """Stationary second moments of the weight and the trace, after a step."""

    w_squared: float
    w_m: float
    m_squared: float


class Estimate(NamedTuple):
    """A Monte Carlo mean and its standard error over the chains: floats or arrays."""

    mean: NDArray[np.float64]
    standard_error: NDArray[np.float64]


class Simulation(NamedTuple):
    """Means over the steps after the warm-up."""

    square: Estimate  # w^2, one number a dimension
    loss: Estimate  # 0.5 * sum(curvature * w^2), without the noise of the loss
    low_loss_share: Estimate
    momentum: Estimate


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
    radius = np.max(np.abs(np.linalg.eigvals(transition)))
    if not radius < 1:
        raise ValueError(
            "not stable: the second moments' step must have a spectral radius below 1, "
            f"got {radius:g}: see `learning_rate * curvature`."
        )
    direction = noise_std * np.array([-learning_rate, 1.0])
    noise = np.outer(direction, direction).ravel()
    w_squared, w_m, _, m_squared = np.linalg.solve(np.eye(4) - transition, noise)
    return Moments(float(w_squared), float(w_m), float(m_squared))


def mean_path(
    curvature: float,
    learning_rate: float,
    momentum: float,
    start: tuple[float, float],
    steps: int,
) -> NDArray[np.float64]:
    """Mean of (w, m) before the first step and after each, [steps + 1, 2].

    The step is linear in the coefficient, and chance chooses it independently of
    (w, m): so the mean under chance is exactly this path of the mean coefficient.
    """
    step = _step_matrix(curvature, learning_rate, momentum)
    path = [np.asarray(start, np.float64)]
    for _ in range(steps):
        path.append(step @ path[-1])
    return np.stack(path)


def below_average(
    loss: NDArray[np.float64], average: ArrayLike, weight: float, decay: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64], float]:
    """Compares losses with their bias-corrected moving average, themselves included.

    Takes the average and the sum of its weights before this step (0 and 0 at first).
    Returns whether each loss is strictly below its average, and both after this step.
    """
    weight = 1 + decay * weight
    # As in `ema_average`: this form is exact for the first loss and for a constant one.
    average = average + (loss - average) / weight
    return loss < average, average, weight


def simulate(
    curvatures: ArrayLike,
    learning_rate: float,
    low_loss_momentum: float,
    high_loss_momentum: float,
    noise_std: float,
    *,
    phase: str,
    low_loss_share: float = 0.5,
    decay: float = 0.99,
    loss_noise_std: float = 0.0,
    start: float = 0.0,
    chains: int = 100,
    warmup: int = 2000,
    steps: int = 10000,
    seed: int = 0,
) -> Simulation:
    """Monte Carlo over independent chains, with one coefficient for all dimensions.

    `phase` is "chance" (low loss with probability `low_loss_share`), "loss" (low loss
    where the step's loss, plus a noise of `loss_noise_std` that only the comparison
    sees, is below its moving average), or "borrowed" (each chain takes the phases of
    another, which goes by its loss: they come in the same runs, and say nothing of this
    chain). The same seed gives the same random numbers under all. w starts at `start`,
    m at 0; `curvatures` are one a dimension.

    Raises:
      ValueError: a setting is out of range, or not stable: under chance, the moments
        do not settle; under loss, a coefficient is not stable by itself.
    """
    curvatures = np.asarray(curvatures, np.float64)
    coefficients = (low_loss_momentum, high_loss_momentum)
    if phase not in ("chance", "loss", "borrowed"):
        raise ValueError(
            f'`phase` must be "chance", "loss" or "borrowed", got {phase!r}.'
        )
    if chains < 2:
        raise ValueError(f"a standard error needs 2 `chains` or more, got {chains}.")
    for curvature in np.unique(curvatures):
        if phase == "chance":
            switched_moments(
                curvature, learning_rate, *coefficients, low_loss_share, noise_std
            )
        else:
            for momentum in coefficients:
                fixed_variance(curvature, learning_rate, momentum, noise_std)

    # A stream each: what one purpose draws does not shift the others.
    rngs = np.random.default_rng(seed).spawn(4)
    gradient_rng, phase_rng, loss_rng, borrower_rng = rngs
    borrows = phase == "borrowed"
    shape = (chains, len(curvatures))
    # Those that lend their phases come first; what is measured comes last.
    w = np.full((chains * (1 + borrows), len(curvatures)), start, np.float64)
    m = np.zeros_like(w)
    average, weight = np.zeros(chains), 0.0
    square = np.zeros(shape)
    low_loss_steps = np.zeros(chains)
    for step in range(warmup + steps):
        w_squared = w * w
        if phase == "chance":
            is_low = phase_rng.random(chains) < low_loss_share
        else:
            loss = w_squared[:chains] @ curvatures / 2
            loss += loss_noise_std * loss_rng.standard_normal(chains)
            is_low, average, weight = below_average(loss, average, weight, decay)
        if step >= warmup:
            square += w_squared[-chains:]
            low_loss_steps += is_low
        noise = gradient_rng.standard_normal(shape)
        if borrows:
            is_low = np.tile(is_low, 2)
            noise = np.concatenate([noise, borrower_rng.standard_normal(shape)])
        m *= np.where(is_low, *coefficients)[:, np.newaxis]
        m += curvatures * w + noise_std * noise
        w -= learning_rate * m
    square /= steps
    share = low_loss_steps / steps
    return Simulation(
        _estimate(square),
        _estimate(square @ curvatures / 2),
        _estimate(share),
        _estimate(share * low_loss_momentum + (1 - share) * high_loss_momentum),
    )


def print_tables(numbers: int = 20_000, warmup: int = 2000, steps: int = 8000) -> None:
    """Prints the tables of docs/mechanism.md.

    `numbers` is of weights: chains times dimensions, with 2 to 1,000 chains.
    """
    rate, noise = 0.1, 1.0
    print(
        "Phase by chance, 0.9 or 0.95 with a share of 1/2: variance of w, relative to"
    )
    print("curvature   fixed 0.925   fixed 0.9   fixed 0.95")
    for curvature in (0.01, 0.1, 1.0, 10.0):
        by_chance = switched_moments(curvature, rate, 0.95, 0.9, 0.5, noise).w_squared
        ratios = [
            by_chance / fixed_variance(curvature, rate, momentum, noise)
            for momentum in (0.925, 0.9, 0.95)
        ]
        print(
            f"{curvature:9g}   {ratios[0]:11.4f}   {ratios[1]:9.4f}   {ratios[2]:10.4f}"
        )
    print()
    print(
        "Phase by the loss, and by another chain's loss: mean loss relative to chance"
    )
    print("with the same share, and standard errors")
    print("curvatures        decay  low    high   share   by the loss       borrowed")
    cases = {f"1, {number} times": np.ones(number) for number in (1, 10, 100, 1000)}
    cases["0.01 to 10, 100"] = np.geomspace(0.01, 10, 100)
    for decay, (name, curvatures), (low, high) in itertools.product(
        (0.99, 0.9), cases.items(), ((0.95, 0.9), (0.9, 0.95))
    ):
        chains = min(max(numbers // len(curvatures), 2), 1000)
        found = [
            simulate(
                curvatures,
                rate,
                low,
                high,
                noise,
                phase=phase,
                decay=decay,
                chains=chains,
                warmup=warmup,
                steps=steps,
            )
            for phase in ("loss", "borrowed")
        ]
        share = float(found[0].low_loss_share.mean)
        chance = sum(
            curvature
            * switched_moments(curvature, rate, low, high, share, noise).w_squared
            for curvature in curvatures
        )
        by_loss, borrowed = (
            f"{each.loss.mean / (chance / 2):.4f} ± "
            f"{each.loss.standard_error / (chance / 2):.4f}"
            for each in found
        )
        cells = (f"{name:15}", f"{decay:4g}", f"{low:4g}", f"{high:4g}")
        print(*cells, f"{share:5.3f}", by_loss, borrowed, sep="   ")


def _step_matrix(
    curvature: float, learning_rate: float, momentum: float
) -> NDArray[np.float64]:
    """What a step without noise does to (w, m)."""
    x = learning_rate * curvature
    return np.array([[1 - x, -learning_rate * momentum], [curvature, momentum]])


def _estimate(numbers: NDArray[np.float64]) -> Estimate:
    """Mean over the chains, the first axis."""
    deviation = np.std(numbers, axis=0, ddof=1)
    return Estimate(np.mean(numbers, axis=0), deviation / np.sqrt(len(numbers)))

"""Switched momentum on a noisy quadratic, simulated, and the tables of both.

Chosen by chance the coefficient has an exact theory: see `docs.theory.moments`.
Chosen by the loss it has to be simulated, and compared with the same phases borrowed:
the difference is what the loss knows.

`python -m docs.theory.quadratic` prints the tables of docs/mechanism.md, in some
minutes.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from docs.theory.moments import fixed_variance, markov_moments, switched_moments


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
    noise_std: ArrayLike,
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
    m at 0; `curvatures` are one a dimension, and so may the gradient's `noise_std` be.

    Raises:
      ValueError: a setting is out of range, or not stable: under chance, the moments
        do not settle; under loss, a coefficient is not stable by itself.
    """
    curvatures = np.asarray(curvatures, np.float64)
    noise_std = np.broadcast_to(noise_std, curvatures.shape)
    coefficients = (low_loss_momentum, high_loss_momentum)
    if phase not in ("chance", "loss", "borrowed"):
        raise ValueError(
            f'`phase` must be "chance", "loss" or "borrowed", got {phase!r}.'
        )
    if chains < 2:
        raise ValueError(f"a standard error needs 2 `chains` or more, got {chains}.")
    for curvature, noise in {
        *zip(curvatures.tolist(), noise_std.tolist(), strict=True)
    }:
        if phase == "chance":
            switched_moments(
                curvature, learning_rate, *coefficients, low_loss_share, noise
            )
        else:
            for momentum in coefficients:
                fixed_variance(curvature, learning_rate, momentum, noise)

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
    print("The phase by chance: 0.9 or 0.95, each with probability 1/2.")
    print("Variance of w, divided by that of a fixed coefficient.")
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
    print("The phase in runs of the same mean length: 0.9 or 0.95.")
    print("Variance of w, divided by that of a fixed 0.925.")
    print("steps in a run   curvature 0.0001   curvature 0.01   curvature 1")
    for run in (2, 10, 30, 100, 300, 1000, 3000, 10_000, 100_000, 1_000_000):
        ratios = [
            markov_moments(curvature, rate, 0.95, 0.9, run, run, noise).w_squared
            / fixed_variance(curvature, rate, 0.925, noise)
            for curvature in (0.0001, 0.01, 1.0)
        ]
        print(f"{run:14d}   {ratios[0]:16.4f}   {ratios[1]:14.4f}   {ratios[2]:11.4f}")
    print()
    print("The phase by the loss, and borrowed: by the loss of an independent copy.")
    print("Mean loss, divided by that of phases by chance with the same share.")
    print(
        "weights   curvature   decay    low   high   share       by the loss"
        "          borrowed"
    )
    cases = [
        (f"{number:7d}   {1:9d}", np.ones(number), np.ones(number))
        for number in (1, 10, 100, 1000)
    ]
    spread = np.geomspace(0.01, 10, 100)
    cases.append((f"{100:7d}   0.01 - 10", spread, np.ones(100)))
    cases.append((f"{100:7d}   0.01-10 *", spread, np.sqrt(spread)))
    for decay, (name, curvatures, noise), (low, high) in itertools.product(
        (0.99, 0.9), cases, ((0.95, 0.9), (0.9, 0.95))
    ):
        chains = min(max(numbers // len(curvatures), 2), 1000)
        size = {"decay": decay, "chains": chains, "warmup": warmup, "steps": steps}
        found = [
            simulate(curvatures, rate, low, high, noise, phase=phase, **size)
            for phase in ("loss", "borrowed")
        ]
        share = float(found[0].low_loss_share.mean)
        by_chance = [
            switched_moments(curvature, rate, low, high, share, each).w_squared
            for curvature, each in zip(curvatures, noise, strict=True)
        ]
        loss = np.dot(curvatures, by_chance) / 2
        by_loss, borrowed = (
            f"{each.loss.mean / loss:.4f} ± {each.loss.standard_error / loss:.4f}"
            for each in found
        )
        cells = (name, f"{decay:5g}", f"{low:4g}", f"{high:4g}", f"{share:5.3f}")
        print(*cells, f"{by_loss:>15}", f"{borrowed:>15}", sep="   ")


def _estimate(numbers: NDArray[np.float64]) -> Estimate:
    """Mean over the chains, the first axis."""
    deviation = np.std(numbers, axis=0, ddof=1)
    return Estimate(np.mean(numbers, axis=0), deviation / np.sqrt(len(numbers)))


if __name__ == "__main__":
    print_tables()

"""What runs over several seeds can tell about the difference of two arms.

Seeds are the sample. Runs of two arms with one seed share initial weights and batches,
so their differences are paired.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
import scipy.stats

LEVEL = 0.05  # of significance: intervals are of 95 %
Tail = Callable[[float, int, int], float]  # of t, comparisons, degrees of freedom
POWER = 0.8  # chance that a true difference as large as detectable is found


class Difference(NamedTuple):
    """How an arm's numbers differ from a reference arm's, over the same seeds.

    All but the mean are NaN with one seed, and where the differences of all seeds are
    equal: a sign of coarse numbers, not of certainty. Where all are 0, so are the half
    widths.

    Attributes:
      mean: of the differences; below 0, the arm's are smaller.
      half_width: of the 95 % interval; the intervals of a family of comparisons all
        hold together with a chance of 95 %.
      half_width_90: of the 90 % interval of this comparison alone.
      p_value: two-sided, corrected for the family.
      num_seeds: pairs.
      detectable: the smallest true difference whose interval excludes 0 with a chance
        of 80 %.
      deviation: the standard deviation of the number of one run, without what a seed
        does to all arms.
      method: "two-way" or "paired".
    """

    mean: float
    half_width: float
    half_width_90: float
    p_value: float
    num_seeds: int
    detectable: float
    deviation: float
    method: str


def mean(numbers: Sequence[float]) -> float:
    """The mean; NaN if a number is."""
    # `sum` rounds otherwise in Python 3.12 than before.
    return math.fsum(numbers) / len(numbers)


def compare_family(table: pd.DataFrame, reference: str) -> dict[str, Difference]:
    """Compares all arms with one, over the seeds that both have: a family.

    The numbers are [seeds, arms], NaN where an arm was not run. Where every seed has
    all arms and the spreads of the differences agree, the arms share one spread, that
    of the two-way table, and the test is Dunnett's (1955, "A multiple comparison
    procedure for comparing several treatments with a control"). Otherwise each has its
    own, by a paired t-test with Bonferroni's correction. Of one arm both are the paired
    t-test.
    """
    differences = table.drop(columns=reference).sub(table[reference], axis=0)
    differences = differences.dropna(axis="columns", how="all")
    # Equal differences of decimal fractions differ in their last bits.
    differences[differences.abs() < 1e-9 * table.abs().max(axis=None)] = 0.0
    number = int((differences.count() > 1).sum())
    shared = None
    if not differences.isna().any(axis=None) and spreads_agree(differences.to_numpy()):
        arms = table[[reference, *differences]]
        left = arms.sub(arms.mean(axis=1), axis=0).sub(
            arms.mean() - arms.stack().mean()
        )
        shared = (len(arms) - 1) * number, float((left**2).sum(axis=None))
    return {
        arm: _difference(known.dropna().to_numpy(), number, shared)
        for arm, known in differences.items()
    }


def _difference(
    differences: np.ndarray, number: int, shared: tuple[int, float] | None
) -> Difference:
    """One of `number` comparisons; `shared` are degrees of freedom and squares left."""
    num_seeds, mean = len(differences), float(np.mean(differences))
    method = "two-way" if shared and number > 1 else "paired"
    if num_seeds == 1:
        return Difference(mean, *3 * [math.nan], 1, *2 * [math.nan], method)
    if np.ptp(differences) <= 1e-9 * np.max(np.abs(differences)):
        half = math.nan if mean else 0.0
        return Difference(mean, half, half, math.nan, num_seeds, math.nan, half, method)
    tail = dunnett_tail if method == "two-way" else bonferroni_tail
    freedom, squares = num_seeds - 1, float(np.var(differences) * num_seeds) / 2
    if shared and method == "two-way":
        freedom, squares = shared
    deviation = math.sqrt(squares / freedom)
    error = deviation * math.sqrt(2 / num_seeds)
    critical = _critical(tail, number, freedom)
    return Difference(
        mean,
        critical * error,
        float(scipy.stats.t.ppf(0.95, freedom)) * error,
        tail(abs(mean) / error, number, freedom),
        num_seeds,
        error * _findable(critical, freedom),
        deviation,
        method,
    )


@cache
def _critical(tail: Tail, number: int, freedom: int) -> float:
    """The t-value with a tail of `LEVEL`."""
    most = 1e4 * number
    return scipy.optimize.brentq(lambda t: tail(t, number, freedom) - LEVEL, 1, most)


def bonferroni_tail(t: float, number: int, freedom: int) -> float:
    """The chance that one of several t-values is as large by chance, at most."""
    return min(1.0, 2 * number * float(scipy.stats.t.sf(t, freedom)))


def dunnett_tail(t: float, number: int, freedom: int) -> float:
    """The chance that one of several comparisons with one arm has as large a t-value.

    All arms have equally many runs and one spread, estimated with `freedom`.
    """
    points, weights = np.polynomial.legendre.leggauss(128)
    normal = 8 * points
    density = 8 * weights * np.exp(-(normal**2) / 2) / math.sqrt(2 * math.pi)
    # The spread's estimate over the true one, at its quantiles: more of the low ones.
    root = (points + 1) / 2
    spread = np.sqrt(scipy.special.chdtri(freedom, 1 - root**2) / freedom)
    reach = math.sqrt(2) * t * spread[:, np.newaxis]
    inside = scipy.special.ndtr(normal + reach) - scipy.special.ndtr(normal - reach)
    return float(weights * root @ (1 - inside**number @ density))


def spreads_agree(differences: np.ndarray) -> bool:
    """Whether chance may make the spreads of [seeds, arms] as unequal as they are.

    The ratio of the largest and the smallest deviation is compared with those of 2,000
    studies in which all arms spread alike, by the level of 0.05.
    """
    seeds, arms = differences.shape
    if seeds < 2 or arms < 2:
        return False

    def ratio(drawn: np.ndarray) -> np.ndarray:
        spreads = np.std(drawn, axis=-2)
        least = np.maximum(np.min(spreads, axis=-1), 1e-300)
        return np.max(spreads, axis=-1) / least

    runs = np.random.default_rng(0).standard_normal((2000, seeds, arms + 1))
    by_chance = ratio(runs[..., 1:] - runs[..., :1])
    return float(np.mean(by_chance >= ratio(differences))) > LEVEL


def difference_p(differences: Sequence[float]) -> float:
    """The p-value of a mean difference that is not 0, two-sided (Student's t).

    NaN with one difference, or if all are equal.
    """
    if len(differences) < 2 or np.ptp(differences) <= 1e-9 * np.max(
        np.abs(differences)
    ):
        return math.nan
    return float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)


def equivalence_p(differences: Sequence[float], margin: float) -> float:
    """The p-value of the claim that a mean difference is within a margin, above 0.

    Two one-sided t-tests (TOST), each against one end of the margin. The larger p-value
    counts (Schuirmann, 1987, "A comparison of the two one-sided tests procedure and the
    power approach for assessing the equivalence of average bioavailability"). NaN with
    one difference, or if all are equal.
    """
    if len(differences) < 2 or np.ptp(differences) < 1e-9 * margin:
        return math.nan
    below = scipy.stats.ttest_1samp(differences, margin, alternative="less").pvalue
    above = scipy.stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    return float(max(below, above))


def estimate(numbers: Sequence[float]) -> tuple[float, float, float]:
    """Mean, standard deviation, and half the 95 % interval of the mean (Student's t).

    With one number, the last two are NaN.
    """
    mean = float(np.mean(numbers))
    if len(numbers) == 1:
        return mean, np.nan, np.nan
    deviation = float(np.std(numbers, ddof=1))
    return mean, deviation, half_width(deviation, len(numbers))


def half_width(
    deviation: float, num_seeds: int, confidence: float = 1 - LEVEL
) -> float:
    """Half the interval of a mean (Student's t); NaN with one seed or none."""
    if num_seeds <= 1:
        return math.nan
    critical = scipy.stats.t.ppf(0.5 + confidence / 2, num_seeds - 1)
    return float(critical * deviation / np.sqrt(num_seeds))


def _findable(critical: float, freedom: int) -> float:
    """By how many standard errors arms must differ to be told with `POWER`."""

    def missing_power(effect: float) -> float:
        return float(scipy.stats.nct.sf(critical, freedom, effect)) - POWER

    # Where the mean is ten times as large as it must be, the power is nearly 1.
    return float(scipy.optimize.brentq(missing_power, 0, 10 * (critical + 3)))


def fieller(
    numerators: Sequence[float], denominators: Sequence[float]
) -> tuple[float, float, float]:
    """The ratio of two means over the same seeds, and both ends of its 95 % interval.

    The interval holds the ratios r with a mean of numerator - r * denominator that a
    t-test does not tell from 0 (Fieller, 1954, "Some problems in interval estimation").
    Its ends are infinite where the mean of the denominators may be 0.
    """
    x, y = np.asarray(numerators, float), np.asarray(denominators, float)
    (xx, xy), (_, yy) = np.cov(x, y)
    factor = scipy.stats.t.ppf(1 - LEVEL / 2, len(x) - 1) ** 2 / len(x)
    # Of a * r**2 - 2 * b * r + c <= 0.
    a = np.mean(y) ** 2 - factor * yy
    b = np.mean(x) * np.mean(y) - factor * xy
    c = np.mean(x) ** 2 - factor * xx
    ratio = float(np.mean(x) / np.mean(y))
    if a <= 0:
        return ratio, -math.inf, math.inf
    root = math.sqrt(max(b**2 - a * c, 0.0))
    return ratio, float((b - root) / a), float((b + root) / a)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number: Holm's step-down method.

    The chance of calling any difference real that is not stays below the level, however
    the comparisons depend on each other (Holm, 1979, "A simple sequentially rejective
    multiple test procedure"). NaN counts as a comparison, and stays.
    """
    numbers = np.asarray(p_values, np.float64)
    order = np.argsort(numbers)  # NaN last
    factors = np.arange(len(numbers), 0, -1)
    stepped = np.maximum.accumulate(np.minimum(factors * numbers[order], 1.0))
    corrected = np.empty_like(numbers)
    corrected[order] = stepped
    return corrected.tolist()

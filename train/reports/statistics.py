"""What runs over several seeds can tell about the difference of two arms.

Seeds are the sample. Runs of two arms with one seed share initial weights and batches,
so their differences are paired.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.stats

LEVEL = 0.05  # of significance: intervals are of 95 %
POWER = 0.8  # chance that a true difference as large as detectable is found


class Difference(NamedTuple):
    """How an arm's numbers differ from a reference arm's, over the same seeds.

    Attributes:
      mean: of the differences; below 0, the arm's are smaller.
      half_width: of the 95 % interval (Student's t); NaN with one seed.
      p_value: of the paired t-test, two-sided, uncorrected; NaN with one seed, or if
        all differences are equal: a sign of coarse numbers, not of certainty.
      num_seeds: pairs.
      detectable: the smallest true difference that as many seeds find significant with
        a chance of 80 %, at the level divided by the number of comparisons; NaN with
        one seed, or if all differences are equal.
    """

    mean: float
    half_width: float
    p_value: float
    num_seeds: int
    detectable: float


def mean(numbers: Sequence[float]) -> float:
    """The mean; NaN if a number is."""
    # `sum` rounds otherwise in Python 3.12 than before.
    return math.fsum(numbers) / len(numbers)


def paired_difference(
    numbers: Sequence[float], reference: Sequence[float], *, comparisons: int = 1
) -> Difference:
    """Compares an arm with a reference, seed by seed, in one of several comparisons."""
    numbers, reference = np.asarray(numbers, float), np.asarray(reference, float)
    differences = numbers - reference
    num_seeds = len(differences)
    mean = float(np.mean(differences))
    if num_seeds == 1:
        return Difference(mean, np.nan, np.nan, 1, np.nan)
    deviation = float(np.std(differences, ddof=1))
    # Equal differences of decimal fractions differ in their last bits.
    if deviation <= 1e-9 * max(np.max(np.abs(numbers)), np.max(np.abs(reference))):
        return Difference(mean, 0.0, np.nan, num_seeds, np.nan)
    interval = scipy.stats.ttest_1samp(differences, 0.0)
    low, high = interval.confidence_interval(1 - LEVEL)
    return Difference(
        mean,
        float(high - low) / 2,
        float(interval.pvalue),
        num_seeds,
        detectable(deviation, num_seeds, LEVEL / comparisons),
    )


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


def detectable(deviation: float, num_seeds: int, level: float = LEVEL) -> float:
    """The smallest true difference that a paired t-test finds with a chance of `POWER`.

    The standard deviation is that of the differences of at least 2 pairs.
    """
    freedom, root = num_seeds - 1, np.sqrt(num_seeds)
    critical = scipy.stats.t.ppf(1 - level / 2, freedom)

    def missing_power(effect: float) -> float:
        return scipy.stats.nct.sf(critical, freedom, effect * root) - POWER

    # Where the mean is ten times as large as it must be, the power is nearly 1.
    most = 10 * (critical + 3) / root
    return deviation * float(scipy.optimize.brentq(missing_power, 0, most))


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

"""What runs over several seeds can tell about the difference of two arms.

Seeds are the sample. Runs of two arms with one seed share initial weights and batches,
so their differences are paired.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.integrate
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


def paired_difference(
    numbers: Sequence[float], reference: Sequence[float], *, comparisons: int = 1
) -> Difference:
    """Compares an arm with a reference, seed by seed.

    Args:
      numbers: of the arm, one a seed.
      reference: the reference's, in the same order of seeds.
      comparisons: how many are made together.

    Raises:
      ValueError: they have not as many seeds, or none.
    """
    if len(numbers) != len(reference) or len(numbers) == 0:
        raise ValueError(
            f"pairs are needed, got {len(numbers)} and {len(reference)} numbers."
        )
    differences = np.subtract(numbers, reference, dtype=np.float64)
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
    """The p-value of the claim that a mean difference is within a margin.

    Two one-sided t-tests (TOST), each against one end of the margin. The larger p-value
    counts (Schuirmann, 1987, "A comparison of the two one-sided tests procedure and the
    power approach for assessing the equivalence of average bioavailability").

    Args:
      differences: one a seed, or one a pair of seeds.
      margin: differences below it, in either direction, count as none; above 0.

    Returns:
      The p-value; NaN with one difference, or if all are equal.
    """
    if len(differences) < 2 or np.ptp(differences) < 1e-9 * margin:
        return math.nan
    below = scipy.stats.ttest_1samp(differences, margin, alternative="less").pvalue
    above = scipy.stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    return float(max(below, above))


def summarize(numbers: Sequence[float]) -> tuple[float, float, float]:
    """Mean, standard deviation, and half the 95 % interval of the mean (Student's t).

    Args:
      numbers: one a seed, at least one. With one the last two are NaN.
    """
    num_seeds = len(numbers)
    mean = float(np.mean(numbers))
    if num_seeds == 1:
        return mean, np.nan, np.nan
    deviation = float(np.std(numbers, ddof=1))
    return mean, deviation, half_width(deviation, num_seeds)


def half_width(
    deviation: float, num_seeds: int, confidence: float = 1 - LEVEL
) -> float:
    """Half the interval of a mean (Student's t); NaN with one seed.

    Args:
      deviation: standard deviation of the numbers.
      num_seeds: how many there are.
      confidence: of the interval.
    """
    if num_seeds == 1:
        return math.nan
    critical = scipy.stats.t.ppf(0.5 + confidence / 2, num_seeds - 1)
    return float(critical * deviation / np.sqrt(num_seeds))


def detectable(deviation: float, num_seeds: int, level: float = LEVEL) -> float:
    """The smallest true difference that a paired t-test finds with a chance of `POWER`.

    Args:
      deviation: standard deviation of the differences, as it was seen.
      num_seeds: pairs, at least 2.
      level: of significance.
    """
    freedom, root = num_seeds - 1, np.sqrt(num_seeds)
    critical = scipy.stats.t.ppf(1 - level / 2, freedom)

    def missing_power(effect: float) -> float:
        return scipy.stats.nct.sf(critical, freedom, effect * root) - POWER

    # Where the mean is ten times as large as it must be, the power is nearly 1.
    most = 10 * (critical + 3) / root
    return deviation * float(scipy.optimize.brentq(missing_power, 0, most))


def equivalence_power(
    deviation: float, num_seeds: int, margin: float, level: float = LEVEL
) -> float:
    """The chance that two one-sided t-tests find two equal arms equivalent.

    Args:
      deviation: standard deviation of the paired differences.
      num_seeds: pairs, at least 2.
      margin: differences below it, in either direction, count as none.
      level: of each of the two tests.
    """
    freedom, root = num_seeds - 1, np.sqrt(num_seeds)
    critical = scipy.stats.t.ppf(1 - level, freedom)

    def found(ratio: float) -> float:
        """Given the ratio of the deviation that is seen to the true one."""
        reach = margin * root / deviation - critical * ratio
        seen = scipy.stats.chi.pdf(ratio * np.sqrt(freedom), freedom)
        return max(2 * scipy.stats.norm.cdf(reach) - 1, 0.0) * seen * np.sqrt(freedom)

    most = margin * root / (deviation * critical)
    return scipy.integrate.quad(found, 0, most, limit=200, points=[min(1.0, most)])[0]


def fieller(
    numerators: Sequence[float], denominators: Sequence[float]
) -> tuple[float, float, float]:
    """The ratio of two means over the same seeds, with its 95 % interval.

    The interval holds the ratios r with a mean of numerator - r * denominator that a
    t-test does not tell from 0 (Fieller, 1954, "Some problems in interval estimation").

    Args:
      numerators: one a seed, at least two.
      denominators: the same.

    Returns:
      The ratio and both ends; infinite ends where the mean of the denominators may
      be 0.
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
    multiple test procedure").

    Args:
      p_values: in [0, 1]; NaN counts as a comparison, and stays.

    Returns:
      The corrected ones, in the order given.
    """
    numbers = np.asarray(p_values, np.float64)
    order = np.argsort(numbers)  # NaN last
    factors = np.arange(len(numbers), 0, -1)
    stepped = np.maximum.accumulate(np.minimum(factors * numbers[order], 1.0))
    corrected = np.empty_like(numbers)
    corrected[order] = stepped
    return corrected.tolist()


def signed(number: float, spec: str = "+.2f") -> str:
    """A number; where rounding makes a zero of it, without a sign."""
    written = format(number, spec)
    is_zero = not any(digit in written for digit in "123456789")
    return written.lstrip("+-") if is_zero else written


def verdict(difference: Difference, corrected_p: float, *, unit: str = "") -> str:
    """A difference in plain words; smaller is better.

    Args:
      difference: of an arm from a reference.
      corrected_p: its p-value, corrected for the number of comparisons.
      unit: of the numbers, as in "points".
    """
    unit = f" {unit}" if unit else ""
    mean, half_width = difference.mean, difference.half_width
    if difference.num_seeds == 1:
        return f"{signed(mean)}{unit} with one seed, which is no evidence"
    shown = (
        f"{signed(mean)}{unit}, 95 % interval {signed(mean - half_width)} to "
        f"{signed(mean + half_width)} ({difference.num_seeds} seeds), "
    )
    words = short_verdict(difference, corrected_p)
    if np.isnan(corrected_p):
        return shown + words
    if corrected_p >= LEVEL:
        seen = min(difference.detectable, 100)  # no error is larger
        words += f" (a true difference of {seen:.2f} would be seen 4 times in 5)"
    return f"{shown}p = {corrected_p:.2g}: {words}"


def short_verdict(difference: Difference, corrected_p: float) -> str:
    """`verdict` without its numbers."""
    if difference.num_seeds == 1:
        return "one seed: no evidence"
    if np.isnan(corrected_p):
        return "all differences equal: can't tell which is better"
    if corrected_p < LEVEL:
        return "better" if difference.mean < 0 else "worse"
    return "can't tell which is better"

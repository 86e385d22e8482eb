"""Statistics of repeated runs: means with confidence intervals, ratios and differences pair by pair.

Only the standard library is used. Student's quantiles come from the regularised incomplete beta function
(continued fraction by Lentz's method: Press et al., "Numerical Recipes", 3rd edition, section 6.4) and
bisection; they agree with published tables to six digits. Bootstrap intervals are percentile intervals (Efron
and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3).

Runs of two policies on the same seed share what that seed decides, so their difference (or the logarithm of
their ratio) has a smaller variance than either: paired intervals are narrower than two separate ones (common
random numbers; Law, "Simulation Modeling and Analysis", section 11.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, inf, isfinite, lgamma, log, log1p, sqrt
from statistics import fmean, stdev
from typing import Final, NamedTuple

from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000


class Interval(NamedTuple):
    """An estimate with its confidence interval.

    Attributes:
        value: the estimate.
        low, high: the interval; infinite when one run says nothing about the spread.
        runs: values, or pairs of them, that it rests on.
    """

    value: float
    low: float
    high: float
    runs: int

    def __str__(self) -> str:
        if not isfinite(self.low) or not isfinite(self.high):
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside of the interval: the difference from it is significant."""
        return value < self.low or value > self.high


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of independent runs with Student's interval.

    Args:
        values: at least one.
        confidence: 0 < confidence < 1.

    Raises:
        ConfigError: no value, or an impossible confidence.
    """
    _check(values, confidence)
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, -inf, inf, 1)
    half = student_quantile((1 + confidence) / 2, len(values) - 1) * stdev(values) / sqrt(len(values))
    return Interval(mean, mean - half, mean + half, len(values))


def paired_difference(
    values: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of value minus baseline, pair by pair, with Student's interval.

    Raises:
        ConfigError: no pairs, or not as many values as baselines.
    """
    _check_pairs(values, baseline)
    return mean_interval([value - base for value, base in zip(values, baseline, strict=True)], confidence)


def geometric_ratio(
    values: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Return the geometric mean of value / baseline, pair by pair, with Student's interval of the logarithms.

    Raises:
        ConfigError: no pairs, not as many values as baselines, or one that is not above 0.
    """
    _check_pairs(values, baseline)
    for value in (*values, *baseline):
        if not value > 0:
            raise ConfigError(f"a ratio needs values above 0, one is {value}")
    interval = mean_interval(
        [log(value / base) for value, base in zip(values, baseline, strict=True)], confidence
    )
    return Interval(_exp(interval.value), _exp(interval.low), _exp(interval.high), interval.runs)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of values above 0.

    Raises:
        ConfigError: no value, or one that is not above 0.
    """
    if not values or not all([value > 0 for value in values]):
        raise ConfigError("a geometric mean needs at least one value, all above 0")
    return exp(fmean([log(value) for value in values]))


def bootstrap_interval(
    values: Sequence[float],
    rng: Rng,
    statistic: Callable[[Sequence[float]], float] = fmean,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return a statistic with its percentile interval over resampled values.

    For medians, maxima and other statistics that Student's interval does not fit.

    Args:
        values: independent runs, at least one.
        rng: for the resampling.
        statistic: of a list of values.
        confidence: 0 < confidence < 1.
        resamples: how often, >= 100.

    Raises:
        ConfigError: a parameter out of its range.
    """
    _check(values, confidence)
    if resamples < 100:
        raise ConfigError(f"resamples is {resamples}, it must be at least 100")
    count = len(values)
    if count == 1:
        return Interval(statistic(values), -inf, inf, 1)
    found = sorted([statistic([values[rng.below(count)] for _ in range(count)]) for _ in range(resamples)])
    tail = (1 - confidence) / 2
    return Interval(statistic(values), quantile(found, tail), quantile(found, 1 - tail), count)


def quantile(rising: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies, interpolated (Hyndman and Fan's type 7).

    Raises:
        ConfigError: no value, or a share outside of 0 to 1.
    """
    if not rising or not 0 <= share <= 1:
        raise ConfigError(f"a quantile needs values and a share in 0 to 1, not {share}")
    place = share * (len(rising) - 1)
    below = min(int(place), len(rising) - 2) if len(rising) > 1 else 0
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (place - below) * (rising[above] - rising[below])


def student_quantile(share: float, freedom: int) -> float:
    """Return the value below which a share of Student's t distribution lies.

    Args:
        share: 0 < share < 1.
        freedom: degrees of freedom, >= 1.

    Raises:
        ConfigError: a parameter out of its range.
    """
    if not 0 < share < 1 or freedom < 1:
        raise ConfigError(f"0 < share < 1 and freedom >= 1 are wanted, not {share} and {freedom}")
    if share < 0.5:
        return -student_quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while student_share(high, freedom) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if student_share(middle, freedom) < share:
            low = middle
        else:
            high = middle
    return high


def student_share(value: float, freedom: int) -> float:
    """Return the share of Student's t distribution that lies below a value."""
    tail = 0.5 * _beta_share(freedom / 2, 0.5, freedom / (freedom + value * value))
    return 1 - tail if value > 0 else tail


def _beta_share(first: float, second: float, value: float) -> float:
    """Return the regularised incomplete beta function."""
    if value <= 0 or value >= 1:
        return 0.0 if value <= 0 else 1.0
    scale = exp(
        lgamma(first + second) - lgamma(first) - lgamma(second) + first * log(value) + second * log1p(-value)
    )
    if value < (first + 1) / (first + second + 2):
        return scale * _beta_fraction(first, second, value) / first
    return 1 - scale * _beta_fraction(second, first, 1 - value) / second


def _beta_fraction(first: float, second: float, value: float) -> float:
    """Return the continued fraction of the incomplete beta function by Lentz's method."""
    tiny = 1e-300
    numerator = 1.0
    denominator = _away_from_zero(1 - (first + second) * value / (first + 1), tiny)
    fraction = 1 / denominator
    denominator = fraction
    for step in range(1, 10_000):
        twice = first + 2 * step
        even = step * (second - step) * value / ((twice - 1) * twice)
        odd = -(first + step) * (first + second + step) * value / (twice * (twice + 1))
        change = 1.0
        for term in (even, odd):
            denominator = 1 / _away_from_zero(1 + term * denominator, tiny)
            numerator = _away_from_zero(1 + term / numerator, tiny)
            change = denominator * numerator
            fraction *= change
        if abs(change - 1) < 1e-15:
            break
    return fraction


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _exp(value: float) -> float:
    return inf if value > 700 else exp(value)


def _check(values: Sequence[float], confidence: float) -> None:
    if not values:
        raise ConfigError("an interval needs at least one value")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}, it must be between 0 and 1")


def _check_pairs(values: Sequence[float], baseline: Sequence[float]) -> None:
    if not values or len(values) != len(baseline):
        raise ConfigError(f"pairs are wanted, not {len(values)} values and {len(baseline)} baselines")

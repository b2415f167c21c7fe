"""Statistics of a latency report. What they mean is stated in docs/bench.md; a station has no scipy.

Successive latencies of one process are correlated, and each process has a speed of its own. Intervals are therefore
computed between rounds (fresh processes), from one value a round, on the logarithm of the latency. Rounds that follow
each other within seconds are correlated too, because other work on the machine lasts longer than a round; the standard
error of their mean is widened for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
POWER = 0.8  # of the smallest detectable change
# What changes between two measurements and is not seen within either, such as other work that lasts for minutes:
# standard deviation of the logarithm, from repeated reports (benchmarks/results/2026-11-29-coverage.md).
DRIFT = 0.06
MAX_CORRELATION = 0.8  # of consecutive rounds; above it ten rounds say nothing about their mean
NORMAL = 1.959964  # quantile of the normal distribution for `CONFIDENCE`
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Interval:
    """low and high: 95 % interval in which a repetition of the whole measurement lies, with as many rounds."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half width as a share of the value."""
        return (self.high - self.low) / 2 / self.value


@dataclass(frozen=True, slots=True)
class Change:
    """Relative change between two measurements, 0.1 for 10 % more.

    p_value: two-sided, of no change. detectable: the smallest change that this data shows with a probability of 80 %.
    """

    value: float
    low: float
    high: float
    p_value: float
    detectable: float


def min_samples(share: float) -> int:
    """Independent samples that a two-sided 95 % interval of a percentile needs: 368 for 0.99, 3,688 for 0.999.

    With fewer, all samples lie below the percentile with a probability of more than 2.5 %.
    """
    return math.ceil(math.log(TAIL) / math.log(max(share, 1 - share)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank in a sorted sequence."""
    return ordered[max(math.ceil(len(ordered) * share - 1e-9), 1) - 1]


def independent_samples(rounds: Sequence[Sequence[float]], share: float) -> float:
    """How many independent samples the correlated ones of these rounds count as, for a percentile.

    n (1 - r) / (1 + r), with r the lag-1 autocorrelation, within rounds, of "at or above the percentile".
    """
    total = sum(map(len, rounds))
    if not total:
        return 0.0
    bound = percentile(sorted(value for values in rounds for value in values), share)
    above = [[value >= bound for value in values] for values in rounds]
    mean = sum(map(sum, above)) / total
    variance = mean * (1 - mean)
    pairs = [(a, b) for values in above for a, b in pairwise(values)]
    if not pairs or variance == 0:
        return float(total)
    r = sum((a - mean) * (b - mean) for a, b in pairs) / len(pairs) / variance
    r = min(max(r, 0.0), 1 - 1 / total)
    return total * (1 - r) / (1 + r)


def between_rounds(values: Sequence[float], drift: float = DRIFT) -> Interval | None:
    """Geometric mean of one positive value per round, and its interval; None for fewer than two rounds.

    values: in the order of the rounds. drift: see `DRIFT`; 0 for what the rounds alone tell.
    """
    if len(values) < 2 or min(values) <= 0:
        return None
    mean, error = _mean_and_error([math.log(value) for value in values])
    half = math.sqrt(2) * math.hypot(t_quantile(1 - TAIL, len(values) - 1) * error, NORMAL * drift)
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def correlation(values: Sequence[float]) -> float:
    """Correlation of consecutive values, 0 to `MAX_CORRELATION`.

    The estimate from n values is too small by about (1 + 4 r) / n (Marriott and Pope, 1954); that is added.
    """
    mean, variance = _moments(values)
    if variance == 0:
        return 0.0
    n = len(values)
    r = math.fsum((a - mean) * (b - mean) for a, b in pairwise(values)) / (variance * (n - 1))
    return min(max(r + (1 + 4 * max(r, 0.0)) / n, 0.0), MAX_CORRELATION)


def unpaired_change(old: Sequence[float], new: Sequence[float]) -> Change | None:
    """Change from the rounds of one report to those of another, by Welch's test; None for fewer than two rounds.

    The rounds of each are in the order in which they were made.
    """
    if min(len(old), len(new)) < 2 or min(*old, *new) <= 0:
        return None
    old_mean, old_error = _mean_and_error([math.log(value) for value in old])
    new_mean, new_error = _mean_and_error([math.log(value) for value in new])
    a, b = old_error**2, new_error**2
    freedom = (a + b) ** 2 / (a**2 / (len(old) - 1) + b**2 / (len(new) - 1)) if a + b > 0 else len(old) + len(new) - 2.0
    return _change(new_mean - old_mean, math.sqrt(a + b), freedom)


def paired_change(old: Sequence[float], new: Sequence[float]) -> Change | None:
    """Change from rounds that took turns; None for fewer than two pairs. Raises ValueError for unequal lengths."""
    logs = [math.log(b / a) for a, b in zip(old, new, strict=True)] if min(*old, *new, 1) > 0 else []
    if len(logs) < 2:
        return None
    mean, variance = _moments(logs)
    return _change(mean, math.sqrt(variance / len(logs)), len(logs) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min((len(p_values) - rank) * p_values[index], 1.0))
        adjusted[index] = largest
    return adjusted


def share_interval(hits: int, total: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper and Pearson)."""
    low = _root(lambda x: beta_cdf(x, hits, total - hits + 1) - TAIL, 0.0, 1.0) if hits else 0.0
    high = _root(lambda x: beta_cdf(x, hits + 1, total - hits) - 1 + TAIL, 0.0, 1.0) if hits < total else 1.0
    return low, high


def t_quantile(share: float, freedom: float) -> float:
    """Quantile of Student's t."""
    if share < 0.5:
        return -t_quantile(1 - share, freedom)
    top = 1.0
    while t_cdf(top, freedom) < share:
        top *= 2
    return _root(lambda x: t_cdf(x, freedom) - share, 0.0, top)


def t_cdf(value: float, freedom: float) -> float:
    """Distribution function of Student's t."""
    tail = 0.5 * beta_cdf(freedom / (freedom + value * value), freedom / 2, 0.5)
    return 1 - tail if value >= 0 else tail


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        factor = 1.0
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            factor = c * d
            result *= factor
        if abs(factor - 1) < 1e-14:
            break
    return front * result / a


def _change(difference: float, error: float, freedom: float) -> Change:
    """A difference of logarithms with its standard error, as a relative change."""
    if error == 0:
        certain = math.expm1(difference)
        return Change(certain, certain, certain, float(difference == 0), 0.0)
    half = t_quantile(1 - TAIL, freedom) * error
    p_value = 2 * (1 - t_cdf(abs(difference) / error, freedom))
    detectable = half + t_quantile(POWER, freedom) * error
    low, high = math.expm1(difference - half), math.expm1(difference + half)
    return Change(math.expm1(difference), low, high, min(p_value, 1.0), math.expm1(detectable))


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, with the correlation of consecutive values."""
    mean, variance = _moments(values)
    r = correlation(values)
    return mean, math.sqrt(variance / len(values) * (1 + r) / (1 - r))


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY

"""The statistics of latency reports: against scipy, and on made samples."""

import math

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # scipy publishes no types

from seisedge.runtime.bench.intervals import (
    beta_cdf,
    between_rounds,
    correlation,
    holm,
    independent_samples,
    min_samples,
    paired_change,
    percentile,
    share_interval,
    t_cdf,
    t_quantile,
    unpaired_change,
)


@pytest.mark.parametrize("freedom", [1, 2.5, 9, 29, 300])
def test_t_as_scipy(freedom: float) -> None:
    for share in (0.01, 0.4, 0.5, 0.8, 0.975, 0.9999):
        assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-6, abs=1e-9)
    for value in (-30.0, -2.0, 0.0, 0.3, 4.0):
        assert t_cdf(value, freedom) == pytest.approx(stats.t.cdf(value, freedom), rel=1e-8, abs=1e-12)


def test_beta_and_shares_as_scipy() -> None:
    for x, a, b in ((0.1, 2.0, 3.0), (0.9, 0.5, 40.0), (0.5, 300.0, 299.0), (0.999, 700.0, 1.0)):
        assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-9)
    for hits, total in ((0, 50), (3, 300), (27, 30), (30, 30)):
        exact = stats.binomtest(hits, total).proportion_ci(0.95, "exact")
        assert share_interval(hits, total) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(("share", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_samples_that_a_percentile_needs(share: float, n: int) -> None:
    """With n samples, the smallest and the largest enclose the percentile with 97.5 % on each side."""
    assert min_samples(share) == n
    assert share**n <= 0.025 < share ** (n - 1)


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(k) for k in range(1, 101)]
    assert [percentile(values, p) for p in (0.0, 0.5, 0.99, 0.999, 1.0)] == [1, 50, 99, 100, 100]


def test_correlated_samples_count_less() -> None:
    random = np.random.default_rng(1)
    alone = random.random((4, 2000))
    assert independent_samples(alone.tolist(), 0.9) > 0.85 * alone.size
    repeated = np.repeat(random.random((4, 200)), 10, axis=1)  # each value ten times in a row
    assert independent_samples(repeated.tolist(), 0.9) == pytest.approx(repeated.size / 19, rel=0.3)
    assert independent_samples([[1.0] * 50], 0.9) == 50


def test_nine_of_ten_repetitions_lie_in_the_interval() -> None:
    """The interval is for a repetition, so it is wider than that of the mean: each round has a speed of its own."""
    random = np.random.default_rng(2)
    reports = np.exp(random.normal(0.0, 0.3, (600, 10)))
    inside = 0
    for first, second in zip(reports[::2], reports[1::2], strict=True):
        interval, later = (between_rounds(each.tolist(), drift=0.0) for each in (first, second))
        assert interval is not None and later is not None
        inside += interval.low <= later.value <= interval.high
    assert 0.92 < inside / 300 < 0.98
    assert between_rounds([1.0]) is None
    steady = between_rounds([2.0, 2.0, 2.0])
    assert steady is not None and steady.half_width == pytest.approx(math.sqrt(2) * 1.96 * 0.06, rel=0.02)
    alone = between_rounds([2.0, 2.0, 2.0], drift=0.0)
    assert alone is not None and (alone.low, alone.high) == pytest.approx((2.0, 2.0))


def _alternating(values: np.ndarray) -> np.ndarray:
    """In an order without positive correlation: the smallest, the largest, the second smallest …"""
    ordered, half = np.sort(values), len(values) // 2
    return np.stack([ordered[:half], ordered[::-1][:half]], axis=1).ravel()


def _drifting(random: np.random.Generator, reports: int) -> np.ndarray:
    """(reports, 10): logarithms of rounds of which each keeps half of the deviation of the one before."""
    rounds = np.zeros((reports, 30))
    noise = random.normal(0.0, 0.3, rounds.shape)
    for k in range(1, 30):
        rounds[:, k] = 0.5 * rounds[:, k - 1] + noise[:, k]
    return rounds[:, 20:]


def test_correlation_of_consecutive_rounds() -> None:
    random = np.random.default_rng(4)
    found = [correlation(rounds.tolist()) for rounds in _drifting(random, 500)]
    assert np.median(found) == pytest.approx(0.5, abs=0.1)
    alone = [correlation(rounds.tolist()) for rounds in random.normal(0.0, 0.3, (500, 10))]
    assert np.median(alone) < 0.1 and min(alone) >= 0
    assert correlation([1.0, 1.0, 1.0]) == 0 and correlation(list(range(100))) == 0.8
    assert correlation(_alternating(random.normal(size=10)).tolist()) == 0


def test_correlated_rounds_do_not_make_the_interval_too_narrow() -> None:
    """Without the correlation 75 % of the later reports lie inside, and one in four of equal builds is "changed"."""
    inside = changed = 0
    logs = _drifting(np.random.default_rng(5), 400)
    for first, second in zip(np.exp(logs[::2]).tolist(), np.exp(logs[1::2]).tolist(), strict=True):
        interval, later = (between_rounds(each, drift=0.0) for each in (first, second))
        change = unpaired_change(first, second)
        assert interval is not None and later is not None and change is not None
        inside += interval.low <= later.value <= interval.high
        changed += change.p_value < 0.05
    assert inside / 200 > 0.84 and changed / 200 < 0.15


def test_changes_as_scipy() -> None:
    random = np.random.default_rng(3)
    old, new = np.exp(_alternating(random.normal(0, 0.1, 12))), np.exp(_alternating(random.normal(0.1, 0.2, 10)))
    change = unpaired_change(old.tolist(), new.tolist())
    welch = stats.ttest_ind(np.log(new), np.log(old), equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert change is not None and change.p_value == pytest.approx(welch.pvalue)
    assert (change.low, change.high) == pytest.approx((math.expm1(interval.low), math.expm1(interval.high)))
    change = paired_change(old[:10].tolist(), new.tolist())
    paired = stats.ttest_rel(np.log(new), np.log(old[:10]))
    assert change is not None and change.p_value == pytest.approx(paired.pvalue)
    assert change.low < change.value < change.high and change.detectable > 0
    with pytest.raises(ValueError, match="zip"):
        paired_change([1.0, 2.0], [1.0])


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []

import pytest

from seisedge.runtime.counters import BUCKETS_MS, Histogram


def test_a_histogram_counts_a_value_in_the_first_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram()
    for value in (0.5, 0.51, 3.0, 5000.0):
        histogram.add(value)
    histogram.add(2.0, times=3)
    assert histogram.counts[:4] == [1, 1, 3, 1] and histogram.counts[-1] == 1
    assert sum(histogram.counts) == 7 and histogram.total == pytest.approx(5010.01)
    assert len(histogram.counts) == len(BUCKETS_MS) + 1

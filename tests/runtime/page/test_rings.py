"""Rings of the page: wrapping, gaps, rounding and size."""

import numpy as np
import numpy.typing as npt
import pytest

from seisedge.runtime.page.rings import HOP_NS, MinMaxRing, ProbabilityRing, SampleRing, envelope

NS = 1_000_000_000


def _row(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_columns_wrap_and_skipped_ones_are_gaps() -> None:
    ring = MinMaxRing(10)
    ring.merge(100, _row(1, 2, 3), _row(11, 12, 13))
    ring.merge(106, _row(7), _row(17))
    found = ring.values(99, 108)
    assert found[[1, 2, 3, 7]].tolist() == [[1, 11], [2, 12], [3, 13], [7, 17]]
    assert np.isnan(found[[0, 4, 5, 6, 8]]).all()
    ring.merge(112, _row(5), _row(6))  # 103 and later remain
    assert ring.oldest == 103
    assert np.isnan(ring.values(100, 106)).all()
    assert ring.values(106, 107).tolist() == [[7, 17]]
    ring.merge(1000, _row(1), _row(2))  # a leap longer than the ring
    assert np.isnan(ring.values(990, 1000)).all() and ring.values(1000, 1001).tolist() == [[1, 2]]


def test_extremes_of_a_column_are_merged_and_late_columns_are_accepted_within_the_ring() -> None:
    ring = MinMaxRing(10)
    ring.merge(20, _row(-1), _row(1))
    ring.merge(20, _row(-3), _row(np.nan))
    ring.merge(15, _row(4), _row(5))
    ring.merge(5, _row(9, 9), _row(9, 9))  # older than the ring
    assert ring.values(20, 21).tolist() == [[-3, 1]]
    assert ring.values(15, 16).tolist() == [[4, 5]]
    assert ring.newest == 20


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -123.456, 2.0**31, -(2.0**31), 1e-6, 65505.0])
def test_extremes_have_eight_significant_bits(value: float) -> None:
    ring = MinMaxRing(4)
    ring.merge(0, _row(value), _row(value))
    assert ring.values(0, 1) == pytest.approx(np.full((1, 2), value), rel=0.004)


def test_probabilities_and_their_gaps() -> None:
    ring = ProbabilityRing(100)
    probabilities = np.linspace(0, 1, 50, dtype=np.float32).reshape(10, 5)
    ring.put(50 * HOP_NS, probabilities)
    assert ring.values(50, 60) == pytest.approx(probabilities, abs=1e-5)
    assert np.isnan(ring.values(45, 50)).all() and np.isnan(ring.values(60, 65)).all()


def test_samples_and_their_envelope() -> None:
    ring = SampleRing(100.0, 1000, 5 * NS)
    ring.put(0, np.arange(300, dtype=np.float32))
    ring.put(400, np.full(100, 7, dtype=np.float32))
    found = envelope(ring, 5 * NS, 10 * NS, 5)
    assert found[:3].tolist() == [[0, 99], [100, 199], [200, 299]]
    assert np.isnan(found[3]).all() and found[4].tolist() == [7, 7]
    assert np.isnan(envelope(ring, 0, 5 * NS, 10)).all()
    assert np.isnan(envelope(ring, 100 * NS, 105 * NS, 10)).all()
    ring.put(2000, np.ones(10, dtype=np.float32))
    assert np.isnan(ring.values(0, 1100)).all() and ring.end_ns == 5 * NS + 20_100_000_000


def test_the_array_of_a_ring_never_grows() -> None:
    ring = MinMaxRing(3600)
    before = ring.nbytes
    for first in range(0, 100_000, 500):
        ring.merge(first, np.zeros(500, dtype=np.float32), np.ones(500, dtype=np.float32))
    assert ring.nbytes == before == 3600 * 4

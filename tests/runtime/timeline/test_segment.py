import msgspec
import numpy as np
import pytest
from tests.fakes import T0_NS

from seisedge.runtime.timeline.segment import Segment, SegmentState, TrackCounters


def _put(segment: Segment, index: int, n: int, counters: TrackCounters, offset: int = 0) -> None:
    """Samples whose values are their indices (plus an offset)."""
    segment.put(index, np.arange(index, index + n, dtype=np.int32) + offset, counters)


def _indices(segment: Segment, n0: int, n1: int) -> list[int]:
    """Indices of the samples that exist in [n0, n1); their values must be the indices."""
    x, ok = segment.view(n0, n1)
    there = (n0 + np.flatnonzero(ok)).tolist()
    assert x[ok].tolist() == there
    return there


def _with_gaps() -> tuple[Segment, TrackCounters]:
    """Samples 0 to 99, 150 to 199 and 210 to 219; final up to 100."""
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    for index, n in ((0, 100), (150, 50), (210, 10)):
        _put(segment, index, n, counters)
    segment.settle(1000, counters)
    return segment, counters


def test_index_of_is_the_nearest_sample() -> None:
    segment = Segment(T0_NS, 100.0)
    assert segment.index_of(T0_NS) == 0
    assert segment.index_of(T0_NS + 10_000_000) == 1
    assert segment.index_of(T0_NS + 14_999_999) == 1
    assert segment.index_of(T0_NS + 15_000_001) == 2
    assert segment.index_of(T0_NS - 10_000_000) == -1


def test_samples_that_follow_are_final_at_once() -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    _put(segment, 0, 100, counters)
    _put(segment, 100, 50, counters)
    assert (segment.settled, segment.end) == (150, 150)
    assert _indices(segment, 0, 150) == list(range(150))
    assert counters == TrackCounters(samples=150)


@pytest.mark.parametrize(
    ("reorder_n", "settled", "counted"),
    [(121, 100, (0, 0)), (120, 200, (1, 50)), (21, 200, (1, 50)), (20, 220, (2, 60)), (0, 220, (2, 60))],
)
def test_a_gap_is_final_once_it_is_reorder_n_samples_old(
    reorder_n: int, settled: int, counted: tuple[int, int]
) -> None:
    segment, counters = _with_gaps()
    segment.settle(reorder_n, counters)
    assert segment.settled == settled
    assert (counters.gaps, counters.gap_samples) == counted


def test_invalid_samples_at_the_end_are_a_gap() -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    segment.put(0, np.array([0.0, 1.0, np.nan, np.inf]), counters)
    assert (segment.settled, segment.end) == (0, 4)
    segment.settle(0, counters)
    assert segment.settled == 4
    assert counters == TrackCounters(samples=2, gaps=1, gap_samples=2, unsound_samples=2)


def test_floats_from_1e12_on_are_invalid() -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    x = np.array([9.9e11, 1e12, -9.9e11, -1e20, np.nan])
    segment.put(0, x, counters)
    assert segment.view(0, 5)[1].tolist() == [True, False, True, False, False]
    assert segment.view(0, 5)[0].tolist() == [9.9e11, 0.0, -9.9e11, 0.0, 0.0]
    segment.put(0, x, counters)
    assert counters == TrackCounters(samples=2, duplicate_samples=2, unsound_samples=6)


def test_an_overlap_keeps_the_samples_that_came_first() -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    _put(segment, 0, 100, counters)
    _put(segment, 50, 100, counters)  # 50 of them again
    assert counters == TrackCounters(samples=150, duplicate_samples=50)
    _put(segment, 140, 20, counters, offset=1)  # 10 of them with other values
    assert counters == TrackCounters(samples=160, duplicate_samples=50, disagreeing_samples=10)
    assert _indices(segment, 0, 150) == list(range(150))
    assert segment.view(150, 160)[0].tolist() == list(range(151, 161))


def test_an_overlap_with_samples_that_are_not_final_keeps_those() -> None:
    segment, counters = _with_gaps()
    _put(segment, 140, 30, counters)
    assert counters == TrackCounters(samples=170, duplicate_samples=20)
    _put(segment, 195, 10, counters, offset=1)
    assert counters == TrackCounters(samples=175, duplicate_samples=20, disagreeing_samples=5)
    assert _indices(segment, 100, 200) == list(range(140, 200))
    _put(segment, 100, 45, counters)  # from the first sample that is not final
    assert counters == TrackCounters(samples=215, duplicate_samples=25, disagreeing_samples=5)
    assert _indices(segment, 100, 200) == list(range(100, 200))
    assert segment.end == 220


def test_samples_for_a_gap_that_is_final_are_late() -> None:
    segment, counters = _with_gaps()
    segment.settle(20, counters)
    _put(segment, 90, 70, counters)  # 10 and 10 of them again, 50 for the gap
    assert counters == TrackCounters(samples=160, gaps=2, gap_samples=60, duplicate_samples=20, late_samples=50)
    assert _indices(segment, 90, 160) == [*range(90, 100), *range(150, 160)]


def _grown() -> tuple[Segment, TrackCounters]:
    """A segment at 1 Hz that has dropped its samples before 900 and holds 3,000."""
    segment, counters = Segment(T0_NS, 1.0), TrackCounters()
    _put(segment, 0, 1000, counters)
    segment.forget(900)
    _put(segment, 1000, 2000, counters)
    return segment, counters


def test_samples_that_are_not_needed_are_dropped_when_space_is_short() -> None:
    segment, _ = _grown()
    assert segment.first == 900
    assert _indices(segment, 900, 3000) == list(range(900, 3000))


def test_what_is_dropped_stays_dropped() -> None:
    segment, counters = _grown()
    segment.forget(0)
    _put(segment, 3000, 9000, counters)
    assert segment.first == 900
    assert _indices(segment, 900, 12000) == list(range(900, 12000))


def test_samples_that_are_not_final_are_never_dropped() -> None:
    segment, counters = Segment(T0_NS, 1.0), TrackCounters()
    _put(segment, 0, 100, counters)
    _put(segment, 110, 10, counters)
    segment.forget(1000)
    _put(segment, 120, 5000, counters)
    assert segment.first == 100
    assert _indices(segment, 100, 5120) == list(range(110, 5120))


def test_samples_older_than_the_buffer_are_late() -> None:
    segment, counters = _grown()
    _put(segment, 850, 100, counters)
    assert counters == TrackCounters(samples=3000, duplicate_samples=50, late_samples=50)
    _put(segment, 0, 10, counters)
    assert counters == TrackCounters(samples=3000, duplicate_samples=50, late_samples=60)


def test_the_state_of_a_segment_holds_what_is_not_final() -> None:
    segment, _ = _with_gaps()
    segment.end_ns = T0_NS + 2_200_000_000
    state = segment.state()
    assert state == SegmentState(T0_NS, 100.0, 100, 220, [(150, 200), (210, 220)], T0_NS + 2_200_000_000)
    assert msgspec.json.decode(msgspec.json.encode(state), type=SegmentState) == state
    assert Segment(T0_NS, 100.0).state() == SegmentState(T0_NS, 100.0, 0, 0, [], T0_NS)


def test_the_state_of_a_segment_that_has_dropped_samples() -> None:
    segment, counters = _grown()
    _put(segment, 3010, 5, counters)
    state = segment.state()
    assert (state.settled, state.end, state.known) == (3000, 3015, [(3010, 3015)])


@pytest.mark.parametrize("first", [40, 100, 160])
def test_a_restored_segment_takes_the_same_decisions(first: int) -> None:
    segment, counters = _with_gaps()
    restored = Segment.from_state(segment.state(), first)
    assert restored.first == min(first, 100)
    assert restored.state() == segment.state()
    assert not restored.view(restored.first, 150)[1].any()
    for some in (segment, restored):
        _put(some, 190, 40, counters)
        some.settle(1000, counters)
    assert restored.state() == segment.state()
    settled = []
    for some in (segment, restored):
        counted = TrackCounters()
        some.settle(20, counted)
        settled.append((some.settled, counted))
    assert settled == [(230, TrackCounters(gaps=1, gap_samples=50))] * 2


def test_a_restored_segment_has_space_for_all_that_is_not_final() -> None:
    state = SegmentState(T0_NS, 100.0, 100, 40_100, [(40_000, 40_100)], T0_NS)
    restored = Segment.from_state(state, 90)
    assert restored.first == 90
    assert restored.state() == state
    counters = TrackCounters()
    _put(restored, 40_100, 20_000, counters)
    assert counters == TrackCounters(samples=20_000)
    assert _indices(restored, 40_100, 60_100) == list(range(40_100, 60_100))


@pytest.mark.parametrize(
    ("off_ns", "n", "jitters", "expected"),
    [
        (7_499_999, 10, False, True),
        (-7_499_999, 10, False, True),
        (7_500_000, 10, False, False),  # three quarters of a sample
        (-7_500_000, 10, False, False),
        (24_999_999, 100, True, True),
        (-24_999_999, 100, True, True),
        (25_000_000, 100, True, False),
        (14_999_999, 6, True, True),  # a quarter of the packet
        (15_000_000, 6, True, False),
        (7_499_999, 1, True, True),
    ],
)
def test_a_packet_follows_if_it_starts_near_the_end(off_ns: int, n: int, jitters: bool, expected: bool) -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    _put(segment, 0, 100, counters)
    segment.end_ns = T0_NS + 1_000_000_000
    assert segment.follows(segment.end_ns + off_ns, n, jitters=jitters) is expected


@pytest.mark.parametrize(("n0", "n1"), [(-5, 3), (-5, -2), (-5, 0)])
def test_there_are_no_samples_before_the_first(n0: int, n1: int) -> None:
    segment = Segment(T0_NS, 100.0)
    segment.put(0, np.array([7, 8, 9], dtype=np.int32), TrackCounters())
    x, ok = segment.view(n0, n1)
    assert x.tolist() == [0.0] * (min(n1, 0) - n0) + [7.0, 8.0, 9.0][: max(n1, 0)]
    assert ok.tolist() == [n >= 0 for n in range(n0, n1)]


def test_retiming_moves_the_end_to_the_start_of_the_packet() -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    _put(segment, 0, 100, counters)
    segment.retime(T0_NS + 1_006_000_000)
    assert segment.anchor_ns == T0_NS + 6_000_000
    assert segment.index_of(T0_NS + 1_006_000_000) == segment.end == 100


@pytest.mark.parametrize(("n0", "first"), [(-5, 0), (0, 0), (130, 130), (160, 160), (220, 220), (9999, 220)])
def test_a_trimmed_segment_is_a_copy_from_a_sample_on(n0: int, first: int) -> None:
    segment, counters = _with_gaps()
    segment.settle(50, counters)
    trimmed = segment.trimmed(n0)
    assert (trimmed.first, trimmed.settled, trimmed.end) == (first, segment.settled, 220)
    assert (trimmed.anchor_ns, trimmed.rate_hz) == (segment.anchor_ns, segment.rate_hz)
    expected = _indices(segment, first, 220)
    segment.view(0, 220)[0][:] = -1
    segment.view(0, 220)[1][:] = False
    assert _indices(trimmed, first, 220) == expected


def test_a_segment_that_has_dropped_samples_is_trimmed_to_what_it_holds() -> None:
    segment, _ = _grown()
    assert segment.trimmed(0).first == 900
    assert _indices(segment.trimmed(2000), 2000, 3000) == list(range(2000, 3000))


def test_all_samples_are_kept_unless_they_may_be_dropped() -> None:
    segment, counters = Segment(T0_NS, 1.0), TrackCounters()
    for index in range(0, 9000, 500):
        _put(segment, index, 500, counters)
    assert segment.first == 0
    assert _indices(segment, 0, 9000) == list(range(9000))


@pytest.mark.parametrize(
    "samples",
    [
        np.array([2**31 - 1, -(2**31), 2**24 + 1], dtype=np.int32),
        np.array([2**40 + 1, -5, 0], dtype=np.int64),
        np.array([0.1, -1e11, 2.5], dtype=np.float64),
        np.array([0.1, 16_777_215.0, -2.5], dtype=np.float32),
    ],
    ids=["int32", "int64", "float64", "float32"],
)
@pytest.mark.parametrize("follows", [True, False])
def test_samples_of_every_type_are_kept_exactly(samples: np.ndarray, follows: bool) -> None:
    """Also behind 32-bit counts, and with them."""
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    before = np.array([2**31 - 1, 7], dtype=np.int32)
    segment.put(0, before, counters)
    segment.settle(0, counters)
    segment.put(2 if follows else 4, samples, counters)
    segment.put(8, before, counters)
    x, ok = segment.view(0, 10)
    assert x.dtype == np.float64
    assert x[ok].tolist() == [float(value) for part in (before, samples, before) for value in part]


def test_samples_that_are_dropped_change_no_later_one() -> None:
    segment, counters = Segment(T0_NS, 100.0), TrackCounters()
    for index in range(0, 60_000, 700):
        if index % 2100:
            _put(segment, index, 700, counters)
            segment.settle(300, counters)
            segment.forget(segment.settled - 6500)
        low = max(segment.settled - 6500, 0)
        expected = [n for n in range(low, segment.end) if n // 700 % 3]
        assert _indices(segment, low, segment.end) == expected
    assert len(segment._x) < 10_000

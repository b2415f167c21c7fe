import logging
from typing import Any

import numpy as np
import pytest
from tests.fakes import T0_NS, packet

from seisedge.runtime.timeline.resample import Resampler, resample_record
from seisedge.runtime.timeline.segment import TrackCounters
from seisedge.runtime.timeline.track import GridSpec, Track

SPEC = GridSpec(40.0, 15.0)
EVER_K = -(2**40)  # before every output
EVER_NS = 2**62  # after every sample
NOISE = np.random.default_rng(0).normal(0, 100, 20_000).round().astype(np.int32)


def _track(reorder_wait_s: float = 2.0) -> Track:
    track = Track("XX.STA Z", SPEC, reorder_wait_s)
    track.raw_from_ns = 2**62
    return track


def _add(track: Track, n0: int, n1: int, rate_hz: float = 100.0, start_s: float | None = None, **more: Any) -> None:
    """The samples [n0, n1) of the noise, by default at their time from T0, placed without waiting for earlier ones."""
    _receive(track, n0, n1, rate_hz, start_s, **more)
    track.release(EVER_NS, more.get("wanted_k", EVER_K))


def _receive(track: Track, n0: int, n1: int, rate_hz: float = 100.0, start_s: float | None = None, **more: Any) -> None:
    """As `_add`, without an end of the wait for earlier samples."""
    at_s = n0 / rate_hz if start_s is None else start_s
    settings = {"usable": True, "wanted_k": EVER_K} | more
    track.add(packet(NOISE[n0:n1], at_s, rate_hz=rate_hz), **settings)


def _content(track: Track) -> dict[int, float]:
    """Valid outputs by index; each may be handed over once."""
    found: dict[int, float] = {}
    for k0, values, mask in track.take():
        for k in np.flatnonzero(mask):
            assert k0 + int(k) not in found
            found[k0 + int(k)] = values[k]
    return found


def _expected(n0: int, n1: int) -> dict[int, float]:
    values, mask, k0 = resample_record(
        NOISE[n0:n1], np.ones(n1 - n0, dtype=bool), T0_NS + n0 * 10_000_000, 100.0, 40.0, 15.0
    )
    assert mask.all()
    return {k0 + k: value for k, value in enumerate(values)}


def test_a_track_before_its_first_packet() -> None:
    track = _track()
    assert (track.done_k, track.newest_start_ns, track.reach_s) == (None, None, 0.0)
    assert track.take() == [] and track.raw(0, 100) == []
    track.finish(0)
    assert track.state().segment is None and track.done_k is None


def test_outputs_are_final_when_all_samples_under_their_kernel_are() -> None:
    track, resampler = _track(), Resampler(100.0, 40.0, 15.0, T0_NS)
    assert track.reach_s == 0.0
    for n0 in range(0, 2000, 100):
        _add(track, n0, n0 + 100)
        assert track.done_k == resampler.output_after(n0 + 100)
    assert track.reach_s == resampler.reach_s > 0.1
    assert track.newest_start_ns == T0_NS + 19 * 10**9
    pieces = track.take()
    assert len(pieces) == 1  # contiguous outputs are resampled at once
    assert pieces[0][0] == resampler.outputs_from(0, 2000)[0]
    assert track.take() == []
    _add(track, 2000, 2100)
    assert track.take()[0][0] == resampler.output_after(2000)


@pytest.mark.parametrize("packet_n", [1, 7, 13])
def test_packets_shorter_than_the_kernel(packet_n: int) -> None:
    track, resampler = _track(), Resampler(100.0, 40.0, 15.0, T0_NS)
    first_k = resampler.outputs_from(0, 1000)[0]
    for n0 in range(0, 400, packet_n):
        _add(track, n0, n0 + packet_n)
        end = n0 + packet_n
        assert track.done_k == max(first_k, resampler.output_after(end))
        if n0 % 3 == 0:
            assert min([k0 for k0, _, _ in track.take()], default=first_k) >= first_k
    # the first packet of a new segment: outputs up to the first one with all samples are missing, and final
    _add(track, 10_000, 10_000 + packet_n)
    assert track.done_k == Resampler(100.0, 40.0, 15.0, T0_NS + 100 * 10**9).outputs_from(0, 1000)[0]


def test_a_segment_that_starts_earlier_does_not_take_back_what_is_final() -> None:
    track = _track()
    _add(track, 0, 1000)
    done_k = track.done_k
    assert done_k is not None
    _add(track, 1000, 1190, rate_hz=200.0, start_s=9.0525)
    assert track.done_k == Resampler(100.0, 40.0, 15.0, T0_NS).output_after(1000) == done_k
    assert track.state().segment.rate_hz == 200.0  # type: ignore[union-attr]  # there is one
    _add(track, 1190, 1390, rate_hz=200.0, start_s=10.0025)
    assert track.done_k > done_k


def test_late_samples_of_another_rate_begin_no_segment() -> None:
    track = _track()
    _add(track, 0, 1000)
    _add(track, 1000, 1200, rate_hz=200.0, start_s=9.0)
    assert track.counters == TrackCounters(samples=1000, late_samples=200)
    _add(track, 1000, 2000)
    assert track.counters == TrackCounters(samples=2000, late_samples=200)


def test_outputs_before_the_wanted_ones_are_not_made() -> None:
    track, resampler = _track(), Resampler(100.0, 40.0, 15.0, T0_NS)
    wanted_k = resampler.output_after(1500)
    _add(track, 0, 1000, wanted_k=wanted_k)
    assert track.done_k == resampler.output_after(1000)
    _add(track, 1000, 1500, wanted_k=wanted_k)
    assert track.take() == []
    _add(track, 1500, 2000, wanted_k=wanted_k + 7)
    _add(track, 2000, 2100, wanted_k=wanted_k)
    expected = _expected(0, 2100)
    assert _content(track) == {k: value for k, value in expected.items() if k >= wanted_k + 7}


@pytest.mark.parametrize(("gap_n", "anew"), [(3000, False), (3001, True)])
def test_a_gap_longer_than_30_s_begins_a_new_segment(gap_n: int, anew: bool, caplog: pytest.LogCaptureFixture) -> None:
    track = _track()
    _add(track, 0, 1000)
    _add(track, 1000 + gap_n, 6000 + gap_n)
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * anew
    segment = track.state().segment
    assert segment is not None
    assert segment.anchor_ns == T0_NS + (10 * 10**9 + gap_n * 10**7) * anew
    assert track.counters == TrackCounters(samples=6000, gaps=1, gap_samples=gap_n)
    assert _content(track) == _expected(0, 1000) | _expected(1000 + gap_n, 6000 + gap_n)


@pytest.mark.parametrize(("start_s", "gap_samples"), [(10.0, 0), (9.5, 0), (12.0, 200)])
def test_a_new_rate_begins_a_new_segment(start_s: float, gap_samples: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    track = _track()
    _add(track, 0, 1000)
    _add(track, 1000, 3000, rate_hz=200.0, start_s=start_s)
    _add(track, 3000, 4000, start_s=start_s + 10.0)
    levels = [r.levelno for r in caplog.records]
    assert levels == [logging.WARNING, logging.DEBUG]  # later ones are not news
    assert track.counters == TrackCounters(samples=4000, gaps=2, gap_samples=gap_samples)
    later, mask, k0 = resample_record(
        NOISE[1000:3000], np.ones(2000, bool), T0_NS + round(start_s * 1e9), 200.0, 40.0, 15.0
    )
    content = _content(track)
    assert mask.all() and all(content[k0 + k] == value for k, value in enumerate(later) if k > 40)


def test_samples_that_wait_for_a_late_packet_are_final_at_a_new_segment() -> None:
    track = _track(reorder_wait_s=100.0)
    _add(track, 0, 1000)
    _add(track, 1100, 2000)
    assert track.counters.gaps == 0
    _add(track, 6000, 7000)
    assert track.counters == TrackCounters(samples=2900, gaps=2, gap_samples=100 + 4000)
    assert _content(track) == _expected(0, 1000) | _expected(1100, 2000) | _expected(6000, 7000)


@pytest.mark.parametrize(("later_n", "final"), [(99, False), (100, True)])
def test_a_gap_is_final_after_the_wait_for_late_packets(later_n: int, final: bool) -> None:
    track = _track(reorder_wait_s=2.0)
    _add(track, 0, 1000)
    _add(track, 1100, 1100 + later_n)
    assert track.counters.gaps == int(final)
    _add(track, 1000, 1100)
    assert track.counters.late_samples == (100 if final else 0)
    track.finish(EVER_K)
    assert track.counters.samples == 1000 + later_n + (0 if final else 100)


@pytest.mark.parametrize("gap_n", [0, 1000, 4000])
def test_a_backlog_that_is_sent_newest_first_loses_nothing_within_the_wait(gap_n: int) -> None:
    track = _track(reorder_wait_s=20.0)
    begin = 1000 + gap_n if gap_n else 0
    if gap_n:
        _add(track, 0, 1000)
    for n0 in range(begin + 1900, begin - 1, -100):
        _receive(track, n0, n0 + 100)
        assert track.waits or n0 == 1000  # the last one follows the samples so far
    for n0 in range(begin + 2000, begin + 4000, 100):
        _receive(track, n0, n0 + 100)
    assert not track.waits
    assert track.counters == TrackCounters(
        samples=4000 + (1000 if gap_n else 0), gaps=int(gap_n > 0), gap_samples=gap_n
    )
    assert _content(track) == (_expected(0, 1000) if gap_n else {}) | _expected(begin, begin + 4000)


@pytest.mark.parametrize("gap_n", [0, 1000, 4000])
@pytest.mark.parametrize("jitter_ms", [0.0, 3.0])
def test_two_packets_swapped_at_a_start_change_no_bit(gap_n: int, jitter_ms: float) -> None:
    contents = []
    for order in ((0, 1, 2, 3, 4, 5), (1, 0, 2, 3, 4, 5)):
        track = _track()
        if gap_n:
            _add(track, 0, 1000)
        for k in order:
            n0 = gap_n + 1000 + 500 * k
            _receive(track, n0, n0 + 500, start_s=n0 / 100 + (k % 2) * jitter_ms / 1e3)
        track.finish(EVER_K)
        assert track.counters.late_samples == 0
        contents.append(_content(track))
    assert contents[0] == contents[1]


def test_a_packet_that_follows_takes_precedence_over_one_from_the_future() -> None:
    """Its samples lie in the future by a wrong clock, and the true ones follow each other."""
    track = _track()
    _add(track, 0, 1000)
    _receive(track, 15_000, 15_400, start_s=20.7)
    for n0 in range(1000, 4000, 400):
        _receive(track, n0, n0 + 400)
    track.finish(EVER_K)
    assert (track.counters.samples, track.counters.gaps, track.counters.late_samples) == (4200, 0, 0)
    assert _content(track) == _expected(0, 4200)


def test_the_data_that_wait_are_bounded() -> None:
    track = _track(reorder_wait_s=20.0)
    _add(track, 0, 1000)
    for _ in range(100):
        _receive(track, 2000, 2400)
        assert len(track.state().waiting) <= 8 * (20 + 4) / 4
    assert track.counters.samples == 1400
    short = _track(reorder_wait_s=20.0)
    _add(short, 0, 1000)
    for n in range(2100):
        _receive(short, n, n + 1, start_s=20.0 + n / 1000)
    assert short.counters.samples >= 1000 + 50
    assert len(short.state().waiting) <= 2000


def test_the_end_makes_everything_final() -> None:
    track, resampler = _track(reorder_wait_s=100.0), Resampler(100.0, 40.0, 15.0, T0_NS)
    _add(track, 0, 1000)
    _add(track, 1100, 2000)
    track.finish(EVER_K)
    assert track.done_k == resampler.output_after(2000)
    assert _content(track) == _expected(0, 1000) | _expected(1100, 2000)
    wanted_k = resampler.output_after(1500)
    other = _track(reorder_wait_s=100.0)
    _add(other, 0, 1000)
    _add(other, 1100, 2000)
    other.finish(wanted_k)
    late = {k: value for k, value in _expected(1100, 2000).items() if k >= wanted_k}
    assert _content(other) == _expected(0, 1000) | late


def test_a_packet_that_is_not_usable_is_a_gap() -> None:
    track = _track()
    _add(track, 0, 1000)
    _add(track, 1000, 1200, usable=False)
    _add(track, 1200, 2200)
    assert track.counters == TrackCounters(samples=2000, gaps=1, gap_samples=200)
    assert _content(track) == _expected(0, 1000) | _expected(1200, 2200)


def test_the_newest_start_does_not_go_back() -> None:
    track = _track()
    _add(track, 0, 100)
    _add(track, 200, 300)
    _add(track, 100, 200)
    assert track.newest_start_ns == T0_NS + 2 * 10**9


def test_a_clock_that_drifts_is_set_once_it_is_off_by_half_a_sample() -> None:
    """Packets of one second that start 0.2 ms late each: 26 of them make half a sample of 10 ms."""
    track = _track()
    for i in range(30):
        _add(track, 100 * i, 100 * i + 100, start_s=i * 1.0002)
        assert track.counters.retimings == (1 if i >= 26 else 0), i
    assert track.counters == TrackCounters(samples=3000, retimings=1)
    assert len(_content(track)) > 29 * 40


def test_a_late_start_within_a_drift_keeps_the_time_of_the_end() -> None:
    """A packet that repeats samples does not move the time at which the next packet is expected."""
    track = _track()
    for i in range(26):
        _add(track, 100 * i, 100 * i + 100, start_s=i * 1.0002)
    _add(track, 2400, 2500, start_s=24.0)
    _add(track, 2600, 2700, start_s=26 * 1.0002)
    assert track.counters == TrackCounters(samples=2700, duplicate_samples=100, retimings=1)


def _raw(track: Track, k0: int, k1: int) -> list[tuple[list[int], int, float]]:
    return [(s.x[s.ok].astype(int).tolist(), s.start_ns, s.rate_hz) for s in track.raw(k0, k1)]


def test_raw_samples_are_those_under_the_kernels() -> None:
    track, resampler = _track(), Resampler(100.0, 40.0, 15.0, T0_NS)
    track.raw_from_ns = 0
    for n0 in range(0, 3000, 100):
        _add(track, n0, n0 + 100)
        track.take()
    k0 = resampler.outputs_from(0, 3000)[0]
    for low, high in ((k0, k0 + 1), (k0 + 100, k0 + 300), (resampler.output_after(3000) - 1,) * 2):
        n0, n1 = resampler.inputs_for(low, high) if high > low else (0, 0)
        expected = [(NOISE[n0:n1].tolist(), T0_NS + n0 * 10**7, 100.0)] if high > low else []
        assert _raw(track, low, high) == expected
    assert [s.resampler.reach_s for s in track.raw(k0, k0 + 1)] == [resampler.reach_s]
    # outputs before the first and beyond the last final one: what there is
    last = resampler.output_after(3000) - 1
    n0, n1 = resampler.inputs_for(last, last + 1)
    assert _raw(track, k0 - 1000, k0 + 1) == [(NOISE[: resampler.inputs_for(k0, k0 + 1)[1]].tolist(), T0_NS, 100.0)]
    assert _raw(track, last, last + 9999) == [(NOISE[n0:n1].tolist(), T0_NS + n0 * 10**7, 100.0)]


def test_raw_samples_of_two_segments_are_two_stretches() -> None:
    track = _track()
    track.raw_from_ns = 0
    _add(track, 0, 1000)
    _add(track, 1000, 3000, rate_hz=200.0, start_s=11.0)
    track.take()
    one, other = Resampler(100.0, 40.0, 15.0, T0_NS), Resampler(200.0, 40.0, 15.0, T0_NS + 11 * 10**9)
    k0, k1 = one.output_after(800), other.output_after(500)
    n0, m1 = one.inputs_for(k0, k0 + 1)[0], other.inputs_for(k1 - 1, k1)[1]
    last = one.inputs_for(k0, one.output_after(1000))[1]
    assert _raw(track, k0, k1) == [
        (NOISE[n0:last].tolist(), T0_NS + n0 * 10**7, 100.0),
        (NOISE[1000 : 1000 + m1].tolist(), T0_NS + 11 * 10**9, 200.0),
    ]
    assert len(track.raw(k0, one.output_after(1000))) == 1
    assert [s.rate_hz for s in track.raw(other.outputs_from(0, 99)[0], k1)] == [200.0]


def test_raw_samples_of_a_segment_that_has_ended_are_kept_as_far_as_they_are_wanted() -> None:
    track = _track()
    track.raw_from_ns = T0_NS + 6 * 10**9
    _add(track, 0, 1000)
    _add(track, 5000, 6000)
    resampler = Resampler(100.0, 40.0, 15.0, T0_NS)
    k0, end_k = resampler.outputs_from(0, 1000)
    (stretch,) = track.raw(k0, k0 + 700)
    assert (stretch.start_ns, len(stretch.x)) == (T0_NS + 6 * 10**9, resampler.inputs_for(k0, end_k)[1] - 600)
    track.raw_from_ns = T0_NS + 55 * 10**9
    _add(track, 10_000, 11_000)
    assert [s.start_ns for s in track.raw(k0, k0 + 3000)] == [T0_NS + 55 * 10**9]


def test_raw_samples_across_a_clock_that_was_set_are_on_both_clocks() -> None:
    track = _track()
    track.raw_from_ns = 0
    for i in range(30):
        _add(track, 100 * i, 100 * i + 100, start_s=i * 1.0002)
        track.take()
    assert track.counters.retimings == 1
    k0 = Resampler(100.0, 40.0, 15.0, T0_NS).outputs_from(0, 1000)[0]
    before, after = track.raw(k0, k0 + 1150)
    assert before.start_ns == T0_NS and before.ok.all() and after.ok.all()
    behind_ns = T0_NS + round(26 * 1.0002e9) - round(2600 * 1e7)  # of sample 0 on the clock from packet 26 on
    assert (after.start_ns - behind_ns) % 10**7 == 0
    n0 = (after.start_ns - behind_ns) // 10**7
    assert after.x.tolist() == NOISE[n0 : n0 + len(after.x)].tolist()
    assert 2600 - 100 * 2 * track.reach_s - 3 < n0 < 2600 < n0 + len(after.x)


@pytest.mark.parametrize("cut", [1200, 2000])
def test_a_restored_track_continues_with_the_same_outputs(cut: int) -> None:
    one = _track()
    _add(one, 0, 1000)
    _add(one, 1100, cut)
    one.take()
    other = _track()
    other.restore(one.state())
    assert other.state() == one.state() and other.reach_s == one.reach_s
    for track in (one, other):
        for n0 in range(cut, 6000, 200):
            _add(track, n0, n0 + 200)
    assert other.state() == one.state()
    assert other.counters is not one.counters
    content, restored = _content(one), _content(other)
    missing = sorted(content.keys() - restored.keys())
    assert restored.items() <= content.items()
    assert len(missing) <= 2 * one.reach_s * 40 + 1 and missing == sorted(content)[: len(missing)]


def test_an_empty_track_is_restored() -> None:
    one, other = _track(), _track()
    _add(other, 0, 1000)
    other.restore(one.state())
    assert other.state() == one.state()
    _add(other, 2000, 3000)
    assert other.counters == TrackCounters(samples=1000)
    assert other.state().segment is not None


def test_memory_is_given_back_except_for_raw_samples() -> None:
    wanted, unwanted = _track(), _track()
    wanted.raw_from_ns = 0
    x = np.zeros(6000, dtype=np.int32)
    for minute in range(30):
        for track in (wanted, unwanted):
            track.add(packet(x, 60.0 * minute), True, EVER_K)
            track.take()
    k0 = Resampler(100.0, 40.0, 15.0, T0_NS).outputs_from(0, 1000)[0]
    assert len(wanted.raw(k0, k0 + 4000)) == 1
    assert unwanted.raw(k0, k0 + 4000) == []

import itertools
import random

import numpy as np
import pytest
from tests.fakes import T0_NS, burst, packet, packets_of

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.timeline.resample import Resampler, resample_record
from seisedge.runtime.timeline.segment import Segment, TrackCounters
from seisedge.runtime.timeline.timeline import NO_RAW_NS, Timeline, TimelineState
from seisedge.runtime.timeline.track import GridSpec

GRID = GridSpec(40.0, 15.0)


def _timeline(**settings: object) -> Timeline:
    return Timeline("XX.STA", GRID, **settings)  # type: ignore[arg-type]


def _fill(timeline: Timeline, packets: list[Packet]) -> Timeline:
    for p in packets:
        timeline.add({"Z": "Z", "N": "N", "E": "E"}[p.source_id.channel[-1]], p)
    return timeline


def _content(timeline: Timeline) -> tuple[np.ndarray, np.ndarray]:
    timeline.finish()
    k0 = timeline.k_at(T0_NS)
    return timeline.window(k0, timeline.ready_k)


TRACES = {f"HH{c}": burst(60, [20.0], seed=i) for i, c in enumerate("ZNE")}


def test_a_timeline_is_the_resampled_record() -> None:
    wave, valid = _content(_fill(_timeline(), packets_of(TRACES)))
    expected, whole, k0 = resample_record(TRACES["HHZ"], np.ones(6000, bool), T0_NS, 100, 40, 15)
    first = k0 - _timeline().k_at(T0_NS)
    assert np.array_equal(wave[0, first : first + len(expected)], expected.astype(np.float32))
    assert valid[0, first : first + len(expected)].all() and whole.all()
    assert not valid[0, :first].any()


@pytest.mark.parametrize("packet_s", [0.25, 1.0, 7.3, 30.0])
def test_packet_length_changes_no_bit(packet_s: float) -> None:
    reference = _content(_fill(_timeline(), packets_of(TRACES)))
    other = _content(_fill(_timeline(), packets_of(TRACES, packet_s)))
    assert np.array_equal(reference[0], other[0])
    assert np.array_equal(reference[1], other[1])


def test_out_of_order_twice_and_overlapping_change_no_bit() -> None:
    packets = packets_of(TRACES, 0.5)
    reference = _content(_fill(_timeline(), packets))
    shuffled = list(packets)
    for i in range(3, len(shuffled) - 3, 3):
        shuffled[i], shuffled[i + 3] = shuffled[i + 3], shuffled[i]  # half a second late
    doubled = list(itertools.chain.from_iterable((p, p) for p in shuffled))
    overlap = [packet(TRACES["HHZ"][i : i + 80], i / 100, "HHZ") for i in range(0, 6000, 50)]
    merged = sorted([*doubled, *overlap], key=lambda p: p.starttime_ns + random.Random(p.starttime_ns).randrange(10**8))
    timeline = _fill(_timeline(), merged)
    wave, valid = _content(timeline)
    assert np.array_equal(reference[0], wave)
    assert np.array_equal(reference[1], valid)
    counters = timeline.tracks["Z"].counters
    assert counters.samples == 6000
    assert counters.disagreeing_samples == 0 and counters.gaps == 0
    assert counters.duplicate_samples > 6000


def test_a_disagreeing_overlap_keeps_the_first_and_is_counted() -> None:
    first, second = np.arange(400), np.arange(400) + 1
    timeline = _fill(_timeline(), [packet(first, 0), packet(second, 2.0)])
    timeline.finish()
    assert timeline.tracks["Z"].counters.disagreeing_samples == 200
    wave, _ = timeline.tracks["Z"]._segment.view(200, 400)  # type: ignore[union-attr]
    assert np.array_equal(wave, first[200:400])


def test_a_gap_is_masked_and_never_filled() -> None:
    x = burst(40, [])
    packets = [packet(x[:1000], 0), packet(x[1500:], 15)]
    timeline = _fill(_timeline(components="Z"), packets)
    wave, valid = _content(timeline)
    k0 = timeline.k_at(T0_NS)
    inside = slice(timeline.k_at(T0_NS + 10_100_000_000) - k0, timeline.k_at(T0_NS + 14_900_000_000) - k0)
    assert not valid[0, inside].any()
    assert (wave[0, inside] == 0).all()
    assert valid[0, timeline.k_at(T0_NS + 15_500_000_000) - k0 :][:100].all()
    counters = timeline.tracks["Z"].counters
    assert (counters.gaps, counters.gap_samples) == (1, 500)


def test_a_gap_of_a_minute_and_a_new_rate_begin_a_new_segment() -> None:
    x = burst(30, [])
    later = burst(30, [], rate_hz=200.0)
    timeline = _timeline(components="Z", reorder_wait_s=0.0)
    _fill(timeline, [packet(x, 0), packet(later, 90, rate_hz=200.0)])
    begin = timeline.k_at(T0_NS + 91 * 10**9)
    wave, valid = timeline.window(begin, timeline.k_at(T0_NS + 119 * 10**9))
    assert valid[0].all()
    expected, _, k0 = resample_record(later, np.ones(6000, bool), T0_NS + 90 * 10**9, 200, 40, 15)
    assert np.array_equal(wave[0], expected[begin - k0 :][: wave.shape[1]].astype(np.float32))


def test_ready_waits_for_a_component_by_packet_starts() -> None:
    timeline = _timeline(max_wait_s=60.0, reorder_wait_s=0.0)
    z = burst(200, [])
    timeline.add("Z", packet(z[:3100], 0, "HHZ"))  # records of 31 s, channel by channel
    start = timeline.ready_k
    timeline.add("N", packet(z[:3100], 0, "HHN"))
    assert timeline.ready_k == start  # E may still come
    timeline.add("E", packet(z[:3100], 0, "HHE"))
    assert timeline.ready_k > timeline.k_at(T0_NS + 30 * 10**9)


def test_a_dead_component_is_waited_for_only_once_until_it_returns() -> None:
    timeline = _timeline(max_wait_s=10.0)
    x = burst(120, [])
    parts = [(c, i) for i in range(24) for c in "ZNE"]
    ready = {}
    for c, i in parts:
        if c == "E" and 4 <= i < 12:  # dead from 20 s to 60 s
            continue
        timeline.add(c, packet(x[i * 500 : i * 500 + 500], i * 5.0, f"HH{c}"))
        ready[i] = (timeline.ready_k - timeline.k_at(T0_NS)) / 40
    assert ready[4] < 20.1  # waits
    assert ready[5] < 20.1
    assert ready[7] > 39  # no longer waited for
    assert ready[11] > 59
    assert ready[23] > 119
    k0 = timeline.k_at(T0_NS)
    _, valid = timeline.window(k0, k0 + 119 * 40)
    assert not valid[2, 22 * 40 : 58 * 40].any()
    assert valid[2, 66 * 40 : 118 * 40].all()  # from the packet after the first one on its return
    assert valid[0, 40 : 118 * 40].all()


def test_a_component_that_is_always_late_is_waited_for_again_after_a_gap() -> None:
    """Z arrives 14 s after the others; a gap of 50 s makes it later than max_wait_s only for a moment."""
    records = [(i * 5.0, c) for i in range(60) for c in "ZNE" if not 20 <= i < 30]
    timeline = _timeline(max_wait_s=60.0)
    for start_s, c in sorted(records, key=lambda r: r[0] + 14.0 * (r[1] == "Z")):
        timeline.add(c, packet(np.ones(500, dtype=np.int32), start_s, f"HH{c}"))
    k0 = timeline.k_at(T0_NS)
    _, valid = timeline.window(k0, k0 + 290 * 40)
    assert valid[1:, 151 * 40 : 290 * 40].all()
    assert valid[0, 170 * 40 : 290 * 40].all()


def test_calibration_is_masked_and_flags_are_found_again() -> None:
    x = burst(40, [])
    packets = [
        packet(x[:1000], 0),
        packet(x[1000:2000], 10, flags=RecordFlag.CALIBRATION),
        packet(x[2000:], 20, flags=RecordFlag.CLIPPED),
    ]
    timeline = _fill(_timeline(components="Z"), packets)
    _, valid = _content(timeline)
    k0 = timeline.k_at(T0_NS)
    assert not valid[0, timeline.k_at(T0_NS + 11 * 10**9) - k0 : timeline.k_at(T0_NS + 19 * 10**9) - k0].any()
    assert timeline.flags_between(T0_NS + 25 * 10**9, T0_NS + 26 * 10**9) == RecordFlag.CLIPPED
    assert timeline.flags_between(T0_NS, T0_NS + 5 * 10**9) == RecordFlag.NONE


@pytest.mark.parametrize("by_s", [2.0, 20.0, 59.0])
def test_a_component_that_is_late_from_the_first_packet_on_is_waited_for(by_s: float) -> None:
    x = burst(120, [])
    traces = {channel: packets_of({channel: x}) for channel in ("HHE", "HHN", "HHZ")}
    in_time = sorted((p for some in traces.values() for p in some), key=lambda p: p.endtime_ns)
    late = sorted(in_time, key=lambda p: p.endtime_ns + (round(by_s * 1e9) if p.source_id.channel == "HHZ" else 0))
    one, other = _fill(_timeline(), in_time), _fill(_timeline(), late)
    for a, b in zip(_content(one), _content(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e35])
def test_invalid_floats_are_missing_samples(value: float) -> None:
    x = burst(40, []).astype(np.float64)
    x[2000] = value
    timeline = _fill(_timeline(components="Z"), [packet(x, 0)])
    wave, valid = _content(timeline)
    assert np.isfinite(wave).all() and 30 <= (~valid[0, 40:1500]).sum() <= 40
    assert timeline.tracks["Z"].counters.unsound_samples == 1


def test_half_a_sample_of_jitter_is_no_gap() -> None:
    x = burst(40, [])
    jitter = random.Random(3)
    packets = [packet(x[i : i + 400], i / 100 + jitter.uniform(-0.0049, 0.0049) * (i > 0)) for i in range(0, 4000, 400)]
    timeline = _fill(_timeline(components="Z"), packets)
    assert timeline.tracks["Z"].counters == TrackCounters(samples=4000)


@pytest.mark.parametrize("true_rate_hz", [100.01, 99.99])
@pytest.mark.parametrize("packet_n", [137, 400, 3000])
def test_a_drifting_clock_makes_no_gaps_and_keeps_time(true_rate_hz: float, packet_n: int) -> None:
    """A drift of 100 ppm, more than that of any digitizer; every packet has its true start time."""
    seconds = 600
    t = np.arange(int(seconds * true_rate_hz)) / true_rate_hz
    slow = (1e4 * np.sin(2 * np.pi * 0.5 * t)).round().astype(np.int32)
    packets = [packet(slow[i : i + packet_n], i / true_rate_hz) for i in range(0, len(slow), packet_n)]
    timeline = _fill(_timeline(components="Z"), packets)
    counters = timeline.tracks["Z"].counters
    assert counters.gaps == counters.duplicate_samples == counters.disagreeing_samples == 0
    assert counters.samples == len(slow)
    assert 5 <= counters.retimings <= 12  # one per half a sample, six samples in total
    k0, k1 = timeline.ready_k - 4000, timeline.ready_k - 40
    wave, valid = timeline.window(k0, k1)
    assert valid[0].all()
    true_t = np.array([timeline.time_of(k) - T0_NS for k in range(k0, k1)]) / 1e9
    worst = np.abs(wave[0] - 1e4 * np.sin(2 * np.pi * 0.5 * true_t)).max() / (1e4 * np.pi)  # in seconds
    assert worst < 0.0125  # a sample, and what a packet of 30 s drifts


def test_a_missing_sample_is_a_gap_and_no_drift() -> None:
    x = burst(40, [])
    timeline = _fill(_timeline(components="Z"), [packet(x[:2000], 0), packet(x[2001:], 20.01)])
    timeline.finish()
    assert timeline.tracks["Z"].counters == TrackCounters(samples=3999, gaps=1, gap_samples=1)


def _buffers(timeline: Timeline) -> int:
    """Bytes of the buffers for samples."""
    segments = [track._segment for track in timeline.tracks.values() if track._segment is not None]
    own = timeline._wave.nbytes + timeline._valid.nbytes
    return own + sum(segment._x.nbytes + segment._ok.nbytes for segment in segments)


def test_memory_is_bounded_over_a_day() -> None:
    timeline = _timeline(components="Z")
    x = burst(60, [])
    for minute in range(1440):
        timeline.add("Z", packet(x, 60.0 * minute))
        timeline.window(timeline.ready_k - 1, timeline.ready_k)
        timeline.seen()
        if minute == 10:
            size = _buffers(timeline)
    assert _buffers(timeline) == size
    assert timeline._wave.shape[1] <= 40 * (180 + 60) * 1.25
    assert len(timeline.tracks["Z"]._segment._x) <= 100 * 2 * 60 * 1.25  # type: ignore[union-attr]


def _live(timeline: Timeline, start_s: int, end_s: int, components: str = "ZNE") -> None:
    x = np.arange(400, dtype=np.int32)
    for second in range(start_s, end_s, 4):
        for component in components:
            timeline.add(component, packet(x, second, f"HH{component}"))
        timeline.window(timeline.ready_k - 1, timeline.ready_k)
        timeline.seen()


def test_a_live_station_needs_less_than_300_kib_of_samples() -> None:
    """65 s as recorded and 180 s of outputs, 5 bytes each, and the spare length of the buffers."""
    timeline = _timeline(raw_keep_s=65.0)
    _live(timeline, 0, 1200)
    assert _buffers(timeline) < 300 * 1024


@pytest.mark.parametrize("step_s", [15, 200])
def test_components_that_nobody_has_read_are_resampled_when_they_are_read(step_s: int) -> None:
    traces = {f"HH{c}": burst(900, [20.0], seed=i) for i, c in enumerate("ZNE")}
    gone = range(760, 772)
    packets = [p for p in packets_of(traces, 5.0) if p.source_id.channel != "HHN" or _second(p) not in gone]
    lazy, eager = _timeline(), _timeline()
    for k, p in enumerate(packets):
        for timeline, wanted in ((lazy, [0]), (eager, None)):
            _fill(timeline, [p])
            if k % (step_s * 3 // 5) == 0:
                timeline.first(timeline.seen_k, timeline.ready_k, wanted)
                timeline.seen()
    k1 = eager.ready_k
    assert lazy.ready_k == k1
    for mine, other in zip(lazy.first(k1 - 180 * 40, k1), eager.first(k1 - 180 * 40, k1), strict=True):
        assert np.array_equal(mine, other)
        assert other[0].all() and not other[1].all()


def _second(p: Packet) -> int:
    return (p.starttime_ns - T0_NS) // NS_PER_S


def test_components_that_nobody_has_read_are_not_resampled_in_long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    resample = Resampler.__call__

    def counted(self: Resampler, x: np.ndarray, ok: np.ndarray, n: int, k0: int, k1: int) -> object:
        outputs.append(k1 - k0)
        return resample(self, x, ok, n, k0, k1)

    monkeypatch.setattr(Resampler, "__call__", counted)
    timeline = _timeline()
    for p in packets_of({f"HH{c}": burst(1200, [], seed=i) for i, c in enumerate("ZNE")}, 400.0):
        _fill(timeline, [p])
        if p.source_id.channel == "HHZ":  # the last of three
            timeline.first(timeline.seen_k, timeline.ready_k, [0])
            timeline.seen()
    assert 0.99 * 1200 * 40 < sum(outputs) <= 1200 * 40


def test_a_live_station_whose_horizontals_nobody_reads_needs_less_than_300_kib_of_samples() -> None:
    timeline = _timeline(raw_keep_s=65.0)
    x = np.arange(400, dtype=np.int32)
    for second in range(0, 1200, 4):
        for component in "ZNE":
            timeline.add(component, packet(x, second, f"HH{component}"))
        timeline.first(timeline.ready_k - 1, timeline.ready_k, [0])
        timeline.seen()
    assert _buffers(timeline) < 300 * 1024


def test_buffers_shrink_again_after_a_component_was_late() -> None:
    timeline = _timeline(raw_keep_s=65.0, max_wait_s=600.0)
    _live(timeline, 0, 4)
    _live(timeline, 4, 560, components="ZN")
    grown = _buffers(timeline)
    assert grown > 800 * 1024  # Z and N wait for E
    _live(timeline, 4, 560, components="E")
    _live(timeline, 560, 1600)
    assert _buffers(timeline) < 300 * 1024


@pytest.mark.parametrize("rate_hz", [20.0, 40.0, 50.0, 100.0, 33.3])
def test_index_and_time_are_inverse_functions(rate_hz: float) -> None:
    timeline = Timeline("XX.STA", GridSpec(rate_hz, rate_hz / 4))
    first = timeline.k_at(T0_NS)
    for k in range(first, first + 5000):
        assert timeline.k_at(timeline.time_of(k)) == k
        assert timeline.k_at(timeline.time_of(k) + 2) == k + 1
        assert abs(timeline.time_of(k) - k * 1_000_000_000 / rate_hz) <= 1000  # the precision of float64


def test_segment_index() -> None:
    segment = Segment(T0_NS, 100.0)
    assert segment.index_of(T0_NS + 10_000_000) == 1


def test_an_intermittent_component_is_logged_as_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    timeline = Timeline("XX.STA", GridSpec(40.0, 15.0), max_wait_s=5.0)
    for start_s in range(0, 400, 2):
        for component in "ZNE":
            if component != "E" or start_s % 80 < 30:
                samples = np.zeros(200, dtype=np.int32)
                timeline.add(component, packet(samples, float(start_s), f"HH{component}"))
    said = [(r.levelname, r.message) for r in caplog.records]
    gone = [level for level, text in said if "component E is late; processing continues without it" in text]
    anew = [level for level, text in said if text.startswith("XX.STA E: new segment")]
    assert gone == ["WARNING", *["DEBUG"] * 4]
    assert anew == ["WARNING", *["DEBUG"] * 3]


def _step(timeline: Timeline, component: str, k: int, seconds: float = 1.0) -> None:
    """A packet of zeros that begins at grid index `k`."""
    start_s = (timeline.time_of(k) - T0_NS) / 1e9
    timeline.add(component, packet(np.zeros(round(100 * seconds), dtype=np.int32), start_s, f"HH{component}"))


def _awaited(timeline: Timeline) -> str:
    return "".join(sorted(timeline.state().awaited))


def test_a_component_is_waited_for_until_another_packet_starts_max_wait_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    timeline = _timeline(max_wait_s=10.0, reorder_wait_s=0.0)
    k0 = timeline.k_at(T0_NS)
    for component in "ZNE":
        _step(timeline, component, k0, 20.0)
    done_k = timeline.tracks["E"].done_k
    assert done_k is not None and timeline.ready_k == done_k
    for component in "ZN":
        _step(timeline, component, k0 + 800, 30.0)
    _step(timeline, "Z", done_k + 400)
    assert _awaited(timeline) == "ENZ" and timeline.ready_k == done_k
    _step(timeline, "N", done_k + 401)
    assert _awaited(timeline) == "NZ" and timeline.ready_k == done_k + 1
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "component E" in caplog.text
    _step(timeline, "Z", k0 + 2000)
    assert timeline.ready_k == min(timeline.tracks[c].done_k or 0 for c in "ZN") > done_k + 1


def test_a_component_that_comes_back_is_waited_for_once_it_is_within_max_wait() -> None:
    timeline = _timeline(max_wait_s=10.0)
    k0 = timeline.k_at(T0_NS)
    for component in "ZNE":
        _step(timeline, component, k0, 20.0)
    for k in range(k0 + 800, k0 + 2400, 200):
        for component in "ZN":
            _step(timeline, component, k, 5.0)
    assert _awaited(timeline) == "NZ"
    newest_k = k0 + 2200
    for k in range(k0 + 800, k0 + 2400, 10):
        _step(timeline, "E", k, 0.25)
        done_k = timeline.tracks["E"].done_k
        assert done_k is not None
        assert ("E" in _awaited(timeline)) == (done_k >= newest_k - 400)
    assert _awaited(timeline) == "ENZ"


def test_a_component_is_waited_for_again_exactly_at_the_limit() -> None:
    timeline = _timeline(max_wait_s=10.0)
    k0 = timeline.k_at(T0_NS)
    for component in "ZNE":
        _step(timeline, component, k0, 20.0)
    reference = _timeline().tracks["E"]
    reference.add(packet(np.zeros(2000, dtype=np.int32), 0.0), True, 0)
    reference.add(packet(np.zeros(1000, dtype=np.int32), 20.0), True, 0)
    assert reference.done_k is not None
    limit_k = reference.done_k + 400
    for component in "ZN":
        _step(timeline, component, k0 + 800, 30.0)
    _step(timeline, "Z", limit_k)
    assert _awaited(timeline) == "NZ"
    _step(timeline, "E", k0 + 800, 10.0)
    assert timeline.tracks["E"].done_k == limit_k - 400 and _awaited(timeline) == "ENZ"


def test_a_component_that_never_came_is_waited_for_from_the_first_packet_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    timeline = _timeline(max_wait_s=10.0)
    k0 = timeline.k_at(T0_NS)
    for component in "ZN":
        _step(timeline, component, k0, 20.0)
    assert timeline.ready_k == timeline.oldest_k == k0 - 400
    _step(timeline, "Z", k0 + 400)
    assert _awaited(timeline) == "ENZ" and timeline.ready_k == k0
    _step(timeline, "Z", k0 + 401)
    assert _awaited(timeline) == "NZ" and timeline.ready_k == k0 + 1
    _step(timeline, "Z", k0 + 402)
    assert timeline.ready_k == timeline.tracks["N"].done_k
    assert [r.levelname for r in caplog.records] == ["INFO"]  # the station may not have it


def test_late_packets_are_not_waited_for_longer_than_components() -> None:
    timeline = _timeline(max_wait_s=10.0, reorder_wait_s=60.0, components="Z")
    k0 = timeline.k_at(T0_NS)
    _step(timeline, "Z", k0, 10.0)
    for second in range(15, 26):
        assert timeline.tracks["Z"].counters.gaps == 0, second
        _step(timeline, "Z", k0 + 40 * second)
    assert timeline.tracks["Z"].counters == TrackCounters(samples=2100, gaps=1, gap_samples=500)
    assert timeline.ready_k == timeline.tracks["Z"].done_k
    assert _awaited(timeline) == "Z"


def test_a_packet_of_one_component_ends_the_wait_of_another_for_earlier_packets() -> None:
    """Records of 20 s one channel after the other: N waits for a second record, when that of Z is `max_wait_s` later"""
    timeline = _timeline(max_wait_s=10.0, reorder_wait_s=5.0, components="ZN")
    k0 = timeline.k_at(T0_NS)
    for start in (0, 20, 40):
        for component in "ZN":
            _step(timeline, component, k0 + 40 * start, 20.0)
    timeline.finish()
    _, valid = timeline.window(k0 + 40, k0 + 59 * 40)
    assert valid[:2].all()


def test_a_window_is_missing_where_it_exceeds_the_buffer() -> None:
    timeline = _fill(_timeline(), packets_of(TRACES))
    timeline.finish()
    first, end = timeline.oldest_k, timeline.ready_k
    k0 = timeline.k_at(T0_NS)
    assert first == k0 - 60 * 40
    whole, valid = timeline.window(first, end)
    assert whole.shape == valid.shape == (3, end - first)
    assert whole.dtype == np.float32 and valid.dtype == np.bool_
    held = slice(k0 - first + 100, k0 - first + 300)
    wider, there = timeline.window(first - 50, end + 100_000)
    assert np.array_equal(wider[:, 50 : 50 + end - first], whole)
    assert np.array_equal(there[:, 50 : 50 + end - first], valid)
    assert not there[:, :50].any() and not there[:, 50 + end - first :].any()
    assert not wider[:, :50].any() and not wider[:, 50 + end - first :].any()
    for far in (first - 1000, first + 10**6):
        nothing, no = timeline.window(far, far + 10)
        assert nothing.shape == no.shape == (3, 10) and not nothing.any() and not no.any()
    part, _ = timeline.window(k0 + 100, k0 + 300)
    assert np.array_equal(part, whole[:, held]) and valid[:, held].all()
    part[:] = 0.0  # a copy
    assert np.array_equal(timeline.window(first, end)[0], whole)
    empty, none = timeline.window(k0, k0)
    assert empty.shape == none.shape == (3, 0)


def test_weights_hold_from_their_time_on() -> None:
    timeline = _fill(_timeline(), packets_of(TRACES))
    timeline.finish()
    k0 = timeline.k_at(T0_NS) + 400
    recorded, valid = timeline.window(k0, k0 + 400)
    swap, double = np.eye(3)[[1, 0, 2]], 2 * np.eye(3)
    timeline.weights = (
        (-(2**62), swap),
        (timeline.time_of(k0 + 100), None),
        (timeline.time_of(k0 + 200) - 1_000_000, double),  # a grid index belongs to the piece in which it lies
        (timeline.time_of(k0 + 300) + 1_000_000, swap),
        (timeline.time_of(k0 + 1000), double),
    )
    expected = recorded.copy()
    expected[:, :100] = recorded[[1, 0, 2], :100]
    expected[:, 200:301] *= 2
    expected[:, 301:] = recorded[[1, 0, 2], 301:]
    wave, there = timeline.window(k0, k0 + 400)
    assert np.array_equal(wave, expected) and np.array_equal(there, valid)
    assert np.array_equal(timeline.recorded(k0, k0 + 400)[0], recorded)
    for low, high in ((0, 99), (99, 101), (150, 250), (300, 302), (301, 400)):
        assert np.array_equal(timeline.window(k0 + low, k0 + high)[0], expected[:, low:high])
    made, exists = recorded.copy(), valid.copy()
    exists[1, :50] = False
    timeline.rotate(k0, made, exists)
    assert not exists[0, :50].any() and exists[1].all() and exists[0, 50:].all()
    assert np.array_equal(made[:, 50:], expected[:, 50:])


def test_flags_are_those_of_spans_that_overlap() -> None:
    timeline = _timeline(components="Z")
    x = burst(30, [])
    for i, flags in enumerate((RecordFlag.NONE, RecordFlag.CLIPPED, RecordFlag.SPIKES)):
        timeline.add("Z", packet(x[1000 * i : 1000 * i + 1000], 10.0 * i, flags=flags))
    s = 10**9
    for start_ns, end_ns, expected in (
        (0, 10 * s, RecordFlag.NONE),
        (0, 10 * s + 1, RecordFlag.CLIPPED),
        (20 * s - 1, 20 * s, RecordFlag.CLIPPED),
        (20 * s - 1, 20 * s + 1, RecordFlag.CLIPPED | RecordFlag.SPIKES),
        (20 * s, 21 * s, RecordFlag.SPIKES),
        (30 * s - 1, 40 * s, RecordFlag.SPIKES),
        (30 * s, 40 * s, RecordFlag.NONE),
    ):
        assert timeline.flags_between(T0_NS + start_ns, T0_NS + end_ns) == expected


def test_a_restart_clears_all_earlier_outputs_and_flags() -> None:
    timeline = _timeline(components="Z", max_wait_s=10.0)
    x = burst(30, [])
    timeline.add("Z", packet(x, 0, flags=RecordFlag.SPIKES))
    later = packet(x, 3600.0)
    k1 = timeline.k_at(later.starttime_ns)
    assert timeline.leap_to(later) == k1 - 400
    assert timeline.leap_from_k(30.0) == timeline.ready_k + 400 + 1200
    ready_k = timeline.ready_k
    timeline.give_up(ready_k - 10)
    assert timeline.ready_k == ready_k
    timeline.give_up(ready_k + 200)
    assert timeline.ready_k == ready_k + 200
    timeline.restart(k1 - 400)
    assert timeline.oldest_k == timeline.ready_k == timeline.seen_k == k1 - 400
    assert timeline.flags_between(0, 2**62) == RecordFlag.NONE
    wave, valid = timeline.window(k1 - 400, k1 + 400)
    assert not wave.any() and not valid.any()
    timeline.add("Z", later)
    timeline.finish()
    expected, _, first = resample_record(x, np.ones(3000, bool), later.starttime_ns, 100, 40, 15)
    wave, valid = timeline.window(first, first + len(expected))
    assert valid[0].all() and np.array_equal(wave[0], expected.astype(np.float32))


def test_outputs_that_waited_for_late_packets_are_final_after_give_up() -> None:
    x = burst(30, [])
    timeline = _timeline(components="Z", reorder_wait_s=60.0)
    timeline.add("Z", packet(x[:1000], 0))
    timeline.add("Z", packet(x[1500:], 15))
    k0 = timeline.k_at(T0_NS)
    assert timeline.ready_k < k0 and timeline.tracks["Z"].waits
    timeline.give_up(k0 + 100)
    _, valid = timeline.window(k0, k0 + 30 * 40)
    assert valid[0, 40 : 9 * 40].all() and valid[0, 16 * 40 : 29 * 40].all()
    assert timeline.tracks["Z"].counters.gaps == 1


def test_after_the_end_the_longest_component_is_ready() -> None:
    timeline = _timeline()
    timeline.finish()
    assert timeline.ready_k == 0
    z = burst(60, [])
    for channel, n in (("HHZ", 3000), ("HHN", 6000)):
        timeline.add(channel[-1], packet(z[:n], 0, channel))
    timeline.finish()
    assert timeline.ready_k == timeline.tracks["N"].done_k
    longer = timeline.ready_k + 4000
    timeline.give_up(longer)
    timeline.finish()
    assert timeline.ready_k == longer


def test_three_minutes_before_the_outputs_read_last_are_kept() -> None:
    """The buffer holds 12 minutes at first; after 40 it has been moved several times."""
    x = np.random.default_rng(0).normal(0, 100, 40 * 6000).round().astype(np.int32)
    timeline = _timeline(components="Z")
    for minute in range(40):
        flags = RecordFlag.SPIKES if minute in (0, 38) else RecordFlag.NONE
        timeline.add("Z", packet(x[6000 * minute : 6000 * minute + 6000], 60.0 * minute, flags=flags))
        wave, valid = timeline.window(timeline.ready_k - 7200, timeline.ready_k)
        timeline.seen()
        assert timeline.seen_k == timeline.ready_k
    assert valid[0].all()
    expected, _, k0 = resample_record(x, np.ones(len(x), bool), T0_NS, 100, 40, 15)
    assert np.array_equal(wave[0], expected.astype(np.float32)[timeline.ready_k - 7200 - k0 :][:7200])
    assert timeline.flags_between(T0_NS, T0_NS + 60 * 10**9) == RecordFlag.NONE  # no longer held
    assert timeline.flags_between(T0_NS + 38 * 60 * 10**9, 2**62) == RecordFlag.SPIKES


def test_outputs_that_were_not_read_are_kept() -> None:
    x = np.random.default_rng(0).normal(0, 100, 30 * 6000).round().astype(np.int32)
    timeline = _timeline(components="Z")
    for minute in range(30):
        timeline.add("Z", packet(x[6000 * minute : 6000 * minute + 6000], 60.0 * minute))
        timeline.window(timeline.ready_k - 1, timeline.ready_k)
    expected, _, k0 = resample_record(x, np.ones(len(x), bool), T0_NS, 100, 40, 15)
    wave, valid = timeline.window(k0, timeline.ready_k)
    assert valid[0].all()
    assert np.array_equal(wave[0], expected.astype(np.float32)[: wave.shape[1]])


def test_samples_as_recorded_are_kept_for_the_given_time() -> None:
    timeline = _timeline(components="Z", raw_keep_s=20.0, reorder_wait_s=0.0)
    assert all(track.raw_from_ns == 0 for track in timeline.tracks.values())
    timeline.seen()
    assert all(track.raw_from_ns == 0 for track in timeline.tracks.values())
    x = burst(60, [])
    timeline.add("Z", packet(x, 0))
    timeline.window(timeline.ready_k - 1, timeline.ready_k)
    timeline.seen()
    assert all(t.raw_from_ns == timeline.time_of(timeline.ready_k - 800) for t in timeline.tracks.values())
    k1 = timeline.ready_k
    (stretch,) = timeline.raw("Z", k1 - 10, k1)
    index = (stretch.start_ns - T0_NS) // 10**7
    assert stretch.x.tolist() == x[index : index + len(stretch.x)].tolist() and len(stretch.x) > 25
    assert timeline.raw("Z", k1, k1) == [] and timeline.raw("N", k1 - 10, k1) == []
    without = _timeline()
    without.seen()
    assert all(track.raw_from_ns == NO_RAW_NS for track in without.tracks.values())


def test_a_restored_timeline_continues_with_the_same_outputs() -> None:
    packets = packets_of(TRACES, 1.0)
    one, other = _timeline(), _timeline()
    _fill(one, packets[:90])
    state = one.state()
    assert state.awaited == ["E", "N", "Z"] and state.began_k == one.k_at(T0_NS)
    other.restore(state)
    assert other.state() == state
    assert (other.ready_k, other.seen_k, other.oldest_k) == (one.ready_k, one.ready_k, one.oldest_k)
    cut = one.ready_k
    for timeline in (one, other):
        _fill(timeline, packets[90:])
        timeline.finish()
    assert other.state() == one.state()
    margin = 1 + int(one.reach_s * 40)
    (wave, valid), (again, there) = (t.window(cut + 2 * margin, t.ready_k) for t in (one, other))
    assert np.array_equal(wave, again) and np.array_equal(valid, there) and valid.all()
    assert not other.window(cut - 400, cut)[1].any()


def test_a_restored_timeline_waits_as_before() -> None:
    one, other = _timeline(max_wait_s=10.0), _timeline(max_wait_s=10.0)
    k0 = one.k_at(T0_NS)
    for k in range(k0, k0 + 2400, 200):
        for component in "ZN":
            _step(one, component, k, 5.0)
    assert _awaited(one) == "NZ"
    other.restore(one.state())
    for timeline in (one, other):
        _step(timeline, "E", k0, 0.25)  # far behind the newest packet of Z and N
        assert _awaited(timeline) == "NZ"
        _step(timeline, "Z", k0 + 2400)
    assert other.state() == one.state()
    old = TimelineState(k0 - 400, k0 + 50, ["Z"], one.state().tracks, None)  # of an earlier release
    other.restore(old)
    assert other.state().began_k == k0 + 50


def test_counters_are_carried_over_to_the_next_timeline() -> None:
    earlier, later = _fill(_timeline(), packets_of(TRACES)), _timeline()
    later.carry_counters({component: track.counters for component, track in earlier.tracks.items()})
    _fill(later, packets_of(TRACES))
    assert {c: track.counters.samples for c, track in later.tracks.items()} == dict.fromkeys("ZNE", 12_000)
    assert later.reach_s == later.tracks["Z"].reach_s > 0.1


def test_a_timeline_before_its_first_packet() -> None:
    timeline = _timeline()
    assert (timeline.oldest_k, timeline.ready_k, timeline.seen_k, timeline.reach_s) == (0, 0, 0, 0.0)
    assert {track.reorder_wait_s for track in timeline.tracks.values()} == {2.0}
    state = timeline.state()
    assert (state.first_k, state.ready_k, state.awaited, state.began_k) == (None, 0, ["E", "N", "Z"], 0)
    timeline.add("N", packet(np.zeros(100, dtype=np.int32)))
    timeline.finish()
    assert timeline.reach_s == timeline.tracks["N"].reach_s > 0.1


def test_the_end_makes_outputs_ready_that_waited_for_late_packets() -> None:
    x = burst(30, [])
    timeline = _timeline(components="Z", reorder_wait_s=60.0)
    timeline.add("Z", packet(x[:1000], 0))
    timeline.add("Z", packet(x[1500:], 15))
    waiting_k = timeline.ready_k
    timeline.finish()
    assert timeline.ready_k == timeline.tracks["Z"].done_k
    assert timeline.ready_k > waiting_k + 15 * 40
    assert timeline.tracks["Z"].counters.gaps == 1

import itertools
import random

import numpy as np
import pytest
from tests.fakes import T0_NS, burst, packet, packets_of

from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.timeline.resample import resample_record
from seisedge.runtime.timeline.segment import Segment, TrackCounters
from seisedge.runtime.timeline.timeline import Timeline
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
    timeline = _fill(_timeline(components="Z"), [packet(x, 0), packet(later, 90, rate_hz=200.0)])
    begin = timeline.k_at(T0_NS + 91 * 10**9)
    wave, valid = timeline.window(begin, timeline.k_at(T0_NS + 119 * 10**9))
    assert valid[0].all()
    expected, _, k0 = resample_record(later, np.ones(6000, bool), T0_NS + 90 * 10**9, 200, 40, 15)
    assert np.array_equal(wave[0], expected[begin - k0 :][: wave.shape[1]].astype(np.float32))


def test_ready_waits_for_a_component_by_packet_starts() -> None:
    timeline = _timeline(max_wait_s=60.0)
    z = burst(200, [])
    timeline.add("Z", packet(z[:3100], 0, "HHZ"))  # records of 31 s, channel by channel
    start = timeline.ready_k
    timeline.add("N", packet(z[:3100], 0, "HHN"))
    assert timeline.ready_k == start  # E may still come
    timeline.add("E", packet(z[:3100], 0, "HHE"))
    assert timeline.ready_k > timeline.k_at(T0_NS + 30 * 10**9)


def test_a_dead_component_is_given_up_once_and_taken_back() -> None:
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
    assert ready[7] > 39  # given up: no wait any more
    assert ready[11] > 59
    assert ready[23] > 119
    k0 = timeline.k_at(T0_NS)
    _, valid = timeline.window(k0, k0 + 119 * 40)
    assert not valid[2, 22 * 40 : 58 * 40].any()
    assert valid[2, 66 * 40 : 118 * 40].all()  # from the packet after the one it came back with
    assert valid[0, 40 : 118 * 40].all()


def test_a_component_that_is_always_late_is_waited_for_again_after_a_gap() -> None:
    """Z comes 14 s after the others; a gap of 50 s puts it more than max_wait_s behind for a moment, not for ever."""
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
def test_a_component_that_speaks_late_from_the_first_packet_on_is_waited_for(by_s: float) -> None:
    x = burst(120, [])
    traces = {channel: packets_of({channel: x}) for channel in ("HHE", "HHN", "HHZ")}
    in_time = sorted((p for some in traces.values() for p in some), key=lambda p: p.endtime_ns)
    late = sorted(in_time, key=lambda p: p.endtime_ns + (round(by_s * 1e9) if p.source_id.channel == "HHZ" else 0))
    one, other = _fill(_timeline(), in_time), _fill(_timeline(), late)
    for a, b in zip(_content(one), _content(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e35])
def test_floats_that_are_no_numbers_are_missing(value: float) -> None:
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
    """A hundred ppm, which no digitizer does, said to be 100 Hz: every packet has its true time."""
    seconds = 600
    t = np.arange(int(seconds * true_rate_hz)) / true_rate_hz
    slow = (1e4 * np.sin(2 * np.pi * 0.5 * t)).round().astype(np.int32)
    packets = [packet(slow[i : i + packet_n], i / true_rate_hz) for i in range(0, len(slow), packet_n)]
    timeline = _fill(_timeline(components="Z"), packets)
    counters = timeline.tracks["Z"].counters
    assert counters.gaps == counters.duplicate_samples == counters.disagreeing_samples == 0
    assert counters.samples == len(slow)
    assert 5 <= counters.retimings <= 12  # one in half a sample, six samples in all
    k0, k1 = timeline.ready_k - 4000, timeline.ready_k - 40
    wave, valid = timeline.window(k0, k1)
    assert valid[0].all()
    true_t = np.array([timeline.time_of(k) - T0_NS for k in range(k0, k1)]) / 1e9
    worst = np.abs(wave[0] - 1e4 * np.sin(2 * np.pi * 0.5 * true_t)).max() / (1e4 * np.pi)  # in seconds
    assert worst < 0.0125  # a sample, and what a packet of 30 s drifts


def test_a_missing_sample_is_a_gap_and_no_drift() -> None:
    x = burst(40, [])
    timeline = _fill(_timeline(components="Z"), [packet(x[:2000], 0), packet(x[2001:], 20.01)])
    assert timeline.tracks["Z"].counters == TrackCounters(samples=3999, gaps=1, gap_samples=1)


def test_memory_is_bounded_over_a_day() -> None:
    timeline = _timeline(components="Z")
    x = burst(60, [])
    timeline.add("Z", packet(x, 0))
    size = timeline._wave.nbytes
    for minute in range(1, 1440):
        timeline.add("Z", packet(x, 60.0 * minute))
        timeline.window(timeline.ready_k - 1, timeline.ready_k)
        timeline.seen()
    assert timeline._wave.nbytes == size
    assert len(timeline.tracks["Z"]._segment._x) < 100 * 300  # type: ignore[union-attr]


@pytest.mark.parametrize("rate_hz", [20.0, 40.0, 50.0, 100.0, 33.3])
def test_an_index_and_its_time_are_each_others_inverse(rate_hz: float) -> None:
    timeline = Timeline("XX.STA", GridSpec(rate_hz, rate_hz / 4))
    first = timeline.k_at(T0_NS)
    for k in range(first, first + 5000):
        assert timeline.k_at(timeline.time_of(k)) == k
        assert timeline.k_at(timeline.time_of(k) + 2) == k + 1
        assert abs(timeline.time_of(k) - k * 1_000_000_000 / rate_hz) <= 1000  # a float64 knows no better


def test_segment_index() -> None:
    segment = Segment(T0_NS, 100.0)
    assert segment.index_of(T0_NS + 10_000_000) == 1


def test_a_component_that_comes_and_goes_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    timeline = Timeline("XX.STA", GridSpec(40.0, 15.0), max_wait_s=5.0)
    for start_s in range(0, 400, 2):
        for component in "ZNE":
            if component != "E" or start_s % 80 < 30:
                samples = np.zeros(200, dtype=np.int32)
                timeline.add(component, packet(samples, float(start_s), f"HH{component}"))
    said = [(r.levelname, r.message) for r in caplog.records]
    gone = [level for level, text in said if "component E is not waited for any more" in text]
    anew = [level for level, text in said if text.startswith("XX.STA E: new segment")]
    assert gone == ["WARNING", *["DEBUG"] * 4]
    assert anew == ["WARNING", *["DEBUG"] * 3]

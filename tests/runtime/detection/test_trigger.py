import numpy as np
import pytest
from tests.fakes import T0_NS, burst, packet, packets_of

from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.opener import TRIGGER_GRID, Onset, OpenerState
from seisedge.runtime.detection.trigger import Trigger, _highpass_taps, _moving_sum
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

ONSETS_S = [20.0, 45.0, 70.0]
TRACES = {f"HH{c}": burst(90, ONSETS_S, seed=i) for i, c in enumerate("ZNE")}


def _scan(traces: dict[str, np.ndarray], packet_s: float, every: int = 1, components: str = "ZNE") -> list[Onset]:
    timeline = Timeline("XX.STA", TRIGGER_GRID, components=components)
    trigger = Trigger(timeline, TriggerConfig())
    found: list[Onset] = []
    for i, p in enumerate(packets_of(traces, packet_s)):
        timeline.add(p.source_id.channel[-1], p)
        if i % every == 0:
            found += trigger.scan()
    timeline.finish()
    return found + trigger.scan()


def test_onsets_are_found_where_they_are() -> None:
    found = _scan(TRACES, 4.0)
    assert [(o.time_ns - T0_NS) / 1e9 for o in found] == pytest.approx(ONSETS_S, abs=0.35)
    assert all(o.snr >= 3.0 for o in found)


@pytest.mark.parametrize(("packet_s", "every"), [(0.25, 1), (0.5, 7), (4.0, 5), (30.0, 1), (90.0, 1)])
def test_onsets_do_not_depend_on_packets(packet_s: float, every: int) -> None:
    assert _scan(TRACES, packet_s, every) == _scan(TRACES, 4.0)


def test_without_the_vertical_the_horizontals_are_used() -> None:
    horizontals = {c: x for c, x in TRACES.items() if c != "HHZ"}
    found = _scan(horizontals, 4.0, components="NE")
    assert [(o.time_ns - T0_NS) / 1e9 for o in found] == pytest.approx(ONSETS_S, abs=0.35)


@pytest.mark.parametrize(("packet_s", "every"), [(0.5, 3), (10.0, 1), (90.0, 1)])
def test_where_the_vertical_stops_the_horizontals_take_over_whatever_the_packets(packet_s: float, every: int) -> None:
    traces = TRACES | {"HHZ": TRACES["HHZ"][:5500]}
    found = _scan(traces, packet_s, every)
    assert [(o.time_ns - T0_NS) / 1e9 for o in found] == pytest.approx(ONSETS_S, abs=0.35)
    assert found == _scan(traces, 4.0)


def test_noise_alone_triggers_nothing_and_neither_does_a_gap() -> None:
    noise = burst(120, [])
    timeline = Timeline("XX.STA", TRIGGER_GRID, components="Z")
    trigger = Trigger(timeline, TriggerConfig())
    for p in (packet(noise[:5000], 0), packet(noise[6000:] + 5000, 60)):  # the offset steps across the gap
        timeline.add("Z", p)
    timeline.finish()
    assert trigger.scan() == []


def test_after_a_gap_it_detects_again_within_half_the_long_average() -> None:
    x = burst(60, [46.0])
    timeline = Timeline("XX.STA", TRIGGER_GRID, components="Z")
    trigger = Trigger(timeline, TriggerConfig())
    for p in (packet(x[:2000], 0), packet(x[4000:], 40)):
        timeline.add("Z", p)
    timeline.finish()
    assert [(o.time_ns - T0_NS) / 1e9 for o in trigger.scan()] == pytest.approx([46.0], abs=0.35)


@pytest.mark.parametrize("width", [1, 2, 5, 7, 80])
def test_moving_sum(width: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 200))
    expected = np.stack([np.convolve(row, np.ones(width), "valid") for row in x])
    assert _moving_sum(x, width) == pytest.approx(expected)


def test_another_sampling_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="40 Hz"):
        Trigger(Timeline("XX.STA", GridSpec(100.0, 40.0)), TriggerConfig())


def _filled(traces: dict[str, np.ndarray], gap_s: tuple[float, float] | None = None, shift_s: float = 0.0) -> Timeline:
    timeline = Timeline("XX.STA", TRIGGER_GRID)
    for p in packets_of(traces, 1.0, start_s=shift_s):
        start_s = (p.starttime_ns - T0_NS) / 1e9
        if gap_s is None or p.source_id.channel != "HHZ" or not gap_s[0] <= start_s < gap_s[1]:
            timeline.add(p.source_id.channel[-1], p)
    timeline.finish()
    return timeline


def _ratios_by_definition(
    wave: np.ndarray, valid: np.ndarray, config: TriggerConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n_hops,) each, of one component from a hop's start on: ratio, long average and mean square of a hop."""
    taps = _highpass_taps(config.highpass_hz, 40.0)
    high = np.convolve(wave.astype(np.float64), taps, "same")
    whole = np.convolve(~valid, np.ones(41), "same") < 0.5
    whole[:20] = whole[-20:] = False  # under the filter lies what is not part of the array
    hops = len(wave) // 4
    count = whole[: 4 * hops].reshape(hops, 4).sum(axis=1)
    energy = np.where(whole, high**2, 0.0)[: 4 * hops].reshape(hops, 4).sum(axis=1)
    amplitude = np.sqrt(energy / np.maximum(count, 1))
    ratio, average = np.zeros(hops), np.zeros(hops)
    for hop in range(hops):
        long, short = slice(max(hop - 79, 0), hop + 1), slice(max(hop - 4, 0), hop + 1)
        if count[long].sum() >= 160 and count[short].sum() >= 10:  # half of 80 and of 5 hops
            average[hop] = (amplitude[long] * count[long]).sum() / count[long].sum()
            ratio[hop] = np.sqrt(energy[short].sum() / count[short].sum()) / average[hop]
    return ratio, average, energy / np.maximum(count, 1)


def _onsets_by_definition(timeline: Timeline, config: TriggerConfig) -> list[tuple[int, float]]:
    """(time_ns, snr) of all onsets, hop by hop."""
    k0 = timeline.k_at(T0_NS) // 4 * 4 - 4 * 100
    wave, valid = timeline.window(k0, timeline.ready_k)
    rows = [_ratios_by_definition(w, v, config) for w, v in zip(wave, valid, strict=True)]
    exists = np.convolve(~valid[0], np.ones(41), "same") < 0.5
    armed, found = True, []
    for hop in range((wave.shape[1] - 20) // 4):
        vertical = exists[max(4 * hop - 116, 0) : 4 * hop + 4].any()  # in one of the last 30 hops
        row = rows[0] if vertical else max(rows[1:], key=lambda r: r[0][hop])
        ratio, average, square = row
        if armed and ratio[hop] >= config.on_ratio:
            back = 0
            while back < 8 and square[hop - back] >= (2.0 * average[hop]) ** 2:
                back += 1
            found.append((timeline.time_of(k0 + 4 * (hop - max(back - 1, 0))), float(ratio[hop])))
            armed = False
        elif not armed and ratio[hop] < config.off_ratio:
            armed = True
    return found


def _bursts(seed: int) -> dict[str, np.ndarray]:
    """Noise with bursts of different strength on each component, sudden and emergent, some shortly after each other."""
    rng = np.random.default_rng(seed)
    traces = {}
    for c in "ZNE":
        x = rng.normal(0, 20, 6_000)
        for onset_s in np.sort(rng.uniform(8, 58, 8)):
            n = int(100 * onset_s)
            length = min(6_000 - n, int(rng.integers(40, 300)))
            rise = np.minimum(np.arange(length) / rng.choice([1.0, 100.0, 250.0]), 1.0)
            x[n : n + length] += rise * rng.normal(0, rng.uniform(60, 900), length)
        traces[f"HH{c}"] = x / (1.0 if seed % 2 else 1000.0)
    return traces


@pytest.mark.parametrize(
    ("seed", "gap_s"), [(0, None), (1, (31.0, 33.0)), (2, (20.0, 26.0)), (3, (30.0, 41.0)), (4, (50.0, 60.0))]
)
def test_onsets_are_those_of_the_definition(seed: int, gap_s: tuple[float, float] | None) -> None:
    timeline = _filled(_bursts(seed), gap_s, 0.025 * seed)  # a gap ends anywhere in a hop
    for on_ratio, off_ratio in ((4.2, 1.7), (2.5, 2.0), (1.7, 1.4), (6.0, 1.5)):
        config = TriggerConfig(on_ratio=on_ratio, off_ratio=off_ratio)
        found = Trigger(timeline, config).scan()
        expected = _onsets_by_definition(timeline, config)
        assert len(expected) >= 2
        assert [o.time_ns for o in found] == [time_ns for time_ns, _ in expected]
        assert [o.snr for o in found] == [round(o.snr, 2) for o in found]
        assert [o.snr for o in found] == pytest.approx([snr for _, snr in expected], abs=0.00501)


def test_the_highpass_halves_the_amplitude_at_its_corner() -> None:
    taps = _highpass_taps(4.0, 40.0)
    assert taps.shape == (41,) and np.array_equal(taps, taps[::-1])
    n = np.arange(-20, 21)

    def gain(frequency_hz: float) -> float:
        return float((taps * np.cos(2 * np.pi * frequency_hz / 40.0 * n)).sum())

    assert gain(0.0) == pytest.approx(0.0, abs=1e-12)
    assert gain(4.0) == pytest.approx(0.5, abs=0.01)
    assert [gain(f) for f in (1.0, 2.0)] == pytest.approx([0.0, 0.0], abs=0.01)
    assert [gain(f) for f in (6.0, 10.0, 15.0, 20.0)] == pytest.approx([1.0] * 4, abs=0.01)


def _span(trigger: Trigger, burst_amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the span of one hop: an 8 Hz wave, larger in the last three quarters of a second."""
    k0, k1 = trigger.span_of(1000, 1000)
    t = np.arange(k1 - k0) / 40.0
    wave = np.sin(2 * np.pi * 8.0 * t)
    wave[-30:] *= burst_amplitude
    return wave, np.ones(len(wave), dtype=bool)


def test_a_span_has_the_long_average_and_the_reach_of_the_filter() -> None:
    trigger = Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig(sta_s=1.0, lta_s=6.0))
    assert trigger.span_of(1000, 1000) == ((1000 - 59) * 4 - 20, 1001 * 4 + 20)
    assert trigger.span_of(1000, 1010) == ((1000 - 59) * 4 - 20, 1011 * 4 + 20)
    assert trigger.reach_s == 6.5


@pytest.mark.parametrize(
    ("first", "last", "fires"),
    [(0, 0, True), (160, 0, True), (161, 0, False), (0, 10, True), (0, 11, False)],
)
def test_half_of_either_average_must_exist(first: int, last: int, fires: bool) -> None:
    """A missing sample at an end of the span masks one output of the filter."""
    trigger = Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig())
    wave, valid = _span(trigger, 100.0)
    valid[:first] = False
    valid[len(valid) - last :] = False
    assert trigger.reaches(wave, valid) is fires


def test_it_fires_at_its_ratio() -> None:
    wave, valid = _span(Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig()), 10.0)
    ratio = _ratios_by_definition(wave, valid, TriggerConfig())[0][84]  # five hops of the filter before it
    assert 4.5 < ratio < 7
    trigger = Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig())
    exact = float(trigger._ratios(*trigger._energies_of(wave[None], valid[None]), 1)[0][0, 0])
    assert exact == pytest.approx(ratio, rel=1e-12)
    for on_ratio, fires in ((exact, True), (np.nextafter(exact, 9.0), False)):
        trigger = Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig(on_ratio=on_ratio))
        assert trigger.reaches(wave, valid) is fires


def test_times_of_hops() -> None:
    trigger = Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig())
    hop = T0_NS // 100_000_000
    assert trigger.time_of_hop(hop) == T0_NS
    assert trigger.hop_after(T0_NS) == hop
    assert trigger.hop_after(T0_NS + 1) == hop  # times of the grid are rounded to the nanosecond
    assert trigger.hop_after(T0_NS + 2) == hop + 1
    assert trigger.hop_after(T0_NS + 100_000_000) == hop + 1
    assert trigger.hop_after(T0_NS + 100_000_002) == hop + 2


def test_a_scan_ends_with_the_last_hop_whose_samples_are_ready() -> None:
    timeline = _filled(TRACES)
    trigger = Trigger(timeline, TriggerConfig())
    assert trigger.needed_ns is None and trigger.state() == OpenerState(None, True)
    trigger.scan()
    assert trigger.scanned_hop == (timeline.ready_k - 20) // 4
    assert trigger.needed_ns == timeline.time_of((trigger.scanned_hop - 88) * 4 - 20)
    assert trigger.scan() == []


def test_nothing_is_scanned_before_the_first_packet() -> None:
    timeline = Timeline("XX.STA", TRIGGER_GRID)
    trigger = Trigger(timeline, TriggerConfig())
    assert trigger.scan() == [] and trigger.scanned_hop is None
    timeline.add("Z", packet(TRACES["HHZ"][:100], 0.0))
    assert timeline.ready_k == timeline.oldest_k
    assert trigger.scan() == [] and trigger.scanned_hop is None


@pytest.mark.parametrize("at", range(60, 88, 3))
def test_a_restored_trigger_finds_the_same_onsets(at: int) -> None:
    """Cut at several places about the last onset, where the trigger is armed, has fired, and is armed again."""
    packets = packets_of(TRACES, 1.0)
    timeline = Timeline("XX.STA", TRIGGER_GRID)
    one = Trigger(timeline, TriggerConfig())
    for p in packets[: 3 * at]:
        timeline.add(p.source_id.channel[-1], p)
    one.scan()
    other = Trigger(timeline, TriggerConfig())
    other.restore(one.state())
    assert other.state() == one.state()
    for p in packets[3 * at :]:
        timeline.add(p.source_id.channel[-1], p)
    timeline.finish()
    assert other.scan() == one.scan()
    assert other.state() == one.state()


def test_a_trigger_restored_before_its_first_scan_finds_all_onsets() -> None:
    timeline = _filled(TRACES)
    trigger = Trigger(timeline, TriggerConfig())
    trigger.restore(OpenerState(None, True))
    assert trigger.scan() == Trigger(timeline, TriggerConfig()).scan() != []


def test_after_a_restart_of_the_timeline_earlier_noise_does_not_count() -> None:
    timeline = _filled({"HHZ": burst(60, [30.0])})
    trigger = Trigger(timeline, TriggerConfig())
    assert len(trigger.scan()) == 1
    start_s = 3600.0
    at_k = timeline.k_at(T0_NS + round(start_s * 1e9))
    timeline.restart(at_k)
    x = burst(60, [3.0, 20.0], seed=5)
    for p in packets_of({"HHZ": x}, 1.0, start_s=start_s):
        timeline.add("Z", p)
    timeline.finish()
    found = trigger.scan()
    # half of the long average must exist: the burst at 3 s comes too early
    assert [(o.time_ns - T0_NS) / 1e9 - start_s for o in found] == pytest.approx([20.0], abs=0.35)
    fresh = Trigger(timeline, TriggerConfig())
    assert found == fresh.scan()
    assert fresh.state() == trigger.state()


@pytest.mark.parametrize("at_once_n", [4, 12, 400])
def test_energies_do_not_depend_on_how_many_samples_are_filtered_at_once(
    at_once_n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).normal(0, 300, (2, 1040))
    exists = np.ones(samples.shape, dtype=bool)
    exists[1, 300:320] = False
    trigger = Trigger(Timeline("XX.STA", TRIGGER_GRID), TriggerConfig())
    whole = trigger._energies_of(samples, exists)
    monkeypatch.setattr("seisedge.runtime.detection.trigger.AT_ONCE_N", at_once_n)
    for found, expected in zip(trigger._energies_of(samples, exists), whole, strict=True):
        assert found.tobytes() == expected.tobytes()

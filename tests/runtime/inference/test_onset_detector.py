"""The onset detector on synthetic traces, with a model that compares amplitudes."""

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.fakes import T0_NS, RuleEngine, burst, card, fake_detector, onset_card, onset_rule, packet, packets_of

from seisedge.runtime.demo import RECORDING
from seisedge.runtime.detection.opener import TRIGGER_GRID, Onset, OpenerState
from seisedge.runtime.engines._base import Array
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import CardError
from seisedge.runtime.inference.infer import bundled_model
from seisedge.runtime.inference.onset_detector import OnsetDetector
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.timeline.timeline import Timeline

ONSETS_S = [20.33, 45.0, 51.5, 70.96]
VERTICAL = burst(90, ONSETS_S)
S_S = [24.1, 56.2]  # of the first and the third, whose P is on the vertical alone
TRACES = {"HHZ": VERTICAL} | {f"HH{c}": burst(90, [*S_S, 45.0, 70.96], seed=i) for i, c in ((1, "N"), (2, "E"))}


def _detector(engine: RuleEngine | None = None, components: str = "ZNE", **settings: Any) -> OnsetDetector:
    timeline = Timeline("XX.STA", TRIGGER_GRID, components=components, raw_keep_s=60.0)  # as a station
    return OnsetDetector(timeline, engine or fake_detector(), **settings)


def _scan(detector: OnsetDetector, packets: list[Packet], every: int = 1) -> list[Onset]:
    found: list[Onset] = []
    for i, p in enumerate(packets):
        detector.timeline.add(p.source_id.channel[-1], p)
        if i % every == 0:
            found += detector.scan()
    detector.timeline.finish()
    return found + detector.scan()


def _times(onsets: list[Onset], phase: str = "P") -> list[float]:
    return [(o.time_ns - T0_NS) / 1e9 for o in onsets if o.phase == phase]


def test_p_and_s_are_found_and_timed() -> None:
    found = _scan(_detector(), packets_of(TRACES))
    assert _times(found) == pytest.approx(ONSETS_S, abs=0.06)
    assert _times(found, "S") == pytest.approx(S_S, abs=0.06)
    assert {(o.phase, o.probability, o.component == "Z") for o in found} == {("P", 0.9, True), ("S", 0.8, False)}
    assert all(o.uncertainty_s is not None and 0.05 <= o.uncertainty_s < 0.2 for o in found)
    assert all(o.snr > 3 for o in found if o.phase == "P")


@pytest.mark.parametrize("settings", [{}, {"gate_ratio": 3.0}, {"delay_s": 0.5}])
@pytest.mark.parametrize(("packet_s", "every"), [(0.25, 1), (0.5, 7), (30.0, 1), (90.0, 1)])
def test_onsets_do_not_depend_on_packets(packet_s: float, every: int, settings: dict[str, float]) -> None:
    expected = _scan(_detector(fake_detector(**settings)), packets_of(TRACES))
    assert len(expected) >= 5
    assert _scan(_detector(fake_detector(**settings)), packets_of(TRACES, packet_s), every) == expected


def _detector_on_recording(
    batch_sizes: tuple[int, ...],
    run_lengths: tuple[int, ...],
    components: str = "ZNE",
    *,
    every_block: bool = True,
    without: range = range(0),
) -> tuple[OnsetDetector, list[Onset], set[tuple[int, int]]]:
    """All of a station of the bundled recording, read at once; its onsets; number and length of the windows run at
    once. without: packets of each component that are left out.
    """
    used: set[tuple[int, int]] = set()

    class Noting(OnnxRuntimeEngine):
        def _infer(self, waveform: Array, valid: Array) -> Array:
            used.add((len(waveform), waveform.shape[-1]))
            return super()._infer(waveform, valid)

    engine = Noting(bundled_model("onset"))
    engine.batch_sizes, engine.run_lengths = batch_sizes, run_lengths
    detector = OnsetDetector(Timeline("PB.B918", TRIGGER_GRID), engine, every_block=every_block)
    count = dict.fromkeys(components, 0)
    with MiniSeedSource([RECORDING]) as source:
        for p in source.packets():
            if p is not None and p.source_id.station_id == "PB.B918":
                component = {"1": "N", "2": "E"}.get(p.source_id.channel[-1], "Z")
                if component in components:
                    if count[component] not in without:
                        detector.timeline.add(component, p)
                    count[component] += 1
    detector.timeline.finish()
    return detector, detector.scan(), used


def _blocks(detector: OnsetDetector) -> list[tuple[int, float, bytes]]:
    known = [(b.first_hop, b.coverage, b.probabilities) for b in detector.blocks]
    return [(hop, coverage, p.tobytes()) for hop, coverage, p in known if p is not None]


def test_blocks_of_the_recording_have_the_same_bits_together_as_alone() -> None:
    detector, _, used = _detector_on_recording((1,), ())
    alone = _blocks(detector)
    assert len(alone) > 1000 and used == {(1, 960)}
    detector, _, used = _detector_on_recording((16, 1), ())
    assert _blocks(detector) == alone and used == {(16, 960), (1, 960)}
    detector, _, used = _detector_on_recording((4, 1), (32, 4))
    assert _blocks(detector) == alone and {(1, 960 + 31 * 40), (1, 960 + 3 * 40)} < used
    assert detector.runs == len(alone)


def test_a_vertical_alone_is_run_in_runs_with_the_same_bits() -> None:
    alone = _blocks(_detector_on_recording((1,), (), "Z")[0])
    detector, _, used = _detector_on_recording((1,), (32,), "Z")
    assert _blocks(detector) == alone and (1, 960 + 31 * 40) in used


def test_blocks_with_a_gap_are_not_run_in_runs() -> None:
    """Their coverage is below 1, and they have no probabilities where too few samples exist."""
    detectors = [_detector_on_recording((1,), lengths, "Z", without=range(40, 48))[0] for lengths in ((), (32, 4))]
    alone, together = ([(b.first_hop, b.coverage, b.probabilities is None) for b in d.blocks] for d in detectors)
    assert alone == together and len({coverage for _, coverage, _ in alone}) > 1
    assert _blocks(detectors[0]) == _blocks(detectors[1])


def test_behind_a_gate_only_blocks_that_follow_each_other_are_run_as_one() -> None:
    alone, onsets, _ = _detector_on_recording((1,), (), every_block=False)
    detector, found, used = _detector_on_recording((1,), (8, 4), every_block=False)
    assert found == onsets and len(onsets) > 100
    assert detector.runs == alone.runs and {(1, 960), (1, 960 + 3 * 40), (1, 960 + 7 * 40)} == used


def test_blocks_behind_an_onset_are_run_in_batches_as_well() -> None:
    class Batched(RuleEngine):
        batch_sizes = (4, 1)

    card = onset_card(gate_ratio=3.0)
    alone, batched = _detector(RuleEngine(card, onset_rule)), _detector(engine := Batched(card, onset_rule))
    found = _scan(batched, packets_of(TRACES), every=1000)
    assert found == _scan(alone, packets_of(TRACES), every=1000) and len(found) >= 5
    assert batched.runs == alone.runs and len(engine.shown) < 0.5 * batched.runs  # one of `shown` for each batch


def test_an_onset_is_known_with_the_last_hop_of_its_block() -> None:
    for onset in _scan(_detector(), packets_of(TRACES)):
        assert onset.hop % 10 == 9
        assert 0 <= (onset.hop + 1) * 100_000_000 - onset.time_ns < 1_600_000_000


@pytest.mark.parametrize("stop", [3, 9, 15, 16, 17, 18, 25, 40, 52])
def test_resumed_from_a_state(stop: int) -> None:
    packets = packets_of(TRACES, 4.0)
    engine = fake_detector(gate_ratio=3.0)
    whole = _scan(_detector(engine), packets)
    first = _detector(engine)
    found: list[Onset] = []
    for p in packets[:stop]:
        first.timeline.add(p.source_id.channel[-1], p)
        found += first.scan()
    state, needed_ns = msgspec.json.decode(msgspec.json.encode(first.state()), type=OpenerState), first.needed_ns
    second = _detector(engine)
    for p in packets[:stop]:
        second.timeline.add(p.source_id.channel[-1], p)
    second.restore(state)
    assert needed_ns == second.needed_ns
    for p in packets[stop:]:
        second.timeline.add(p.source_id.channel[-1], p)
        found += second.scan()
    second.timeline.finish()
    assert found + second.scan() == whole


def test_the_gate_saves_inferences_and_changes_no_onset() -> None:
    packets = packets_of(TRACES)
    always, gated = _detector(), _detector(fake_detector(gate_ratio=3.0))
    every = _detector(fake_detector(gate_ratio=3.0), every_block=True)
    assert _scan(always, packets) == _scan(gated, packets) == _scan(every, packets)
    assert always.runs == every.runs > 80 and len(every.blocks) > 85
    # Nothing before the first onset at 20 s; then 15 s after each P (20, 45, 51 and 71 s), and the data end at 90 s.
    assert 48 <= gated.runs < 60


def test_below_the_gate_no_onset_is_reported_even_where_the_model_is_run() -> None:
    def everywhere(_waveform: Array, _valid: Array) -> list[list[float]]:
        return [[0.9, 0.9, 0.1, 0.8, 0.1]] * 10

    quiet = {channel: x[:1900] for channel, x in TRACES.items()}
    detector = _detector(RuleEngine(onset_card(gate_ratio=3.0), everywhere), every_block=True)
    assert _scan(detector, packets_of(quiet)) == [] and detector.runs > 10


def test_a_plateau_is_one_onset_and_the_next_needs_a_fall() -> None:
    script: list[float] = [0.0] * 100 + [0.6, 0.8, 0.7, 0.6, 0.6, 0.6, 0.9, 0.4, 0.6, 0.1, 0.55, 0.0] + [0.0] * 900
    rest = iter(script)

    def scripted(_waveform: Array, _valid: Array) -> list[list[float]]:
        return [[next(rest), 0.0, 0.5, 0.3, 0.2] for _ in range(10)]

    found = _scan(_detector(RuleEngine(onset_card(), scripted)), packets_of({c: burst(60, []) for c in TRACES}))
    assert [o.probability for o in found] == [0.8, 0.55]


def test_a_threshold_of_the_station_takes_precedence() -> None:
    assert _scan(_detector(p_threshold=0.95), packets_of(TRACES)) == [
        o for o in _scan(_detector(), packets_of(TRACES)) if o.phase == "S"
    ]


def test_a_delay_moves_the_hops_and_not_the_onsets() -> None:
    """A model that looks 0.5 s ahead gives the rows of the hops 0.5 s before its block."""

    def late(waveform: Array, valid: Array) -> list[list[float]]:
        shifted = [np.concatenate([np.zeros((3, 20), x.dtype), x[:, :-20]], axis=1) for x in (waveform, valid)]
        return onset_rule(shifted[0], shifted[1])

    delayed = _detector(RuleEngine(onset_card(delay_s=0.5), late))
    found = _scan(delayed, packets_of(TRACES))
    assert _times(found) == pytest.approx(ONSETS_S, abs=0.06)
    gated = _detector(RuleEngine(onset_card(delay_s=0.5, gate_ratio=3.0), late))
    assert _scan(gated, packets_of(TRACES)) == found and gated.runs < 0.7 * delayed.runs


def test_without_the_vertical_the_horizontals_are_timed() -> None:
    found = _scan(_detector(components="NE"), packets_of({c: x for c, x in TRACES.items() if c != "HHZ"}))
    assert _times(found)[0] == pytest.approx(S_S[0], abs=0.06)
    assert all(o.component in ("N", "E") for o in found)


def test_blocks_in_a_gap_are_not_looked_at() -> None:
    detector = _detector(components="Z", every_block=True)
    x = burst(90, [80.0])
    _scan(detector, [packet(x[:3000], 0), packet(x[6050:], 60.5)])
    seconds = [
        (detector.time_of_hop(b.first_hop) - T0_NS) / 1e9 for b in detector.blocks if b.probabilities is not None
    ]
    assert min(seconds) == 4.0 and not [s for s in seconds if 29.6 <= s < 60.6]
    assert all(b.coverage >= 0.6 for b in detector.blocks if b.probabilities is not None)
    assert [
        b for b in detector.blocks if b.probabilities is None and b.coverage > 0.9
    ]  # too little context at the start


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_values_that_are_no_probabilities_open_nothing(value: float) -> None:
    engine = RuleEngine(onset_card(), lambda _w, _v: [[value, 0.0, 1.0, 0.0, 0.0]] * 10)
    assert _scan(_detector(engine), packets_of(TRACES)) == []


@pytest.mark.parametrize(
    "changes",
    [{"sampling_rate_hz": 80.0, "n_samples": 1040}, {"band_hz": (1.0, 12.0)}, {"hop_s": 0.2}, {"unit": "m/s"}],
)
def test_a_card_that_does_not_fit_the_station_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CardError, match="an onset detector must take counts at 40 Hz with a band up to 15 Hz, in hops"):
        _detector(RuleEngine(onset_card(**changes), onset_rule))


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(CardError, match="'event_type', not an onset detector"):
        _detector(RuleEngine(card(), onset_rule))


def test_would_fire_runs_the_model_on_each_block_of_the_span() -> None:
    detector = _detector()
    packets = packets_of(TRACES)
    found = _scan(detector, packets)
    hop = found[0].hop
    k0, k1 = detector.span_of(hop, hop)
    assert k1 - k0 == 13 * 40 and k1 == (hop + 1) * 4
    wave, valid = detector.timeline.window(k0, k1)
    assert detector.would_fire([(wave.astype(np.float64), valid)])
    later = detector.span_of(hop + 10, hop + 25)
    assert later == (k0 + 40, k1 + 80)  # whole blocks only
    wave, valid = detector.timeline.window(*later)
    assert not detector.would_fire([(wave.astype(np.float64), valid)])


@pytest.mark.parametrize("every", [1, 1000])
def test_where_a_second_sensor_takes_over_is_no_onset(every: int) -> None:
    """A seismometer with an offset that is missing twice and once dead, beside an accelerometer that records all."""
    rng = np.random.default_rng(5)
    signal = burst(150, [80.0, 120.0]).astype(np.float64)  # while the accelerometer is used, and afterwards
    traces = {}
    for component in "ZNE":
        traces[f"EN{component}"] = (60 * np.gradient(signal) + rng.normal(0, 300, len(signal))).astype(np.int32)
        traces[f"EH{component}"] = (signal + 50_000).astype(np.int32)
        traces[f"EH{component}"][9000:10500] = 20_000
    packets = packets_of(traces)
    missing = [(30.0, 42.0), (70.0, 86.0)]
    starts_s = [(p, (p.starttime_ns - T0_NS) / 1e9) for p in packets]
    packets = [p for p, s in starts_s if p.source_id.channel[1] == "N" or not any(t0 <= s < t1 for t0, t1 in missing)]
    detector = _detector()
    timeline = detector.timeline
    timeline.ratios = ((0, np.full(3, 100 / 60)),)
    timeline.expect_second()
    found: list[Onset] = []
    for i, p in enumerate(packets):
        timeline.add(p.source_id.channel[-1] + ("2" if p.source_id.channel[1] == "N" else ""), p)
        if i % every == 0:
            found += detector.scan()
    timeline.finish()
    assert _times(found + detector.scan()) == pytest.approx([80.0, 120.0], abs=0.1)

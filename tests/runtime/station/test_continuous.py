"""Continuous mode: a line each second, and the events of triggered mode."""

import itertools
import sys

import msgspec
import numpy as np
import pytest
from tests.fakes import (
    NOISE,
    T0_NS,
    TECTONIC,
    RuleEngine,
    burst,
    card,
    events_of,
    fake_detector,
    fake_models,
    hops_of,
    onset_card,
    onset_rule,
    packets_of,
)

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.config import (
    ChannelConfig,
    EventsConfig,
    Mode,
    StationConfig,
    TimelineConfig,
    TriggerConfig,
    TriggerKind,
)
from seisedge.runtime.detection.opener import TRIGGER_GRID
from seisedge.runtime.engines._base import Array
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.memory import digest
from seisedge.runtime.station.station import Station
from seisedge.runtime.timeline.timeline import DEAD_S

P_S, S_S = [40.35, 60.35, 66.35, 110.35], [43.55, 113.05]  # S on the horizontals alone
TRACES = {"HHZ": burst(150, P_S)} | {f"HH{c}": burst(150, S_S, seed=i) for i, c in ((1, "N"), (2, "E"))}
CONFIG = StationConfig(
    channels={f"HH{c}": ChannelConfig(sensitivity=1e9) for c in "ZNE"}, trigger=TriggerConfig(kind="onset")
)


def _by_signal(waveform: Array, valid: Array) -> list[float]:
    return TECTONIC if np.abs(waveform).max() > 500 else NOISE


def _run(
    mode: Mode,
    packet_s: float = 4.0,
    models: Models | None = None,
    packets: list[Packet] | None = None,
    config: StationConfig = CONFIG,
) -> tuple[list[Draft], Station]:
    models = models or fake_models(_by_signal, onset=fake_detector(gate_ratio=3.0))
    station = Station("XX.STA", config, models, mode)
    drafts: list[Draft] = []
    for p in packets or packets_of(TRACES, packet_s):
        station.add(p)
        drafts += station.step()
    return drafts + list(station.finish()), station


def _after_t0_s(time: str) -> float:
    return (ns_from_iso(time) - T0_NS) / 1e9


def test_both_modes_write_the_same_events() -> None:
    triggered, one = _run("triggered")
    continuous, other = _run("continuous")
    assert len(events_of(triggered)) > 10 and not hops_of(triggered) and len(hops_of(continuous)) > 140
    assert list(map(content_of, events_of(continuous))) == list(map(content_of, events_of(triggered)))
    assert one.counters.events == other.counters.events == len(P_S)
    assert other.counters.hops == len(hops_of(continuous)) and one.counters.hops == 0


@pytest.mark.parametrize("packet_s", [0.5, 30.0, 150.0])
def test_lines_do_not_depend_on_packets(packet_s: float) -> None:
    """Also not the order of hop lines and event lines."""

    def plain(drafts: list[Draft]) -> list[bytes]:
        return [content_of(draft.line) for draft in drafts]

    assert plain(_run("continuous", packet_s)[0]) == plain(_run("continuous")[0])


def test_one_line_for_each_second_of_the_clock() -> None:
    hops = hops_of(_run("continuous")[0])
    assert all(hop.time.endswith(".000000Z") and hop.length_s == 1.0 for hop in hops)
    times_s = [_after_t0_s(hop.time) for hop in hops]
    assert times_s == [float(s) for s in range(149)]  # the last second has no samples behind it for the gate
    assert (hops[0].station, hops[0].model, hops[0].cost.inferences) == ("XX.STA", "fake-onset", 0)


def test_a_line_states_what_was_there_in_its_second() -> None:
    by_second = {_after_t0_s(hop.time): hop for hop in hops_of(_run("continuous")[0])}
    assert by_second[0.0].probabilities is None  # too little context
    quiet, loud, s_wave = by_second[35.0], by_second[61.0], by_second[43.0]
    assert quiet.probabilities == {"noise": 0.8, "tectonic": 0.1, "non-tectonic": 0.1}
    assert loud.probabilities == {"noise": 0.1, "tectonic": 0.7, "non-tectonic": 0.2}
    assert (quiet.p_onset, quiet.s_onset) == (0.02, 0.01)
    assert by_second[60.0].p_onset == 0.9 and loud.p_onset == 0.02
    assert s_wave.s_onset == 0.8 and s_wave.p_onset == 0.02


def test_a_line_with_a_delay_is_for_the_second_that_its_probabilities_are_for() -> None:
    def late(waveform: Array, valid: Array) -> list[list[float]]:
        shifted = [np.concatenate([np.zeros((3, 20), x.dtype), x[:, :-20]], axis=1) for x in (waveform, valid)]
        return onset_rule(shifted[0], shifted[1])

    models = fake_models(_by_signal, onset=RuleEngine(onset_card(delay_s=0.5), late))
    by_second = {_after_t0_s(hop.time): hop for hop in hops_of(_run("continuous", models=models)[0])}
    assert by_second[39.5].p_onset == 0.9 and by_second[40.5].p_onset == 0.02


def test_a_line_depends_on_no_sample_after_its_second() -> None:
    for draft in _run("continuous")[0]:
        if isinstance(draft.line, Hop):
            assert draft.last_sample_ns == ns_from_iso(draft.line.time) + 10**9


def test_hop_lines_stand_before_the_event_lines_of_later_seconds() -> None:
    drafts, _ = _run("continuous")
    times_ns = [draft.last_sample_ns for draft in drafts]
    assert all(later >= earlier - 2 * 10**9 for earlier, later in itertools.pairwise(times_ns))


def test_a_long_gap_has_no_lines() -> None:
    again = packets_of({channel: x[:4000] for channel, x in TRACES.items()}, start_s=4000.0)
    drafts, _ = _run("continuous", packets=[*packets_of({c: x[:4000] for c, x in TRACES.items()}), *again])
    times_s = [_after_t0_s(hop.time) for hop in hops_of(drafts)]
    assert times_s == sorted(set(times_s))
    assert max(s for s in times_s if s < 2000) == 39.0 and min(s for s in times_s if s > 2000) == 4000.0


def test_lines_wait_for_an_earlier_answer_that_needs_a_slower_model() -> None:
    """A type model on a grid of its own is ready later than the trigger's; the order of the lines stays."""
    models = fake_models(onset=fake_detector())
    models.event_type = RuleEngine(card(sampling_rate_hz=50.0, n_samples=1750, band_hz=(1.0, 23.0)), _by_signal)
    runs = [[content_of(d.line) for d in _run("continuous", s, models)[0]] for s in (0.5, 4.0, 30.0)]
    assert runs[0] == runs[1] == runs[2] and len(runs[0]) > 150


# S picks and the distance


def _only_event(**changes: float) -> list[dict[str, object]]:
    """Phase, time and channel of the picks in each revision of the first event, with its distance."""
    found: list[dict[str, object]] = []
    models = fake_models(_by_signal, onset=fake_detector(**changes))
    for event in events_of(_run("triggered", models=models)[0]):
        if abs(_after_t0_s(event.onset) - P_S[0]) < 0.2:
            picks = [(p.phase, int(_after_t0_s(p.time)), p.channel[-1] == "Z") for p in event.picks or []]
            found.append({"picks": picks, "km": event.distance_km, "sd": event.distance_uncertainty_km})
    return found


def test_the_picks_of_p_and_s_and_the_distance_between() -> None:
    revisions = _only_event()
    assert revisions[0] == {"picks": [("P", 40, True)], "km": None, "sd": None}  # 3 s after P
    assert revisions[-1]["picks"] == [("P", 40, True), ("S", 43, False)]
    assert revisions[-1]["km"] == pytest.approx(3.2 * 8.22, abs=0.6)
    assert 3.5 < float(str(revisions[-1]["sd"])) < 5.0


def test_an_s_onset_opens_no_event_and_belongs_to_the_newest_p() -> None:
    events = events_of(_run("triggered")[0])
    assert sorted({_after_t0_s(event.onset) for event in events}) == pytest.approx(P_S, abs=0.11)
    with_s = sorted({_after_t0_s(e.onset) for e in events if e.distance_km is not None})
    assert with_s == pytest.approx([P_S[0], P_S[3]], abs=0.11)


@pytest.mark.parametrize(("later_s", "number"), [(2.4, 2), (1.6, 1)])
def test_events_of_the_detector_are_two_seconds_apart(later_s: float, number: int) -> None:
    """A fake that reports what the test gives: the smaller bursts after a large one are in its coda."""
    at_s = [40.3, 40.3 + later_s]

    def scripted(_waveform: Array, _valid: Array) -> list[list[float]]:
        hops = range(next(blocks) * 10, sys.maxsize)
        return [[0.9 if any(0 <= hop - at * 10 < 1 for at in at_s) else 0.0, 0.0, 0.2, 0.4, 0.4] for hop in hops[:10]]

    blocks = iter(range(4, 200))  # the first block with enough context begins 4 s after T0
    flat = packets_of({c: burst(70, []) for c in TRACES})
    drafts, station = _run("triggered", models=fake_models(onset=RuleEngine(onset_card(), scripted)), packets=flat)
    assert len({event.id for event in events_of(drafts)}) == number
    assert station.counters.triggers == 2 and station.counters.retriggers == 2 - number


@pytest.mark.parametrize(("later_s", "pick_s"), [(0.6, 43.9), (7.0, 43.3)])
def test_a_more_probable_s_replaces_only_one_of_the_same_moment(later_s: float, pick_s: float) -> None:
    """In a swarm the S of the next earthquake may be stronger; it says nothing about the distance of this one."""
    s_at = {433: 0.7, round(10 * (43.3 + later_s)): 0.9}

    def scripted(_waveform: Array, _valid: Array) -> list[list[float]]:
        first = next(blocks) * 10
        return [[0.9 if hop == 403 else 0.0, s_at.get(hop, 0.0), 0.2, 0.4, 0.4] for hop in range(first, first + 10)]

    blocks = iter(range(4, 200))  # the first block with enough context begins 4 s after T0
    flat = packets_of({c: burst(90, []) for c in TRACES})
    drafts, _ = _run("triggered", models=fake_models(onset=RuleEngine(onset_card(), scripted)), packets=flat)
    picks = events_of(drafts)[-1].picks
    assert picks is not None and [p.phase for p in picks] == ["P", "S"]
    assert _after_t0_s(picks[1].time) == pytest.approx(pick_s, abs=0.11)


@pytest.mark.parametrize(("mode", "block_s"), [
    ("triggered", 1.0), ("continuous", 1.0), ("triggered", 0.5), ("triggered", 2.5), ("triggered", 8.0),
])  # fmt: skip
@pytest.mark.parametrize(("p", "soon", "later", "together"), [
    (0.5, 0.9, 0.1, 0.7941), (0.9, 0.1, 0.9, 0.0053), (0.5, 0.1, 0.9, 0.0455), (0.5, 0.15, 0.1, 0.0703),
])  # fmt: skip
def test_what_the_detector_hears_in_six_seconds_counts_as_noise(
    mode: Mode, block_s: float, p: float, soon: float, later: float, together: float
) -> None:
    """The type model gives 0.3 noise; the detector `soon` in the seconds of 40 to 45 s after T0, else `later`."""

    def scripted(_waveform: Array, _valid: Array) -> list[list[float]]:
        first = next(first_hops)
        heard = [(hop, soon if 400 <= hop < 460 else later) for hop in range(first, first + n)]
        return [[p if hop == 403 else 0.0, 0.0, x, (1 - x) / 2, (1 - x) / 2] for hop, x in heard]

    n = round(block_s * 10)
    detector = RuleEngine(onset_card(answers_s=[block_s], n_samples=480 + 4 * n), scripted)
    first_hops = itertools.count(40 // n * n, n)  # the first block with enough context ends more than 4 s after T0
    packets = packets_of({c: burst(90, [40.35]) for c in TRACES})
    models = fake_models(lambda _w, _v: [0.6, 0.1, 0.3], onset=detector)
    found = events_of(_run(mode, models=models, packets=packets)[0])
    assert bool(found) == (together < 0.05)
    for event in found:
        assert event.event_type is not None and event.event_type.probabilities["noise"] == pytest.approx(0.3, abs=1e-4)
    if found:  # the first answer is given before all six seconds are heard
        assert found[-1].event_type is not None and found[-1].event_type.noise_probability == together
        assert 40.2 < _after_t0_s(found[-1].onset) < 40.5


def test_noise_of_the_past_is_forgotten() -> None:
    """A detector whose gate is always open, for five minutes; the last answer is given 30 s after the onset."""
    models = fake_models(onset=fake_detector(gate_ratio=0.0))
    packets = packets_of({c: burst(300, [40.35]) for c in TRACES})
    station = Station("XX.STA", CONFIG, models, "triggered")
    longest, digests = 0, list[str]()
    for p in packets:
        station.add(p)
        list(station.step())
        mode = station._mode
        if mode is not None and mode._noise and not digests:
            digests.append(digest(station))
            kept, mode._noise = mode._noise, []
            digests.append(digest(station))
            mode._noise = kept
        triggered = station.back().triggered
        longest = max(longest, len(triggered.noise) if triggered is not None else 0)
    assert 7 <= longest < 25  # six seconds of the event, and the newest
    assert len(set(digests)) == 2  # what can still be used is part of the memory of the station


def test_the_trigger_states_its_kind_and_probability() -> None:
    event = events_of(_run("triggered")[0])[0]
    assert (event.trigger.kind, event.trigger.probability) == ("onset", 0.9)
    assert event.trigger.snr is not None and event.trigger.snr > 3


def test_an_answer_waits_at_most_for_the_block_that_ends_before_it() -> None:
    """0.45 s for the filter of the timeline, 0.5 s for that of the trigger, and the packet."""
    config = StationConfig(trigger=TriggerConfig(kind="onset"), timeline=TimelineConfig(components="Z"))
    onsets_s = [20.15, 27.35, 34.55, 41.75, 48.95]
    station = Station("XX.STA", config, fake_models(_by_signal, onset=fake_detector()), "triggered")
    late_s: list[float] = []
    for p in packets_of({"HHZ": burst(60, onsets_s)}, 0.1):
        station.add(p)
        late_s += [(p.endtime_ns - draft.last_sample_ns) / 1e9 for draft in station.step()]
    assert len(late_s) > 6 and max(late_s) <= 0.45 + 0.5 + 0.1 + 0.1 and min(late_s) >= 0.45


# what it needs


def test_without_a_detector_the_classic_trigger_must_be_chosen() -> None:
    with pytest.raises(InputError, match=r"trigger.kind is 'onset', but no onset detector is loaded: set models.onset"):
        Station("XX.STA", CONFIG, fake_models(), "triggered")
    classic = StationConfig(trigger=TriggerConfig(kind="sta-lta"))
    Station("XX.STA", classic, fake_models(), "triggered")
    with pytest.raises(InputError, match=r"continuous mode needs the onset detector: set trigger.kind to 'onset'"):
        Station("XX.STA", classic, fake_models(onset=fake_detector()), "continuous")


def test_without_a_choice_the_detector_opens_events_where_there_is_one() -> None:
    neither, both = fake_models(_by_signal), fake_models(_by_signal, onset=fake_detector())
    for models, kind in ((both, "onset"), (neither, "sta_lta")):
        drafts, _ = _run("triggered", models=models, config=msgspec.structs.replace(CONFIG, trigger=TriggerConfig()))
        assert {event.trigger.kind for event in events_of(drafts)} == {kind}
    with pytest.raises(InputError, match=r"continuous mode needs an onset detector: set models.onset to a model file"):
        Station("XX.STA", StationConfig(), neither, "continuous")


def test_a_channel_below_the_band_has_the_classic_trigger_and_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    slow = packets_of({c: burst(150, P_S, 20.0, i) for i, c in enumerate(TRACES)}, rate_hz=20.0)
    drafts, _ = _run("triggered", packets=slow)
    assert {event.trigger.kind for event in events_of(drafts)} == {"sta_lta"}
    assert all(event.picks is None for event in events_of(drafts))
    assert "20 Hz does not reach the onset detector's band up to 15 Hz; STA/LTA opens" in caplog.text
    assert not hops_of(_run("continuous", packets=slow)[0])


@pytest.mark.parametrize(("kind", "rate_hz", "threshold", "warned"), [
    ("onset", 20.0, 0.05, True), (None, 20.0, 0.05, True), (None, 100.0, 0.05, False), ("onset", 100.0, 0.05, False),
    ("sta-lta", 20.0, 0.05, False), (None, 20.0, None, False), (None, 20.0, 0.0, False), (None, 20.0, 1.0, False),
])  # fmt: skip
def test_a_threshold_for_the_type_model_alone_is_logged_once(
    kind: TriggerKind | None, rate_hz: float, threshold: float | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where new timelines begin, as after a clock that was set back."""
    config = StationConfig(trigger=TriggerConfig(kind=kind), events=EventsConfig(noise_threshold=threshold))
    station = Station("XX.STA", config, fake_models(_by_signal, onset=fake_detector()), "triggered")
    for p in packets_of({"HHZ": burst(20, [], rate_hz)}, rate_hz=rate_hz):
        station.add(p)
        station.start_anew()
    text = "events have no type, so events.noise_threshold (0.05) has no effect"  # the model needs a band up to 15 Hz
    assert caplog.text.count(text) == caplog.text.count("noise_threshold") == warned


@pytest.mark.parametrize("replaced", [True, False])
def test_a_threshold_for_the_type_model_alone_is_logged(replaced: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Where the channels carry the band of the type model only; not at a station that has no detector anyway."""
    slow = RuleEngine(card(band_hz=(1.0, 7.0)), _by_signal)
    models = Models(slow, None, fake_detector() if replaced else None)
    config = StationConfig(events=EventsConfig(noise_threshold=0.05))
    station = Station("XX.STA", config, models, "triggered")
    for p in packets_of({"HHZ": burst(20, [], 20.0)}, rate_hz=20.0):
        station.add(p)
    text = "events.noise_threshold (0.05) is compared with the probability of noise of the event-type model alone"
    assert caplog.text.count(text) == caplog.text.count("noise_threshold") == replaced


def test_one_component_is_enough() -> None:
    config = StationConfig(trigger=TriggerConfig(kind="onset"), timeline=TimelineConfig(components="Z"))
    station = Station("XX.STA", config, fake_models(_by_signal, onset=fake_detector()), "continuous")
    drafts: list[Draft] = []
    for p in packets_of({"HHZ": TRACES["HHZ"]}):
        station.add(p)
        drafts += station.step()
    assert sorted({_after_t0_s(e.onset) for e in events_of(drafts)}) == pytest.approx(P_S, abs=0.11)
    assert len(hops_of(drafts)) > 140


def test_recorded_samples_reach_behind_the_context_of_the_detector() -> None:
    """Also where the windows of the other models are shorter: dead components are found in them."""
    short = card(n_samples=200, onset_s=1.0, answers_s=[3.0])
    models = Models(RuleEngine(short, _by_signal), None, fake_detector(context_s=40.0))
    station = Station("XX.STA", CONFIG, models, "continuous")
    for p in packets_of(TRACES, 1.0):
        station.add(p)
        list(station.step())
    timeline = station._timelines[TRIGGER_GRID]
    needed_k = timeline.seen_k - round((41.0 + DEAD_S) * TRIGGER_GRID.rate_hz)
    first = timeline.raw("Z", needed_k, timeline.seen_k)[0]
    assert first.start_ns <= timeline.time_of(needed_k)

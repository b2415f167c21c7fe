"""Continuous mode: hops on the sample clock, and the thresholds and durations that open and close events."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import pytest
from seisedge.runtime.station.continuous import ContinuousMode, ContinuousState
from tests.fakes import NOISE, T0_NS, TECTONIC, RuleEngine, burst, card, events_of, hops_of, packet, packets_of
from tests.runtime.bad_data import with_calibration
from tests.runtime.station.scripted import noise

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.config import ContinuousConfig, StationConfig
from seisedge.runtime.engines._base import Array
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station

TRACES = {f"HH{c}": burst(150, [60.0], seed=i) for i, c in enumerate("ZNE")}
FIRST_S = 22.0  # after T0: the first hop with 60 % of 35 s behind the edge of the filter


def _loud(waveform: Array, _valid: Array) -> list[float]:
    """An event while a loud burst is in the last 20 s of the window."""
    return TECTONIC if np.abs(waveform[0, -800:]).max() > 500 else NOISE


def _run(packet_s: float = 4.0, config: StationConfig | None = None) -> list[Draft]:
    station = Station("XX.STA", config or StationConfig(), Models(RuleEngine(card(), _loud), None), "continuous")
    lines: list[Draft] = []
    for p in packets_of(TRACES, packet_s):
        station.add(p)
        lines += station.step()
    return lines + list(station.finish())


class Scripted:
    """A station in continuous mode whose hops have given scores, 1 - P(noise), one after the other; then 0."""

    def __init__(
        self,
        scores: Sequence[float | list[float]],
        *,
        skipped: Iterable[bool] = (),
        min_coverage: float = 0.6,
        **settings: float,
    ) -> None:
        rest = iter(scores)

        def rule(_waveform: Array, _valid: Array) -> list[float]:
            score = next(rest, 0.0)
            return score if isinstance(score, list) else [score, 0.0, 1.0 - score]

        skips = iter(skipped)
        config = StationConfig(continuous=ContinuousConfig(**settings))
        models = Models(RuleEngine(card(min_coverage=min_coverage), rule), None)
        self.station = Station("XX.STA", config, models, "continuous", lambda: next(skips, False))
        self.drafts: list[Draft] = []

    def feed(self, packets: Iterable[Packet]) -> None:
        for p in packets:
            self.station.add(p)
            self.drafts += self.station.step()

    def run(self, seconds: float = 60.0) -> list[tuple[str, float, float]]:
        """Status, onset and duration of each event line; the onset in seconds after the first hop with a score."""
        self.feed(noise(seconds))
        self.drafts += self.station.finish()
        return self.story()

    def story(self) -> list[tuple[str, float, float]]:
        return [(e.status, _after_t0_s(e.onset) - FIRST_S, e.window.answer_s) for e in events_of(self.drafts)]


def _after_t0_s(time: str) -> float:
    return (ns_from_iso(time) - T0_NS) / 1e9


# hops


def test_hops_lie_on_the_sample_clock() -> None:
    hops = hops_of(_run())
    assert hops[0].probabilities is None and hops[0].coverage < 0.6  # the window fills first
    answered = [h for h in hops if h.probabilities]
    assert answered[0].time == "2020-09-13T12:27:02.000000Z"  # 60 % of 35 s after the first sample
    assert len(answered) == len(hops) - 21
    assert all(h.time.endswith(".000000Z") for h in hops)


@pytest.mark.parametrize(("start_s", "first_s"), [(-0.3, 0.5), (0.0, 1.0)])
def test_the_first_hop_is_the_first_multiple_of_the_interval_with_a_sample_in_its_window(
    start_s: float, first_s: float
) -> None:
    """The first output of the filter lies 0.45 s after the first sample, and a window needs 0.2 s of outputs."""
    made = Scripted([], hop_s=0.5)
    made.feed(packets_of({channel: x[:3000] for channel, x in TRACES.items()}, start_s=start_s))
    assert _after_t0_s(hops_of(made.drafts)[0].time) == first_s


def test_hops_have_the_probabilities_of_the_model_and_its_name() -> None:
    made = Scripted([[0.123456, 0.376544, 0.5]])
    made.run(40.0)
    hop = next(h for h in hops_of(made.drafts) if h.probabilities)
    assert hop.probabilities == {"tectonic": 0.1235, "non-tectonic": 0.3765, "noise": 0.5}
    assert (hop.station, hop.model, hop.coverage) == ("XX.STA", "fake-event_type", 0.6157)


@pytest.mark.parametrize(("samples", "first_s"), [(862, FIRST_S), (863, FIRST_S + 1.0)])
def test_a_hop_is_classified_from_the_minimum_coverage_of_the_card_on(samples: int, first_s: float) -> None:
    for skipped in ([], [True]):
        made = Scripted([], min_coverage=samples / 1400, skipped=skipped)
        made.run(30.0)
        answered_s = [_after_t0_s(h.time) for h in hops_of(made.drafts) if h.probabilities]
        assert answered_s[0] == first_s + len(skipped)


def test_hops_and_inferences_are_counted() -> None:
    made = Scripted([])
    made.run(60.0)
    hops = hops_of(made.drafts)
    answered = sum(h.probabilities is not None for h in hops)
    assert made.station.counters.hops == len(hops) > answered == made.station.counters.inferences > 35


def test_a_line_depends_on_no_sample_after_its_hop() -> None:
    made = Scripted([1.0] * 100)
    made.run(60.0)
    for draft in made.drafts[:-1]:
        if isinstance(draft.line, Hop):
            assert draft.last_sample_ns == ns_from_iso(draft.line.time)


@pytest.mark.parametrize("packet_s", [0.5, 30.0, 150.0])
def test_lines_do_not_depend_on_packets(packet_s: float) -> None:
    def plain(drafts: list[Draft]) -> list[bytes]:
        return [content_of(draft.line) for draft in drafts]

    assert plain(_run(packet_s)) == plain(_run())


def test_a_skipped_hop_has_no_line_and_does_not_interrupt_a_candidate() -> None:
    made = Scripted([0.9] * 3, skipped=[False, True, True], min_duration_s=3.0)
    assert made.run(60.0) == [("new", 0.0, 3.0), ("final", 0.0, 5.0)]
    assert made.station.counters.dropped_windows == 2
    times = [h.time[17:19] for h in hops_of(made.drafts) if h.probabilities]
    assert times[:3] == ["02", "05", "06"]


# opening


@pytest.mark.parametrize(("score", "opens"), [(0.75, True), (0.7499, False)])
def test_an_event_opens_from_the_threshold_on(score: float, opens: bool) -> None:
    made = Scripted([score] * 4, open_threshold=0.75, min_duration_s=3.0)
    assert bool(made.run()) == opens and made.station.counters.events == opens


@pytest.mark.parametrize(("n_hops", "opens"), [(3, False), (4, True)])
def test_an_event_opens_when_its_minimum_duration_is_reached(n_hops: int, opens: bool) -> None:
    story = Scripted([0.9] * n_hops, min_duration_s=3.0).run()
    assert story == ([("new", 0.0, 3.0), ("final", 0.0, 4.0)] if opens else [])


def test_without_a_minimum_duration_an_event_opens_at_once() -> None:
    assert Scripted([0.9], min_duration_s=0.0).run() == [("new", 0.0, 0.0), ("final", 0.0, 1.0)]


def test_a_hop_below_the_opening_threshold_begins_the_candidate_anew() -> None:
    story = Scripted([0.9, 0.9, 0.9, 0.7, 0.9, 0.9, 0.9, 0.9], min_duration_s=3.0).run()
    assert story[0] == ("new", 4.0, 3.0)


@pytest.mark.parametrize(("hop_s", "after_s"), [(1.0, 78.0), (4.0, 80.0)])
def test_a_calibration_begins_the_candidate_anew(hop_s: float, after_s: float) -> None:
    """The pulse at 40 s is found at 43 s (44 s), is in the window of 35 s until 78 s (79 s), and counts once."""
    rng = np.random.default_rng(3)
    traces = with_calibration({f"EH{c}": rng.normal(0, 20, 13_000) for c in "Z12"}, 40.0, 3e5, 1.0)
    made = Scripted([0.9] * 200, min_duration_s=30.0, hop_s=hop_s)
    made.feed(packets_of({channel: x.round().astype(np.int32) for channel, x in traces.items()}))
    opened = events_of(made.drafts)[0]
    assert _after_t0_s(opened.onset) == after_s and opened.window.answer_s >= 30.0
    assert made.station.counters.calibration_triggers == 1


# closing


@pytest.mark.parametrize(("score", "duration_s"), [(0.5, 6.0), (0.4999, 5.0)])
def test_an_event_closes_below_the_threshold(score: float, duration_s: float) -> None:
    story = Scripted([0.9, 0.9, 0.9, 0.9, 0.6, score], min_duration_s=3.0, close_threshold=0.5).run()
    assert story == [("new", 0.0, 3.0), ("final", 0.0, duration_s)]


@pytest.mark.parametrize("max_duration_s", [8.0, 20.0])
def test_an_event_closes_at_its_maximum_duration_and_the_next_one_may_open(max_duration_s: float) -> None:
    story = Scripted([0.9] * 30, min_duration_s=3.0, max_duration_s=max_duration_s).run(52.0)
    assert story[:3] == [("new", 0.0, 3.0), ("final", 0.0, max_duration_s), ("new", max_duration_s + 1.0, 3.0)]


def test_a_maximum_between_two_hops_closes_at_the_later_one() -> None:
    assert Scripted([0.9] * 30, min_duration_s=3.0, max_duration_s=7.5).run()[1] == ("final", 0.0, 8.0)


def test_the_end_of_the_data_closes_an_event_at_its_last_hop() -> None:
    made = Scripted([0.9] * 100, min_duration_s=3.0)
    assert made.run(30.0) == [("new", 0.0, 3.0), ("final", 0.0, 7.0)]
    assert made.drafts[-1].meter.inferences == 0


def test_the_end_of_the_data_emits_no_candidate() -> None:
    assert Scripted([0.9] * 100, min_duration_s=30.0).run(40.0) == []


def test_a_gap_longer_than_the_window_closes_an_event() -> None:
    made = Scripted([0.9] * 1000, min_duration_s=3.0)
    made.feed(noise(40.0))
    made.feed(packets_of({channel: x[:4000] for channel, x in TRACES.items()}, start_s=400.0))
    made.drafts += made.station.finish()
    story = made.story()
    assert [status for status, _, _ in story] == ["new", "final", "new", "final"]
    assert 19.0 <= story[1][2] <= 60.0 and story[2][1] > 350


def test_a_long_gap_has_no_hops() -> None:
    made = Scripted([])
    made.feed(noise(40.0))
    made.feed(packets_of({channel: x[:4000] for channel, x in TRACES.items()}, start_s=4000.0))
    made.drafts += made.station.finish()
    hops_s = [_after_t0_s(h.time) for h in hops_of(made.drafts)]
    assert hops_s == sorted(set(hops_s))
    assert max(s for s in hops_s if s < 2000) == 74.0 and min(s for s in hops_s if s > 2000) == 4001.0


# the line of an event


def test_the_type_is_the_mean_over_the_hops_but_the_one_that_closes() -> None:
    scores = [[0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.8, 0.2, 0.0], [0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]]
    made = Scripted(scores, min_duration_s=3.0)
    made.run()
    opened, closed = events_of(made.drafts)
    assert opened.event_type is not None and closed.event_type is not None
    assert opened.event_type.probabilities == {"tectonic": 0.75, "non-tectonic": 0.25, "noise": 0.0}
    assert closed.event_type.probabilities == {"tectonic": 0.62, "non-tectonic": 0.38, "noise": 0.0}


def test_an_event_opens_after_its_minimum_duration_and_closes() -> None:
    events = events_of(_run())
    assert [e.status for e in events] == ["new", "final"]
    opened, closed = events
    assert opened.onset == "2020-09-13T12:27:41.000000Z"  # the first hop that ends after the burst began
    assert opened.window.answer_s == 3.0
    assert 15 <= closed.window.answer_s <= 30
    assert opened.id == closed.id == "XX.STA-20200913T122741.000"
    assert (opened.revision, closed.revision) == (0, 1)
    assert opened.trigger.kind == "continuous" and opened.overlaps == []
    assert opened.timing == "ok" and [q.reason for q in opened.quality] == ["nothing to remark"]
    assert closed.magnitude is None and closed.event_type is not None and closed.event_type.label == "tectonic"


def test_the_window_is_that_of_the_newest_hop_of_the_event() -> None:
    made = Scripted([0.9] * 6, min_duration_s=3.0)
    made.run()
    opened, closed = events_of(made.drafts)
    assert opened.window.start == "2020-09-13T12:26:30.000000Z" and closed.window.start == "2020-09-13T12:26:32.000000Z"
    assert (
        opened.window.length_s == 35.0
        and opened.window.coverage == round((25 - 0.45) / 35, 4)
        and opened.window.gaps == 1
    )


@pytest.mark.parametrize("flags", [RecordFlag.TIME_QUESTIONABLE, RecordFlag.CLOCK_UNLOCKED])
def test_flags_in_the_window_of_any_hop_become_remarks(flags: RecordFlag) -> None:
    made = Scripted([0.9] * 60, min_duration_s=3.0)
    packets = noise(60.0)
    made.feed(
        packet(p.samples, (p.starttime_ns - T0_NS) / 1e9, p.source_id.channel, flags=flags)
        if 28 <= (p.starttime_ns - T0_NS) / 1e9 < 32
        else p
        for p in packets
    )
    made.drafts += made.station.finish()
    opened, closed = events_of(made.drafts)
    assert opened.timing == "ok" and [q.code for q in opened.quality] == ["ok"]
    assert closed.timing == "questionable" and [q.code for q in closed.quality] == ["timing"]


# what it needs


def test_samples_are_needed_from_before_the_window_of_the_next_hop() -> None:
    made = Scripted([])
    assert made.station.needed_ns is None
    made.feed(noise(60.0)[:1])
    assert made.station.needed_ns is None  # the timeline waits for the other components: no hop yet
    made.feed(noise(60.0))
    mode = made.station._mode
    assert isinstance(mode, ContinuousMode) and mode.needed_ns is not None
    newest_s = _after_t0_s(hops_of(made.drafts)[-1].time)
    assert (mode.needed_ns - T0_NS) / 1e9 == newest_s + 1 - 35 - 6  # 6 s for the inspection of samples


def test_a_restored_mode_has_the_state_of_the_stored_one() -> None:
    made = Scripted([0.9] * 60)
    made.feed(noise(40.0))
    mode = made.station._mode
    assert isinstance(mode, ContinuousMode)
    state = msgspec.structs.replace(mode.state(), pulse_ns=T0_NS)
    assert state.open and len(state.hops) > 10 and state.next_ns > T0_NS
    other = Scripted([])
    other.feed(noise(0.2, packet_s=0.2))
    mode = other.station._mode
    assert isinstance(mode, ContinuousMode)
    mode.restore(msgspec.json.decode(msgspec.json.encode(state), type=ContinuousState))
    assert mode.state() == state


def test_a_longer_minimum_lets_nothing_open() -> None:
    config = StationConfig(continuous=ContinuousConfig(min_duration_s=60))
    assert not events_of(_run(config=config))


@pytest.mark.parametrize("models", [
    Models(RuleEngine(card(modes=["triggered"]), _loud), None),
    Models(None, RuleEngine(card("magnitude"), _loud)),
])  # fmt: skip
def test_a_model_not_trained_for_it_is_refused(models: Models) -> None:
    station = Station("XX.STA", StationConfig(), models, "continuous")
    with pytest.raises(InputError, match="trained for it"):
        station.add(packets_of(TRACES)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 7.0])
def test_values_that_are_no_probabilities_are_no_answer(value: float) -> None:
    made = Scripted([0.9, 0.9, [value, 0.0, 0.1], 0.9, 0.9, 0.9], min_duration_s=3.0)
    made.run()
    shown = [hop.probabilities for hop in hops_of(made.drafts)]
    assert shown[:2] == shown[3:5] and shown[2] is None
    text = b"".join(msgspec.json.encode(line) for line in (*hops_of(made.drafts), *events_of(made.drafts)))
    assert b"null" not in text


def test_a_model_without_the_label_noise_is_refused() -> None:
    models = Models(RuleEngine(card(labels=["a", "b", "c"]), lambda _w, _v: TECTONIC), None)
    station = Station("XX.STA", StationConfig(), models, "continuous")
    with pytest.raises(InputError, match="needs an event type model with the label 'noise'"):
        station.add(packet(np.ones(100, np.int32)))

"""When an event opens, when it is answered, and what ends it: at the exact borders of each rule."""

import msgspec
import numpy as np
import pytest
from tests.fakes import (
    NOISE,
    T0_NS,
    TECTONIC,
    RuleEngine,
    answer_of,
    burst,
    card,
    classic_config,
    fake_models,
    one_bin,
    packets_of,
)
from tests.runtime.station.scripted import GAIN, ScriptedStation, begin, noise, run

from seisedge.runtime.config import EventsConfig, ModelsConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.run_report import RunReport
from seisedge.runtime.station.triggered import TriggeredState


def _separation(seconds: float, **events: float) -> StationConfig:
    return classic_config(channels=GAIN, events=EventsConfig(min_event_separation_s=seconds, **events))


def _type_engine(models: Models) -> RuleEngine:
    assert isinstance(models.event_type, RuleEngine)
    return models.event_type


def _codes(made: ScriptedStation, number: int) -> list[str]:
    return [q.code for q in made.events[number].quality]


# opening


@pytest.mark.parametrize(("later_s", "n_events"), [(45.975, 1), (46.0, 2)])
def test_an_onset_before_the_minimum_separation_belongs_to_the_event(
    monkeypatch: pytest.MonkeyPatch, later_s: float, n_events: int
) -> None:
    made = run(monkeypatch, fake_models(), [40.0, later_s], config=_separation(6.0))
    assert len({event.id for event in made.events}) == n_events
    counters = made.station.counters
    assert (counters.triggers, counters.retriggers, counters.events) == (2, 2 - n_events, n_events)


def test_the_separation_counts_from_the_newest_event_even_if_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(monkeypatch, fake_models(), [40.0, 85.0, 95.0], config=_separation(50.0))
    assert [event.id for event in made.events if event.status == "new"] == [
        "XX.STA-20200913T122720.000",
        "XX.STA-20200913T122815.000",  # 95 s is 55 s after the first event: the onset at 85 s does not count
    ]
    assert made.station.counters.retriggers == 1


# the order of onsets and answers


@pytest.mark.parametrize("packet_s", [0.1, 4.0, 10.0, 120.0])
@pytest.mark.parametrize(("delay_hops", "first_window_s"), [(10, 6.5), (11, 8.0)])
def test_an_answer_takes_into_account_the_onsets_found_up_to_its_hop(
    monkeypatch: pytest.MonkeyPatch, delay_hops: int, first_window_s: float, packet_s: float
) -> None:
    """The first answer is due at 43 s. The second onset lies at 42 s and is found in that hop, or in the next one."""
    made = begin(monkeypatch, fake_models(), [40.0, 42.0], delay_hops=delay_hops, config=_separation(1.0))
    made.feed(noise(120.0, packet_s=packet_s))
    made.drafts += made.station.finish()
    assert made.events[0].window.length_s == first_window_s


def test_an_answer_is_never_due_before_its_own_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The onset at 40 s is found at 44 s, after its first answer was due; one at 41 s is found at 45 s."""
    made = run(monkeypatch, fake_models(), [40.0, 41.0], delay_hops=40, config=_separation(1.0))
    assert made.events[0].window.length_s == 8.0  # answered at 44 s, when the next onset was unknown
    assert made.story(0) == [("new", 3.0), ("final", 3.0)]


def test_an_answer_is_given_as_soon_as_its_samples_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin(monkeypatch, fake_models(), [40.0])
    emitted_s: list[float] = []
    for packet in noise(80.0, packet_s=0.5):
        n = len(made.drafts)
        made.feed([packet])
        emitted_s += [(packet.endtime_ns - T0_NS) / 1e9] * (len(made.drafts) - n)
    assert emitted_s == [44.5, 51.5, 71.5]  # the filters and the trigger's hop need 1.1 s after the last sample
    assert [draft.last_sample_ns - T0_NS for draft in made.drafts] == [43 * 10**9, 50 * 10**9, 70 * 10**9]


def test_the_end_of_the_data_gives_every_remaining_answer_with_the_samples_available(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = begin(monkeypatch, fake_models(), [40.0])
    made.feed(noise(48.0))
    assert made.story() == [("new", 3.0)]
    made.drafts += made.station.finish()
    assert made.story() == [("new", 3.0), ("update", 10.0), ("final", 30.0)]
    assert made.events[-1].event_type is not None and set(_codes(made, -1)) == {"insufficient"}


@pytest.mark.parametrize("packet_s", [0.4, 4.0, 120.0])
def test_a_model_on_a_grid_of_its_own_gets_all_samples_of_its_window(
    monkeypatch: pytest.MonkeyPatch, packet_s: float
) -> None:
    """The closer the band is to the Nyquist frequency, the longer the filter: here 2.3 s, the trigger's has 0.5 s."""
    models = Models(
        RuleEngine(card(sampling_rate_hz=40.0, band_hz=(1.0, 19.0)), lambda _w, _v: TECTONIC),
        RuleEngine(card("magnitude", sampling_rate_hz=50.0, n_samples=1750), lambda _w, _v: one_bin(11)),
    )
    made = begin(monkeypatch, models, [40.0])
    rng = np.random.default_rng(1)
    made.feed(packets_of({f"HH{c}": rng.integers(-50, 50, 12_000).astype(np.int32) for c in "ZNE"}, packet_s))
    made.drafts += made.station.finish()
    assert made.story() == [("new", 3.0), ("update", 10.0), ("final", 30.0)]
    for event in made.events:
        assert event.window.coverage == 1.0 and event.quality[0].code == "ok"
    for engine in models.engines:
        assert isinstance(engine, RuleEngine)
        lengths = [valid.any(axis=0).sum() / engine.card.sampling_rate_hz for _, valid in engine.shown]
        assert lengths == [8.0, 15.0, 35.0]


def test_answers_due_in_the_same_hop_come_in_the_order_of_their_scheduling(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 50 s the second answer of the first event and the first answer of the second event are due."""
    made = run(monkeypatch, fake_models(), [40.0, 47.0])
    assert [(e.onset[17:19], e.window.answer_s) for e in made.events][:3] == [("20", 3.0), ("20", 10.0), ("27", 3.0)]


# the next event


@pytest.mark.parametrize(("later_s", "codes"), [(43.475, ["overlap"]), (43.5, ["ok"])])
def test_a_window_ends_half_a_second_before_the_next_onset(
    monkeypatch: pytest.MonkeyPatch, later_s: float, codes: list[str]
) -> None:
    made = run(monkeypatch, fake_models(), [40.0, later_s], config=_separation(1.0), delay_hops=-10)
    assert _codes(made, 0) == codes
    assert made.events[0].window.length_s == round(min(later_s - 0.5 - 35.0, 8.0), 3)


def test_the_remark_on_an_overlap_has_the_distance_of_the_next_event(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(monkeypatch, fake_models(), [40.0, 58.0])
    first = [event for event in made.events if event.id.endswith("20.000")]
    assert [q.reason for q in first[-1].quality] == ["the next event begins 18.0 s after this one"]
    assert first[-1].window.answer_s == 30.0 and first[-1].window.length_s == 22.5


def test_an_answer_without_new_data_repeats_the_previous_one_and_runs_no_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = fake_models()
    made = run(monkeypatch, models, [40.0, 49.0], config=_separation(1.0))
    first = [event for event in made.events if event.id.endswith("20.000")]
    assert [(e.status, e.window.answer_s, e.window.length_s) for e in first] == [
        ("new", 3.0, 8.0),
        ("update", 10.0, 13.5),
        ("final", 10.0, 13.5),  # nothing between 48.5 s and the next event
    ]
    assert len(_type_engine(models).shown) == 2 + 3 and made.station.counters.inferences == 10


def test_an_event_whose_windows_cannot_grow_is_answered_once_and_then_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(monkeypatch, fake_models(), [40.0, 43.0], config=_separation(1.0), delay_hops=-10)
    assert made.story(0) == [("new", 3.0), ("final", 3.0)]


@pytest.mark.parametrize(("first_s", "overlaps"), [(40.0, False), (40.025, True)])
def test_an_event_lists_the_events_whose_onset_lies_in_its_window(
    monkeypatch: pytest.MonkeyPatch, first_s: float, overlaps: bool
) -> None:
    """The window of the second event begins 5 s before its onset, at 40 s. The first one ends before the second."""
    made = run(monkeypatch, fake_models(), [first_s, 45.0], config=_separation(1.0))
    first, second = dict.fromkeys(event.id for event in made.events)
    for event in made.events:
        if event.id == second:
            assert event.overlaps == ([first] if overlaps else [])
    assert [e.overlaps for e in made.events if e.id == first] == [[], [second], [second]]


@pytest.mark.parametrize(("later_s", "overlaps"), [(50.0, False), (49.975, True)])
def test_an_onset_at_the_end_of_the_window_does_not_overlap(
    monkeypatch: pytest.MonkeyPatch, later_s: float, overlaps: bool
) -> None:
    made = run(monkeypatch, fake_models(), [40.0, later_s], delay_hops=-10)
    assert [bool(event.overlaps) for event in made.events[:2]] == [False, overlaps]


def test_an_event_that_was_noise_neither_cuts_nor_overlaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of every event is noise; the last one of the first event is due at 70 s."""
    models = fake_models(lambda _w, valid: NOISE if 2.5 < answer_of(valid) < 4 else TECTONIC)
    made = run(monkeypatch, models, [40.0, 68.0])
    last = [event for event in made.events if event.id.endswith("20.000")][-1]
    assert last.status == "final" and last.window.length_s == 32.5  # cut: not answered yet at 70 s
    made = run(monkeypatch, models, [40.0, 66.0])
    last = [event for event in made.events if event.id.endswith("20.000")][-1]
    assert last.window.length_s == 35.0 and last.overlaps == []


# noise


@pytest.mark.parametrize(("p_noise", "emitted"), [(0.36, False), (0.34, True)])
def test_an_event_is_suppressed_if_noise_is_most_probable(
    monkeypatch: pytest.MonkeyPatch, p_noise: float, emitted: bool
) -> None:
    models = fake_models(lambda _w, _v: [0.29, 0.71 - p_noise, p_noise])
    made = run(monkeypatch, models, [40.0])
    assert bool(made.events) == emitted


@pytest.mark.parametrize(("p_noise", "emitted"), [(0.3, False), (0.2999, True)])
def test_noise_suppresses_an_event_from_the_threshold_on(
    monkeypatch: pytest.MonkeyPatch, p_noise: float, emitted: bool
) -> None:
    """Also where another label is more probable."""
    models = fake_models(lambda _w, _v: [0.9 - p_noise, 0.1, p_noise])
    made = run(monkeypatch, models, [40.0], config=_separation(5.0, noise_threshold=0.3))
    assert bool(made.events) == emitted
    counters = made.station.counters
    assert (counters.noise_answers, counters.noise_events) == ((0, 0) if emitted else (3, 1))


@pytest.mark.parametrize(("threshold", "emitted"), [(0.0, False), (0.9, False), (0.91, True)])
def test_the_noise_threshold_is_a_setting(monkeypatch: pytest.MonkeyPatch, threshold: float, emitted: bool) -> None:
    """0, the default: where noise is the most probable label. Above its probability an event is emitted as noise."""
    models = fake_models(lambda _w, _v: NOISE)
    made = run(monkeypatch, models, [40.0], config=_separation(5.0, noise_threshold=threshold))
    assert bool(made.events) == emitted
    for event in made.events:
        assert event.event_type is not None and event.event_type.label == "noise" and event.magnitude is None


@pytest.mark.parametrize(("threshold", "story"), [
    (0.0, [("new", 3.0), ("update", 10.0), ("final", 30.0)]),
    (0.1, [("new", 3.0), ("retracted", 10.0)]),
    (0.04, []),
])  # fmt: skip
def test_an_event_that_becomes_too_probably_noise_is_retracted(
    monkeypatch: pytest.MonkeyPatch, threshold: float, story: list[tuple[str, float]]
) -> None:
    """0.04 noise at 3 s, 0.3 later: 0.18 for both at 10 s, and never the most probable label."""
    models = fake_models(lambda _w, valid: TECTONIC if answer_of(valid) < 5 else [0.4, 0.3, 0.3])
    made = run(monkeypatch, models, [40.0], config=_separation(5.0, noise_threshold=threshold))
    assert (made.story() if made.events else []) == story


@pytest.mark.parametrize(("least", "story"), [
    (0.0, [("new", 3.0), ("update", 10.0), ("final", 30.0)]),
    (0.7, [("new", 3.0), ("retracted", 10.0)]),
    (0.95, []),
])  # fmt: skip
def test_an_event_below_the_smallest_probability_is_not_emitted(
    monkeypatch: pytest.MonkeyPatch, least: float, story: list[tuple[str, float]]
) -> None:
    """0.9 tectonic at 3 s, 0.4 later: 0.57 for both at 10 s."""
    models = fake_models(lambda _w, valid: TECTONIC if answer_of(valid) < 5 else [0.4, 0.3, 0.3])
    made = run(monkeypatch, models, [40.0], config=_separation(5.0, min_probability=least))
    assert (made.story() if made.events else []) == story


def test_a_model_without_noise_retracts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(RuleEngine(card(labels=["tectonic", "non-tectonic"]), lambda _w, _v: [0.6, 0.4]), None)
    made = run(monkeypatch, models, [40.0], config=_separation(5.0, noise_threshold=0.01))
    assert made.events and made.events[-1].status == "final"


def test_a_prevalence_must_name_the_labels_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"tectonic": 0.001, "non-tectonic": 0.001, "noise": 0.998}
    made = run(monkeypatch, fake_models(), [40.0], config=classic_config(models=ModelsConfig(prevalence=shares)))
    assert not made.events  # 0.9 tectonic and 0.04 noise, weighted
    wrong = classic_config(models=ModelsConfig(prevalence={"tectonic": 0.5, "quarry": 0.5}))
    with pytest.raises(InputError, match=r"a share for each label of the event-type model \(tectonic, non-"):
        begin(monkeypatch, fake_models(), [40.0], config=wrong)


def test_a_retracted_event_is_not_answered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    models = fake_models(lambda _w, valid: NOISE if 5 < answer_of(valid) < 20 else TECTONIC)
    made = run(monkeypatch, models, [40.0])
    assert made.story() == [("new", 3.0), ("retracted", 10.0)]
    assert [event.revision for event in made.events] == [0, 1]
    assert (made.station.counters.noise_answers, made.station.counters.noise_events) == (1, 0)
    assert (made.station.counters.events, made.station.counters.retracted_events) == (1, 1)
    assert RunReport({"XX.STA": made.station}).events_text == "1 events (1 of them retracted)"


def test_noise_that_becomes_an_event_and_noise_again_is_retracted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    models = fake_models(lambda _w, valid: TECTONIC if 5 < answer_of(valid) < 20 else NOISE)
    made = run(monkeypatch, models, [40.0])
    assert made.story() == [("new", 10.0), ("retracted", 30.0)]
    assert (made.station.counters.noise_answers, made.station.counters.noise_events) == (2, 0)


# triggers that bad samples caused


def _with_spike(packets: list[Packet], at_s: float) -> list[Packet]:
    """A single sample of 100,000 counts on the vertical."""
    at_ns = T0_NS + round(at_s * 1e9)
    for packet in packets:
        if packet.source_id.channel == "HHZ" and packet.starttime_ns <= at_ns < packet.endtime_ns:
            packet.samples[round((at_ns - packet.starttime_ns) / 1e7)] = 100_000
    return packets


def test_a_spike_opens_no_event_and_neither_cuts_nor_overlaps_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    models = fake_models()
    made = begin(monkeypatch, models, [40.0, 60.0])
    made.feed(_with_spike(noise(140.0), 60.0))
    assert made.story() == [("new", 3.0), ("update", 10.0), ("final", 30.0)] and len(made.events) == 3
    assert made.events[-1].window.length_s == 35.0 and made.events[-1].overlaps == []
    counters = made.station.counters
    assert (counters.triggers, counters.events, counters.spike_triggers, counters.inferences) == (2, 1, 1, 6)


@pytest.mark.parametrize("delay_hops", [-10, -4, 0, 5])
def test_an_onset_after_a_spike_is_an_event_of_its_own(monkeypatch: pytest.MonkeyPatch, delay_hops: int) -> None:
    """Whether or not the spike was recognised when it triggered: that needs some samples after it."""
    made = begin(monkeypatch, fake_models(), [60.0, 62.0], delay_hops=delay_hops)
    traces = {f"HH{c}": burst(140.0, [62.0], seed=k) for k, c in enumerate("ZNE")}
    made.feed(_with_spike(packets_of(traces), 60.0))
    assert {event.id for event in made.events} == {"XX.STA-20200913T122742.000"} and len(made.events) == 3
    counters = made.station.counters
    assert (counters.triggers, counters.retriggers, counters.spike_triggers, counters.events) == (2, 0, 1, 1)


def test_a_spike_recognised_at_the_next_onset_no_longer_cuts_an_earlier_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of the first event is due at 62 s, after the onset at 62 s is found and before the spike's answer."""
    made = begin(monkeypatch, fake_models(), [52.0, 60.0, 62.0], delay_hops=-10)
    traces = {f"HH{c}": burst(140.0, [62.0], seed=k) for k, c in enumerate("ZNE")}
    made.feed(_with_spike(packets_of(traces), 60.0))
    second = [event for event in made.events if event.onset[17:19] == "32"][1]
    assert second.window.answer_s == 10.0 and second.window.length_s == 15.0


# windows that are skipped


@pytest.mark.parametrize(
    ("skipped", "story", "codes", "dropped"),
    [
        ([True, False, False], [("new", 10.0), ("final", 30.0)], [["ok"], ["ok"]], (1, 0)),
        ([False, True, False], [("new", 3.0), ("final", 30.0)], [["ok"], ["ok"]], (1, 0)),
        (
            [False, False, True],
            [("new", 3.0), ("update", 10.0), ("final", 10.0)],
            [["ok"], ["ok"], ["dropped"]],
            (1, 0),
        ),
        ([True, True, True], [], [], (3, 1)),
    ],
)
def test_a_skipped_window_keeps_the_earlier_answer(
    monkeypatch: pytest.MonkeyPatch,
    skipped: list[bool],
    story: list[tuple[str, float]],
    codes: list[list[str]],
    dropped: tuple[int, int],
) -> None:
    made = run(monkeypatch, fake_models(), [40.0], skipped=skipped)
    assert (made.story() if made.events else []) == story
    assert [[q.code for q in event.quality] for event in made.events] == codes
    counters = made.station.counters
    assert (counters.dropped_windows, counters.dropped_events) == dropped
    assert counters.inferences == 2 * skipped.count(False) and counters.events == bool(story)


def test_the_remark_on_a_skipped_window_has_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(monkeypatch, fake_models(), [40.0], skipped=[False, False, True])
    reason = "the station was behind the stream: the data up to +30 s were not looked at"
    assert [q.reason for q in made.events[-1].quality] == [reason]


def test_nothing_is_skipped_where_there_is_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third answer of the first event has no data beyond the second: no window is due, so none is skipped."""
    skipped = [False, False, False, True]  # 3 s and 10 s of the first, 3 s and 10 s of the second
    made = run(monkeypatch, fake_models(), [40.0, 49.0], config=_separation(1.0), skipped=skipped)
    assert made.station.counters.dropped_windows == 1
    assert made.story(1) == [("new", 3.0), ("final", 30.0)]


# what must be kept


def _needed_s(made: ScriptedStation) -> float:
    needed_ns = made.mode.needed_ns
    assert needed_ns is not None
    return round((needed_ns - T0_NS) / 1e9, 3)


@pytest.mark.parametrize(("onset_s", "before_s"), [(2.0, 11.0), (5.0, 11.0), (8.0, 14.0)])
def test_samples_are_needed_from_before_the_earliest_open_onset(
    monkeypatch: pytest.MonkeyPatch, onset_s: float, before_s: float
) -> None:
    """Before an onset lie the window of a model, or 5 s if that is longer, and 6 s for the inspection of samples."""
    models = Models(RuleEngine(card(onset_s=onset_s, answers_s=[3.0, 20.0]), lambda _w, _v: TECTONIC), None)
    made = begin(monkeypatch, models, [40.0, 60.0])
    assert made.station.needed_ns is None
    made.feed(noise(56.0))
    assert _needed_s(made) == 40.0 - before_s
    made.feed([p for p in noise(76.0) if p.starttime_ns >= T0_NS + 56 * 10**9])
    assert _needed_s(made) == 60.0 - before_s


def test_samples_are_needed_for_the_model_whose_window_begins_first(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(
        RuleEngine(card(onset_s=2.0, answers_s=[3.0, 20.0]), lambda _w, _v: TECTONIC),
        RuleEngine(card("magnitude", onset_s=8.0, answers_s=[3.0, 20.0]), lambda _w, _v: one_bin(11)),
    )
    made = begin(monkeypatch, models, [40.0])
    made.feed(noise(56.0))
    assert _needed_s(made) == 40.0 - 14.0
    made = begin(monkeypatch, models, [40.0, 47.0])
    made.feed(noise(80.0))
    assert [event.overlaps for event in made.events][-1] == [made.events[0].id]


def test_without_an_event_samples_are_needed_from_before_the_next_possible_onset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = begin(monkeypatch, fake_models(), [])
    made.feed(noise(60.0))
    state = made.mode.state()
    assert state.trigger.scanned_hop is not None
    scanned_s = (made.mode._opener.time_of_hop(state.trigger.scanned_hop) - T0_NS) / 1e9
    assert _needed_s(made) == round(scanned_s - 0.9 - 11.0, 3)


def test_ended_events_are_forgotten_but_for_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin(monkeypatch, fake_models(), [40.0, 50.0, 60.0])
    made.feed(noise(200.0))
    assert [event.id for event in made.mode.state().events] == ["XX.STA-20200913T122740.000"]
    assert made.mode.state().due == []


def test_an_ended_event_is_kept_while_it_overlaps_an_open_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin(monkeypatch, fake_models(), [40.0, 60.0, 80.0])
    made.feed(noise(100.0))  # the first has ended; a window has 35 s
    assert [event.id[-6:] for event in made.mode.state().events] == ["20.000", "40.000", "00.000"][1:]
    made = begin(monkeypatch, fake_models(), [40.0, 60.0, 80.0])
    made.feed(noise(84.0))
    assert [event.id[-6:] for event in made.mode.state().events] == ["20.000", "40.000", "00.000"]


def test_the_answers_of_all_models_are_due_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(
        RuleEngine(card(answers_s=[4.0, 20.0]), lambda _w, _v: TECTONIC),
        RuleEngine(card("magnitude", answers_s=[2.0, 20.0, 30.0]), lambda _w, _v: one_bin(11)),
    )
    made = run(monkeypatch, models, [40.0])
    assert made.story() == [("new", 2.0), ("update", 4.0), ("update", 20.0), ("final", 30.0)]


def test_a_restored_mode_has_the_state_of_the_stored_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin(monkeypatch, fake_models(), [40.0, 50.0, 60.0])
    made.feed(noise(64.5))
    text = msgspec.json.encode(made.mode.state())
    assert text.count(b'"onset"') == 3
    other = begin(monkeypatch, fake_models(), [])
    other.feed(noise(0.2, packet_s=0.2))
    other.mode.restore(msgspec.json.decode(text, type=TriggeredState))
    assert msgspec.json.encode(other.mode.state()) == text

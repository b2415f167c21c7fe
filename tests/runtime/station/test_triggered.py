"""Events of the real trigger, on synthetic records and with engines that compute by a given rule."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.fakes import (
    NOISE,
    T0_NS,
    TECTONIC,
    RuleEngine,
    answer_of,
    burst,
    classic_config,
    events_of,
    fake_models,
    one_bin,
    packet,
    packets_of,
)

from seisedge.runtime.config import (
    ChannelConfig,
    EventsConfig,
    MagnitudeConfig,
    StationConfig,
    TimelineConfig,
)
from seisedge.runtime.engines._base import Array
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station

GAIN = {f"HH{c}": ChannelConfig(sensitivity=1e9) for c in "ZNE"}


def _traces(onsets_s: list[float], seconds: float = 120.0) -> dict[str, np.ndarray]:
    return {f"HH{c}": burst(seconds, onsets_s, seed=i) for i, c in enumerate("ZNE")}


def _run(
    packets: list[Packet], models: Models | None = None, config: StationConfig | None = None, every: int = 1
) -> tuple[list[Event], Station]:
    station = Station("XX.STA", config or classic_config(channels=GAIN), models or fake_models(), "triggered")
    drafts: list[Draft] = []
    for i, p in enumerate(packets):
        station.add(p)
        if i % every == 0:
            drafts += station.step()
    drafts += station.finish()
    return events_of(drafts), station


def _story(drafts: list[Event]) -> list[tuple[int, str, float]]:
    return [(d.revision, d.status, d.window.answer_s) for d in drafts]


def test_one_event_is_new_then_updated_then_final() -> None:
    drafts, station = _run(packets_of(_traces([40.0])))
    assert _story(drafts) == [(0, "new", 3.0), (1, "update", 10.0), (2, "final", 30.0)]
    first = drafts[0]
    assert first.id == "XX.STA-20200913T122719.800" and len({d.id for d in drafts}) == 1
    assert first.event_type is not None and first.event_type.label == "tectonic"
    assert first.magnitude is not None
    assert (first.magnitude.bin, first.magnitude.value, first.magnitude.provisional) == ((1.0, 1.1), 1.1, None)
    assert [q.code for q in first.quality] == ["ok"]
    assert first.window.length_s == 8.0 and first.window.coverage == 1.0
    assert (station.counters.events, station.counters.inferences) == (1, 6)


def test_an_answer_uses_no_sample_after_its_end() -> None:
    models = fake_models()
    _run(packets_of(_traces([40.0])), models)
    engine = models.event_type
    assert isinstance(engine, RuleEngine)
    assert [answer_of(valid) for _, valid in engine.shown] == [3.0, 10.0, 30.0]
    for waveform, valid in engine.shown:
        assert (waveform[valid == 0] == 0).all()


@pytest.mark.parametrize(("packet_s", "every"), [(0.25, 1), (1.0, 9), (10.0, 1), (120.0, 1)])
def test_events_do_not_depend_on_packets(packet_s: float, every: int) -> None:
    """Nor does the set of onsets that was known at an answer of an earlier event."""
    traces = _traces([30.0, 40.0, 42.0, 66.0, 71.5])
    reference, _ = _run(packets_of(traces, 4.0))
    other, _ = _run(packets_of(traces, packet_s), every=every)
    assert [_plain(d) for d in other] == [_plain(d) for d in reference]
    assert len(reference) > 8


def _plain(draft: Event) -> tuple[object, ...]:
    return (
        draft.id,
        draft.revision,
        draft.status,
        draft.event_type,
        draft.magnitude,
        draft.window,
        tuple(draft.overlaps),
        tuple(draft.quality),
    )


def test_s_within_the_separation_belongs_to_the_event() -> None:
    drafts, _ = _run(packets_of(_traces([40.0, 43.5])))
    assert len({d.id for d in drafts}) == 1
    config = classic_config(channels=GAIN, events=EventsConfig(min_event_separation_s=1.0))
    drafts, _ = _run(packets_of(_traces([40.0, 60.0])), config=config)
    assert len({d.id for d in drafts}) == 2


def test_a_later_onset_cuts_the_earlier_window_and_is_listed() -> None:
    models = fake_models()
    drafts, _ = _run(packets_of(_traces([40.0, 58.0])), models)
    first_id, second_id = dict.fromkeys(d.id for d in drafts)
    of_first = [d for d in drafts if d.id == first_id]
    assert [q.code for q in of_first[-1].quality] == ["overlap"]
    assert of_first[-1].overlaps == [second_id]
    assert [q.code for q in of_first[0].quality] == ["ok"]
    engine = models.event_type
    assert isinstance(engine, RuleEngine)
    assert 17.5 - 0.25 <= max(answer_of(v) for _, v in engine.shown if answer_of(v) < 29) <= 17.5 + 0.25


def test_confident_noise_emits_nothing_and_is_counted() -> None:
    drafts, station = _run(packets_of(_traces([40.0])), fake_models(lambda _w, _v: NOISE))
    assert drafts == []
    assert (station.counters.triggers, station.counters.noise_events, station.counters.events) == (1, 1, 0)
    assert station.counters.inferences == 3  # no magnitude of noise


def _noise_when(condition: Callable[[float], bool]) -> Callable[[Array, Array], list[float]]:
    return lambda _w, valid: NOISE if condition(answer_of(valid)) else TECTONIC


def test_a_later_noise_retracts() -> None:
    drafts, _ = _run(packets_of(_traces([40.0])), fake_models(_noise_when(lambda a: a > 5)))
    assert _story(drafts) == [(0, "new", 3.0), (1, "retracted", 10.0)]
    assert drafts[-1].magnitude is None


def test_a_weak_start_may_become_an_event() -> None:
    drafts, _ = _run(packets_of(_traces([40.0])), fake_models(_noise_when(lambda a: a < 5)))
    assert _story(drafts) == [(0, "new", 10.0), (1, "final", 30.0)]


def test_an_onset_called_noise_does_not_cut_the_earlier_event() -> None:
    def rule(waveform: Array, _valid: Array) -> list[float]:
        late_start = np.abs(waveform[0, :100]).max() > 100  # the window of the second onset begins in the coda
        return NOISE if late_start else TECTONIC

    models = fake_models(rule)
    drafts, _ = _run(packets_of(_traces([40.0, 46.0])), models)
    assert len({d.id for d in drafts}) == 1
    assert drafts[-1].status == "final" and [q.code for q in drafts[-1].quality] == ["ok"]


def test_without_a_gain_the_bin_is_provisional() -> None:
    drafts, _ = _run(packets_of(_traces([40.0])), config=classic_config())
    estimate = drafts[-1].magnitude
    assert estimate is not None and estimate.provisional is True
    assert estimate.value is None and estimate.expected is None and estimate.interval_90 is None
    assert [q.code for q in drafts[-1].quality] == ["uncalibrated"]


def test_a_station_correction_stands_in_for_a_gain() -> None:
    models = fake_models()
    config = classic_config(magnitude=MagnitudeConfig(station_correction=1.0))
    drafts, _ = _run(packets_of(_traces([40.0])), models, config)
    assert drafts[-1].magnitude is not None and drafts[-1].magnitude.value == 1.1
    plain = fake_models()
    _run(packets_of(_traces([40.0])), plain, classic_config())
    shown, reference = models.magnitude, plain.magnitude
    assert isinstance(shown, RuleEngine) and isinstance(reference, RuleEngine)
    assert np.allclose(shown.shown[0][0], 10 * reference.shown[0][0])


def test_gain_and_polarity_reach_the_magnitude_model() -> None:
    models = fake_models()
    config = classic_config(
        channels={
            "HHZ": ChannelConfig(sensitivity=1e9, polarity=-1),
            "HHN": ChannelConfig(sensitivity=5e8),
            "HHE": ChannelConfig(),  # no gain: masked for magnitude, not for type
        }
    )
    _run(packets_of(_traces([40.0])), models, config)
    counts, velocity = models.event_type, models.magnitude
    assert isinstance(counts, RuleEngine) and isinstance(velocity, RuleEngine)
    (c, c_valid), (v, v_valid) = counts.shown[0], velocity.shown[0]
    assert np.allclose(v[0], c[0] / 1e9) and np.allclose(v[1], c[1] / 5e8)
    assert c_valid[2].any() and not v_valid[2].any() and (v[2] == 0).all()


def test_an_outer_bin_gives_no_number() -> None:
    drafts, _ = _run(packets_of(_traces([40.0])), fake_models(magnitude_rule=lambda _w, _v: one_bin(31)))
    estimate = drafts[-1].magnitude
    assert estimate is not None and estimate.bin == (3.0, None) and estimate.value is None
    assert [q.code for q in drafts[-1].quality] == ["out_of_range"]


def test_a_gap_below_the_cards_coverage_keeps_the_earlier_answer() -> None:
    packets = [p for p in packets_of(_traces([40.0])) if not 48 <= (p.starttime_ns - T0_NS) / 1e9 < 70]
    drafts, _ = _run(packets, config=classic_config(channels=GAIN, timeline=TimelineConfig(max_wait_s=5)))
    assert _story(drafts) == [(0, "new", 3.0), (1, "update", 10.0), (2, "final", 30.0)]
    final = drafts[-1]
    assert {q.code for q in final.quality} == {"insufficient"}
    assert final.event_type is not None and final.window.gaps == 1
    assert "needs 60%" in final.quality[0].reason


def test_flags_of_the_digitizer_are_passed_on() -> None:
    packets = packets_of(_traces([40.0]))
    flagged = [
        packet(p.samples, (p.starttime_ns - T0_NS) / 1e9, p.source_id.channel, flags=RecordFlag.CLIPPED)
        if 40 <= (p.starttime_ns - T0_NS) / 1e9 < 44
        else p
        for p in packets
    ]
    drafts, _ = _run(flagged)
    assert [q.code for q in drafts[0].quality] == ["clipped"]
    unsure = [
        packet(p.samples, (p.starttime_ns - T0_NS) / 1e9, p.source_id.channel, flags=RecordFlag.TIME_QUESTIONABLE)
        for p in packets
    ]
    drafts, _ = _run(unsure)
    assert drafts[0].timing == "questionable" and [q.code for q in drafts[0].quality] == ["timing"]


def test_a_slow_station_is_triggered_but_gets_no_label() -> None:
    traces = {f"BH{c}": burst(120, [40.0], rate_hz=20.0, seed=i) for i, c in enumerate("ZNE")}
    drafts, _ = _run(packets_of(traces, rate_hz=20.0), config=classic_config())
    assert drafts and all(d.event_type is None and d.magnitude is None for d in drafts)
    assert {q.code for q in drafts[0].quality} == {"band"}
    assert [d.status for d in drafts] == ["new", "final"]


def test_a_channel_too_slow_for_the_trigger_is_not_used() -> None:
    station = Station("XX.STA", classic_config(), fake_models(), "triggered")
    station.add(packet(burst(60, [], rate_hz=1.0), channel="LHZ", rate_hz=1.0))
    assert station.counters.packets == 0
    for p in packets_of(_traces([40.0])):  # and does not stand in the way of a faster one
        station.add(p)
    assert len(list(station.step())) >= 1


def test_another_sensor_of_the_station_is_ignored() -> None:
    station = Station("XX.STA", classic_config(), fake_models(), "triggered")
    station.add(packet(burst(10, []), channel="HHZ"))
    station.add(packet(burst(10, []), channel="HNZ"))
    station.add(packet(burst(10, []), channel="HHF"))
    assert station.channels.ignored == {"XX_STA__HNZ": 1, "XX_STA__HHF": 1}


def test_an_event_before_a_gap_of_a_year_ends_before_it() -> None:
    traces = _traces([40.0], 60.0)
    before = packets_of(traces)
    year_s = 365 * 86_400.0
    after = packets_of(traces, start_s=year_s)
    drafts, station = _run([*before, *after])
    assert len({d.id for d in drafts}) == 2
    assert [d.status for d in drafts] == ["new", "update", "final"] * 2
    assert drafts[0].id[:-4] == "XX.STA-20200913T122719" and drafts[-1].id[:-4] == "XX.STA-20210913T122719"
    assert all(t._wave.nbytes < 10e6 for t in station.timelines)

"""What the models of an event are given, and which estimates and remarks follow."""

import msgspec
import numpy as np
import pytest
from tests.fakes import (
    NOISE,
    T0_NS,
    TECTONIC,
    RuleEngine,
    answer_of,
    card,
    classic_config,
    fake_models,
    one_bin,
    packet,
)
from tests.runtime.station.scripted import GAIN, ScriptedStation, begin, noise, run

from seisedge.runtime.config import ChannelConfig, EventsConfig, ModelsConfig
from seisedge.runtime.engines import Engine
from seisedge.runtime.engines._base import Array
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet, RecordFlag

LONG_ANSWERS_S = [3.0, 10.0, 30.0, 40.0]  # of the bundled event type model


def _tectonic(_waveform: Array, _valid: Array) -> list[float]:
    return TECTONIC


def _by_length(_waveform: Array, valid: Array) -> list[float]:
    """A bin of magnitude that follows from the length of the window: 3 s are bin 3."""
    return one_bin(round(answer_of(valid)))


def _answers(engine: Engine | None) -> list[float]:
    assert isinstance(engine, RuleEngine)
    return [answer_of(valid) for _, valid in engine.shown]


def _reasons(made: ScriptedStation, number: int) -> list[str]:
    return [q.reason for q in made.events[number].quality]


def _flagged(packets: list[Packet], begin_s: float, end_s: float, flags: RecordFlag) -> list[Packet]:
    def flagged(p: Packet) -> Packet:
        start_s = (p.starttime_ns - T0_NS) / 1e9
        if not begin_s <= start_s < end_s:
            return p
        return packet(p.samples, start_s, p.source_id.channel, flags=flags)

    return [flagged(p) for p in packets]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
def test_values_that_are_no_probabilities_give_no_estimate(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    def rule(_waveform: Array, _valid: Array) -> list[float]:
        return [value, 0.5, 0.5]

    def sizes(waveform: Array, valid: Array) -> list[float]:
        return [value, *_by_length(waveform, valid)[1:]]

    made = run(monkeypatch, Models(RuleEngine(card(), rule), RuleEngine(card("magnitude"), sizes)), [40.0])
    assert made.events
    for number, event in enumerate(made.events):
        assert event.event_type is None and event.magnitude is None
        assert "fake-event_type gave values that are no probabilities" in _reasons(made, number)
        assert "fake-magnitude gave values that are no probabilities" in _reasons(made, number)
        assert b"null" not in msgspec.json.encode(event)


# answer lengths


def test_the_bundled_models_have_different_answer_lengths() -> None:
    """So the tests below are about the bundled models, too."""
    models = Models.load(ModelsConfig())
    assert models.event_type is not None and models.magnitude is not None
    assert models.event_type.card.answers_s == LONG_ANSWERS_S
    assert models.magnitude.card.answers_s == [3.0, 10.0, 30.0]


def test_no_magnitude_is_computed_beyond_the_longest_answer_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(
        RuleEngine(card(n_samples=1800, answers_s=LONG_ANSWERS_S), _tectonic), RuleEngine(card("magnitude"), _by_length)
    )
    made = run(monkeypatch, models, [40.0])
    assert made.story() == [("new", 3.0), ("update", 10.0), ("update", 30.0), ("final", 40.0)]
    assert _answers(models.event_type) == [3.0, 10.0, 30.0, 40.0] and _answers(models.magnitude) == [3.0, 10.0, 30.0]
    assert made.station.counters.inferences == 7
    magnitudes = [event.magnitude.label for event in made.events if event.magnitude is not None]
    assert magnitudes == ["bin 3", "bin 10", "bin 30", "bin 30"]


def test_a_magnitude_that_is_late_is_computed_from_its_longest_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probably noise for 30 s, but not confidently: no magnitude. Then 40 s are known, and the model gets 30 s."""
    models = Models(
        RuleEngine(
            card(n_samples=1800, answers_s=LONG_ANSWERS_S),
            lambda _w, valid: [0.3, 0.25, 0.45] if answer_of(valid) < 35 else TECTONIC,
        ),
        RuleEngine(card("magnitude"), _by_length),
    )
    made = run(monkeypatch, models, [40.0], config=classic_config(events=EventsConfig(noise_threshold=0.5)))
    assert [event.magnitude is not None for event in made.events] == [False, False, False, True]
    assert _answers(models.magnitude) == [30.0]


def test_a_magnitude_of_a_cut_window_is_computed_again_with_more_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next event cuts the window at 27 s: of the last answer no new data are left for the magnitude."""
    models = Models(
        RuleEngine(card(n_samples=1800, answers_s=LONG_ANSWERS_S), _tectonic), RuleEngine(card("magnitude"), _by_length)
    )
    made = run(monkeypatch, models, [40.0, 67.5])
    assert made.story(0)[2:] == [("update", 30.0), ("final", 30.0)]
    assert _answers(models.magnitude)[:3] == [3.0, 10.0, 27.0]


# what excludes a magnitude


def test_a_later_noise_label_removes_the_magnitude_and_its_remarks(monkeypatch: pytest.MonkeyPatch) -> None:
    models = fake_models(lambda _w, valid: [0.3, 0.25, 0.45] if answer_of(valid) > 5 else [0.4, 0.25, 0.35])
    made = run(monkeypatch, models, [40.0], config=classic_config(events=EventsConfig(noise_threshold=0.5)))
    assert [event.magnitude is not None for event in made.events] == [True, False, False]
    assert [q.code for q in made.events[0].quality] == ["uncalibrated"]
    assert [q.code for q in made.events[1].quality] == ["ok"]
    assert _answers(models.magnitude) == [3.0]


@pytest.mark.parametrize("flags", [RecordFlag.CLIPPED, RecordFlag.SATURATED])
def test_a_record_flagged_as_clipped_excludes_a_magnitude_from_then_on(
    monkeypatch: pytest.MonkeyPatch, flags: RecordFlag
) -> None:
    models = fake_models()
    made = begin(monkeypatch, models, [40.0])
    made.feed(_flagged(noise(120.0), 44.0, 48.0, flags))
    assert [event.magnitude is not None for event in made.events] == [True, False, False]
    assert _answers(models.magnitude) == [3.0] and _answers(models.event_type) == [3.0, 10.0, 30.0]


@pytest.mark.parametrize(("flags", "label"), [(RecordFlag.CLIPPED, "tectonic"), (RecordFlag.NONE, "non-tectonic")])
def test_a_later_clipped_window_does_not_overrule_an_early_answer(
    monkeypatch: pytest.MonkeyPatch, flags: RecordFlag, label: str
) -> None:
    """The same answers at 3, 10 and 30 s, with the windows from 10 s on clipped or not."""
    late = [0.28, 0.7, 0.02]
    models = fake_models(lambda _w, valid: [0.94, 0.05, 0.01] if answer_of(valid) < 5 else late)
    made = begin(monkeypatch, models, [40.0])
    made.feed(_flagged(noise(120.0), 44.0, 48.0, flags))
    last = made.events[-1].event_type
    assert last is not None and last.label == label
    assert last.combined is not None and [part.answer_s for part in last.combined] == [3.0, 10.0, 30.0]
    first = made.events[0].event_type
    assert first is not None and first.combined is None


@pytest.mark.parametrize(
    ("components", "weights"),
    [("ZNE", [0.2149, 0.3925, 0.3925]), ("ZN", [0.167, 0.3049, 0.5281]), ("Z", [0.167, 0.3049, 0.5281])],
)
def test_the_weight_of_three_components_grows_up_to_10_s(
    monkeypatch: pytest.MonkeyPatch, components: str, weights: list[float]
) -> None:
    """Square roots of 3, 10 and 30 s, or of 3, 10 and 10 s."""
    last = run(monkeypatch, fake_models(), [40.0], components=components).events[-1].event_type
    assert last is not None and last.combined is not None
    assert [part.weight for part in last.combined] == pytest.approx(weights, abs=1e-4)


@pytest.mark.parametrize(("top", "kept"), [(31, True), (30, False), (0, False)])
def test_a_magnitude_above_all_bins_remains_after_clipping(
    monkeypatch: pytest.MonkeyPatch, top: int, kept: bool
) -> None:
    """It is a lower bound; the last bin with two edges and the open bin below all others are not."""
    models = fake_models(magnitude_rule=lambda _w, _valid: one_bin(top))
    made = begin(monkeypatch, models, [40.0])
    made.feed(_flagged(noise(120.0), 44.0, 48.0, RecordFlag.CLIPPED))
    assert [event.magnitude is not None for event in made.events] == [True, kept, kept]
    assert ["out_of_range" in {q.code for q in event.quality} for event in made.events[1:]] == [kept, kept]
    assert _answers(models.magnitude) == [3.0]


def test_a_flag_counts_from_the_beginning_of_the_window_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window begins at 55 s."""
    for begin_s, clipped in ((48.0, False), (52.0, True)):
        made = begin(monkeypatch, fake_models(), [60.0])
        made.feed(_flagged(noise(120.0), begin_s, begin_s + 4.0, RecordFlag.CLIPPED))
        assert [event.magnitude is None for event in made.events] == [clipped] * 3


def test_clipping_in_the_next_event_does_not_exclude_a_magnitude(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next event begins at 46 s and cuts the window at 45.5 s; its records are flagged from 46 s on."""
    made = begin(monkeypatch, fake_models(), [40.0, 46.0])
    made.feed(_flagged(noise(120.0, packet_s=1.0), 46.0, 50.0, RecordFlag.CLIPPED))
    assert [event.magnitude is None for event in made.events if event.id.endswith("20.000")] == [False] * 3
    assert [event.magnitude is None for event in made.events if event.id.endswith("26.000")] == [True] * 3


# windows that do not suffice


@pytest.mark.parametrize(("later_s", "insufficient"), [(41.5, False), (41.475, True)])
def test_a_window_below_one_second_is_not_classified(
    monkeypatch: pytest.MonkeyPatch, later_s: float, insufficient: bool
) -> None:
    models = fake_models()
    config = classic_config(channels=GAIN, events=EventsConfig(min_event_separation_s=1.0))
    made = run(monkeypatch, models, [40.0, later_s], config=config)
    assert (made.events[0].event_type is None) == insufficient
    reason = "less than 1 s before the next event"
    assert _reasons(made, 0).count(reason) == insufficient  # once, though it holds for both models
    assert made.events[0].window.length_s == round(later_s - 0.5 - 35.0, 3)


def _with_gap(seconds: float) -> list[Packet]:
    """5 s before the onset to 30 s after it are 35 s; the gap lies in the last 20 of them."""
    end_s = 70.0
    return [p for p in noise(120.0, packet_s=0.5) if not end_s - seconds <= (p.starttime_ns - T0_NS) / 1e9 < end_s]


def test_a_window_is_classified_from_the_minimum_coverage_of_the_card_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin(monkeypatch, fake_models(), [40.0])
    made.feed(_with_gap(7.0))
    made.drafts += made.station.finish()
    coverage = made.events[-1].window.coverage
    assert 0.75 < coverage < 0.8 and made.events[-1].window.gaps == 1 and _reasons(made, -1) == ["nothing to remark"]
    for samples, classified in ((0, True), (1, False)):
        minimum = (round(coverage * 1400) + samples) / 1400
        models = Models(RuleEngine(card(min_coverage=minimum), _tectonic), None)
        made = begin(monkeypatch, models, [40.0])
        made.feed(_with_gap(7.0))
        made.drafts += made.station.finish()
        assert len(_answers(models.event_type)) == 2 + classified
        text = f"{coverage:.0%} of the samples are there, fake-event_type needs {minimum:.0%}"
        assert _reasons(made, -1) == (["nothing to remark"] if classified else [text])


def test_without_a_component_that_has_a_gain_there_is_no_magnitude(monkeypatch: pytest.MonkeyPatch) -> None:
    models = fake_models()
    config = classic_config(channels={"HHZ": ChannelConfig(sensitivity=1e9), "HHN": ChannelConfig()})
    made = run(monkeypatch, models, [40.0], config=config, components="N")
    assert made.events[-1].event_type is not None and made.events[-1].magnitude is None
    assert _reasons(made, -1) == ["no component with a gain has samples for fake-magnitude"]
    assert _answers(models.magnitude) == []


def test_an_estimate_is_kept_where_later_data_do_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(RuleEngine(card(), _tectonic), RuleEngine(card("magnitude"), _by_length))
    made = begin(monkeypatch, models, [40.0])
    made.feed(_with_gap(19.5))
    made.drafts += made.station.finish()
    assert made.story() == [("new", 3.0), ("update", 10.0), ("final", 30.0)]
    final = made.events[-1]
    assert final.magnitude is not None and final.magnitude.label == "bin 10" and final.event_type is not None
    assert _answers(models.event_type) == _answers(models.magnitude) == [3.0, 10.0]


# the window that is stated


def test_the_stated_window_is_that_of_the_event_type_model(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(RuleEngine(card(onset_s=2.0), _tectonic), RuleEngine(card("magnitude"), lambda _w, _v: one_bin(11)))
    made = run(monkeypatch, models, [40.0])
    assert [(e.window.start, e.window.length_s) for e in made.events[:1]] == [("2020-09-13T12:27:18.000000Z", 5.0)]
    alone = run(monkeypatch, Models(None, RuleEngine(card("magnitude"), lambda _w, _v: one_bin(11))), [40.0])
    assert [(e.window.start, e.window.length_s) for e in alone.events[:1]] == [("2020-09-13T12:27:15.000000Z", 8.0)]
    assert alone.events[-1].event_type is None and alone.events[-1].magnitude is not None


def test_a_model_whose_band_the_channels_do_not_carry_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = RuleEngine(card(sampling_rate_hz=200.0, band_hz=(1.0, 80.0), n_samples=7000), _tectonic)
    models = Models(wide, RuleEngine(card("magnitude"), lambda _w, _v: one_bin(11)))
    made = run(monkeypatch, models, [40.0])
    assert made.story() == [("new", 3.0), ("update", 10.0), ("final", 30.0)]
    first = made.events[0]
    assert first.event_type is None and first.magnitude is not None
    assert _reasons(made, 0) == ["the channels do not carry the band of fake-event_type, up to 80 Hz"]
    assert first.window.start == "2020-09-13T12:27:15.000000Z"
    assert (first.window.length_s, first.window.coverage, first.window.gaps) == (8.0, 0.0, 0)


# remarks


@pytest.mark.parametrize(
    ("flags", "timing"),
    [
        (RecordFlag.TIME_QUESTIONABLE, "questionable"),
        (RecordFlag.CLOCK_UNLOCKED, "questionable"),
        (RecordFlag.SPIKES, "ok"),
    ],
)
def test_flags_of_the_records_in_the_window_become_remarks(
    monkeypatch: pytest.MonkeyPatch, flags: RecordFlag, timing: str
) -> None:
    made = begin(monkeypatch, fake_models(), [40.0])
    made.feed(_flagged(noise(120.0), 44.0, 48.0, flags))
    assert [event.timing for event in made.events] == ["ok", timing, timing]
    assert _reasons(made, 0) == ["nothing to remark"] and len(_reasons(made, 1)) == 1
    assert _reasons(made, 1) != ["nothing to remark"]


def test_a_questionable_time_stays_with_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type model's last window is the same as before; only the magnitude model's, which begins earlier, has it."""
    models = Models(
        RuleEngine(card(onset_s=2.0), _tectonic),
        RuleEngine(card("magnitude", answers_s=[3.0]), lambda _w, _v: one_bin(11)),
    )
    made = begin(monkeypatch, models, [40.0])
    made.feed(_flagged(noise(120.0), 32.0, 36.0, RecordFlag.TIME_QUESTIONABLE))
    assert [event.timing for event in made.events] == ["questionable"] * 3


def test_the_physical_scale_of_the_bundled_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A magnitude model in m/s gets counts divided by the gain; the type model in counts gets counts."""
    models = fake_models()
    run(monkeypatch, models, [40.0])
    counts, velocity = models.event_type, models.magnitude
    assert isinstance(counts, RuleEngine) and isinstance(velocity, RuleEngine)
    assert np.allclose(velocity.shown[-1][0], counts.shown[-1][0] / 1e9, rtol=1e-6)
    assert np.abs(counts.shown[-1][0]).max() > 30


def test_no_magnitude_is_computed_of_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(monkeypatch, fake_models(lambda _w, _v: NOISE), [40.0])
    assert made.events == [] and made.station.counters.inferences == 3

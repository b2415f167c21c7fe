"""Bad data through the whole station with the bundled models: what opens no event, and quality remarks of the rest."""

import numpy as np
import pytest
from tests.fakes import NOISE, TECTONIC, fake_detector, fake_models
from tests.runtime.bad_data import Traces, cut, run, teleseism, with_calibration, with_spike, with_step

from seisedge.runtime.engines._base import Array
from seisedge.runtime.event import Event

AT_S = 30.0  # in the noise
ONSET_S = 35.7  # of the earthquake in its stretch


def _noise() -> Traces:
    """52 s without a trigger."""
    return cut(548, 600)


def _earthquake() -> Traces:
    return cut(650, 712)


def _about(events: list[Event]) -> list[tuple[str, str | None, bool, list[str]]]:
    """Time of the onset, type, whether there is a magnitude, and remarks, by revision."""
    return [
        (
            d.onset[14:21],
            d.event_type.label if d.event_type else None,
            d.magnitude is not None,
            sorted({q.code for q in d.quality} - {"insufficient"}),  # the stretches end before the last answer
        )
        for d in events
    ]


def test_noise_opens_no_event_and_an_earthquake_opens_one() -> None:
    drafts, station = run(_noise())
    assert not drafts and station.counters.triggers == 0
    drafts, _ = run(_earthquake())
    assert _about(drafts)[:2] == [("27:15.7", "tectonic", True, ["ok"])] * 2


@pytest.mark.parametrize("packet_s", [0.5, 13.0])
@pytest.mark.parametrize("counts", [5e3, -2e4, 1e6])
def test_a_spike_opens_no_event(counts: float, packet_s: float) -> None:
    drafts, station = run(with_spike(_noise(), AT_S, counts), packet_s)
    assert not drafts
    assert (station.counters.triggers, station.counters.spike_triggers, station.counters.inferences) == (1, 1, 0)


@pytest.mark.parametrize("packet_s", [0.5, 13.0])
@pytest.mark.parametrize("counts", [2e3, -2e4, 1e6])
def test_a_step_opens_no_event(counts: float, packet_s: float) -> None:
    drafts, station = run(with_step(_noise(), AT_S, counts), packet_s)
    assert not drafts
    assert (station.counters.triggers, station.counters.step_triggers) == (1, 1)


@pytest.mark.parametrize("before_s", [3.0, 1.0])
def test_an_earthquake_after_a_spike_is_found_and_the_spike_is_masked(before_s: float) -> None:
    drafts, station = run(with_spike(_earthquake(), ONSET_S - before_s, 2e4))
    assert station.counters.spike_triggers == 1
    assert _about(drafts)[0] == ("27:15.8", "tectonic", True, ["spike"])
    plain, _ = run(_earthquake())
    assert drafts[0].magnitude is not None and plain[0].magnitude is not None
    assert drafts[0].window.coverage == 1.0  # of the best component; the vertical has a second less


def test_a_step_later_in_the_window_is_remarked() -> None:
    drafts, station = run(with_step(_earthquake(), ONSET_S + 6, 2e4))
    first, second = _about(drafts)[:2]
    assert first == ("27:15.7", "tectonic", True, ["ok"]) and second == ("27:15.7", "tectonic", True, ["step"])
    assert station.counters.step_triggers == 1


def test_a_dead_component_is_masked_and_remarked() -> None:
    traces = _earthquake()
    traces["EH1"][:] = 123.0
    drafts, _ = run(traces)
    assert _about(drafts)[0] == ("27:15.7", "tectonic", True, ["flat"])


@pytest.mark.parametrize("packet_s", [0.5, 13.0])
def test_a_clipped_earthquake_has_a_type_and_no_magnitude(packet_s: float) -> None:
    traces = _earthquake()
    largest = max(np.abs(x).max() for x in traces.values())
    drafts, _ = run({name: 10 * 2**23 / largest * x for name, x in traces.items()}, packet_s)
    assert _about(drafts)[:2] == [("27:15.7", "tectonic", False, ["clipped"])] * 2


def test_the_same_earthquake_below_the_rail_is_not_clipped() -> None:
    traces = _earthquake()
    largest = max(np.abs(x).max() for x in traces.values())
    drafts, _ = run({name: 0.99 * 2**23 / largest * x for name, x in traces.items()})
    assert all("clipped" not in codes for *_, codes in _about(drafts)) and drafts


@pytest.mark.parametrize("packet_s", [0.5, 13.0])
@pytest.mark.parametrize(
    ("period_s", "counts"), [(1.0, 3e3), (1.0, 3e4), (1.0, -3e6), (30.0, 3e5), (120.0, 3e5), (120.0, -3e6)]
)
def test_a_calibration_pulse_opens_no_event(period_s: float, counts: float, packet_s: float) -> None:
    drafts, station = run(with_calibration(_noise(), AT_S, counts, period_s), packet_s)
    assert not drafts
    assert station.counters.triggers >= 1
    assert station.counters.calibration_triggers == station.counters.triggers - station.counters.retriggers


def test_a_calibration_tone_opens_no_event() -> None:
    traces = _noise()
    t = np.arange(len(traces["EHZ"])) / 100 - AT_S
    drafts, station = run({k: x + np.where(t > 0, 2e4 * np.sin(2 * np.pi * 5 * t), 0) for k, x in traces.items()})
    assert not drafts and station.counters.calibration_triggers == 1


@pytest.mark.parametrize("packet_s", [0.5, 13.0])
@pytest.mark.parametrize(("t_star_s", "counts"), [(0.5, 1e5), (1.0, 1e5), (1.0, 4e6)])
def test_a_teleseism_has_no_local_magnitude(t_star_s: float, counts: float, packet_s: float) -> None:
    traces = _noise()
    wave = counts * teleseism(len(traces["EHZ"]), AT_S, t_star_s=t_star_s)
    drafts, station = run({k: x + wave * (1.0 if k == "EHZ" else 0.3) for k, x in traces.items()}, packet_s)
    assert station.counters.triggers >= 1
    assert all(d.magnitude is None for d in drafts)
    assert all(codes == ["teleseism"] for *_, codes in _about(drafts))


def _loud(waveform: Array, valid: Array) -> list[float]:
    swings = [np.ptp(x[there > 0]) for x, there in zip(waveform, valid, strict=True) if there.any()]
    return TECTONIC if max(swings) > 1500 else NOISE


def _made_noise() -> Traces:
    rng = np.random.default_rng(7)
    return {name: rng.normal(0, 50, 5200) for name in _noise()}


@pytest.mark.parametrize("packet_s", [0.5, 13.0])
@pytest.mark.parametrize(
    ("traces", "calibrations"),
    [(with_spike(_made_noise(), AT_S, 1e6), 0), (with_calibration(_made_noise(), AT_S, 3e5, 1.0), 1)],
    ids=["spike", "calibration"],
)
def test_the_onset_detector_opens_no_event(traces: Traces, calibrations: int, packet_s: float) -> None:
    models = fake_models(_loud, onset=fake_detector(gate_ratio=2.0))
    drafts, station = run(traces, packet_s, mode="continuous", models=models)
    assert not drafts and station.counters.hops > 40 and station.counters.triggers >= 1
    assert station.counters.calibration_triggers == calibrations
    assert station.counters.spike_triggers == 1 - calibrations


def test_the_onset_detector_opens_an_event_for_loud_good_data() -> None:
    drafts, _ = run(_earthquake(), mode="continuous", models=fake_models(_loud, onset=fake_detector(gate_ratio=2.0)))
    assert drafts and [q.code for q in drafts[0].quality] == ["ok"]


@pytest.mark.parametrize("packet_s", [1.7, 4.0])
def test_a_plateau_longer_than_a_flat_is_clipped_and_not_flat(packet_s: float) -> None:
    """The earthquake with a slow swing from 4 s after its onset on, which stays at the rail for a second at a time."""
    traces = _earthquake()
    largest = max(np.abs(x).max() for x in traces.values())
    t = np.arange(len(traces["EHZ"])) / 100.0
    swing = np.where(t > ONSET_S + 4, np.sin(2 * np.pi * t / 3.0) * np.exp(-(t - ONSET_S - 4) / 8.0), 0.0)
    drafts, _ = run({name: 2**23 / largest * (x + 5 * largest * swing) for name, x in traces.items()}, packet_s)
    remarks = [codes for *_, codes in _about(drafts)]
    assert len(remarks) > 1 and "clipped" not in remarks[0]
    assert all("clipped" in codes and "flat" not in codes for codes in remarks[1:])

import numpy as np
import pytest
from tests.fakes import NOISE, TECTONIC, RuleEngine, burst, card, packets_of

from seisedge.runtime.config import ContinuousConfig, StationConfig
from seisedge.runtime.engines._base import Array
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.station.draft import Draft, EventDraft, HopDraft
from seisedge.runtime.station.station import Station

TRACES = {f"HH{c}": burst(150, [60.0], seed=i) for i, c in enumerate("ZNE")}


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


def test_hops_lie_on_the_sample_clock() -> None:
    hops = [line for line in _run() if isinstance(line, HopDraft)]
    assert hops[0].probabilities is None and hops[0].coverage < 0.6  # the window fills first
    answered = [h for h in hops if h.probabilities]
    assert answered[0].time == "2020-09-13T12:27:02.000000Z"  # 60 % of 35 s after the first sample
    assert len(answered) == len(hops) - 21
    assert all(h.time.endswith(".000000Z") for h in hops)


def test_an_event_opens_after_its_minimum_duration_and_closes() -> None:
    events = [line for line in _run() if isinstance(line, EventDraft)]
    assert [e.status for e in events] == ["new", "final"]
    opened, closed = events
    assert opened.onset == "2020-09-13T12:27:41.000000Z"  # the first hop that ends after the burst began
    assert opened.window.answer_s == 3.0
    assert 15 <= closed.window.answer_s <= 30
    assert opened.id == closed.id and (opened.revision, closed.revision) == (0, 1)
    assert opened.trigger.kind == "continuous"
    assert closed.magnitude is None and closed.event_type is not None and closed.event_type.label == "tectonic"


@pytest.mark.parametrize("packet_s", [0.5, 30.0, 150.0])
def test_lines_do_not_depend_on_packets(packet_s: float) -> None:
    def plain(lines: list[Draft]) -> list[tuple[object, ...]]:
        return [
            (line.time, line.coverage, line.probabilities)
            if isinstance(line, HopDraft)
            else (line.id, line.status, line.event_type, line.window)
            for line in lines
        ]

    assert plain(_run(packet_s)) == plain(_run())


def test_a_longer_minimum_lets_nothing_open() -> None:
    config = StationConfig(continuous=ContinuousConfig(min_duration_s=60))
    assert not [line for line in _run(config=config) if isinstance(line, EventDraft)]


def test_a_model_not_trained_for_it_is_refused() -> None:
    models = Models(RuleEngine(card(modes=["triggered"]), _loud), None)
    station = Station("XX.STA", StationConfig(), models, "continuous")
    with pytest.raises(InputError, match="trained for it"):
        station.add(packets_of(TRACES)[0])

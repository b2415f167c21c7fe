import numpy as np
import pytest
from tests.fakes import T0_NS, burst, packet, packets_of

from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.trigger import TRIGGER_GRID, Onset, Trigger, _moving_sum
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


def test_without_the_vertical_the_horizontals_decide() -> None:
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


def test_it_is_blind_for_no_more_than_half_the_long_average_after_a_gap() -> None:
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


def test_another_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="40 Hz"):
        Trigger(Timeline("XX.STA", GridSpec(100.0, 40.0)), TriggerConfig())

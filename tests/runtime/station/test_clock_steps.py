"""Which far times are accepted, and what happens to the packets meanwhile."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from tests.fakes import burst, classic_config, events_of, fake_models, packet, packets_of

from seisedge.runtime.counters import StationCounters
from seisedge.runtime.event import content_of
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.clock_steps import Admitted, ClockSteps, ClockStepsState
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station

HOUR = 3600.0
X = np.ones(500, dtype=np.int32)  # 5 s


class Record:
    """Feeds three components and keeps what is admitted; times in seconds after T0."""

    def __init__(self, max_wait_s: float = 60.0) -> None:
        self.counters = StationCounters()
        self.steps = ClockSteps(max_wait_s, self.counters)
        self.taken: list[tuple[str, float]] = []
        self.set_back_s: list[float] = []

    def say(self, *times_s: float, components: str = "ZNE") -> Record:
        for time_s in times_s:
            for component in components:
                self._keep(self.steps.admit(component, packet(X, time_s, f"HH{component}")))
        return self

    def end(self) -> Record:
        self._keep(self.steps.finish())
        return self

    def _keep(self, admitted: list[Admitted]) -> None:
        for a in admitted:
            time_s = (a.packet.starttime_ns - packet(X).starttime_ns) / 1e9
            self.taken.append((a.component, time_s))
            if a.set_back:
                self.set_back_s.append(time_s)

    def times_of(self, component: str) -> list[float]:
        return [time_s for c, time_s in self.taken if c == component]


def test_an_hour_ahead_and_back_again_loses_nothing_and_restarts_once() -> None:
    ahead = [HOUR + t for t in (10.0, 15.0, 20.0)]
    record = Record().say(0.0, 5.0, *ahead, 25.0, 30.0)
    assert record.times_of("Z") == [0.0, 5.0, *ahead, 25.0, 30.0]
    assert record.set_back_s == [25.0]
    assert record.counters.stray_packets == 0


def test_a_single_time_from_the_future_is_discarded() -> None:
    record = Record().say(0.0, 5.0).say(HOUR, components="N").say(*np.arange(10.0, 100.0, 5.0))
    assert HOUR not in record.times_of("N")
    assert record.set_back_s == []
    assert record.counters.stray_packets == 1


def test_an_outage_of_hours_is_a_gap_and_an_archive_of_single_records_is_read_whole() -> None:
    islands = [0.0, HOUR, 3 * HOUR, 5 * HOUR]
    record = Record().say(*islands, components="Z").end()
    assert record.times_of("Z") == islands
    assert record.set_back_s == [] and record.counters.stray_packets == 0


def test_a_packet_under_way_at_the_outage_does_not_make_what_follows_a_stray() -> None:
    record = Record().say(0.0, 5.0).say(HOUR, components="Z").say(10.0, components="N").say(HOUR + 5, HOUR + 10)
    assert record.times_of("Z") == [0.0, 5.0, HOUR, HOUR + 5, HOUR + 10]
    assert record.times_of("N") == [0.0, 5.0, 10.0, HOUR + 5, HOUR + 10]


def test_one_component_with_a_clock_of_its_own_does_not_move_the_others() -> None:
    record = Record()
    for time_s in np.arange(0.0, 300.0, 5.0):
        record.say(time_s, components="ZN").say(time_s + HOUR, components="E") if time_s > 20 else record.say(time_s)
    assert record.times_of("Z") == list(np.arange(0.0, 300.0, 5.0))
    assert max(record.times_of("E")) == 20.0
    assert record.counters.stray_packets == 55
    assert not record.steps.holding  # a state can be stored


def test_a_component_that_is_ten_minutes_late_for_good_is_late_and_nothing_else() -> None:
    record = Record()
    for time_s in np.arange(0.0, 1500.0, 5.0):
        record.say(time_s, components="ZN")
        if time_s >= 610:
            record.say(time_s - 610, components="E")
    assert record.set_back_s == []
    assert record.times_of("E") == list(np.arange(0.0, 890.0, 5.0))


@pytest.mark.parametrize(("components", "set_back"), [("ZNE", 1), ("N", 0)])
def test_known_times_mean_a_new_clock_only_where_every_component_has_them_for_long(
    components: str, set_back: int
) -> None:
    """Some archives hold one component after the other; a clock that is set back affects all of them."""
    record = Record().say(*np.arange(0.0, HOUR, 5.0), components="Z" if components == "N" else "ZNE")
    record.say(*np.arange(100.0, 500.0, 5.0), components=components).end()
    assert len(record.set_back_s) == set_back
    assert len(record.times_of("N")) == (720 if set_back else 0) + 80


def test_old_records_sent_again_for_a_few_seconds_are_late() -> None:
    record = Record().say(*np.arange(0.0, HOUR, 5.0)).say(*np.arange(500.0, 530.0, 5.0)).say(HOUR, HOUR + 5).end()
    assert record.set_back_s == []
    assert record.times_of("Z")[-6:] == list(np.arange(500.0, 530.0, 5.0))  # late: the timeline counts them


def test_the_number_of_held_packets_is_bounded() -> None:
    record = Record().say(*np.arange(0.0, HOUR, 5.0), components="Z")
    for time_s in np.arange(0.0, 2000.0, 5.0):
        record.say(time_s, components="N")
        assert len(record.steps._held) <= 14


def test_a_restored_state_continues() -> None:
    one = Record().say(0.0, 5.0, HOUR, HOUR + 5)
    other = Record()
    other.steps.restore(one.steps.state())
    for record in (one, other):
        record.taken.clear()
        record.say(10.0, 15.0, components="ZNE")
    assert one.taken == other.taken and one.set_back_s == other.set_back_s == [10.0]
    assert one.steps.state() == other.steps.state() != ClockStepsState()


def test_a_station_continues_after_its_clock_was_set_back(caplog: pytest.LogCaptureFixture) -> None:
    trace = {f"HH{c}": np.random.default_rng(k).normal(0, 20, 60_000).astype(np.int32) for k, c in enumerate("ZNE")}
    packets = packets_of(trace, 4.0)
    station = Station("XX.STA", classic_config(), fake_models(), "triggered")
    with caplog.at_level(logging.WARNING):
        for k, p in enumerate(packets):
            ahead = 100 <= k < 160
            station.add(
                packet(p.samples, (p.starttime_ns - packets[0].starttime_ns) / 1e9 + 86400 * ahead, p.source_id.channel)
            )
            list(station.step())
    assert [r.message for r in caplog.records if "clock" in r.message] == [
        "XX.STA: the clock was set back from 2020-09-14T12:30:16.000000Z to 2020-09-13T12:30:12.000000Z; "
        "a new timeline begins"
    ]
    assert station.epoch == station.counters.new_timelines == 1
    assert station.counters.packets == len(packets)
    counters = [track.counters for track in station.timelines[0].tracks.values()]
    assert sum(c.late_samples for c in counters) == 0
    assert sum(c.samples for c in counters) == 3 * 60_000
    assert station.data_ns > 590e9


def test_an_outage_of_more_than_max_wait_is_confirmed_by_the_next_packet() -> None:
    record = Record().say(0.0, 5.0).say(75.0, components="Z")
    assert record.times_of("Z") == [0.0, 5.0]
    assert record.say(75.0, components="N").times_of("Z") == [0.0, 5.0, 75.0]
    assert record.set_back_s == [] and record.counters.stray_packets == 0


def _received() -> tuple[list[Packet], int]:
    """Packets of 4 s with five onsets, and the number of one of the vertical after 120 s."""
    traces = {f"HH{c}": burst(300, [50.0, 115.0, 145.0, 220.0], seed=k) for k, c in enumerate("ZNE")}
    packets = packets_of(traces, 4.0)
    return packets, next(k for k, p in enumerate(packets) if p.source_id.channel == "HHZ" and k > 3 * 30)


def _lines(packets: list[Packet]) -> list[bytes]:
    station = Station("XX.STA", classic_config(), fake_models(), "triggered")
    drafts: list[Draft] = []
    for p in packets:
        station.add(p)
        drafts += station.step()
    drafts += station.finish()
    assert station.counters.new_timelines == 0
    return sorted(content_of(event) for event in events_of(drafts))


@pytest.fixture(scope="module")
def with_a_gap() -> list[bytes]:
    packets, number = _received()
    lines = _lines(packets[:number] + packets[number + 1 :])
    assert len(lines) >= 8
    return lines


@pytest.mark.parametrize("off_s", [21.7, 45.0, 59.0, 61.0, 70.0, 450.0, 599.0, -70.0, -599.0])
def test_a_single_packet_with_a_wrong_time_is_a_gap_and_nothing_else(off_s: float, with_a_gap: list[bytes]) -> None:
    """The events are those of the same data without the packet."""
    packets, number = _received()
    wrong = dataclasses.replace(packets[number], starttime_ns=packets[number].starttime_ns + round(off_s * 1e9))
    assert _lines([*packets[:number], wrong, *packets[number + 1 :]]) == with_a_gap


@pytest.mark.parametrize("again", [[10.0], [0.0, 5.0, 10.0, 15.0, 20.0]])
def test_endlessly_repeated_old_records_are_not_held_for_ever(again: list[float]) -> None:
    record = Record().say(*np.arange(0.0, 300.0, 5.0))
    most = 0
    for _ in range(500):
        record.say(*again)
        most = max(most, len(record.steps._held))
    assert record.steps.holding is False
    assert most <= 8 * (60 + 5) / 5 + 3
    assert record.set_back_s == []
    taken = len(record.taken)
    record.say(300.0, 305.0)
    assert record.times_of("Z")[-2:] == [300.0, 305.0]
    assert len(record.taken) == taken + 6


def test_a_far_time_between_repetitions_of_the_present_is_not_held_for_ever() -> None:
    record = Record().say(0.0, 5.0)
    for _ in range(500):
        record.say(HOUR, 5.0, components="Z")
        assert len(record.steps._held) <= 8 * (60 + 5) / 5 + 1
    assert record.counters.stray_packets > 0
    assert HOUR not in record.times_of("Z")

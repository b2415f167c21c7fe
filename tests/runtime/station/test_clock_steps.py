"""Which far times are believed, and what becomes of the packets meanwhile."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tests.fakes import fake_models, packet, packets_of

from seisedge.runtime.config import StationConfig
from seisedge.runtime.station.clock_steps import Admitted, ClockSteps, ClockStepsState
from seisedge.runtime.station.draft import StationCounters
from seisedge.runtime.station.station import Station

HOUR = 3600.0
X = np.ones(500, dtype=np.int32)  # 5 s


class Record:
    """Feeds three components; times in seconds after T0."""

    def __init__(self, max_wait_s: float = 60.0) -> None:
        self.counters = StationCounters()
        self.steps = ClockSteps(max_wait_s, self.counters)
        self.taken: list[tuple[str, float]] = []
        self.turns: list[float] = []

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
            if a.turn:
                self.turns.append(time_s)

    def times_of(self, component: str) -> list[float]:
        return [time_s for c, time_s in self.taken if c == component]


def test_an_hour_ahead_and_back_again_loses_nothing_and_turns_once() -> None:
    ahead = [HOUR + t for t in (10.0, 15.0, 20.0)]
    record = Record().say(0.0, 5.0, *ahead, 25.0, 30.0)
    assert record.times_of("Z") == [0.0, 5.0, *ahead, 25.0, 30.0]
    assert record.turns == [25.0]
    assert record.counters.stray_packets == 0


def test_a_single_time_from_the_future_is_left_out_and_the_present_goes_on() -> None:
    record = Record().say(0.0, 5.0).say(HOUR, components="N").say(*np.arange(10.0, 100.0, 5.0))
    assert HOUR not in record.times_of("N")
    assert record.turns == []
    assert record.counters.stray_packets == 1


def test_an_outage_of_hours_is_a_gap_and_an_archive_of_single_records_is_read_whole() -> None:
    islands = [0.0, HOUR, 3 * HOUR, 5 * HOUR]
    record = Record().say(*islands, components="Z").end()
    assert record.times_of("Z") == islands
    assert record.turns == [] and record.counters.stray_packets == 0


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
    assert record.turns == []
    assert record.times_of("E") == list(np.arange(0.0, 890.0, 5.0))


@pytest.mark.parametrize(("components", "turns"), [("ZNE", 1), ("N", 0)])
def test_old_times_once_more_are_a_clock_only_where_every_component_says_them_for_long(
    components: str, turns: int
) -> None:
    """One component after the other is how some archives are written; a clock takes all along."""
    record = Record().say(*np.arange(0.0, HOUR, 5.0), components="Z" if components == "N" else "ZNE")
    record.say(*np.arange(100.0, 500.0, 5.0), components=components).end()
    assert len(record.turns) == turns
    assert len(record.times_of("N")) == (720 if turns else 0) + 80


def test_old_records_sent_again_for_a_few_seconds_are_late() -> None:
    record = Record().say(*np.arange(0.0, HOUR, 5.0)).say(*np.arange(500.0, 530.0, 5.0)).say(HOUR, HOUR + 5).end()
    assert record.turns == []
    assert record.times_of("Z")[-6:] == list(np.arange(500.0, 530.0, 5.0))  # late: the timeline counts them


def test_what_is_held_is_bounded() -> None:
    record = Record().say(*np.arange(0.0, HOUR, 5.0), components="Z")
    for time_s in np.arange(0.0, 2000.0, 5.0):
        record.say(time_s, components="N")
        assert len(record.steps._held) <= 14


def test_the_state_goes_on_where_it_was() -> None:
    one = Record().say(0.0, 5.0, HOUR, HOUR + 5)
    other = Record()
    other.steps.restore(one.steps.state())
    for record in (one, other):
        record.taken.clear()
        record.say(10.0, 15.0, components="ZNE")
    assert one.taken == other.taken and one.turns == other.turns == [10.0]
    assert one.steps.state() == other.steps.state() != ClockStepsState()


def test_a_station_goes_on_after_its_clock_came_back(caplog: pytest.LogCaptureFixture) -> None:
    trace = {f"HH{c}": np.random.default_rng(k).normal(0, 20, 60_000).astype(np.int32) for k, c in enumerate("ZNE")}
    packets = packets_of(trace, 4.0)
    station = Station("XX.STA", StationConfig(), fake_models(), "triggered")
    with caplog.at_level(logging.WARNING):
        for k, p in enumerate(packets):
            ahead = 100 <= k < 160
            station.add(
                packet(p.samples, (p.starttime_ns - packets[0].starttime_ns) / 1e9 + 86400 * ahead, p.source_id.channel)
            )
            list(station.step())
    assert [r.message for r in caplog.records if "clock" in r.message] == [
        "XX.STA: the clock went back, from 2020-09-14T12:30:16.000000Z to 2020-09-13T12:30:12.000000Z; "
        "a new timeline begins"
    ]
    assert station.epoch == station.counters.new_timelines == 1
    assert station.counters.packets == len(packets)
    counters = [track.counters for track in station.tracks[0].tracks.values()]
    assert sum(c.late_samples for c in counters) == 0
    assert sum(c.samples for c in counters) == 3 * 60_000
    assert station.heard_ns > 590e9


@pytest.mark.parametrize("again", [[10.0], [0.0, 5.0, 10.0, 15.0, 20.0]])
def test_a_server_that_sends_the_same_old_records_for_ever_is_not_held_for_ever(again: list[float]) -> None:
    record = Record().say(*np.arange(0.0, 300.0, 5.0))
    most = 0
    for _ in range(500):
        record.say(*again)
        most = max(most, len(record.steps._held))
    assert record.steps.holding is False
    assert most <= 8 * (60 + 5) / 5 + 3
    assert record.turns == []
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

"""A long record is used once something agrees with it, and discarded when the true samples differ."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.fakes import burst, classic_config, fake_models, packet

from seisedge.runtime.config import TimelineConfig
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.held_apart import MAX_REPEATS, Held, HeldApart
from seisedge.runtime.station.station import Station

X = np.random.default_rng(3).integers(-1000, 1000, 200_000).astype(np.int32)


def _part(begin_s: float, end_s: float, component: str = "Z") -> Packet:
    """The true samples of a time."""
    return packet(X[round(begin_s * 100) : round(end_s * 100)], begin_s, f"HH{component}")


def _false(begin_s: float, end_s: float) -> Packet:
    return packet(np.zeros(round((end_s - begin_s) * 100), dtype=np.int32), begin_s, "HHZ")


class Record:
    """Keeps what is used, as (component, start, end) in seconds after T0."""

    def __init__(self) -> None:
        self.counters = StationCounters()
        self.apart = HeldApart(60.0, self.counters)
        self.used: list[tuple[str, float, float]] = []

    def say(self, *packets: Packet) -> Record:
        for number, one in enumerate(packets):
            self._keep(self.apart.admit(one.source_id.channel[-1], one, str(number)))
        return self

    def end(self) -> Record:
        self._keep(self.apart.release())
        return self

    def _keep(self, held: list[Held]) -> None:
        t0_ns = packet(X[:1]).starttime_ns
        for one in held:
            begin_s, end_s = ((ns - t0_ns) / 1e9 for ns in (one.packet.starttime_ns, one.packet.endtime_ns))
            self.used.append((one.component, begin_s, end_s))


def test_packets_up_to_the_wait_are_used_at_once() -> None:
    record = Record().say(_part(0, 60), _part(60, 120), _part(119, 180), _part(200, 260))
    assert [times[1:] for times in record.used] == [(0, 60), (60, 120), (119, 180), (200, 260)]
    assert not len(record.apart)


def test_false_samples_are_discarded_for_the_true_ones() -> None:
    record = Record().say(_part(0, 5), _part(0, 5, "N"), _false(5, 655), _part(5, 10, "N"))
    assert len(record.apart) == 1 and len(record.used) == 3
    record.say(_part(5, 10)).end()
    assert record.used[-1] == ("Z", 5, 10)
    assert record.counters.stray_packets == 1


def test_false_samples_that_begin_like_the_true_ones_are_discarded_later() -> None:
    false = _false(5, 655)
    false.samples[:1000] = X[500:1500]
    record = Record().say(_part(0, 5), false, _part(5, 10), _part(10, 15))
    assert len(record.apart) == 1
    record.say(_part(14, 20))
    assert not len(record.apart) and [times[1:] for times in record.used] == [(0, 5), (5, 10), (10, 15), (14, 20)]


@pytest.mark.parametrize(
    "agreeing",
    [
        _part(100, 105),  # follows it
        _part(99.996, 105),  # with a jitter
        _part(0, 100, "N"),  # just as long
        _part(0, 40, "N"),  # ends 60 s before it
        _part(60, 61, "N"),  # time has passed without other samples
    ],
)
def test_a_long_record_is_used_once_something_agrees(agreeing: Packet) -> None:
    record = Record().say(_part(0, 100))
    assert record.used == []
    record.say(agreeing)
    assert [times[0] for times in record.used] == ["Z", agreeing.source_id.channel[-1]]
    assert record.counters.stray_packets == 0


@pytest.mark.parametrize("other", [_part(0, 50, "N"), _part(59, 59.5, "N"), _part(20, 25)])
def test_it_waits_while_nothing_agrees_or_differs(other: Packet) -> None:
    record = Record().say(_part(0, 200), other)
    assert [times[0] for times in record.used] == [other.source_id.channel[-1]] and len(record.apart) == 1
    assert Record().say(_part(0, 200), other).end().counters.stray_packets == (other.source_id.channel == "HHZ")


def test_long_records_of_three_components_confirm_each_other() -> None:
    record = Record()
    for begin in (0, 480, 960):
        for component in "ZNE":
            record.say(_part(begin, begin + 480, component))
        assert not len(record.apart)
    assert [times[0] for times in record.used] == ["Z", "N", "E"] * 3


def test_the_number_of_packets_held_is_bounded() -> None:
    record = Record()
    for _ in range(100):
        record.say(_part(0, 100))
    assert len(record.apart) == MAX_REPEATS
    assert record.counters.stray_packets == 100 - MAX_REPEATS


def _station() -> Station:
    return Station("XX.STA", classic_config(timeline=TimelineConfig(components="Z")), fake_models(), "triggered")


def test_a_station_of_one_component_resumes_before_the_record_that_is_held() -> None:
    """Each record is held until the next one: a state can be stored all the same."""
    x = burst(1000, [150.0, 430.0, 710.0])
    records = [
        dataclasses.replace(packet(x[k : k + 10_000], k / 100), token=str(k // 10_000))
        for k in range(0, 100_000, 10_000)
    ]
    whole, lines = _station(), list[Event | Hop]()
    for number, one in enumerate(records):
        whole.add(one)
        lines += [draft.line for draft in whole.step()]
        assert whole.resume_token == (str(number - 1) if number else "")
        if number == 5:
            front, back, until = whole.front(), whole.back(), len(lines)
    lines += [draft.line for draft in whole.finish()]
    resumed, again = _station(), list[Event | Hop]()
    assert front is not None
    resumed.restore(front, back)
    for one in records[5:]:
        resumed.add(one)
        again += [draft.line for draft in resumed.step()]
    again += [draft.line for draft in resumed.finish()]
    assert resumed.counters.packets == whole.counters.packets == 10
    assert len(lines) - until > 1
    assert content_of(again[-1]) == content_of(lines[-1])

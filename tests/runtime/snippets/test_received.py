"""The newest records of a station, in bounded memory, whatever times they have."""

import msgspec
import numpy as np
import pytest
from tests.fakes import T0_NS, packet
from tests.paths import RECORDING
from tests.runtime.journal.runs import event

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import ArchiveConfig, SnippetsConfig, StationConfig
from seisedge.runtime.event import Event
from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.snippets import Recorder
from seisedge.runtime.snippets.packing import records_from_packets
from seisedge.runtime.snippets.received import MAX_CHANNELS, WAIT_S, Entry, Ring, entry_from_packet, records_of
from seisedge.runtime.sources import open_source


def _entry(start_s: float, length_s: float = 4.0, channel: str = "HHZ", size: int = 100) -> Entry:
    one = packet(np.zeros(round(100 * length_s), dtype=np.int32), start_s, channel)
    return entry_from_packet(one, f"{channel} {start_s}".encode().ljust(size))


def _at(seconds: float) -> int:
    return T0_NS + round(seconds * NS_PER_S)


def _starts(entries: list[Entry]) -> list[float]:
    return [(entry.start_ns - T0_NS) / NS_PER_S for entry in entries]


def test_keeps_the_newest_seconds_of_each_channel() -> None:
    ring = Ring(10.0)
    for k in range(10):
        ring.add(_entry(4.0 * k))
    ring.add(_entry(0.0, channel="VEP", length_s=3000.0))
    assert _starts(ring.within(_at(-1e6), _at(1e6))) == [28.0, 32.0, 36.0, 0.0]
    assert ring.bytes == 4 * _entry(0.0).size and (ring.first_ns, ring.gone_ns) == (_at(0), _at(28))


def test_a_wrong_time_removes_no_other_record() -> None:
    ring = Ring(20.0)
    for start_s in (0.0, 4.0, 1e9, 8.0, -1e9, 12.0):
        ring.add(_entry(start_s))
    assert _starts(ring.within(_at(0), _at(16))) == [4.0, 8.0, 12.0]


def test_within() -> None:
    ring = Ring(100.0)
    for k in range(5):
        ring.add(_entry(4.0 * k))
    assert _starts(ring.within(_at(4.0), _at(12.0))) == [4.0, 8.0]
    assert _starts(ring.within(_at(3.99), _at(12.01))) == [0.0, 4.0, 8.0, 12.0]


def test_reaches() -> None:
    ring = Ring(1000.0)
    assert not ring.reaches(_at(0))
    ring.add(_entry(0.0, channel="HHZ"))
    ring.add(_entry(0.0, channel="HHN"))
    ring.add(_entry(-100.0, channel="VEP", length_s=WAIT_S + 1))  # a state of health is not waited for
    assert ring.reaches(_at(4.0)) and not ring.reaches(_at(4.01))
    ring.add(_entry(4.0, channel="HHZ", length_s=40.0))
    assert not ring.reaches(_at(10.0))  # HHN is behind
    ring.add(_entry(44.0, channel="HHZ", length_s=26.0))
    assert ring.reaches(_at(10.0)) and not ring.reaches(_at(10.01))


def test_drops_the_oldest_and_tells_from_when_records_are_missing() -> None:
    ring = Ring(1000.0)
    for k in range(4):
        ring.add(_entry(4.0 * k))
    assert ring.drop_oldest() == _entry(0.0).size and ring.gone_ns == _at(4.0)
    assert _starts(ring.within(_at(-10), _at(100))) == [4.0, 8.0, 12.0]
    for _ in range(5):
        ring.drop_oldest()
    assert ring.bytes == 0 and ring.drop_oldest() == 0


def test_what_was_set_aside() -> None:
    ring, name = Ring(1000.0), _entry(0.0).source_id
    ring.note_lost(name, _at(10), _at(20))
    assert ring.lost(_at(0), _at(10)) == ring.lost(_at(20), _at(30)) == []
    assert ring.lost(_at(0), _at(12)) == [(name, _at(10), _at(12))]
    assert ring.lost(_at(19), _at(30)) == [(name, _at(19), _at(20))]


def test_channels_that_are_behind() -> None:
    """Not one that stopped long before, nor a state of health."""
    ring = Ring(1000.0)
    for start_s, channel in ((200.0, "HHZ"), (100.0, "HHN"), (0.0, "HHE")):
        ring.add(_entry(start_s, channel=channel))
    ring.add(_entry(0.0, channel="VEP", length_s=WAIT_S + 1))
    found = {source_id.channel: end_ns for source_id, end_ns in ring.behind(_at(110), _at(150))}
    assert found == {"HHN": _at(110)}
    assert {source_id.channel: end_ns for source_id, end_ns in ring.behind(_at(20), _at(150))} == {
        "HHN": _at(104), "HHE": _at(20),
    }  # fmt: skip


def test_when_the_records_of_a_run_begin() -> None:
    """A record with a wrong time, or one of a state of health, does not move it forward or back."""
    ring = Ring(1000.0)
    ring.add(_entry(0.0, channel="VEP", length_s=WAIT_S + 1))
    assert ring.first_ns is None
    for start_s in (1e6, 40.0, 44.0):
        ring.add(_entry(start_s))
    assert ring.first_ns == _at(40)


def test_whose_record_was_set_aside() -> None:
    """That of the channel in its header; a record whose header cannot be used is nobody's."""
    given = Recorder({"XX.STA": StationConfig(snippets=SnippetsConfig(folder="/nowhere/s"))})
    source = open_source([RECORDING])
    others: list[BadRecord] = []
    source.on_bad_record = others.append
    given.watch(source)
    (record,) = records_from_packets([packet(np.zeros(400, dtype=np.int32), 60.0)])
    for bad in (b"?" * 512, record):
        source.set_aside(BadRecord(bad, "damaged"), "here")
    assert given._rings["XX.STA"].lost(0, _at(1e6)) == [(_entry(0.0).source_id, _at(60), _at(63.99) + 1)]
    assert [one.record for one in others] == [b"?" * 512, record] and given.failures == 0


def test_channels_are_bounded() -> None:
    ring = Ring(1000.0)
    added = [ring.add(_entry(0.0, channel=f"X{k}")) for k in range(MAX_CHANNELS + 10)]
    assert added.count(True) == MAX_CHANNELS and ring.bytes == MAX_CHANNELS * _entry(0.0).size


def test_each_record_once_in_order() -> None:
    entries = [_entry(8.0), _entry(0.0), _entry(8.0), _entry(4.0, channel="HHN")]
    assert [record.decode().strip() for record in records_of(entries)] == ["HHZ 0.0", "HHN 4.0", "HHZ 8.0"]


ONSET_S = 39.8  # of `event`, after T0; its window begins 5 s before and ends 30 s after


@pytest.mark.parametrize("archive", [True, False])
def test_how_far_back_a_later_run_reads(archive: bool) -> None:
    """Before the oldest needed sample, the records of events that wait, and those not archived; 15 minutes at most."""
    table = ArchiveConfig(folder="/nowhere/sds") if archive else None
    config = StationConfig(snippets=SnippetsConfig(folder="/nowhere/s", before_s=20.0), archive=table)
    given = Recorder({"XX.STA": config, "XX.OTHER": StationConfig()})
    assert given.held_from("XX.OTHER", _at(100)) == _at(100)
    assert given.held_from("XX.STA", _at(100)) == _at(80)
    if archive:
        given.take(packet(np.zeros(100, dtype=np.int32), 60.0), b"x")
        assert given.held_from("XX.STA", _at(100)) == _at(60)
    final = _final()
    given.note(final)
    assert given.held_from("XX.STA", _at(100)) == _at(ONSET_S - 20.0)
    assert given.held_from("XX.STA", _at(5000)) == _at(4100)
    given.release(final)
    assert given.held_from("XX.STA", _at(100)) == _at(60 if archive else 80)


@pytest.mark.parametrize("resumed", [True, False])
def test_a_channel_that_has_not_sent_anything_yet_is_waited_for(resumed: bool) -> None:
    """In a run that resumed within the span of an event; in another one all channels have sent something before."""
    given = Recorder({"XX.STA": StationConfig(snippets=SnippetsConfig(folder="/nowhere/s", before_s=20.0))}, ["XX.STA"])

    def take(start_s: float, channel: str, length_s: float = 4.0) -> None:
        given.take(packet(np.zeros(round(100 * length_s), dtype=np.int32), start_s, channel), channel.encode())

    begin_s = 60.0 if resumed else 16.0
    take(begin_s, "HHN", 75.0 - begin_s)
    take(begin_s, "HHE", 76.0 - begin_s)
    given.note(_final())
    (capture,) = given._captures.values()
    assert capture.complete.is_set() != resumed  # its window and 5 s more have arrived
    take(72.0, "HHZ")
    assert len(capture.entries) == (3 if resumed else 2)
    for k in range(11):  # up to 60 s after the first record
        for channel in ("HHN", "HHE", "HHZ"):
            take(76.0 + 4.0 * k, channel)
        assert not resumed or capture.complete.is_set() == (k == 10)


def _final() -> Event:
    return msgspec.structs.replace(event(2), status="final", id="XX.STA-20200913T122719.800")

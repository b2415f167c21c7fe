"""Copies of a recording that are sent as if they were recorded now."""

import struct

import numpy as np
import pytest
from pymseed import MS3Record

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.miniseed import BadRecord, Decoder
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay._recording import Recording, _shifted

START_NS = 1_830_297_540 * NS_PER_S  # 2027-12-31T23:59:00Z: the copies cross a year


def packets_of(recording: Recording, k: int) -> list[tuple[int, Packet]]:
    station, decoder = recording.stations[k], Decoder()
    found = [(entry.release_ns, decoder.packet(station.record(entry), 0)) for entry in station.entries]
    assert not any(isinstance(packet, BadRecord) for _, packet in found)
    return found  # type: ignore[return-value]


def test_copies_begin_at_different_places_and_are_due_when_they_end() -> None:
    recording = Recording([RECORDING], 512)
    whole = recording.stations[0].entries
    recording.play_live(START_NS, 100.0, 6, together=False)
    assert [station.code for station in recording.stations] == [f"C000{k}" for k in range(1, 7)]
    firsts = []
    for k in (0, 2, 4):
        packets = packets_of(recording, k)
        shift_ns = recording.stations[k].shift_s * NS_PER_S
        firsts.append(shift_ns)
        assert all(due_ns == packet.endtime_ns for due_ns, packet in packets)
        assert [due_ns for due_ns, _ in packets] == sorted(due_ns for due_ns, _ in packets)
        assert all(packet.source_id.station == recording.stations[k].code for _, packet in packets)
        assert START_NS <= min(packet.starttime_ns for _, packet in packets) < START_NS + 10 * NS_PER_S
        assert START_NS + 90 * NS_PER_S < packets[-1][0] <= START_NS + 101 * NS_PER_S
        originals = {(e.source_id.channel, e.starttime_ns + shift_ns): e.record for e in whole}
        for _, packet in packets[::20]:
            original = Decoder().packet(originals[packet.source_id.channel, packet.starttime_ns], 0)
            assert isinstance(original, Packet) and np.array_equal(original.samples, packet.samples)
    assert len(set(firsts)) == 3


def test_copies_that_send_the_same_at_the_same_time() -> None:
    recording = Recording([RECORDING], 512)
    recording.play_live(START_NS, 50.0, 4, together=True)
    first, second = (packets_of(recording, k) for k in (0, 2))
    assert [due_ns for due_ns, _ in first] == [due_ns for due_ns, _ in second]


def test_recording_shorter_than_the_duration_is_refused() -> None:
    with pytest.raises(InputError, match="give longer data or a shorter --duration"):
        Recording([RECORDING], 512).play_live(START_NS, 1e6, 1, together=True)


@pytest.mark.parametrize("version", [2, 3])
def test_shift_changes_the_start_time_only(version: int) -> None:
    template = MS3Record(reclen=512)
    template.formatversion, template.sourceid, template.samprate = version, "FDSN:XX_A__H_H_Z", 100.0
    template.starttime = START_NS + 123_456_000
    record = next(iter(template.generate(data_samples=np.arange(40, dtype=np.int32), sample_type="i")))
    records = [record]
    if version == 2:  # the same header, with the other byte order
        parts = struct.unpack_from(">HHBBBBHHhhBBBBiHH", record, 20)
        records.append(record[:20] + struct.pack("<HHBBBBHHhhBBBBiHH", *parts) + record[48:])
    for each in records[:1]:
        parsed = MS3Record.parse(_shifted(each, 86_400 * 400), unpack_data=True)
        assert parsed.starttime == template.starttime + 86_400 * 400 * NS_PER_S
        assert parsed.np_datasamples.tolist() == list(range(40))
    for each in records[1:]:
        year, day, hour, minute, second = struct.unpack_from("<HHBBB", _shifted(each, 61), 20)
        assert (year, day, hour, minute, second) == (2028, 1, 0, 0, 1)

"""The recording of the virtual digitizer: records per station, in the order in which they were completed."""

from __future__ import annotations

import bisect
import heapq
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from pymseed import MS3Record

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.miniseed import MAX_RECORD_BYTES, MIN_RECORD_BYTES, BadRecord, Decoder
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.replay._repack import repack
from seisedge.runtime.sources.miniseed import MiniSeedSource

logger = logging.getLogger(__name__)

MAX_COPIES = 20_000  # of each station, limited by station codes of five characters

MAX_STATION_CHARACTERS = 5
MAX_YEAR = 2100  # of a header; a larger one has the other byte order
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: channel, start time, release time, bytes."""

    source_id: SourceId
    starttime_ns: int
    release_ns: int  # time of the last sample, when the record is complete and can be sent
    record: bytes
    interval_ns: int = 0  # between samples; 0 where no record states it

    @property
    def end_ns(self) -> int:
        """Time of the sample after the last one."""
        return self.release_ns + self.interval_ns


@dataclass(frozen=True, slots=True)
class Station:
    """A station as clients see it; a clone shares the entries of the station that it copies."""

    network: str
    code: str
    entries: list[Entry]  # in order of release
    is_clone: bool = False
    shift_s: int = 0  # from the times in the bytes of the entries to the times at which they are sent

    @property
    def id(self) -> str:
        return f"{self.network}.{self.code}"

    def record(self, entry: Entry) -> bytes:
        """The bytes of `entry` under this station's code, at this station's times."""
        record = _shifted(entry.record, self.shift_s) if self.shift_s else entry.record
        return _renamed(record, self.code) if self.is_clone else record

    def n_released(self, data_ns: int) -> int:
        """Number of entries that are complete at `data_ns`."""
        return bisect.bisect_right(self.entries, data_ns, key=lambda entry: entry.release_ns)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry in the sequence of all stations; its index there is its number."""

    station: Station
    entry: Entry


class Recording:
    """Recorded miniSEED, entirely in memory, in records of `record_bytes`.

    If all records of a channel have that length they are kept unchanged; else they are packed again with the same
    samples at the same times. copies: how many times each station is served, each copy under its own station code.
    change_records: applied to the records of each station; they are sent in the order that it returns.
    Raises InputError and DataError as MiniSeedSource, and InputError for an invalid `record_bytes` or `copies`.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        record_bytes: int,
        copies: int = 1,
        change_records: Callable[[list[Entry]], list[Entry]] | None = None,
    ) -> None:
        if not MIN_RECORD_BYTES <= record_bytes <= MAX_RECORD_BYTES or record_bytes & (record_bytes - 1):
            raise InputError(
                f"--record-length {record_bytes}: must be a power of two from {MIN_RECORD_BYTES} to {MAX_RECORD_BYTES}"
            )
        if not 1 <= copies <= MAX_COPIES:
            raise InputError(f"--stations {copies}: must be from 1 to {MAX_COPIES}")
        entries = sorted(_entries(paths, record_bytes), key=lambda entry: (entry.release_ns, entry.source_id))
        by_station: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            key = (entry.source_id.network, entry.source_id.station)
            by_station.setdefault(key, []).append(entry)
        self.starttime_ns = min(entry.starttime_ns for entry in entries)
        self.endtime_ns = entries[-1].release_ns
        if change_records is not None:
            by_station = {key: _non_decreasing(change_records(entries)) for key, entries in by_station.items()}
        self.stations = [Station(*key, by_station[key]) for key in sorted(by_station)]
        self.n_records = sum(map(len, by_station.values())) * copies
        taken = {station.code for station in self.stations}
        codes = _free_codes(taken)
        for station in list(self.stations):
            for _ in range(copies - 1):
                clone = replace(station, code=next(codes), is_clone=True)
                self.stations.append(clone)

    def play_live(self, start_ns: int, seconds: float, stations: int, *, together: bool) -> None:
        """Replace the stations by copies that send `seconds` of the recording from `start_ns`, whole seconds of UTC.

        Each copy begins elsewhere in the recording, or with `together` all at its beginning. A record is sent when the
        sample after its last one is due. Raises InputError if the recording is too short.
        """
        length_ns, room_s = round(seconds * NS_PER_S), self.room_s(seconds)
        first_ns = -(-self.starttime_ns // NS_PER_S) * NS_PER_S
        originals, codes = self.stations, _free_codes(set())
        self.stations = []
        for k in range(stations):
            original = originals[k % len(originals)]
            part_ns = first_ns + (0 if together else room_s * k // stations) * NS_PER_S
            shift_ns = start_ns - part_ns
            begin = bisect.bisect_left(original.entries, part_ns, key=lambda entry: entry.release_ns)
            end = bisect.bisect_right(original.entries, part_ns + length_ns, key=lambda entry: entry.release_ns)
            entries = [
                replace(entry, starttime_ns=entry.starttime_ns + shift_ns, release_ns=entry.end_ns + shift_ns)
                for entry in original.entries[begin:end]
                if entry.starttime_ns >= part_ns
            ]
            entries.sort(key=lambda entry: (entry.release_ns, entry.source_id))
            self.stations.append(Station(original.network, next(codes), entries, True, shift_ns // NS_PER_S))
        self.starttime_ns, self.endtime_ns = start_ns, start_ns + length_ns
        self.n_records = sum(len(station.entries) for station in self.stations)
        for name in ("streams", "in_sequence"):
            self.__dict__.pop(name, None)

    def room_s(self, seconds: float) -> int:
        """Whole seconds of data beyond `seconds`. Raises InputError if the recording is shorter."""
        length_s = (self.endtime_ns - self.starttime_ns) / NS_PER_S
        if length_s < seconds:
            raise InputError(
                f"the data are {length_s:.0f} s long, and {seconds:g} s are to be sent; give longer data or a shorter "
                "--duration"
            )
        return (self.endtime_ns - self.starttime_ns - round(seconds * NS_PER_S)) // NS_PER_S

    @cached_property
    def streams(self) -> list[Numbered]:
        """The first entry of each channel of each station, in each version of miniSEED."""
        found: dict[tuple[str, SourceId, bytes], Numbered] = {}
        for station in self.stations:
            for entry in station.entries:
                found.setdefault((station.id, entry.source_id, entry.record[:3]), Numbered(station, entry))
        return list(found.values())

    @cached_property
    def in_sequence(self) -> list[Numbered]:
        """The entries of all stations in order of release, for protocols with one sequence of numbers."""
        streams = [
            [(entry.release_ns, str(entry.source_id), number, entry) for entry in station.entries]
            for number, station in enumerate(self.stations)
        ]
        return [Numbered(self.stations[number], entry) for _, _, number, entry in heapq.merge(*streams, key=_place)]


def _non_decreasing(entries: list[Entry]) -> list[Entry]:
    """The same order, with release times that never decrease, so that no entry is sent before its predecessor."""
    found: list[Entry] = []
    for entry in entries:
        if found and entry.release_ns < found[-1].release_ns:
            entry = replace(entry, release_ns=found[-1].release_ns)
        found.append(entry)
    return found


def _place(row: tuple[int, str, int, Entry]) -> tuple[int, str, int]:
    return row[:3]


def _entries(paths: Sequence[str | Path], record_bytes: int) -> Iterator[Entry]:
    decoder = Decoder()
    by_channel: dict[SourceId, list[bytes]] = {}
    with MiniSeedSource(paths) as source:
        for record, _packet in source.records():
            header = decoder.header(record)
            if not isinstance(header, BadRecord):
                by_channel.setdefault(header.source_id, []).append(record)
    for records in by_channel.values():
        unchanged = all(len(record) == record_bytes for record in records)
        for record in records if unchanged else repack(iter(records), record_bytes):
            header = decoder.header(record)
            assert not isinstance(header, BadRecord)  # decoded before, or packed here
            interval_ns = round(NS_PER_S / header.sampling_rate_hz) if header.sampling_rate_hz else 0
            yield Entry(header.source_id, header.starttime_ns, header.last_sample_ns, record, interval_ns)


def _free_codes(taken: set[str]) -> Iterator[str]:
    """Station codes C0001, C0002 … in base 36 that are not in use."""
    for number in range(1, 36 ** (MAX_STATION_CHARACTERS - 1)):
        code, rest = "", number
        for _ in range(MAX_STATION_CHARACTERS - 1):
            rest, digit = divmod(rest, 36)
            code = _DIGITS[digit] + code
        if f"C{code}" not in taken:
            yield f"C{code}"


def _shifted(record: bytes, seconds: int) -> bytes:
    """The record with a start time that is later by whole seconds."""
    if record[:3] != b"MS\x03":
        little = struct.unpack_from(">H", record, 20)[0] > MAX_YEAR  # as libmseed finds the byte order
        form = "<HHBBB" if little else ">HHBBB"
        year, day, hour, minute, second = struct.unpack_from(form, record, 20)
        began = datetime(year, 1, 1, hour, minute, min(second, 59), tzinfo=UTC)
        began += timedelta(days=day - 1, seconds=seconds + max(second - 59, 0))
        now = began.timetuple()
        head = struct.pack(form, now.tm_year, now.tm_yday, now.tm_hour, now.tm_min, now.tm_sec)
        return record[:20] + head + record[20 + len(head) :]
    parsed = MS3Record.parse(record, unpack_data=True)
    parsed.starttime += seconds * NS_PER_S
    parsed.reclen = MAX_RECORD_BYTES
    return b"".join(parsed.generate())


def _renamed(record: bytes, code: str) -> bytes:
    if record[:3] != b"MS\x03":
        return record[:8] + code.ljust(MAX_STATION_CHARACTERS).encode("ascii") + record[13:]
    parsed = MS3Record.parse(record, unpack_data=True)  # its checksum covers the whole record, so it is packed again
    network, _, *rest = parsed.sourceid.removeprefix("FDSN:").split("_")
    parsed.sourceid = "FDSN:" + "_".join([network, code, *rest])
    parsed.reclen = MAX_RECORD_BYTES
    return b"".join(parsed.generate())

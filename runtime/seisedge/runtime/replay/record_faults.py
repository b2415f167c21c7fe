"""Faults of records: applied to a station's records before they are sent or written to a file."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay._fault import Fault, chosen, key, register_fault
from seisedge.runtime.replay._recording import Entry

_ENCODINGS = {"i": ("i", "INT32"), "f": ("f", "FLOAT32"), "d": ("d", "FLOAT64")}  # by dtype of the samples


def _extra(entries: list[Entry], every: int, seed: int, made: Callable[[Entry], bytes]) -> list[Entry]:
    """Insert a further entry, with bytes from `made`, after about one entry in `every`."""
    found: list[Entry] = []
    for entry, changed in zip(entries, chosen(len(entries), every, seed), strict=True):
        found.append(entry)
        if changed:
            found.append(replace(entry, record=made(entry)))
    return found


def _packed(
    packet: Packet, starttime_ns: int, rate_hz: float, samples: npt.NDArray[Any], *, length: int = 4096
) -> list[bytes]:
    """miniSEED 2 records with these samples, of the channel of `packet`; of integers in Steim 2 if longer than 4096."""
    from pymseed import DataEncoding, MS3Record

    kind, encoding = _ENCODINGS[packet.samples.dtype.char]
    if length > 4096 and kind == "i":
        encoding = "STEIM2"
    record = MS3Record(reclen=length, encoding=DataEncoding[encoding])
    source_id = packet.source_id
    record.formatversion = 2
    record.sourceid = f"FDSN:{source_id.network}_{source_id.station}_{source_id.location}_{'_'.join(source_id.channel)}"
    record.starttime, record.samprate = starttime_ns, rate_hz
    return list(record.generate(data_samples=samples.astype(packet.samples.dtype), sample_type=kind))


def _decoded(entry: Entry) -> Packet | None:
    """The packet of an entry; None if another fault made it unreadable."""
    packet = Decoder().packet(entry.record, 0)
    return packet if isinstance(packet, Packet) else None


def _version_2(record: bytes, fault: str) -> bytes:
    if record[:3] == b"MS\x03":
        raise InputError(f"fault '{fault}' needs miniSEED 2 records; these are miniSEED 3")
    return record


@register_fault("clock")
@dataclass
class Clock(Fault):
    """Shift the times of the records in the LENGTH s from AT s by BY s."""

    on: ClassVar[str] = "miniseed"
    by: float = key(2.0)
    at: float = key(60.0, 0)
    length: float = key(30.0, 0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        begin_ns = min((entry.starttime_ns for entry in entries), default=0) + ns_from_s(self.at)
        found: list[Entry] = []
        for entry in entries:
            packet = _decoded(entry) if begin_ns <= entry.starttime_ns < begin_ns + ns_from_s(self.length) else None
            if packet is not None:
                start_ns = packet.starttime_ns + ns_from_s(self.by)
                for record in _packed(packet, start_ns, packet.sampling_rate_hz, packet.samples):
                    found.append(replace(entry, starttime_ns=start_ns, record=record))
            else:
                found.append(entry)
        return found


@register_fault("dead")
@dataclass
class Dead(Fault):
    """Send no record of CHANNEL from AT s onwards."""

    channel: str = key("EHZ")
    at: float = key(60.0, 0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        limit_ns = min((entry.starttime_ns for entry in entries), default=0) + ns_from_s(self.at)
        return [e for e in entries if e.source_id.channel != self.channel or e.starttime_ns < limit_ns]


@register_fault("duplicate")
@dataclass
class Duplicate(Fault):
    """Send about one record in EVERY twice."""

    every: int = key(10, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        return _extra(entries, self.every, self.seed, lambda entry: entry.record)


@register_fault("empty")
@dataclass
class Empty(Fault):
    """Send no record at all."""

    def records(self, entries: list[Entry]) -> list[Entry]:
        return []


@register_fault("forged-length")
@dataclass
class ForgedLength(Fault):
    """After about one record in EVERY, send a copy that states a length of 65,536 bytes."""

    on: ClassVar[str] = "miniseed"
    every: int = key(30, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        return _extra(entries, self.every, self.seed, lambda entry: _with_length(entry.record))


def _with_length(record: bytes) -> bytes:
    offset = struct.unpack_from(">H", _version_2(record, "forged-length"), 46)[0]
    while offset and offset + 8 <= len(record):
        kind, following = struct.unpack_from(">HH", record, offset)
        if kind == 1000:
            return record[: offset + 6] + b"\x10" + record[offset + 7 :]
        offset = following
    raise InputError("fault 'forged-length' needs records that state their length; these do not")


@register_fault("gap")
@dataclass
class Gap(Fault):
    """Omit all records with samples in the LENGTH s from AT s."""

    at: float = key(60.0, 0)
    length: float = key(10.0, 0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        begin_ns = min((entry.starttime_ns for entry in entries), default=0) + ns_from_s(self.at)
        end_ns = begin_ns + ns_from_s(self.length)
        return [e for e in entries if e.release_ns < begin_ns or e.starttime_ns >= end_ns]


@register_fault("jitter")
@dataclass
class Jitter(Fault):
    """Shift the time of each record by up to BY s to either side, as clocks of small computers do."""

    on: ClassVar[str] = "miniseed"
    by: float = key(0.003, 0)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        rng = random.Random(self.seed)
        found: list[Entry] = []
        for entry in entries:
            packet = _decoded(entry)
            if packet is None:
                found.append(entry)
                continue
            start_ns = packet.starttime_ns + ns_from_s(rng.uniform(-self.by, self.by))
            for record in _packed(packet, start_ns, packet.sampling_rate_hz, packet.samples):
                found.append(replace(entry, starttime_ns=start_ns, record=record))
        return found


@register_fault("late")
@dataclass
class Late(Fault):
    """Send the records of CHANNEL BY s late."""

    channel: str = key("EHZ")
    by: float = key(20.0, 0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        by_ns = ns_from_s(self.by)
        moved = [
            replace(e, release_ns=e.release_ns + by_ns) if e.source_id.channel == self.channel else e for e in entries
        ]
        return sorted(moved, key=lambda entry: entry.release_ns)


@register_fault("long-record")
@dataclass
class LongRecord(Fault):
    """Before the first record of CHANNEL after AT s, send one of 65,536 bytes with about SAMPLES false samples."""

    on: ClassVar[str] = "miniseed"
    channel: str = key("EHZ")
    at: float = key(60.0, 0)
    samples: int = key(65_000, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        limit_ns = min((entry.starttime_ns for entry in entries), default=0) + ns_from_s(self.at)
        rng = np.random.default_rng(self.seed)
        for k, entry in enumerate(entries):
            if entry.source_id.channel == self.channel and entry.starttime_ns >= limit_ns:
                packet = _decoded(entry)
                if packet is not None:
                    false = rng.integers(-3, 4, self.samples)
                    made = _packed(packet, packet.starttime_ns, packet.sampling_rate_hz, false, length=65_536)
                    return [*entries[:k], replace(entry, record=made[0]), *entries[k:]]
        return list(entries)


@register_fault("overlap")
@dataclass
class Overlap(Fault):
    """Send the second half of about one record in EVERY again, with DIFFER added to its samples."""

    on: ClassVar[str] = "miniseed"
    every: int = key(10, 1)
    differ: int = key(0)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        found: list[Entry] = []
        for entry, changed in zip(entries, chosen(len(entries), self.every, self.seed), strict=True):
            found.append(entry)
            packet = _decoded(entry) if changed else None
            if packet is not None:
                k = len(packet.samples) // 2
                start_ns = packet.starttime_ns + round(k * NS_PER_S / packet.sampling_rate_hz)
                for record in _packed(packet, start_ns, packet.sampling_rate_hz, packet.samples[k:] + self.differ):
                    found.append(replace(entry, starttime_ns=start_ns, record=record))
        return found


@register_fault("poison")
@dataclass
class Poison(Fault):
    """After about one record in EVERY, send one of random bytes."""

    every: int = key(30, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        rng = random.Random(self.seed)
        return _extra(entries, self.every, self.seed, lambda entry: rng.randbytes(len(entry.record)))


@register_fault("rate-0")
@dataclass
class Rate0(Fault):
    """After about one record in EVERY, send a copy with a sampling rate of 0."""

    on: ClassVar[str] = "miniseed"
    every: int = key(30, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        return _extra(entries, self.every, self.seed, lambda e: _without_rate(e.record))


def _without_rate(record: bytes) -> bytes:
    return _version_2(record, "rate-0")[:32] + bytes(4) + record[36:]


@register_fault("rate-change")
@dataclass
class RateChange(Fault):
    """From AT s onwards send only every second sample, at half the sampling rate."""

    on: ClassVar[str] = "miniseed"
    at: float = key(90.0, 0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        limit_ns = min((entry.starttime_ns for entry in entries), default=0) + ns_from_s(self.at)
        found: list[Entry] = []
        for entry in entries:
            packet = _decoded(entry) if entry.starttime_ns >= limit_ns else None
            if packet is None:
                found.append(entry)
                continue
            n_before = round((packet.starttime_ns - limit_ns) * packet.sampling_rate_hz / NS_PER_S)
            first = n_before % 2  # the same samples whatever the records' lengths
            start_ns = packet.starttime_ns + round(first * NS_PER_S / packet.sampling_rate_hz)
            for record in _packed(packet, start_ns, packet.sampling_rate_hz / 2, packet.samples[first::2]):
                found.append(replace(entry, starttime_ns=start_ns, record=record))
        return found


@register_fault("rate-wobble")
@dataclass
class RateWobble(Fault):
    """In all but the first record of each channel, state a sampling rate that is off by up to BY times itself."""

    on: ClassVar[str] = "miniseed"
    by: float = key(1e-6, 0)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        rng = random.Random(self.seed)
        seen: set[str] = set()
        found: list[Entry] = []
        for entry in entries:
            packet = _decoded(entry)
            name = str(entry.source_id)
            if packet is None or name not in seen:
                found.append(entry)
                seen.add(name)
                continue
            rate_hz = packet.sampling_rate_hz * (1 + rng.uniform(-self.by, self.by))
            found += [replace(entry, record=r) for r in _packed(packet, packet.starttime_ns, rate_hz, packet.samples)]
        return found


@register_fault("reorder")
@dataclass
class Reorder(Fault):
    """Send about one record in EVERY after the next one of its channel."""

    every: int = key(10, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        found = list(entries)
        for k, changed in enumerate(chosen(len(entries), self.every, self.seed)):
            if not changed:
                continue
            channel = found[k].source_id
            other = next((j for j in range(k + 1, len(found)) if found[j].source_id == channel), None)
            if other is not None:
                found.insert(other, found.pop(k))
        return found


@register_fault("swapped-start")
@dataclass
class SwappedStart(Fault):
    """Send the first record of each channel after the second one."""

    def records(self, entries: list[Entry]) -> list[Entry]:
        found = list(entries)
        for channel in {entry.source_id for entry in entries}:
            own = [k for k, entry in enumerate(found) if entry.source_id == channel]
            if len(own) > 1:
                found.insert(own[1], found.pop(own[0]))
        return found


@register_fault("truncated")
@dataclass
class Truncated(Fault):
    """After about one record in EVERY, send the first half of a copy."""

    every: int = key(30, 1)
    seed: int = key(0)

    def records(self, entries: list[Entry]) -> list[Entry]:
        return _extra(entries, self.every, self.seed, lambda entry: entry.record[: len(entry.record) // 2])

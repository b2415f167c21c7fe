"""Packets that a station takes at once leave the same state and give the same lines as one by one."""

from __future__ import annotations

import dataclasses
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.fakes import burst, classic_config, fake_models, packets_of

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import StationConfig, TimelineConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import content_of
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.sources.batch import Batch, read_batch
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.station.station import Station

LENGTH_S = 260.0
TRACES = {f"HH{c}": burst(LENGTH_S, [60.0, 190.0], seed=i) for i, c in enumerate("ZNE")}


def _moved(packet: Packet, seconds: float) -> Packet:
    return dataclasses.replace(packet, starttime_ns=packet.starttime_ns + round(seconds * NS_PER_S))


def _gone(rest: list[Packet], seconds: float) -> list[Packet]:
    """Without the packets of one component for so long."""
    one, end_ns = rest[0].source_id, rest[0].starttime_ns + round(seconds * NS_PER_S)
    return [p for p in rest if p.source_id != one or p.starttime_ns > end_ns]


def _flagged(packet: Packet, rng: random.Random) -> Packet:
    return dataclasses.replace(packet, flags=rng.choice([RecordFlag.CLIPPED, RecordFlag.CALIBRATION]))


def _cut(packet: Packet, n0: int, n1: int) -> Packet:
    """The samples [n0, n1) of a packet, at their times."""
    start_ns = packet.starttime_ns + round(n0 * NS_PER_S / packet.sampling_rate_hz)
    return dataclasses.replace(packet, starttime_ns=start_ns, samples=packet.samples[n0:n1])


def _with_gaps(rest: list[Packet], rng: random.Random, share: float = 0.4, off_s: float = 0.0) -> list[Packet]:
    """Without single packets and parts of them; what follows a gap begins `off_s` late."""
    found: list[Packet] = []
    off: dict[str, float] = {}
    for packet in rest:
        n, channel = len(packet.samples), str(packet.source_id)
        damage = rng.random() / share
        if damage < 0.25:
            off[channel] = off_s
            continue
        if damage < 1.0:
            lost = min(rng.choice([1, 2, 3, 4, 30, 60, 200, 390]), n - 1)
            at = rng.randrange(n - lost + 1)
            found += [_moved(_cut(packet, 0, at), off.get(channel, 0.0))] if at else []
            off[channel] = off_s
            packet = _cut(packet, at + lost, n)
        if len(packet.samples):
            found.append(_moved(packet, off.get(channel, 0.0)))
    return found


def _with_nan(rest: list[Packet], rng: random.Random) -> list[Packet]:
    """Real numbers, with runs that are missing or invalid, some of them at the border of a packet."""
    found = []
    for packet in rest:
        samples = packet.samples.astype(rng.choice([np.float32, np.float64]))
        for _ in range(rng.randrange(3)):
            n0 = rng.randrange(-3, len(samples))
            samples[max(n0, 0) : n0 + rng.choice([1, 5, 40, 300])] = rng.choice([np.nan, np.inf, 1e20])
        found.append(dataclasses.replace(packet, samples=samples) if rng.random() < 0.9 else packet)
    return found


def _slower(rest: list[Packet]) -> list[Packet]:
    one = rest[0].source_id
    return [dataclasses.replace(p, sampling_rate_hz=50.0) if p.source_id == one else p for p in rest]


# by name: what is changed from a random place on, with a source of random numbers
DAMAGES: dict[str, Callable[[list[Packet], random.Random], list[Packet]]] = {
    "nothing": lambda rest, _: rest,
    "gap": lambda rest, rng: rest[rng.randrange(1, 6) :],
    "gaps": _with_gaps,
    "few gaps": lambda rest, rng: _with_gaps(rest, rng, share=0.05),
    "gaps of time": lambda rest, rng: _with_gaps(rest, rng, off_s=rng.choice([0.0005, 0.004, 0.0101, 0.033])),
    "gaps and jitter": lambda rest, rng: _with_gaps([_moved(p, rng.choice([0.0, 0.0011])) for p in rest], rng, 0.1),
    "gaps and late packets": lambda rest, rng: _with_gaps([*rest[1:6], rest[0], *rest[6:]], rng, 0.1),
    "missing values": _with_nan,
    "missing values and gaps": lambda rest, rng: _with_gaps(_with_nan(rest, rng), rng),
    "long gap": lambda rest, _: [_moved(p, 500.0) for p in rest],
    "a component gone for long": lambda rest, _: _gone(rest, 95.0),
    "a component gone for ever": lambda rest, _: _gone(rest, LENGTH_S),
    "flags": lambda rest, rng: [*(_flagged(p, rng) for p in rest[:4]), *rest[4:]],
    "other rate": lambda rest, _: _slower(rest),
    "drift": lambda rest, _: [_moved(p, 2e-4 * k) for k, p in enumerate(rest)],
    "jitter": lambda rest, rng: [_moved(p, rng.choice([0.0, 0.001, 0.0011, 0.004, 0.02])) for p in rest],
    "repetition": lambda rest, _: [rest[0], rest[0], rest[1], rest[0], *rest[1:]],
    "late packet": lambda rest, _: [*rest[1:6], rest[0], *rest[6:]],
    "clock ahead": lambda rest, _: [*rest[:2], _moved(rest[2], 4000.0), *rest[3:]],
    "clock behind": lambda rest, _: [_moved(p, -5000.0) for p in rest],
    "real numbers": lambda rest, _: [dataclasses.replace(p, samples=p.samples.astype(np.float32)) for p in rest],
}


def damaged(damage: str, rng: random.Random) -> list[Packet]:
    """The packets of a station with one kind of irregularity, which begins at a random place."""
    whole = packets_of(TRACES, rng.choice([0.7, 2.0, 4.0, 11.0]))
    first = rng.randrange(len(whole) // 5, len(whole) // 2)
    return whole[:first] + DAMAGES[damage](whole[first:], rng)


def _one_by_one(station: Station, packets: list[Packet]) -> bool:
    for packet in packets:
        station.add(packet)
    return False


def _at_once(station: Station, packets: list[Packet]) -> bool:
    if station.join(packets) is not None:
        return True
    return _one_by_one(station, packets)


def states(
    batches: list[list[Packet]], config: StationConfig, take: Callable[[Station, list[Packet]], bool]
) -> Iterator[tuple[bytes, bytes, list[bytes], bool]]:
    """Front, back and lines of a station after each batch, and whether it was taken at once."""
    station = Station("XX.STA", config, fake_models(), "triggered")
    for number, batch in enumerate(batches):
        taken = take(station, batch)
        lines = [content_of(draft.line) for draft in station.step()] if number % 3 == 2 else []
        yield msgspec.json.encode(station.front()), msgspec.json.encode(station.back()), lines, taken
    lines = [content_of(draft.line) for draft in station.finish()]
    yield msgspec.json.encode(station.front()), msgspec.json.encode(station.back()), lines, False


def batches_of(packets: list[Packet], rng: random.Random) -> list[list[Packet]]:
    """Packets in batches of random size, up to 50 s of three components in packets of 2 s."""
    batches, k = [], 0
    while k < len(packets):
        size = rng.choice([1, 2, 9, 30, 75])
        batches.append(packets[k : k + size])
        k += size
    return batches


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("max_wait_s", [60.0, 8.0])
def test_packets_taken_at_once_are_as_one_by_one(damage: str, max_wait_s: float) -> None:
    joins = found = 0
    for seed in range(3):
        rng = random.Random(f"{seed} {damage}")
        reorder_wait_s = rng.choice([0.0, 0.5, 2.0, 2.0, 5.0])
        config = classic_config(timeline=TimelineConfig(max_wait_s=max_wait_s, reorder_wait_s=reorder_wait_s))
        batches = batches_of(damaged(damage, rng), rng)
        pairs = zip(states(batches, config, _one_by_one), states(batches, config, _at_once), strict=True)
        for (front, back, lines, _), (front_2, back_2, lines_2, taken) in pairs:
            assert (front_2, back_2, lines_2) == (front, back, lines)
            joins += taken
            found += len(lines)
    assert joins > 1, "no batch was taken at once"
    assert found


def _shifted(record: bytes, tenths_ms: int) -> bytes:
    """The record with another start within the same second."""
    (fraction,) = struct.unpack_from(">H", record, 28)
    return record[:28] + struct.pack(">H", min(max(fraction + tenths_ms, 0), 9999)) + record[30:]


RECORDS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "nothing": lambda records: records,
    "gaps": lambda records: [record for k, record in enumerate(records) if k % 41],
    "jitter": lambda records: [_shifted(record, (k * 7) % 5 - 2) for k, record in enumerate(records)],
    "half a sample": lambda records: [*records[:200], *(_shifted(record, 45) for record in records[200:])],
    "repetition": lambda records: [*records[:300], *records[250:]],
}


@pytest.mark.parametrize("change", RECORDS)
def test_records_of_a_batch_taken_at_once_are_as_one_by_one(change: str, tmp_path: Path) -> None:
    recorded = RECORDING.read_bytes()
    of_station = [recorded[k : k + 512] for k in range(0, len(recorded), 512) if recorded[k + 8 : k + 12] == b"B918"]
    path = tmp_path / "records.mseed"
    path.write_bytes(b"".join(RECORDS[change](of_station[:600])))
    stations = [Station("PB.B918", classic_config(), fake_models(), "triggered") for _ in range(2)]
    joins = lines = 0
    with MiniSeedSource([path]) as source:
        (batch,) = source.batches()
    assert isinstance(batch, Batch)
    for first in range(0, len(batch), 25):
        part = range(first, min(first + 25, len(batch)))
        taken = stations[1].join_batch(batch, part) is not None
        joins += taken
        for k in part:
            stations[0].add(batch.packet(k))
            if not taken:
                stations[1].add(batch.packet(k))
        one, other = ([content_of(draft.line) for draft in station.step()] for station in stations)
        assert one == other
        assert msgspec.json.encode(stations[0].front()) == msgspec.json.encode(stations[1].front())
        assert msgspec.json.encode(stations[0].back()) == msgspec.json.encode(stations[1].back())
        lines += len(one)
    assert joins > 1 and lines


def _moved_by(records: list[bytes], channel: bytes, seconds: int) -> list[bytes]:
    """With the records of one channel at their times, and `seconds` later than the others in the order."""
    moved = [(k + seconds * 3 // 4 * (record[15:18] == channel), record) for k, record in enumerate(records)]
    return [record for _, record in sorted(moved, key=lambda pair: pair[0])]


def _without(records: list[bytes], channel: bytes, first: int, last: int) -> list[bytes]:
    """Without the records of a channel from number `first` up to `last`."""
    return [record for k, record in enumerate(records) if record[15:18] != channel or not first <= k < last]


# by name: the records in order of arrival, and whether all of them can be taken at once
ORDERS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], bool]] = {
    "in turn": (lambda records: records, True),
    "channel by channel": (lambda records: sorted(records, key=lambda record: record[15:18]), False),
    "a channel 40 s behind": (lambda records: _moved_by(records, b"EH1", 40), False),
    "a channel 100 s behind": (lambda records: _moved_by(records, b"EHZ", 100), False),
    "a channel that ends": (lambda records: _without(records, b"EH2", 90, 540), False),
    "a channel that begins": (lambda records: _without(records, b"EH2", 0, 91), False),
    "a channel that stops": (lambda records: _without(records, b"EH2", 200, 260), False),
    "a channel that resumes": (lambda records: _without(records, b"EHZ", 30, 85), False),
    "a gap": (lambda records: [*records[:90], *records[100:]], False),
    "gaps": (lambda records: [r for k, r in enumerate(records) if k % 41], False),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("max_wait_s", [60.0, 20.0])
def test_long_parts_of_a_batch_are_as_one_by_one(order: str, max_wait_s: float) -> None:
    recorded = RECORDING.read_bytes()
    of_station = [recorded[k : k + 512] for k in range(0, len(recorded), 512) if recorded[k + 8 : k + 12] == b"B918"]
    change, at_once = ORDERS[order]
    records = change(of_station[:540])
    data, n = b"".join(records), len(records)
    file, offset, length = np.zeros(n, np.int64), np.arange(n) * 512, np.full(n, 512)
    batch = read_batch(lambda _, begin, size: data[begin : begin + size], file, offset, length, Decoder())
    assert batch is not None
    config = classic_config(timeline=TimelineConfig(max_wait_s=max_wait_s))
    stations = [Station("PB.B918", config, fake_models(), "triggered") for _ in range(2)]
    joins = lines = 0
    for first, last in ((0, 60), (60, 240), (240, 241), (241, n)):
        part = range(first, last)
        taken = stations[1].join_batch(batch, part) is not None
        joins += taken and len(part) > 60
        for k in part:
            stations[0].add(batch.packet(k))
            if not taken:
                stations[1].add(batch.packet(k))
        one, other = ([content_of(draft.line) for draft in station.step()] for station in stations)
        assert one == other
        assert msgspec.json.encode(stations[0].front()) == msgspec.json.encode(stations[1].front())
        assert msgspec.json.encode(stations[0].back()) == msgspec.json.encode(stations[1].back())
        lines += len(one)
    assert lines and (joins == 2) == at_once

"""Mutated miniSEED and protocol bytes: no error, no hang, no memory growth, and later intact records are found.

FUZZ_RECORDS and FUZZ_STREAMS set the size of the long run of `record_fuzz`; `make fuzz` decodes ten million records.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pymseed import DataEncoding, MS3Record
from tests.paths import RECORDING
from tests.runtime.records import record_fuzz
from tests.runtime.records.record_fuzz import resident_bytes

from seisedge.runtime.records.miniseed import BadRecord, Decoder, RecordHeader, Scanner
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay.shake import datagram
from seisedge.runtime.sources._datalink_wire import Message, MessageCutter, message
from seisedge.runtime.sources._seedlink_wire import FrameCutter
from seisedge.runtime.sources._seedlink_wire4 import HEADER, FrameCutter4
from seisedge.runtime.sources.shake_udp import datagram_from_bytes

DATA = RECORDING.read_bytes()
SHORT, LONG = 20_000, 1_000_000
BATCH = 40
GROWTH_BYTES = 20 << 20
LONGEST_S = 2.0  # one batch of 40 records


def _made(version: int, encoding: DataEncoding, sample_type: str, n: int) -> bytes:
    record = MS3Record(reclen=4096, encoding=encoding)
    record.formatversion, record.sourceid, record.samprate = version, "FDSN:XX_ABC_00_H_H_Z", 100.0
    record.starttime = 1_600_000_000_000_000_000
    samples = (1000 * np.sin(np.arange(n) / 9)).astype({"i": np.int32, "f": np.float32, "d": np.float64}[sample_type])
    return next(iter(record.generate(data_samples=samples, sample_type=sample_type)))


SEEDS = [DATA[k : k + 512] for k in range(0, 512 * 30, 512)] + [
    _made(version, encoding, kind, n)
    for version in (2, 3)
    for encoding, kind, n in (
        (DataEncoding.STEIM1, "i", 300),
        (DataEncoding.STEIM2, "i", 300),
        (DataEncoding.INT32, "i", 100),
        (DataEncoding.FLOAT32, "f", 100),
        (DataEncoding.FLOAT64, "d", 50),
    )
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change bytes, flip bits, or remove, repeat or insert a piece at random; or change nothing."""
    out = bytearray(data)
    kind = rng.randrange(7)
    place = rng.randrange(len(out)) if rng.random() < 0.5 else rng.randrange(min(64, len(out)))
    if kind == 0:
        for _ in range(rng.randrange(1, 9)):
            out[rng.randrange(len(out))] = rng.randrange(256)
    elif kind == 1:
        out[place] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del out[place : place + rng.randrange(1, 200)]
    elif kind == 3:
        out[place:place] = out[place : place + rng.randrange(1, 200)]
    elif kind == 4:
        out[place:place] = rng.randbytes(rng.randrange(1, 100))
    elif kind == 5:
        out[place : place + 4] = rng.choice(
            [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"END\n", b"SL00", b"MS\x03\0"]
        )
    return bytes(out)


def _watched(count: int, one_batch: Callable[[random.Random], None]) -> None:
    """Process `count` records in batches; no batch may take long, and memory must not grow."""
    rng = random.Random(count)
    warm_bytes = 0
    for done in range(0, count, BATCH):
        began = time.thread_time()
        one_batch(rng)
        assert time.thread_time() - began < LONGEST_S
        if done <= count // 5 < done + BATCH:
            warm_bytes = resident_bytes()
    assert resident_bytes() - warm_bytes < GROWTH_BYTES


LENGTHS = [SHORT, pytest.param(LONG, marks=pytest.mark.long)]


@pytest.mark.parametrize("count", LENGTHS)
def test_records(count: int) -> None:
    decoder = Decoder()
    good = 0

    def batch(rng: random.Random) -> None:
        nonlocal good
        for _ in range(BATCH):
            data = mutated(rng.choice(SEEDS), rng)
            assert isinstance(decoder.header(data), RecordHeader | BadRecord)
            packet = decoder.packet(data, 0)
            assert isinstance(packet, Packet | BadRecord)
            if isinstance(packet, Packet):
                good += 1
                assert len(packet.samples) and packet.endtime_ns > packet.starttime_ns

    _watched(count, batch)
    assert count / 10 < good < count


@pytest.mark.parametrize("count", LENGTHS)
def test_a_stream_of_records(count: int) -> None:
    decoder = Decoder()
    tail = SEEDS[:3]

    def batch(rng: random.Random) -> None:
        scanner = Scanner()
        data = b"".join(mutated(rng.choice(SEEDS), rng) for _ in range(BATCH - 3)) + b"".join(tail)
        found = []
        step = rng.choice([100, 1000, 70_000])
        for k in range(0, len(data), step):
            found += [record for _, record in scanner.feed(data[k : k + step])]
        found += [record for _, record in scanner.finish()]
        assert all(isinstance(decoder.packet(record, 0), Packet | BadRecord) for record in found)
        assert found[-2:] == tail[1:]  # the first intact record may be taken for a part of the damaged data

    _watched(count, batch)


def _seedlink_3(sequence: int, record: bytes) -> bytes:
    return b"SL%06X" % sequence + record


def _seedlink_4(sequence: int, record: bytes) -> bytes:
    return HEADER.pack(b"SE", b"2", b"D", len(record), sequence, 7) + b"PB_B918" + record


def _datalink(sequence: int, record: bytes) -> bytes:
    return message(f"PACKET FDSN:PB_B918__E_H_Z/MSEED {sequence} 1 2 3 {len(record)}", record)


def _cut(cutter: Any, pieces: Iterator[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for piece in pieces:
        cutter.feed(piece)
        while (frame := cutter.next()) is not None:
            found.append(frame.payload if isinstance(frame, Message) else frame.record)
    return found


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize(
    ("packet", "cutter"),
    [(_seedlink_3, FrameCutter), (_seedlink_4, FrameCutter4), (_datalink, MessageCutter)],
    ids=["seedlink 3", "seedlink 4", "datalink"],
)
def test_a_stream_of_packets(packet: Callable[[int, bytes], bytes], cutter: Callable[[], Any], count: int) -> None:
    def batch(rng: random.Random) -> None:
        data = b"".join(mutated(packet(k, rng.choice(SEEDS)), rng) for k in range(BATCH - 3))
        data += b"".join(packet(1000 + k, record) for k, record in enumerate(SEEDS[:3]))
        data += packet(2000, SEEDS[0]) * 9  # a frame with a wrong length is detected by the frames that follow
        step = rng.choice([100, 1000, 70_000])
        found = _cut(cutter(), (data[k : k + step] for k in range(0, len(data), step)))
        assert found[-3:] == [SEEDS[0]] * 3

    _watched(count, batch)


@pytest.mark.parametrize("count", LENGTHS)
def test_shake_datagrams(count: int) -> None:
    plain = datagram("EHZ", 1_600_000_000_000_000_000, np.arange(25, dtype=np.int32))

    def batch(rng: random.Random) -> None:
        for _ in range(BATCH):
            found = datagram_from_bytes(mutated(plain, rng))
            assert isinstance(found, str) or len(found.samples) > 0

    _watched(count, batch)


@pytest.mark.parametrize(
    "count", [100_000, pytest.param(int(os.environ.get("FUZZ_RECORDS", "3_000_000")), marks=pytest.mark.long)]
)
def test_mutations_of_valid_records(count: int) -> None:
    """Both versions, all encodings, odd rates, extra headers, lying counts: each field of a header, and the samples."""
    found = record_fuzz.decode(count, seed=count)
    assert found["int32"] > count / 10 and found["float32"] > count / 100 and found["float64"] > count / 100
    assert found["set aside"] > count / 5
    assert found.total() == count


@pytest.mark.parametrize(
    "count", [16, pytest.param(int(os.environ.get("FUZZ_STREAMS", "200")), marks=pytest.mark.long)]
)
def test_streams_of_mutated_records_through_a_station(count: int) -> None:
    """With the bundled models, jitter, gaps and late starts: no exception, and the same lines live and from a file."""
    found = record_fuzz.streams_in_own_process(count, 1000 * count)
    assert found["mutated"] > count and found["lines"] > 5 * count and found["inferences"] > 5 * count

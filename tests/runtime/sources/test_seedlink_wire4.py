"""Packets of SeedLink 4 cut out of a stream of bytes."""

from __future__ import annotations

import json
import random

import pytest
from tests.paths import RECORDING

from seisedge.runtime.sources._seedlink_position import UNSET_4
from seisedge.runtime.sources._seedlink_wire import Frame
from seisedge.runtime.sources._seedlink_wire4 import HEADER, FrameCutter4

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 40, 512)]
LENGTH = 62  # byte of the record's length exponent


def packet(sequence: int, payload: bytes, station: bytes = b"PB_B918", kind: bytes = b"2", length: int = -1) -> bytes:
    stated = len(payload) if length < 0 else length
    return HEADER.pack(b"SE", kind, b"D", stated, sequence, len(station)) + station + payload


def cut(data: bytes, chunk: int = 1 << 20) -> tuple[FrameCutter4, list[Frame]]:
    cutter, frames = FrameCutter4(), []
    for k in range(0, len(data), chunk):
        cutter.feed(data[k : k + chunk])
        while (frame := cutter.next()) is not None:
            frames.append(frame)
    return cutter, frames


@pytest.mark.parametrize("chunk", [1, 7, 535, 536, 537, 1 << 16])
def test_any_chunk_size_gives_the_same_packets(chunk: int) -> None:
    sequences = [(1 << 40) + 3 * k for k in range(40)]
    data = b"".join(map(packet, sequences, RECORDS)) + b"END"
    cutter, frames = cut(data, chunk)
    assert [frame.record for frame in frames[:-1]] == RECORDS
    assert [frame.sequence for frame in frames[:-1]] == sequences
    assert {frame.station for frame in frames[:-1]} == {"PB.B918"}
    assert frames[-1].kind == "end"
    assert cutter.skipped_bytes == 0


def test_info_among_data() -> None:
    text = json.dumps({"station": []}).encode()
    data = packet(1, RECORDS[0]) + packet(UNSET_4, text, b"", b"J") + packet(2, RECORDS[3])
    _, frames = cut(data)
    assert [frame.kind for frame in frames] == ["data", "info", "data"]
    assert frames[1].record == text


def test_an_error_has_its_reason() -> None:
    (frame,) = cut(b"ERROR LIMIT too many stations\r\n", 5)[1]
    assert (frame.kind, frame.reason) == ("error", "the server replied: LIMIT too many stations")


@pytest.mark.parametrize(
    "poison",
    [
        packet(2, b"\xff" * 512),
        packet(2, b""),
        packet(2, b"SE2D" * 128),
        packet(2, RECORDS[9][:LENGTH] + b"\x10" + RECORDS[9][LENGTH + 1 :]),  # states a length of 65,536 bytes
        packet(2, RECORDS[9][:200]),
        packet(2, RECORDS[9], length=2000),
        packet(2, RECORDS[9], length=131_000),
        packet(2, RECORDS[9], length=100),
        packet(2, RECORDS[9])[:300],
        packet(2, RECORDS[9]) + b"\xee" * 30,
        packet(2, RECORDS[9], length=(1 << 32) - 1),
        packet(2, RECORDS[9], b"Z" * 40),
        packet(UNSET_4, RECORDS[9]),
    ],
)
@pytest.mark.parametrize("chunk", [100, 536, 1 << 16])
def test_the_next_packet_after_a_damaged_one_is_read(poison: bytes, chunk: int) -> None:
    data = packet(1, RECORDS[0]) + poison + packet(3, RECORDS[2]) + packet(4, RECORDS[3]) + b"END"
    _, frames = cut(data, chunk)
    assert [f.record for f in frames if f.kind == "data" and f.sequence != 2] == [RECORDS[0], RECORDS[2], RECORDS[3]]
    assert frames[-1].kind == "end"


def test_a_damaged_packet_has_its_sequence_number_and_station() -> None:
    _, frames = cut(packet(1, RECORDS[0]) + packet(1 << 33, b"\xff" * 512) + packet(3, RECORDS[2]))
    assert [(f.kind, f.sequence, f.station) for f in frames] == [
        ("data", 1, "PB.B918"),
        ("bad", 1 << 33, "PB.B918"),
        ("data", 3, "PB.B918"),
    ]
    assert frames[1].reason == "its header cannot be read"


def test_garbage_between_packets_is_skipped_and_counted() -> None:
    cutter, frames = cut(packet(1, RECORDS[0]) + b"\r\nnoise\r\n" * 9 + packet(2, RECORDS[1]))
    assert [frame.sequence for frame in frames] == [1, 2]
    assert cutter.skipped_bytes == 81


@pytest.mark.parametrize("word", [b"END", b"END\r\n", b"ERROR\r\n", b"ERROR LIMIT no\r\n"])
def test_an_end_followed_by_packets_is_damage(word: bytes) -> None:
    cutter, frames = cut(packet(1, RECORDS[0]) + word + packet(2, RECORDS[1]) + packet(3, RECORDS[2]) + b"END\r\n")
    assert [frame.kind for frame in frames] == ["data", "data", "data", "end"]
    assert cutter.skipped_bytes == len(word)


def test_random_bytes_neither_raise_nor_stall() -> None:
    rng = random.Random(1)
    for _ in range(300):
        data = bytearray(b"".join(packet(k, record) for k, record in enumerate(RECORDS[:12])))
        for _ in range(rng.randrange(1, 12)):
            data[rng.randrange(len(data) // 2)] = rng.randrange(256)
        _, frames = cut(bytes(data) + b"END", rng.choice([64, 333, 4096]))
        assert frames[-1].kind == "end"
        assert [f.sequence for f in frames[-4:-1]] == [9, 10, 11]

"""Packets cut out of a stream of bytes."""

from __future__ import annotations

import random

import pytest
from tests.paths import RECORDING

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.sources._seedlink_wire import Frame, FrameCutter, time_from_ns

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 40, 512)]
LENGTH = 62  # byte of the record's length exponent


def packet(sequence: int, record: bytes) -> bytes:
    return b"SL%06X" % sequence + record


def cut(data: bytes, chunk: int = 1 << 20) -> tuple[FrameCutter, list[Frame]]:
    cutter, frames = FrameCutter(), []
    for k in range(0, len(data), chunk):
        cutter.feed(data[k : k + chunk])
        while (frame := cutter.next()) is not None:
            frames.append(frame)
    return cutter, frames


@pytest.mark.parametrize("chunk", [1, 7, 519, 520, 521, 1 << 16])
def test_any_chunk_size_gives_the_same_packets(chunk: int) -> None:
    sequences = [(0xFFFFF0 + k) % (1 << 24) for k in range(40)]
    data = b"".join(map(packet, sequences, RECORDS)) + b"END"
    cutter, frames = cut(data, chunk)
    assert [frame.record for frame in frames[:-1]] == RECORDS
    assert [frame.sequence for frame in frames[:-1]] == sequences
    assert frames[-1].kind == "end"
    assert cutter.skipped_bytes == 0


def test_info_among_data() -> None:
    data = packet(1, RECORDS[0]) + b"SLINFO *" + RECORDS[1] + b"SLINFO  " + RECORDS[2] + packet(2, RECORDS[3])
    _, frames = cut(data)
    assert [(frame.kind, frame.last) for frame in frames] == [
        ("data", True),
        ("info", False),
        ("info", True),
        ("data", True),
    ]


def test_error() -> None:
    assert [frame.kind for frame in cut(b"ERROR\r\n")[1]] == ["error"]


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff" * 512,
        bytes(512),
        b"SL00" * 128,
        b"END" * 170 + b"EN",
        RECORDS[9][:LENGTH] + b"\x10" + RECORDS[9][LENGTH + 1 :],  # states a length of 65,536 bytes
        RECORDS[9][:LENGTH] + b"\x63" + RECORDS[9][LENGTH + 1 :],
        RECORDS[9][:200],
        RECORDS[9] + b"\xee" * 30,
    ],
)
@pytest.mark.parametrize("chunk", [100, 520, 1 << 16])
def test_the_next_packet_after_a_damaged_one_is_read(poison: bytes, chunk: int) -> None:
    data = packet(1, RECORDS[0]) + packet(2, poison) + packet(3, RECORDS[2]) + packet(4, RECORDS[3]) + b"END"
    _, frames = cut(data, chunk)
    assert [f.record for f in frames if f.kind == "data" and f.sequence != 2] == [
        RECORDS[0],
        RECORDS[2],
        RECORDS[3],
    ]
    assert frames[-1].kind == "end"


def test_a_damaged_packet_has_its_sequence_number() -> None:
    _, frames = cut(packet(1, RECORDS[0]) + packet(0xABCDEF, b"\xff" * 512) + packet(3, RECORDS[2]))
    assert [(frame.kind, frame.sequence) for frame in frames] == [("data", 1), ("bad", 0xABCDEF), ("data", 3)]
    assert frames[1].record == b"\xff" * 512
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


def test_time() -> None:
    assert time_from_ns(ns_from_iso("2019-07-07T08:16:00.9")) == "2019,07,07,08,16,00"

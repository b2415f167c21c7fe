"""DataLink messages cut out of a stream of bytes, and patterns that select streams."""

from __future__ import annotations

import random
import re

import pytest
from tests.paths import RECORDING

from seisedge.runtime.sources._datalink_wire import Message, MessageCutter, PacketHead, message, pattern_of

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 40, 512)]


def packet(number: int, record: bytes, length: int | None = None) -> bytes:
    stated = len(record) if length is None else length
    return message(f"PACKET FDSN:PB_B918__E_H_Z/MSEED {number} 1000 2000 3000 {stated}", record)


def cut(data: bytes, chunk: int = 1 << 20) -> tuple[MessageCutter, list[Message]]:
    cutter, found = MessageCutter(), []
    for k in range(0, len(data), chunk):
        cutter.feed(data[k : k + chunk])
        while (one := cutter.next()) is not None:
            found.append(one)
    return cutter, found


def numbers(found: list[Message]) -> list[int]:
    heads = [PacketHead.from_words(one.words) for one in found if one.whole]
    return [head.number for head in heads if head is not None]


@pytest.mark.parametrize("chunk", [1, 7, 560, 1 << 16])
def test_any_chunk_size_gives_the_same_packets(chunk: int) -> None:
    data = message("ID DataLink x :: DLPROTO:1.0") + message("OK 5 4", b"done")
    data += b"".join(packet(k, record) for k, record in enumerate(RECORDS)) + message("ENDSTREAM")
    cutter, found = cut(data, chunk)
    assert [one.words[0] for one in found] == ["ID", "OK", *["PACKET"] * 40, "ENDSTREAM"]
    assert found[1].text == "done"
    assert [one.payload for one in found[2:-1]] == RECORDS
    assert cutter.skipped_bytes == 0


@pytest.mark.parametrize(
    "poison",
    [
        packet(2, b"\xff" * 512),
        packet(2, b"DL" * 256),
        packet(2, RECORDS[9], length=2000),
        packet(2, RECORDS[9], length=100),
        packet(2, RECORDS[9])[:300],
        packet(2, RECORDS[9])[:20],
        packet(2, RECORDS[9]) + b"\xee" * 30,
        b"DL\x05PACKE",
        b"DL\xffPACKET " + b"9" * 40,
        message("PACKET FDSN:PB_B918__E_H_Z/MSEED 2 1 1 1 99999999"),
        message("PACKET FDSN:PB_B918__E_H_Z/MSEED 2"),
    ],
)
@pytest.mark.parametrize("chunk", [100, 560, 1 << 16])
def test_the_next_packet_after_a_damaged_one_is_read(poison: bytes, chunk: int) -> None:
    data = packet(1, RECORDS[0]) + poison + packet(3, RECORDS[2]) + packet(4, RECORDS[3]) + packet(5, RECORDS[4])
    _, found = cut(data, chunk)
    assert [n for n in numbers(found) if n != 2] == [1, 3, 4, 5]


def test_a_truncated_packet_is_marked() -> None:
    _, found = cut(packet(1, RECORDS[0]) + packet(2, RECORDS[1])[:300] + packet(3, RECORDS[2]))
    assert [one.whole for one in found] == [True, False, True]
    head = PacketHead.from_words(found[1].words)
    assert head is not None and (head.number, head.station_id) == (2, "PB.B918")


def test_random_bytes_neither_raise_nor_stall() -> None:
    rng = random.Random(1)
    for _ in range(300):
        data = bytearray(b"".join(packet(k, record) for k, record in enumerate(RECORDS[:12])))
        for _ in range(rng.randrange(1, 12)):
            data[rng.randrange(len(data) // 2)] = rng.randrange(256)
        _, found = cut(bytes(data), rng.choice([64, 333, 4096]))
        assert numbers(found)[-3:] == [9, 10, 11]


@pytest.mark.parametrize(
    ("stations", "selectors", "taken"),
    [
        ((), (), "abcd"),
        ((("PB", "B918"),), (), "abd"),
        ((("PB", "B9*"),), ("EHZ",), "acd"),
        ((("P?", "*"),), ("EH?",), "abcd"),
        ((("PB", "B918"),), ("--EH1",), "b"),
        ((("PB", "B918"),), ("00EHZ",), ""),
        ((), ("*_E_H_Z",), "acd"),
        ((), ("_E_H_1",), "b"),
        ((), ("*",), "abcd"),
        ((("PB", "B91"),), (), ""),
    ],
)
def test_patterns(stations: tuple[tuple[str, str], ...], selectors: tuple[str, ...], taken: str) -> None:
    names = {
        "a": "FDSN:PB_B918__E_H_Z/MSEED",
        "b": "FDSN:PB_B918__E_H_1/MSEED3",
        "c": "FDSN:PB_B921__E_H_Z/MSEED",
        "d": "PB_B918__EHZ/MSEED",  # the form of older servers
        "x": "PB_B918__EHZ/JSON",
    }
    pattern = re.compile(pattern_of(stations, selectors))
    assert "".join(key for key, name in names.items() if pattern.search(name)) == taken

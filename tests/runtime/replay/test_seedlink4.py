"""The virtual digitizer as a SeedLink 4 server, with raw sockets and with seedlink-client."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.paths import RECORDING

from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._select import Selector, is_selected
from seisedge.runtime.sources._seedlink_wire4 import HEADER

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 300, 512)]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / "cut.mseed"
    path.write_bytes(b"".join(RECORDS))
    return path


class Wire:
    """A client that sends single commands."""

    def __init__(self, digitizer: Digitizer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", digitizer.port), timeout=5)
        self.file = self.socket.makefile("rb")

    def ask(self, command: str) -> str:
        self.socket.sendall(command.encode() + b"\r\n")
        return self.file.readline().decode().strip()

    def packet(self) -> tuple[str, int, str, bytes] | None:
        """Format and subformat, sequence, station, payload; None at END."""
        head = self.file.read(3)
        if head == b"END":
            assert self.file.read(1) == b""
            return None
        _, kind, sub, length, sequence, n_station = HEADER.unpack(head + self.file.read(HEADER.size - 3))
        return (kind + sub).decode(), sequence, self.file.read(n_station).decode(), self.file.read(length)

    def info(self, level: str) -> tuple[str, dict[str, Any]]:
        self.socket.sendall(f"INFO {level}\r\n".encode())
        packet = self.packet()
        assert packet is not None
        return packet[0], json.loads(packet[3])


@pytest.fixture
def wire(cut: Path) -> Iterator[Wire]:
    with Digitizer(cut, speed=0, first_sequence=0xFFFFF0) as digitizer:
        typing = Wire(digitizer)
        typing.socket.sendall(b"HELLO\r\n")
        assert typing.file.readline().endswith(b" :: SLPROTO:4.0 SLPROTO:3.1\r\n")
        assert typing.file.readline() == b"seisedge virtual digitizer\r\n"
        assert typing.ask("SLPROTO 4.0") == "OK"
        yield typing
        typing.file.close()
        typing.socket.close()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("USERAGENT somebody/1", "OK"),
        ("STATION PB_B918", "OK"),
        ("STATION PB_B9*", "OK"),
        ("STATION *", "OK"),
        ("STATION XX_NONE", "ERROR ARGUMENTS unknown station"),
        ("STATION B918 PB", "ERROR ARGUMENTS invalid station"),
        ("SELECT *_E_H_Z", "OK"),
        ("SELECT *_E_H_Z !*_E_H_1 00_*_*_*.2D:native", "OK"),
        ("SELECT EHZ", "ERROR ARGUMENTS invalid channel pattern"),
        ("SELECT *:3", "ERROR ARGUMENTS invalid channel pattern"),
        ("SELECT", "ERROR ARGUMENTS invalid channel pattern"),
        ("DATA", "ERROR UNEXPECTED send STATION first"),
        ("DATA XYZ", "ERROR ARGUMENTS invalid sequence number or time"),
        ("FETCH 000001", "ERROR UNSUPPORTED FETCH is not supported"),
        ("SLPROTO 5.0", "ERROR UNSUPPORTED SeedLink 3.1 and 4.0 are supported"),
    ],
)
def test_answers(command: str, answer: str, wire: Wire) -> None:
    assert wire.ask(command) == answer
    assert wire.ask("STATION PB_B918") == "OK"  # the connection continues


def test_records_are_unchanged_and_numbers_do_not_wrap(wire: Wire) -> None:
    assert wire.ask("STATION PB_B9*") == wire.ask("DATA ALL") == "OK"
    wire.socket.sendall(b"ENDFETCH\r\n")
    packets = list(iter(wire.packet, None))
    assert [payload for *_, payload in packets] == RECORDS
    assert {kind for kind, *_ in packets} == {"2D"}
    for station in ("PB_B918", "PB_B921"):
        numbers = [sequence for _, sequence, name, _ in packets if name == station]
        assert numbers == list(range(0xFFFFF0, 0xFFFFF0 + len(numbers)))


def test_a_position_and_a_time_window(wire: Wire) -> None:
    assert wire.ask("STATION PB_B918") == wire.ask("DATA 16777220") == "OK"
    assert wire.ask("STATION PB_B921") == wire.ask("DATA ALL 2019-07-07T08:17:00Z 2019-07-07T08:17:30.5Z") == "OK"
    wire.socket.sendall(b"ENDFETCH\r\n")
    packets = list(iter(wire.packet, None))
    assert min(sequence for _, sequence, name, _ in packets if name == "PB_B918") == 16777220
    assert 15 < sum(name == "PB_B921" for _, _, name, _ in packets) < 40


def test_info(wire: Wire) -> None:
    assert wire.info("ID")[1]["organization"] == "seisedge virtual digitizer"
    kind, answer = wire.info("STREAMS")
    assert kind == "JI"
    stations = answer["station"]
    assert [s["id"] for s in stations] == ["PB_B918", "PB_B921"]
    assert stations[0]["start_seq"] == 0xFFFFF0
    assert stations[0]["end_seq"] == 0xFFFFF0 + sum(r[8:12] == b"B918" for r in RECORDS) - 1
    assert [s["id"] for s in stations[0]["stream"]] == ["_E_H_1", "_E_H_2", "_E_H_Z"]
    kind, answer = wire.info("GAPS")
    assert kind == "JE" and answer["error"]["code"] == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("pattern", "ehz", "hhe"),
    [
        ("*", True, True),
        ("*_E_H_Z", True, False),
        ("_E_H_Z", True, False),
        ("00_E_H_Z", False, False),
        ("00_*_*_*", False, True),
        ("0?_H_?_E.?D", False, True),
        ("*_E_H_Z.2L", False, False),
        ("!*_E_H_Z", False, True),
    ],
)
def test_patterns(pattern: str, ehz: bool, hhe: bool) -> None:
    selector = Selector.from_text_4(pattern)
    assert selector is not None
    found = [is_selected(SourceId("PB", "B918", *codes), [selector]) for codes in (("", "EHZ"), ("00", "HHE"))]
    assert found == [ehz, hhe]


def test_with_seedlink_client(cut: Path) -> None:
    seedlink_client = pytest.importorskip("seedlink_client", reason="the oracle: pip install seedlink-client")
    with (
        Digitizer(cut, speed=0) as digitizer,
        seedlink_client.SeedLink("127.0.0.1", digitizer.port, dialup=True, protocol="4") as client,
    ):
        assert "PB_B918" in client.info("STREAMS")
        client.add_stream("PB_B918", "*_E_H_Z", all_data=True)
        client.add_stream("PB_B921", seqnum=0x1F)
        packets = list(client.collect(reconnect=False))
    wanted = [r for r in RECORDS if r[8:18] == b"B918   EHZ"]
    assert [bytes(p.payload) for p in packets if p.station_id == "PB_B918"] == wanted
    assert [p.seqnum for p in packets if p.station_id == "PB_B921"][:2] == [0x20, 0x21]

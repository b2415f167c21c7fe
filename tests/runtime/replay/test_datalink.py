"""The virtual digitizer as a DataLink server, with datalink-client and with raw sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.paths import RECORDING

from seisedge.runtime.replay import Digitizer
from seisedge.runtime.sources._datalink_wire import Message, MessageCutter, message

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 300, 512)]


@pytest.fixture
def digitizer(tmp_path: Path) -> Iterator[Digitizer]:
    path = tmp_path / "cut.mseed"
    path.write_bytes(b"".join(RECORDS))
    with Digitizer(path, speed=0) as served:
        yield served


class Wire:
    def __init__(self, digitizer: Digitizer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", digitizer.port), timeout=5)
        self._cutter = MessageCutter()

    def read(self) -> Message:
        while (found := self._cutter.next()) is None:
            data = self.socket.recv(65_536)
            assert data
            self._cutter.feed(data)
        return found

    def ask(self, header: str, payload: bytes = b"") -> Message:
        self.socket.sendall(message(header, payload))
        return self.read()


@pytest.fixture
def wire(digitizer: Digitizer) -> Iterator[Wire]:
    typing = Wire(digitizer)
    yield typing
    typing.socket.close()


@pytest.mark.parametrize(
    ("header", "payload", "answer", "text"),
    [
        ("POSITION SET 5", b"", ["OK", "5"], "Positioned to packet ID 5"),
        ("POSITION SET EARLIEST", b"", ["OK", "1"], "Positioned to EARLIEST packet"),
        ("POSITION SET 5 17", b"", ["ERROR", "0"], "Packet not found"),
        ("POSITION SET 301", b"", ["ERROR", "0"], "Packet not found"),
        ("POSITION AFTER 9999999999999999", b"", ["ERROR", "0"], "Packet not found"),
        ("POSITION AFTER soon", b"", ["ERROR", "0"], "POSITION needs SET"),
        ("POSITION", b"", ["ERROR", "0"], "POSITION needs SET"),
        ("MATCH 4", b"E_H_", ["OK", "6"], "6 streams selected"),
        ("MATCH 2", b"((", ["ERROR", "0"], "this regular expression cannot be used: the pattern ends too early"),
        ("READ 5", b"", ["ERROR", "0"], "READ is not supported"),
        ("INFO GAPS", b"", ["ERROR", "0"], "INFO GAPS is not supported"),
    ],
)
def test_answers(header: str, payload: bytes, answer: list[str], text: str, wire: Wire) -> None:
    found = wire.ask(header, payload)
    assert found.words[:2] == answer
    assert found.text.startswith(text)
    assert wire.ask("ID me").words[:2] == ["ID", "DataLink"]  # the connection continues


def test_a_stream_can_be_stopped_and_resumed(wire: Wire) -> None:
    wire.ask("POSITION SET EARLIEST")
    first = wire.ask("STREAM")
    assert first.words[:3] == ["PACKET", "FDSN:PB_B921__E_H_Z/MSEED", "1"]
    wire.socket.sendall(message("ENDSTREAM"))
    last = first
    while (found := wire.read()).words[0] == "PACKET":
        last = found
    assert found.words == ["ENDSTREAM"]
    number = int(last.words[2])
    wire.ask(f"POSITION SET {number - 1}")
    assert wire.ask("STREAM DIALUP").words[2] == str(number)


@pytest.mark.parametrize("line", [b"DL", b"DL\xff" + b"x" * 300, b"DLxGARBAGE" * 50, b"DL\x10MATCH 9999999999"])
def test_invalid_commands_do_not_affect_other_clients(line: bytes, digitizer: Digitizer) -> None:
    rude = Wire(digitizer)
    rude.socket.sendall(line)
    rude.socket.close()
    other = Wire(digitizer)
    assert other.ask("ID me").words[0] == "ID"
    other.socket.close()


def test_with_datalink_client(digitizer: Digitizer) -> None:
    datalink_client = pytest.importorskip("datalink_client", reason="the oracle: pip install datalink-client")
    with datalink_client.DataLink("127.0.0.1", digitizer.port) as client:
        assert "seisedge" in client.identify("test")
        status = client.info_status()
        assert status["Status"]["LatestPacketID"] == 300
        assert len(client.info_streams()["StreamList"]["Stream"]) == 6
        client.match("^FDSN:PB_B918__E_H_Z/MSEED")
        client.position_set("EARLIEST")
        wanted = [r for r in RECORDS if r[8:18] == b"B918   EHZ"]
        client.stream()
        found = []
        for packet in client.collect():
            found.append(packet.data)
            if len(found) == len(wanted):
                break
        assert found == wanted

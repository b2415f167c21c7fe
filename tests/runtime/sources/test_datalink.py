"""The DataLink client, against the virtual digitizer and against a server that breaks the protocol."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.paths import RECORDING

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import ConnectError, FailedError
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.sources import _link, open_source
from seisedge.runtime.sources._datalink_wire import message
from seisedge.runtime.sources.datalink import DataLinkSource

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 300, 512)]
B921 = [record for record in RECORDS if record[8:12] == b"B921"]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_link, "BACKOFF_FIRST_S", 0.01)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / "cut.mseed"
    path.write_bytes(b"".join(RECORDS))
    return path


@pytest.fixture
def digitizer(cut: Path) -> Iterator[Digitizer]:
    with Digitizer(cut, speed=0) as served:
        yield served


def received(url: str, **options: Any) -> tuple[DataLinkSource, list[Packet]]:
    options.setdefault("until_end", True)
    with open_source(url, **options) as source:
        assert isinstance(source, DataLinkSource)
        return source, [p for p in source.packets() if p is not None]


def packet(number: int, record: bytes, time_us: int = 1_000_000) -> bytes:
    return message(f"PACKET FDSN:PB_B921__E_H_Z/MSEED {number} {time_us} 0 0 {len(record)}", record)


class Scripted:
    """Replies OK to commands, and sends `scripts[k]` on connection k after STREAM."""

    def __init__(self, *scripts: bytes, refuse: tuple[str, ...] = (), newest: int = 0) -> None:
        self.commands: list[list[str]] = []
        self._scripts, self._refuse, self._newest = scripts, refuse, newest
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"datalink://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(2)

    def _run(self) -> None:
        for script in self._scripts:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                self._serve(link, script)

    def _serve(self, link: socket.socket, script: bytes) -> None:
        commands: list[str] = []
        self.commands.append(commands)
        file = link.makefile("rb")
        while head := file.read(3):
            header = file.read(head[2]).decode()
            words = header.split()
            if words[0] in ("MATCH", "REJECT"):
                file.read(int(words[1]))
            commands.append("ID" if words[0] == "ID" else header)
            if header in self._refuse:
                link.sendall(message("ERROR 0 9", b"not today"))
            elif words[0] == "ID":
                link.sendall(message("ID DataLink scripted :: DLPROTO:1.0"))
            elif words[0] == "INFO":
                text = f'<D><Stream Name="PB_B921__EHZ/MSEED" LatestPacketID="{self._newest}"/></D>'.encode()
                link.sendall(message(f"INFO STREAMS {len(text)}", text))
            elif words[0] == "STREAM":
                break
            else:
                link.sendall(message("OK 1 0"))
        link.sendall(script)


def test_the_same_records_in_the_same_order(digitizer: Digitizer, cut: Path) -> None:
    source, packets = received(digitizer.url_for("datalink"))
    with open_source(cut) as file:
        wanted = [p for p in file.packets() if p is not None]
    assert [(p.source_id, p.starttime_ns, p.samples.tobytes()) for p in packets] == [
        (p.source_id, p.starttime_ns, p.samples.tobytes()) for p in wanted
    ]
    assert [p.token.partition("@")[0] for p in packets] == [f"dl:{k}" for k in range(1, 301)]
    assert source.counters.bad_records == source.counters.reconnects == source.counters.skipped_bytes == 0


def test_at_real_speed_the_source_ends_with_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "minute.mseed"
    path.write_bytes(b"".join(RECORDS[:100]))
    with Digitizer(path, speed=100) as digitizer:
        _, packets = received(f"{digitizer.url_for('datalink')}/PB_B918")
    assert len(packets) == sum(r[8:12] == b"B918" for r in RECORDS[:100])


def test_stations_and_channels(digitizer: Digitizer) -> None:
    url = digitizer.url_for("datalink")
    for query in ("EH?,!EHZ", "_E_H_?,!*_E_H_Z"):
        _, packets = received(f"{url}/PB_B918?select={query}")
        assert {str(p.source_id) for p in packets} == {"PB_B918__EH1", "PB_B918__EH2"}
    assert received(f"{url}/XX_NONE")[1] == []


def test_from_a_time(digitizer: Digitizer) -> None:
    _, packets = received(f"{digitizer.url_for('datalink')}?from=2019-07-07T08:17:00Z")
    begin_ns = ns_from_iso("2019-07-07T08:17:00")
    assert packets[0].endtime_ns >= begin_ns
    assert len(packets) == sum(
        p.endtime_ns - 10_000_000 >= begin_ns for p in received(digitizer.url_for("datalink"))[1]
    )


@pytest.mark.parametrize("count", [1, 150, 299, 300])
def test_a_resumed_run_loses_no_packet(count: int, digitizer: Digitizer) -> None:
    _, whole = received(digitizer.url_for("datalink"))
    tokens = {p.source_id.station_id: p.token for p in whole[:count]}
    _, tail = received(digitizer.url_for("datalink"), resume=tokens)
    assert [p.token for p in tail] == [p.token for p in whole[count:]]


def test_packets_a_station_already_received_are_dropped(digitizer: Digitizer) -> None:
    """A server has one sequence of numbers: it starts after the oldest token, and each station after its own."""
    _, whole = received(digitizer.url_for("datalink"))
    numbers = {"PB.B918": 200, "PB.B921": 80}  # numbers of packets
    heads = {name: [p for p in whole[:n] if p.source_id.station_id == name] for name, n in numbers.items()}
    tokens = {name: head[-1].token for name, head in heads.items()}
    source, tail = received(digitizer.url_for("datalink"), resume=tokens)
    for name, head in heads.items():
        wanted = [p.token for p in whole if p.source_id.station_id == name][len(head) :]
        assert [p.token for p in tail if p.source_id.station_id == name] == wanted
    assert source.counters.duplicates == sum(p.source_id.station_id == "PB.B918" for p in whole[80:200])


def test_a_token_the_server_no_longer_has_starts_at_the_earliest_packet(
    digitizer: Digitizer, caplog: pytest.LogCaptureFixture
) -> None:
    url = digitizer.url_for("datalink")
    for token in ("dl:100000@1", "dl:5@1"):  # unknown; known, but of another time
        source, packets = received(url, resume={"PB.B918": token})
        assert len(packets) == 300 and source.counters.resume_gaps == 1
    assert caplog.text.count("starting at the earliest packet") == 2
    _, packets = received(url, resume={"PB.B918": "v4:7"})
    assert "'v4:7' is not a DataLink token" in caplog.text


def test_a_server_that_no_longer_has_the_next_packet(cut: Path) -> None:
    with Digitizer(cut, speed=0, ring=20) as digitizer:  # of each station
        url = digitizer.url_for("datalink")
        _, kept = received(f"{url}?from=earliest")
        source, packets = received(url, resume={"PB.B918": "dl:7@1", "PB.B921": "dl:8@1"})
        assert len(kept) == 40 and [p.token for p in packets] == [p.token for p in kept]
        assert source.counters.resume_gaps == 1
        source, packets = received(url, resume={"PB.B918": kept[0].token})
        assert [p.token for p in packets] == [p.token for p in kept[1:]] and source.counters.resume_gaps == 0


def test_commands_sent_to_a_server() -> None:
    with Scripted(packet(7, B921[0]), packet(9, B921[1]), newest=7) as server:
        _, packets = received(f"{server.url}/PB_B921?select=EHZ,!EH1")
        assert len(packets) == 1  # up to the newest packet of the server
    match = len("^(FDSN:)?(PB_B921)_([^_/]*_E_?H_?Z)/MSEED3?$")
    reject = len("^(FDSN:)?(PB_B921)_([^_/]*_E_?H_?1)/MSEED3?$")
    wanted = ["ID", f"MATCH {match}", f"REJECT {reject}", "POSITION SET EARLIEST", "INFO STREAMS", "STREAM"]
    assert server.commands == [wanted]
    with Scripted(b"", newest=7) as server:
        assert received(f"{server.url}/PB_B921", resume={"PB.B921": "dl:7@5"})[1] == []
    assert server.commands[0][2:] == ["POSITION SET 7 5", "INFO STREAMS", "STREAM"]


def test_a_lost_connection_is_resumed_after_the_last_packet() -> None:
    with Scripted(packet(1, B921[0]) + packet(2, B921[1])[:200], packet(2, B921[1]), newest=2) as server:
        source, packets = received(f"{server.url}/PB_B921")
    assert [p.token for p in packets] == ["dl:1@1000000", "dl:2@1000000"]
    assert source.counters.reconnects == 1
    assert "POSITION SET 1 1000000" in server.commands[1]


def test_repeated_packets_are_dropped_and_damaged_ones_set_aside() -> None:
    script = packet(1, B921[0]) + packet(1, B921[0]) + packet(2, b"\xff" * 512) + packet(3, B921[2])
    with Scripted(script, newest=3) as server:
        source, packets = received(f"{server.url}/PB_B921")
    assert [p.token for p in packets] == ["dl:1@1000000", "dl:3@1000000"]
    assert (source.counters.duplicates, source.counters.bad_records) == (1, 1)


def test_a_server_that_refuses() -> None:
    pattern = len("^(FDSN:)?(PB_B921)_([^/]*)/MSEED3?$")
    with (
        Scripted(b"", refuse=(f"MATCH {pattern}",)) as server,
        pytest.raises(FailedError, match=r"does not accept the pattern .* \(not today\)"),
    ):
        received(f"{server.url}/PB_B921")


def test_no_server() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match="connection refused"):
            received(f"datalink://127.0.0.1:{bound.getsockname()[1]}")


def test_a_live_run_treats_an_end_as_a_lost_connection() -> None:
    with Scripted(packet(1, B921[0]) + message("ENDSTREAM"), packet(2, B921[1])) as server:
        source = open_source(f"{server.url}/PB_B921")
        found = []
        for p in source.packets():
            if p is not None:
                found.append(p.token)
            if len(found) == 2:
                break
        source.close()
    assert found == ["dl:1@1000000", "dl:2@1000000"]
    assert "POSITION SET LATEST" in server.commands[0]

"""The virtual digitizer as a SeedLink 3 server, with raw sockets and with other clients."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.paths import RECORDING
from tests.waiting import wait_until

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import DataError, FailedError, InputError
from seisedge.runtime.records.miniseed import Decoder, text_from_record
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay.digitizer import MAX_CLIENTS, max_clients
from seisedge.runtime.sources import open_source

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 300, 512)]
BEGIN_NS = ns_from_iso("2019-07-07T08:16:00.377986")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 300 records, about three minutes."""
    path = tmp_path_factory.mktemp("cut") / "cut.mseed"
    path.write_bytes(b"".join(RECORDS))
    return path


class Wire:
    """A client that sends single commands."""

    def __init__(self, digitizer: Digitizer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", digitizer.port), timeout=5)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def say(self, *commands: str) -> None:
        for command in commands:
            self.socket.sendall(command.encode() + b"\r\n")

    def ask(self, command: str) -> str:
        self.say(command)
        return self.file.readline().decode().strip()

    def packet(self) -> tuple[str, bytes] | None:
        """Header and record; None at END."""
        head = self.file.read(3)
        if head == b"END":
            assert self.file.read(1) == b""
            return None
        return (head + self.file.read(5)).decode(), self.file.read(512)

    def all_packets(self) -> list[tuple[str, bytes]]:
        return list(iter(self.packet, None))

    def silent(self, wait_s: float = 0.1) -> bool:
        self.socket.settimeout(wait_s)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)

    def info(self, level: str) -> ElementTree.Element:
        self.say(f"INFO {level}")
        text = ""
        while True:
            packet = self.packet()
            assert packet is not None and packet[0].startswith("SLINFO")
            text += text_from_record(packet[1])
            if packet[0][-1] != "*":
                return ElementTree.fromstring(text)


@pytest.fixture
def digitizer(cut: Path) -> Iterator[Digitizer]:
    with Digitizer(cut, speed=0) as d:
        yield d


@pytest.fixture
def wire(digitizer: Digitizer) -> Iterator[Wire]:
    with Wire(digitizer) as w:
        yield w


def station_of(record: bytes) -> str:
    return record[8:13].decode().strip()


def test_hello_and_cat(wire: Wire) -> None:
    assert wire.ask("HELLO").startswith("SeedLink v3.1 (seisedge")
    assert wire.file.readline() == b"seisedge virtual digitizer\r\n"
    assert wire.ask("cat").split()[:2] == ["PB", "B918"]
    assert wire.file.readline().split()[:2] == [b"PB", b"B921"]
    assert wire.file.read(3) == b"END"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("STATION B918 PB", "OK"),
        ("station b918", "OK"),
        ("STATION B9* P?", "OK"),
        ("STATION B999 PB", "ERROR"),
        ("STATION", "ERROR"),
        ("STATION B918 PB X", "ERROR"),
        ("SELECT EH?", "OK"),
        ("SELECT", "OK"),
        ("SELECT EHZZ", "ERROR"),
        ("TIME yesterday", "ERROR"),
        ("TIME 2019,07,07,08,16,99", "ERROR"),
        ("DATA XYZ", "ERROR"),
        ("BATCH", "ERROR"),
        ("GET / HTTP/1.1", "ERROR"),
    ],
)
def test_answers(command: str, answer: str, wire: Wire) -> None:
    assert wire.ask(command) == answer
    assert wire.ask("STATION B918 PB") == "OK"  # the connection continues


@pytest.mark.parametrize("line", [b"\xff" * 40 + b"\r\n", b"x" * 5000, b"\r\n\r\n", b"STATION " + b"A" * 900 + b"\r\n"])
def test_invalid_commands_do_not_affect_other_clients(line: bytes, digitizer: Digitizer) -> None:
    with Wire(digitizer) as wire:
        wire.socket.sendall(line)
    with Wire(digitizer) as other:
        assert other.ask("STATION B918 PB") == "OK"


def test_records_are_unchanged_and_numbered_per_station(wire: Wire) -> None:
    assert wire.ask("STATION B9* PB") == "OK"
    assert wire.ask("FETCH 000001") == "OK"
    wire.say("END")
    packets = wire.all_packets()
    assert [record for _, record in packets] == RECORDS
    for station in ("B918", "B921"):
        numbers = [head for head, record in packets if station_of(record) == station]
        assert numbers == [f"SL{k:06X}" for k in range(1, len(numbers) + 1)]


def test_all_stations_at_once_without_a_station_command(wire: Wire) -> None:
    assert wire.ask("SELECT EHZ") == "OK"
    wire.say("FETCH")
    assert [record for _, record in wire.all_packets()] == [r for r in RECORDS if r[15:18] == b"EHZ"]


def test_resume_per_station(wire: Wire) -> None:
    for command in ("STATION B918 PB", "FETCH 000010", "STATION B921 PB", "FETCH 000020"):
        assert wire.ask(command) == "OK"
    wire.say("END")
    packets = wire.all_packets()
    assert min(head for head, record in packets if station_of(record) == "B918") == "SL000010"
    assert min(head for head, record in packets if station_of(record) == "B921") == "SL000020"


def test_a_time_window_ends_with_end(wire: Wire) -> None:
    assert wire.ask("STATION B918 PB") == "OK"
    assert wire.ask("TIME 2019,7,7,8,17,0 2019,07,07,08,17,30") == "OK"
    wire.say("END")
    packets = [Decoder().packet(record, 0) for _, record in wire.all_packets()]
    begin_ns, end_ns = ns_from_iso("2019-07-07T08:17:00"), ns_from_iso("2019-07-07T08:17:30")
    assert len(packets) > 15
    for p in packets:
        assert isinstance(p, Packet)
        assert p.endtime_ns > begin_ns and p.starttime_ns < end_ns


def test_a_live_client_stays_connected_and_may_send_info_and_bye(wire: Wire) -> None:
    assert wire.ask("STATION B918 PB") == "OK"
    assert wire.ask("DATA") == "OK"
    wire.say("END")
    wanted = [r for r in RECORDS if station_of(r) == "B918"]
    for record in wanted:
        packet = wire.packet()
        assert packet is not None and packet[1] == record
    assert wire.silent()
    assert wire.info("ID").attrib["organization"] == "seisedge virtual digitizer"
    wire.say("BYE")
    assert wire.file.read() == b""


def test_info_stations_and_streams(wire: Wire) -> None:
    stations = wire.info("STATIONS").findall("station")
    assert [(s.attrib["network"], s.attrib["name"]) for s in stations] == [("PB", "B918"), ("PB", "B921")]
    n = sum(station_of(record) == "B918" for record in RECORDS)
    assert stations[0].attrib["begin_seq"] == "000001"
    assert stations[0].attrib["end_seq"] == f"{n:06X}"
    streams = wire.info("STREAMS").findall("station/stream")
    assert [s.attrib["seedname"] for s in streams] == ["EH1", "EH2", "EHZ"] * 2
    assert min(s.attrib["begin_time"] for s in streams) == "2019/07/07 08:16:00.3779"


def test_unsupported_info(wire: Wire) -> None:
    assert "INFO GAPS is not supported" in (wire.info("GAPS").findtext("error") or "")


def test_the_clock(cut: Path) -> None:
    wall_ns = 0
    with Digitizer(cut, speed=10, now=lambda: wall_ns) as digitizer:
        assert digitizer.recording.starttime_ns == BEGIN_NS
        assert digitizer.released_ns(BEGIN_NS) is None
        with Wire(digitizer) as wire:
            assert wire.info("STATIONS")[0].attrib["end_seq"] == "000000"
            wire.say("STATION B9* PB", "DATA", "END")
            assert wire.file.readline() + wire.file.readline() == b"OK\r\nOK\r\n"
            assert wire.silent()
            decoder = Decoder()
            for record in RECORDS[:12]:
                header = decoder.packet(record, 0)
                assert isinstance(header, Packet)
                last_ns = header.starttime_ns + (len(header.samples) - 1) * 10_000_000
                release_ns = digitizer.released_ns(last_ns)
                assert release_ns == (last_ns - BEGIN_NS) / 10
                wall_ns = release_ns - 1
                assert wire.silent(0.05)
                wall_ns = release_ns
                packet = wire.packet()
                assert packet is not None and packet[1] == record
            with Wire(digitizer) as late:  # a second live client starts at the current time
                late.say("STATION B9* PB", "DATA", "END")
                assert late.file.readline() + late.file.readline() == b"OK\r\nOK\r\n"
                assert late.silent(0.05)
                wall_ns = 10**15
                packet = late.packet()
                assert packet is not None and packet[1] == RECORDS[12]


def test_dial_up_ends_with_the_recording(cut: Path) -> None:
    wall_ns = 0
    with Digitizer(cut, speed=1, now=lambda: wall_ns) as digitizer, Wire(digitizer) as wire:
        wire.say("STATION B9* PB", "TIME 1970,1,1", "ENDFETCH")
        assert wire.file.readline() + wire.file.readline() == b"OK\r\nOK\r\n"
        assert wire.silent(0.05)
        wall_ns = 10**12
        assert len(wire.all_packets()) == 300


def test_several_clients_at_once(digitizer: Digitizer) -> None:
    results: dict[int, list[Packet]] = {}

    def run(number: int) -> None:
        url = f"{digitizer.url}/PB_{('B918', 'B921')[number % 2]}"
        with open_source(url, until_end=True) as source:
            results[number] = [p for p in source.packets() if p is not None]

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for number in range(8):
        wanted = sum(station_of(record) == ("B918", "B921")[number % 2] for record in RECORDS)
        assert len(results[number]) == wanted


def test_a_slow_reader_receives_everything(digitizer: Digitizer) -> None:
    with Wire(digitizer) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        wire.say("FETCH 000001")
        time.sleep(0.2)  # so that the server's send blocks
        assert len(wire.all_packets()) == 300


def test_copies_of_stations(cut: Path) -> None:
    with Digitizer(cut, speed=0, stations=3) as digitizer:
        names = [station.id for station in digitizer.recording.stations]
        assert names == ["PB.B918", "PB.B921", "PB.C0001", "PB.C0002", "PB.C0003", "PB.C0004"]
        with open_source(digitizer.url, until_end=True) as source:
            found: dict[str, list[Packet]] = {}
            for p in source.packets():
                assert p is not None
                found.setdefault(p.source_id.station_id, []).append(p)
    assert sorted(found) == names
    for original, copies in (("PB.B918", names[2:4]), ("PB.B921", names[4:])):
        for copy in copies:
            assert [p.token for p in found[copy]] == [p.token for p in found[original]]
            for one, other in zip(found[copy], found[original], strict=True):
                np.testing.assert_array_equal(one.samples, other.samples)
                assert one.starttime_ns == other.starttime_ns


def test_copies_of_miniseed_3(tmp_path: Path) -> None:
    from pymseed import MS3Record

    template = MS3Record()
    template.formatversion = 3
    template.sourceid, template.samprate, template.starttime = "FDSN:XX_ABC_00_H_H_Z", 300.0, BEGIN_NS
    samples = np.arange(900, dtype=np.int32)
    path = tmp_path / "v3.mseed"
    path.write_bytes(b"".join(template.generate(data_samples=samples, sample_type="i")))
    with (
        Digitizer(path, speed=0, stations=2) as digitizer,
        open_source(f"{digitizer.url}/XX_C0001", until_end=True) as source,
    ):
        packets = [p for p in source.packets() if p is not None]
    assert str(packets[0].source_id) == "XX_C0001_00_HHZ"
    np.testing.assert_array_equal(np.concatenate([p.samples for p in packets]), samples)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"record_length": 500}, InputError, "power of two from 128 to 65536"),
        ({"record_length": 64}, InputError, "power of two"),
        ({"stations": 0}, InputError, "from 1 to 20000"),
        ({"speed": -1.0}, InputError, "speed -1"),
        ({"speed": float("nan")}, InputError, "speed nan"),
        ({"paths": "no-such.mseed"}, InputError, "no such file"),
        ({"paths": __file__}, DataError, "is not miniSEED"),
    ],
)
def test_invalid_options(options: dict[str, Any], error: type, message: str, cut: Path) -> None:
    with pytest.raises(error, match=message):
        Digitizer(**{"paths": cut, **options})


def test_a_port_in_use(digitizer: Digitizer, cut: Path) -> None:
    with pytest.raises(FailedError, match=f"cannot listen on 127.0.0.1 port {digitizer.port}"):
        Digitizer(cut, listen=("127.0.0.1", digitizer.port)).open()


def test_silent_clients_take_no_place_from_others(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-open connections and half commands; beyond the limit the oldest of them is disconnected."""
    monkeypatch.setattr("seisedge.runtime.replay.digitizer.MAX_CLIENTS", 5)
    with contextlib.ExitStack() as opened:
        digitizer = opened.enter_context(Digitizer(cut, speed=0.0))
        threads = threading.active_count()
        first = opened.enter_context(Wire(digitizer))
        assert [first.ask("STATION B918 PB"), first.ask("DATA")] == ["OK", "OK"]
        first.say("END")
        assert first.packet() is not None  # it receives the stream and is not disconnected
        silent = [opened.enter_context(Wire(digitizer)) for _ in range(30)]
        for one in silent[::2]:
            with contextlib.suppress(OSError):  # disconnected already
                one.socket.sendall(b"DL")
        with Wire(digitizer) as last:
            assert last.ask("HELLO").startswith("SeedLink")
        assert first.packet() is not None
        assert len(digitizer._links) <= 5
        wait_until(lambda: threading.active_count() - threads <= 6)  # the threads of those that were disconnected end


def test_a_full_house_refuses_new_clients(
    cut: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("seisedge.runtime.replay.digitizer.MAX_CLIENTS", 2)
    with Digitizer(cut, speed=0.0) as digitizer, Wire(digitizer) as one, Wire(digitizer) as other:
        for wire in (one, other):
            assert [wire.ask("STATION B918 PB"), wire.ask("DATA")] == ["OK", "OK"]
            wire.say("END")
            assert wire.packet() is not None
        for _ in range(2):
            with Wire(digitizer) as more, contextlib.suppress(ConnectionError):
                assert more.file.read() == b""
    refused = [record.levelname for record in caplog.records if "refused: there are 2 clients" in record.getMessage()]
    assert refused == ["WARNING"]


@pytest.mark.parametrize("sent", [b"", b"D"])
def test_a_client_without_a_command_is_disconnected(sent: bytes, cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.replay.digitizer.FIRST_BYTES_S", 0.05)
    monkeypatch.setattr("seisedge.runtime.replay._client.COMMAND_TIMEOUT_S", 1.0)
    with Digitizer(cut) as digitizer, Wire(digitizer) as wire:
        wire.socket.sendall(sent)
        assert wire.file.read() == b""


@pytest.mark.parametrize(("limit", "clients"), [(16, 4), (256, 64), (1024, MAX_CLIENTS), (-1, MAX_CLIENTS)])
def test_clients_follow_the_limit_of_files(limit: int, clients: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (limit, limit))
    assert max_clients() == clients


def test_close_disconnects_clients(cut: Path) -> None:
    digitizer = Digitizer(cut, speed=1)
    digitizer.open()
    with Wire(digitizer) as wire:
        wire.ask("HELLO")
        wire.file.readline()
        began = time.monotonic()
        digitizer.close()
        assert wire.file.read() == b""
        assert time.monotonic() - began < 1
    digitizer.close()


def test_with_seedlink_client(digitizer: Digitizer) -> None:
    seedlink_client = pytest.importorskip("seedlink_client", reason="the oracle: pip install seedlink-client")
    with seedlink_client.SeedLink("127.0.0.1", digitizer.port, dialup=True) as client:
        assert "B918" in client.info("STREAMS")
        client.add_stream("PB_B918", "EHZ", seqnum=0)
        client.add_stream("PB_B921", seqnum=0x1F)
        packets = list(client.collect(reconnect=False))
    wanted = [r for r in RECORDS if r[8:18] == b"B918   EHZ"]
    assert [bytes(p.payload) for p in packets if p.station_id == "PB_B918"] == wanted
    assert [p.seqnum for p in packets if p.station_id == "PB_B921"][:2] == [0x20, 0x21]


def test_with_obspy(digitizer: Digitizer) -> None:
    basic_client = pytest.importorskip("obspy.clients.seedlink.basic_client", reason="the oracle: pip install obspy")
    from obspy import UTCDateTime

    client = basic_client.Client("127.0.0.1", digitizer.port, timeout=5)
    assert client.get_info() == [("PB", "B918"), ("PB", "B921")]
    begin = UTCDateTime("2019-07-07T08:16:10")
    (trace,) = client.get_waveforms("PB", "B921", "", "EHZ", begin, begin + 20)
    ours = [p for r in RECORDS if r[8:18] == b"B921   EHZ" and isinstance(p := Decoder().packet(r, 0), Packet)]
    samples = np.concatenate([p.samples for p in ours])
    first = round((trace.stats.starttime.ns - ours[0].starttime_ns) / 1e7)
    np.testing.assert_array_equal(trace.data, samples[first : first + trace.stats.npts])
    assert trace.stats.npts >= 2000

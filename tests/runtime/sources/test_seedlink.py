"""The SeedLink client, against the virtual digitizer and against a server that breaks the protocol."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.paths import RECORDING

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import ConnectError, FailedError
from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._info import info_packets
from seisedge.runtime.sources import _link, open_source
from seisedge.runtime.sources._seedlink_position import Position
from seisedge.runtime.sources.seedlink import LinkState, SeedLinkSource

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 600, 512)]
B921 = [record for record in RECORDS if record[8:12] == b"B921"]


Scripted = Callable[..., Any]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 600 records, about six minutes."""
    path = tmp_path_factory.mktemp("cut") / "cut.mseed"
    path.write_bytes(b"".join(RECORDS))
    return path


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_link, "BACKOFF_FIRST_S", 0.01)


def packet(sequence: int, record: bytes) -> bytes:
    return b"SL%06X" % sequence + record


def received(url: str, **options: Any) -> tuple[SeedLinkSource, list[Packet]]:
    options.setdefault("until_end", True)
    with open_source(url, **options) as source:
        assert isinstance(source, SeedLinkSource)
        return source, [p for p in source.packets() if p is not None]


def by_channel(packets: list[Packet]) -> dict[SourceId, tuple[int, npt.NDArray[Any]]]:
    """Start and samples of each channel; fails for a gap."""
    found: dict[SourceId, list[Packet]] = {}
    for p in packets:
        known = found.setdefault(p.source_id, [])
        assert not known or known[-1].endtime_ns == p.starttime_ns
        known.append(p)
    return {name: (parts[0].starttime_ns, np.concatenate([p.samples for p in parts])) for name, parts in found.items()}


def assert_same(ours: list[Packet], theirs: list[Packet]) -> None:
    one, other = by_channel(ours), by_channel(theirs)
    assert one.keys() == other.keys()
    for name, (start_ns, samples) in one.items():
        assert start_ns == other[name][0]
        np.testing.assert_array_equal(samples, other[name][1])


def from_file(path: Path) -> list[Packet]:
    with open_source(path) as source:
        return [p for p in source.packets() if p is not None]


@pytest.fixture(params=[3, 4])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize("record_length", [128, 512, 4096])
def test_the_same_samples_as_from_the_file(record_length: int, protocol: int, cut: Path) -> None:
    with Digitizer(cut, speed=0, record_length=record_length) as digitizer:
        source, packets = received(f"{digitizer.url}?protocol={protocol}")
    assert source.version == protocol
    assert_same(packets, from_file(cut))
    assert source.counters.bad_records == source.counters.reconnects == 0


def test_records_of_the_same_length_come_in_the_order_of_the_file(cut: Path) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        _, packets = received(f"{digitizer.url}/PB_B918,PB_B921")
    wanted = from_file(cut)
    assert [(p.source_id, p.starttime_ns) for p in packets] == [(p.source_id, p.starttime_ns) for p in wanted]
    assert len(packets) == 600


def test_at_real_speed_no_packet_arrives_early(tmp_path: Path) -> None:
    path = tmp_path / "minute.mseed"
    path.write_bytes(b"".join(RECORDS[:100]))
    with Digitizer(path, speed=100) as digitizer:
        _, packets = received(digitizer.url)
        wanted = from_file(path)
        assert [(p.source_id, p.starttime_ns, p.samples.tobytes()) for p in packets] == [
            (p.source_id, p.starttime_ns, p.samples.tobytes()) for p in wanted
        ]
        for p in packets:
            released_ns = digitizer.released_ns(p.starttime_ns + (len(p.samples) - 1) * 10_000_000)
            assert released_ns is not None and p.arrival_ns >= released_ns


def test_a_token_takes_precedence_over_the_url(cut: Path) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        _, packets = received(f"{digitizer.url}/PB_B921?from=earliest", resume={"PB.B921": "000010"})
    assert packets[0].token == "000011"


def test_stations_and_channels(protocol: int, cut: Path) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        url = f"{digitizer.url}/PB_B918?protocol={protocol}&select="
        for pattern in ("EH?,!EHZ", "_E_H_?,!*_E_H_Z", "--EH1,EH2.D"):
            _, packets = received(url + pattern)
            assert {str(p.source_id) for p in packets} == {"PB_B918__EH1", "PB_B918__EH2"}
        assert received(f"{url}00EH?")[1] == received(f"{url}00_E_H_?")[1] == []
        _, packets = received(f"{digitizer.url}/PB_B9*?select=EHZ&protocol={protocol}")
        assert {str(p.source_id) for p in packets} == {"PB_B918__EHZ", "PB_B921__EHZ"}


def test_unknown_station(cut: Path) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        _, packets = received(f"{digitizer.url}/XX_NONE,PB_B921")
        assert {p.source_id.station_id for p in packets} == {"PB.B921"}
        with pytest.raises(FailedError, match=r"has none of the requested stations: XX\.NONE"):
            received(f"{digitizer.url}/XX_NONE")


def test_a_live_run_waits_for_a_missing_station(scripted: Scripted) -> None:
    server = scripted([], [packet(1, B921[0]), None])
    server.missing_at_first = True
    with open_source(f"{server.url}/PB_B921?from=latest") as source:
        first = next(p for p in source.packets() if p is not None)
    assert first.token == "000001"
    assert server.commands[0] == ["HELLO", "STATION B921 PB"]


def test_from_a_time(protocol: int, cut: Path) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        _, packets = received(f"{digitizer.url}?from=2019-07-07T08:18:00Z&protocol={protocol}")
    wanted = [p for p in from_file(cut) if p.endtime_ns > 1_562_487_480_000_000_000]
    assert [p.starttime_ns for p in packets] == [p.starttime_ns for p in wanted]


@pytest.mark.parametrize("first_sequence", [1, 0xFFFF80])
@pytest.mark.parametrize("stations", ["", "PB_B918,PB_B921", "PB_B9*"])
def test_a_resumed_run_loses_and_repeats_no_packet(
    stations: str, first_sequence: int, protocol: int, cut: Path
) -> None:
    with Digitizer(cut, speed=0, first_sequence=first_sequence) as digitizer:
        url = f"{digitizer.url}/{stations}?protocol={protocol}"
        _, whole = received(url)
        tokens: dict[str, str] = {}
        head: list[Packet] = []
        with open_source(url, until_end=True) as source:
            for p in source.packets():
                if p is not None:
                    head.append(p)
                    tokens[p.source_id.station_id] = p.token
                if len(head) == 333:
                    break
        _, tail = received(url, resume=tokens)
    assert_same(head + tail, whole)
    assert len(head) + len(tail) == 600
    if first_sequence > 1:
        around = {"FFFFFF", "000000"} if protocol == 3 else {"v4:16777215", "v4:16777216"}
        assert around <= {p.token for p in whole}


@pytest.mark.parametrize("first_sequence", [1, 0xFFFF80])
def test_a_server_that_no_longer_has_the_next_packet(
    first_sequence: int, protocol: int, cut: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The station starts at the earliest packet that the server still has, and the gap is reported."""
    kept, n = 100, len(B921)
    with Digitizer(cut, speed=0, first_sequence=first_sequence, ring=kept) as digitizer:
        url = f"{digitizer.url}/PB_B921?protocol={protocol}"

        def token(index: int) -> str:
            return Position(protocol, (first_sequence + index) % (1 << 24 if protocol == 3 else 1 << 64)).token

        source, packets = received(url, resume={"PB.B921": token(10)})
        assert [p.token for p in packets] == [token(k) for k in range(n - kept, n)]
        assert source.counters.resume_gaps == 1
        assert f"PB.B921: the server no longer has the packet after {token(10).removeprefix('v4:')};" in caplog.text
        for last in (n - kept - 1, n - kept, n - 2):  # the next packet is the earliest, the second, the last
            source, packets = received(url, resume={"PB.B921": token(last)})
            assert [p.token for p in packets] == [token(k) for k in range(last + 1, n)]
            assert source.counters.resume_gaps == 0
        source, packets = received(f"{digitizer.url}/?protocol={protocol}", resume={"PB.B921": token(n - 1)})
        assert {p.source_id.station_id for p in packets} == {"PB.B918"} and len(packets) == kept


def test_a_wrong_reply_after_the_first_connection_does_not_end_the_run(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    server = scripted([packet(1, B921[0])], [], [packet(2, B921[1])])
    url = f"{server.url}/PB_B921?from=latest"
    with open_source(url) as source, caplog.at_level(logging.DEBUG):  # repeated failures are DEBUG
        stream = source.packets()
        assert next(p for p in stream if p is not None).token == "000001"
        server.hello = b"SeedLink v9 :: SLPROTO:9.0"
        while "the server supports SeedLink another version" not in caplog.text:
            assert next(stream) is None
        server.hello = b"SeedLink v3.1 (scripted)"
        assert next(p for p in stream if p is not None).token == "000002"


def test_an_exception_in_the_protocol_does_not_end_the_run(
    scripted: Scripted, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted([packet(1, B921[0])], [], [packet(2, B921[1])])
    negotiate, calls = SeedLinkSource._negotiate, 0

    def failing(source: SeedLinkSource, link: socket.socket) -> Generator[None]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        return negotiate(source, link)

    monkeypatch.setattr(SeedLinkSource, "_negotiate", failing)
    with open_source(f"{server.url}/PB_B921?from=latest") as source:
        found = (p for p in source.packets() if p is not None)
        assert [next(found).token, next(found).token] == ["000001", "000002"]
    assert "the protocol raised ZeroDivisionError; this is a fault of seisedge" in caplog.text


def test_a_server_that_was_replaced_numbers_from_the_start(scripted: Scripted) -> None:
    server = scripted(*[[packet(1, B921[0]), b"END"]] * 3)
    server.info = b"".join(
        info_packets('<seedlink><station name="B921" network="PB" begin_seq="000001" end_seq="000003"/></seedlink>')
    )
    source, packets = received(f"{server.url}/PB_B921", resume={"PB.B921": "000FFF"})
    assert server.commands[0][1:3] == ["STATION B921 PB", "TIME 1970,01,01,00,00,00"]
    assert [p.token for p in packets] == ["000001"] and source.counters.resume_gaps == 1
    server.hello = b"SeedLink v3.1 (ringserver)"  # one sequence of numbers: all stations start at the earliest packet
    server.info = b"".join(  # as written by ringserver 4.5.3
        info_packets('<seedlink><station name="B921" network="PB" begin_seq="2327" end_seq="2731"/></seedlink>')
    )
    received(f"{server.url}/PB_B921,PB_B918", resume={"PB.B921": "000FFF", "PB.B918": "000A00"})
    assert server.commands[1].count("TIME 1970,01,01,00,00,00") == 2
    received(f"{server.url}/PB_B921,PB_B918", resume={"PB.B921": "000A02", "PB.B918": "000A00"})
    assert server.commands[2].count("FETCH 000A01") == 2


def test_a_server_that_does_not_reply_to_info(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two attempts the positions are requested without a check."""
    monkeypatch.setattr(_link, "REPLY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(_link, "TICK_S", 0.02)
    server = scripted([], [], [packet(6, B921[0]), b"END"])
    server.info = b""
    _, packets = received(f"{server.url}/PB_B921", resume={"PB.B921": "000005"}, connect_timeout_s=5)
    assert [p.token for p in packets] == ["000006"]
    assert server.commands == [["HELLO"], ["HELLO"], ["HELLO", "STATION B921 PB", "FETCH 000006", "ENDFETCH"]]


def test_resuming_after_the_last_record_gives_no_packet(cut: Path) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        _, whole = received(digitizer.url)
        tokens = {p.source_id.station_id: p.token for p in whole}
        assert received(digitizer.url, resume=tokens)[1] == []


def test_an_invalid_resume_token_is_ignored(cut: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        _, packets = received(digitizer.url, resume={"PB.B918": "?", "PB.B921": ""})
    assert len(packets) == 600
    assert "'?' is not a sequence number" in caplog.text


def test_commands_sent_to_a_server(scripted: Scripted) -> None:
    server = scripted([b"END"], [b"END"], [b"END"], [None])
    received(f"{server.url}/XX_A,YY_B?select=EHZ", resume={"XX.A": "FFFFFF"})
    received(f"{server.url}/XX_A?from=2019-07-07T08:18:00Z")
    received(f"{server.url}/XX_A?from=latest")
    with open_source(f"{server.url}/XX_A,YY_B", resume={"XX.A": "0000AA"}) as source:
        next(iter(source.packets()))
    assert server.commands == [
        [
            "HELLO",
            *("STATION A XX", "SELECT EHZ", "FETCH 000000"),
            *("STATION B YY", "SELECT EHZ", "TIME 1970,01,01,00,00,00"),
            "ENDFETCH",
        ],
        ["HELLO", "STATION A XX", "TIME 2019,07,07,08,18,00", "ENDFETCH"],
        ["HELLO", "STATION A XX", "FETCH", "ENDFETCH"],
        ["HELLO", "STATION A XX", "DATA 0000AB", "STATION B YY", "DATA", "END"],
    ]


def test_a_server_without_endfetch(scripted: Scripted) -> None:
    server = scripted([], [packet(1, B921[0]), b"END"], refuse=("ENDFETCH",))
    _, packets = received(f"{server.url}/PB_B921")
    assert len(packets) == 1
    assert server.commands[1][-1] == "END"
    time_command = server.commands[1][-2].split()
    assert time_command[:2] == ["TIME", "1970,01,01,00,00,00"] and len(time_command) == 3


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff" * 512,
        B921[1][:62] + b"\x10" + B921[1][63:],  # a length of 65,536
        B921[1][:32] + b"\0\0" + B921[1][34:],  # a rate of 0
        B921[1][:200] + bytes([B921[1][200] ^ 0x55]) + B921[1][201:],
        B921[1][:100],
    ],
)
def test_a_damaged_record_is_set_aside_and_the_next_one_arrives(poison: bytes, scripted: Scripted) -> None:
    server = scripted([packet(1, B921[0]), packet(2, poison), packet(3, B921[2]), b"END"])
    quarantine: list[BadRecord] = []
    with open_source(f"{server.url}/PB_B921", until_end=True) as source:
        source.on_bad_record = quarantine.append
        packets = [p for p in source.packets() if p is not None]
    assert [p.token for p in packets] == ["000001", "000003"]
    assert source.counters.bad_records == len(quarantine) == 1
    assert quarantine[0].record == poison
    assert len(server.commands) == 1  # no new connection


def test_a_damaged_record_is_not_requested_again(scripted: Scripted) -> None:
    server = scripted([packet(1, B921[0]), packet(2, b"\xff" * 512)], [packet(3, B921[2]), b"END"])
    source, packets = received(f"{server.url}/PB_B921")
    assert [p.token for p in packets] == ["000001", "000003"]
    assert "FETCH 000003" in server.commands[1]
    assert source.counters.bad_records == 1


def test_a_connection_lost_inside_a_packet(scripted: Scripted) -> None:
    server = scripted(
        [packet(1, B921[0]), packet(2, B921[1])[:300]],
        [packet(2, B921[1]), packet(3, B921[2]), b"END"],
    )
    source, packets = received(f"{server.url}/PB_B921")
    assert [p.token for p in packets] == ["000001", "000002", "000003"]
    assert source.counters.reconnects == 1
    assert "FETCH 000002" in server.commands[1]


def test_repeated_packets_are_dropped(scripted: Scripted) -> None:
    first = [packet(k, B921[k]) for k in range(1, 4)]
    server = scripted(first, [*first[1:], packet(4, B921[4]), b"END"])
    seen: list[str] = []
    with open_source(f"{server.url}/PB_B921", until_end=True) as source:
        source.on_repeated = seen.append
        packets = [p for p in source.packets() if p is not None]
    assert [p.token for p in packets] == ["000001", "000002", "000003", "000004"]
    assert source.counters.duplicates == 2 and seen == ["PB.B921"] * 2


def test_records_that_arrive_again_for_a_while_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    """As of a virtual digitizer that is started again with its recording: it was silent before."""
    caplog.set_level("INFO")
    source = SeedLinkSource("seedlink://127.0.0.1/PB_B921")
    seen: list[str] = []
    source.on_repeated = seen.append
    for second in range(62):
        source._drop_repeated("PB.B921", second * NS_PER_S)
    source._count_new("PB.B918")  # another station
    source._drop_repeated("PB.B921", 62 * NS_PER_S)
    assert [r.message for r in caplog.records] == [
        f"{source.url}: PB.B921: records that were read before arrive (31 so far); waiting for new ones"
    ]
    assert source.counters.duplicates == len(seen) == 63
    source._count_new("PB.B921")
    source._drop_repeated("PB.B921", 100 * NS_PER_S)
    assert len(caplog.records) == 1


def test_new_data_of_a_server_with_restarted_numbers_are_accepted(scripted: Scripted) -> None:
    server = scripted([packet(0x500, B921[0])], [packet(1, B921[1]), packet(2, B921[2]), b"END"])
    source, packets = received(f"{server.url}/PB_B921")
    assert [p.token for p in packets] == ["000500", "000001", "000002"]
    assert source.counters.duplicates == 0


def test_ringserver_numbers_all_stations_in_one_sequence() -> None:
    source = SeedLinkSource("seedlink://host")
    source._last = {"PB.B918": Position(3, 0x000005), "PB.B921": Position(3, 0xFFFFF0), "PB.B916": Position(4, 7)}
    stations = [("PB", "B918"), ("PB", "B921"), ("PB", "B916")]
    assert source._positions(stations, False, {}) == {
        "PB.B918": Position(3, 5),
        "PB.B921": Position(3, 0xFFFFF0),
    }
    assert source._positions(stations, True, {}) == {
        "PB.B918": Position(3, 0xFFFFF0),
        "PB.B921": Position(3, 0xFFFFF0),
    }


def test_packets_a_station_already_received_are_dropped(scripted: Scripted, tmp_path: Path) -> None:
    """From a server with one sequence of numbers, which starts at the oldest token of all stations."""
    (tmp_path / "two.mseed").write_bytes(b"".join(B921[:2]))
    with open_source(tmp_path / "two.mseed") as source:
        newest_ns = max(p.endtime_ns for p in source.packets() if p is not None)
    server = scripted([packet(6, B921[0]), packet(7, B921[1]), packet(8, B921[2]), b"END"])
    server.hello = b"SeedLink v3.1 (ringserver)"
    source, packets = received(
        f"{server.url}/PB_B921,PB_B918",
        resume={"PB.B921": "000007", "PB.B918": "000005"},
        resume_ns={"PB.B921": newest_ns},
    )
    assert server.commands[0][2:3] == ["FETCH 000006"]
    assert [p.token for p in packets] == ["000008"] and source.counters.duplicates == 2


@pytest.fixture
def refused_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound, not listening: no other process gets the port
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_refused_connection_with_until_end(refused_port: int) -> None:
    with pytest.raises(ConnectError) as caught:
        received(f"seedlink://127.0.0.1:{refused_port}")
    assert f"no connection to 127.0.0.1 port {refused_port}: connection refused" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_connection_refused_until_the_timeout(refused_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectError, match="connection refused"):
        received(f"seedlink://127.0.0.1:{refused_port}", until_end=False, connect_timeout_s=0.2)
    assert 0.2 <= time.monotonic() - began < 2


def test_a_live_run_retries_without_limit_and_logs_once(
    refused_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_link, "BACKOFF_MAX_S", 0.01)
    with caplog.at_level(logging.DEBUG), open_source(f"seedlink://127.0.0.1:{refused_port}") as source:
        assert isinstance(source, SeedLinkSource)
        stream = source.packets()
        for _ in range(6):
            assert next(stream) is None
    levels = [r.levelno for r in caplog.records if "retrying" in r.message]
    assert len(levels) >= 3
    assert levels == [logging.WARNING] + [logging.DEBUG] * (len(levels) - 1)


def test_recovery_is_logged(
    cut: Path, caplog: pytest.LogCaptureFixture, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted([], [packet(1, B921[0]), b"END"])
    with caplog.at_level(logging.INFO):
        _, packets = received(f"{server.url}/PB_B921")
    assert len(packets) == 1
    logged = [r.message.partition(": ")[2] for r in caplog.records if " connect" in r.message or "reconn" in r.message]
    assert logged == [
        "connected; SeedLink 3, 1 station(s)",
        "connection lost: the server closed the connection; retrying, at least every 60 s",
        "reconnected after 0 s, 1 failed attempt(s); SeedLink 3, 1 station(s)",
    ]


def test_each_reason_of_an_outage_is_logged_once_and_known_to_health(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_source("seedlink://127.0.0.1:1/PB_B921") as source, caplog.at_level(logging.WARNING):
        assert isinstance(source, SeedLinkSource)
        assert source.link_text == "not connected yet"
        for reason in ("first", "first", "second", "first"):
            source._note_failure(_link.Lost(reason), 0.0)
        source._outage_s -= 300
        assert source.link_text == "not connected for 5 min: first (4 failed attempt(s))"
    assert [r.message.split(": ")[2] for r in caplog.records] == [
        "first; retrying, at least every 60 s",
        "second; retrying, at least every 60 s",
    ]


def test_unknown_host() -> None:
    with pytest.raises(ConnectError, match="host name is unknown"):
        received("seedlink://no-such-host.invalid", connect_timeout_s=0.0)


def test_a_silent_connection_is_detected_by_the_age_of_the_data(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    server = scripted([packet(1, B921[0]), None], [packet(2, B921[1]), b"END"])
    source, packets = received(f"{server.url}/PB_B921", data_timeout_s=0.3)
    assert [p.token for p in packets] == ["000001", "000002"]
    assert source.counters.reconnects == 1
    assert "no data for" in caplog.text


def test_ticks_while_no_packet_arrives(scripted: Scripted) -> None:
    server = scripted([packet(1, B921[0]), None])
    with open_source(f"{server.url}/PB_B921?from=latest") as source:
        assert isinstance(source, SeedLinkSource)
        stream = source.packets()
        while next(stream) is None:
            pass
        assert source.state is LinkState.STREAMING
        began = time.monotonic()
        assert next(stream) is None
        assert time.monotonic() - began < 0.8


def test_close_from_another_thread_ends_packets_at_once(scripted: Scripted) -> None:
    server = scripted([packet(1, B921[0]), None])
    source = open_source(f"{server.url}/PB_B921?from=latest")
    arrived, found = threading.Event(), []

    def run() -> None:
        for p in source.packets():
            if p is not None:
                found.append(p)
                arrived.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert arrived.wait(5)
    began = time.monotonic()
    source.close()
    thread.join(5)
    assert not thread.is_alive() and time.monotonic() - began < 0.3
    assert len(found) == 1
    source.close()  # a second call is allowed

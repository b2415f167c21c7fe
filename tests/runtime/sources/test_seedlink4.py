"""Commands of the SeedLink client in version 4, its choice of the version, and tokens of the other version."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.paths import RECORDING

from seisedge.runtime.errors import FailedError
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.sources import _link, open_source
from seisedge.runtime.sources._seedlink_dialect import Dialect3, Dialect4, versions_offered
from seisedge.runtime.sources._seedlink_position import Position, Span
from seisedge.runtime.sources._seedlink_wire4 import HEADER
from seisedge.runtime.sources.seedlink import SeedLinkSource

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 60, 512)]
B921 = [record for record in RECORDS if record[8:12] == b"B921"]
BOTH = b"SeedLink v4.0 (scripted) :: SLPROTO:4.0 SLPROTO:3.1"

Scripted = Callable[..., Any]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_link, "BACKOFF_FIRST_S", 0.01)


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    path = tmp_path / "cut.mseed"
    path.write_bytes(b"".join(RECORDS))
    return path


def packet(sequence: int, record: bytes) -> bytes:
    return HEADER.pack(b"SE", b"2", b"D", len(record), sequence, 7) + b"PB_B921" + record


def received(url: str, **options: Any) -> tuple[SeedLinkSource, list[Packet]]:
    options.setdefault("until_end", True)
    with open_source(url, **options) as source:
        assert isinstance(source, SeedLinkSource)
        return source, [p for p in source.packets() if p is not None]


def test_commands_sent_to_a_server(scripted: Scripted) -> None:
    server = scripted([b"END"], [b"END"], [None])
    server.hello = BOTH
    received(f"{server.url}/XX_A,YY_B?select=EHZ,00BH?", resume={"XX.A": "v4:4294967296"})
    received(f"{server.url}/XX_A?from=2019-07-07T08:18:00Z")
    with open_source(f"{server.url}/XX_A,YY_B", resume={"XX.A": "v4:9"}) as source:
        next(iter(source.packets()))
    commands = [[c for c in part if not c.startswith("USERAGENT seisedge/")] for part in server.commands]
    assert commands == [
        [
            *("HELLO", "SLPROTO 4.0"),
            *("STATION XX_A", "SELECT *_E_H_Z", "SELECT 00_B_H_?", "DATA 4294967297"),
            *("STATION YY_B", "SELECT *_E_H_Z", "SELECT 00_B_H_?", "DATA ALL 1970-01-01T00:00:00Z"),
            "ENDFETCH",
        ],
        ["HELLO", "SLPROTO 4.0", "STATION XX_A", "DATA ALL 2019-07-07T08:18:00Z", "ENDFETCH"],
        ["HELLO", "SLPROTO 4.0", "STATION XX_A", "DATA 10", "STATION YY_B", "DATA", "END"],
    ]


@pytest.mark.parametrize(
    ("hello", "query", "tokens", "version"),
    [
        (BOTH, "", {}, 4),
        (BOTH, "?protocol=3", {}, 3),
        (BOTH, "", {"PB.B921": "000001"}, 3),  # the version of the token
        (BOTH, "", {"PB.B921": "v4:1"}, 4),
        (b"SeedLink v3.1 (old)", "", {}, 3),
        (b"SeedLink v3.3 (old) :: SLPROTO:3.1 CAP EXTREPLY", "", {"PB.B921": "v4:1"}, 3),
        (b"SeedLink v4.0 (new) :: SLPROTO:4.0", "", {"PB.B921": "000001"}, 4),
    ],
)
def test_the_version(hello: bytes, query: str, tokens: dict[str, str], version: int, scripted: Scripted) -> None:
    server = scripted([b"END"])
    server.hello = hello
    source, _ = received(f"{server.url}/PB_B921{query}", resume=tokens)
    assert source.version == version
    assert ("SLPROTO 4.0" in server.commands[0]) == (version == 4)


@pytest.mark.parametrize(
    ("hello", "query", "words"),
    [
        (b"SeedLink v3.1 (old)", "?protocol=4", "the server supports SeedLink 3, not 4 (SeedLink v3.1 (old))"),
        (b"SeedLink v4.0 :: SLPROTO:4.0", "?protocol=3", "the server supports SeedLink 4, not 3"),
        (b"SeedLink v9 :: SLPROTO:9.0", "", "the server supports SeedLink another version, not 3 or 4"),
    ],
)
def test_an_unsupported_version(hello: bytes, query: str, words: str, scripted: Scripted) -> None:
    server = scripted([b"END"])
    server.hello = hello
    with pytest.raises(FailedError) as caught:
        received(f"{server.url}/PB_B921{query}")
    assert words in str(caught.value)


def test_a_token_of_the_other_version_starts_at_the_earliest_packet(
    cut: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Digitizer(cut, speed=0) as digitizer:
        for protocol, token in ((3, "v4:20"), (4, "000020")):
            _, packets = received(f"{digitizer.url}/PB_B921?protocol={protocol}", resume={"PB.B921": token})
            assert len(packets) == len(B921)
            assert (
                f"PB.B921: token {token} is not of SeedLink {protocol}; starting at the earliest packet" in caplog.text
            )


def test_the_servers_message_is_reported(cut: Path, scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    with Digitizer(cut, speed=0) as digitizer, caplog.at_level(logging.WARNING):
        received(f"{digitizer.url}/XX_NONE,PB_B921")
    assert "no station XX.NONE (the server replied: ARGUMENTS unknown station)" in caplog.text
    server = scripted([], refuse=("SELECT",))
    server.hello = BOTH
    with pytest.raises(FailedError, match=r"refused select=\*_E_H_Z \(the server replied ERROR\)"):
        received(f"{server.url}/PB_B921?select=EHZ")


def test_a_connection_lost_inside_a_packet(scripted: Scripted) -> None:
    server = scripted(
        [packet(1 << 33, B921[0]), packet((1 << 33) + 1, B921[1])[:300]],
        [packet((1 << 33) + 1, B921[1]), packet((1 << 33) + 5, B921[2]), b"END"],
    )
    server.hello = BOTH
    source, packets = received(f"{server.url}/PB_B921")
    assert [p.token for p in packets] == ["v4:8589934592", "v4:8589934593", "v4:8589934597"]
    assert source.counters.reconnects == 1
    assert "DATA 8589934593" in server.commands[1]


def test_a_damaged_record_is_not_requested_again(scripted: Scripted) -> None:
    server = scripted([packet(1, B921[0]), packet(2, b"\xff" * 512)], [packet(3, B921[2]), b"END"])
    server.hello = BOTH
    source, packets = received(f"{server.url}/PB_B921,PB_B918", resume={"PB.B921": "v4:0", "PB.B918": "v4:0"})
    assert [p.token for p in packets] == ["v4:1", "v4:3"]
    assert source.counters.bad_records == 1


def test_an_error_in_the_stream_is_logged_as_the_reason(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    server = scripted([b"ERROR LIMIT too many clients\r\n"], [packet(1, B921[0]), b"END"])
    server.hello = BOTH
    _, packets = received(f"{server.url}/PB_B921")
    assert len(packets) == 1
    assert "the server replied: LIMIT too many clients; retrying" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "three", "four"),
    [
        ("EHZ", "EHZ", "*_E_H_Z"),
        ("!EH?", "!EH?", "!*_E_H_?"),
        ("00EH?", "00EH?", "00_E_H_?"),
        ("--EHZ.D", "--EHZ.D", "_E_H_Z.?D"),
        ("00_B_H_Z", "00BHZ", "00_B_H_Z"),
        ("!*_E_H_?", "!EH?", "!*_E_H_?"),
        ("_E_H_Z", "--EHZ", "_E_H_Z"),
        ("*_LONG_H_Z", None, "*_LONG_H_Z"),
        ("*", "*", "*"),
        ("EHZZ", "EHZZ", None),
    ],
)
def test_channel_patterns_of_both_versions(pattern: str, three: str | None, four: str | None) -> None:
    assert Dialect3().selector(pattern) == three
    assert Dialect4().selector(pattern) == four


def test_stations_of_a_reply() -> None:
    stations = [{"id": "PB_B918", "start_seq": 3, "end_seq": 9}, {"id": "XX_A_B"}, {"id": "odd"}]
    assert Dialect4().stations_from_info([json.dumps({"station": stations}).encode()]) == {
        ("PB", "B918"): Span(Position(4, 3), Position(4, 9)),
        ("XX", "A_B"): None,
    }
    with pytest.raises(_link.Lost, match="cannot be parsed"):
        Dialect4().stations_from_info([b"{"])


def test_versions_offered() -> None:
    assert versions_offered("SeedLink v3.1 (2020.075)") == {3}
    assert versions_offered(BOTH.decode()) == {3, 4}
    assert versions_offered("x :: SLPROTO:5.0") == set()

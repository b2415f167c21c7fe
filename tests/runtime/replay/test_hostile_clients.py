"""Clients that send without end, take nothing, or are too many: the others are served."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.paths import RECORDING

from seisedge.runtime.replay import Digitizer, _client
from seisedge.runtime.replay import digitizer as server
from seisedge.runtime.replay._client import Served
from seisedge.runtime.replay._clock import ReplayClock
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.replay._seedlink import MAX_SELECTORS, SeedLinkClient
from seisedge.runtime.sources._datalink_wire import message


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / "cut.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * 20])
    return path


@pytest.fixture
def digitizer(cut: Path) -> Iterator[Digitizer]:
    with Digitizer(cut, speed=0) as served:
        yield served


def connected(digitizer: Digitizer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", digitizer.port), timeout=10)


def is_served(digitizer: Digitizer) -> bool:
    with connected(digitizer) as link:
        link.sendall(b"HELLO\r\n")
        return link.recv(100).startswith(b"SeedLink")


def rest(link: socket.socket) -> bytes:
    """What the server sends before it closes the connection; fails after the socket's timeout."""
    received = b""
    try:
        while data := link.recv(1 << 16):
            received += data
    except ConnectionResetError:  # it closed without reading everything
        pass
    return received


@pytest.mark.parametrize(
    "before", [b"", b"HELLO\r\n", b"STATION B918 PB\r\nDATA\r\nEND\r\n"], ids=["", "hello", "live"]
)
def test_an_endless_line_is_cut(before: bytes, digitizer: Digitizer) -> None:
    with connected(digitizer) as link:
        link.sendall(before)
        try:
            for _ in range(64):
                link.sendall(b"x" * 4096)
        except OSError:
            pass  # already disconnected
        rest(link)
    assert is_served(digitizer)


def test_a_datalink_command_that_is_never_complete_is_cut(digitizer: Digitizer) -> None:
    for data in (b"DL\xffx", message("MATCH 65536"), message("MATCH 65537")):
        with connected(digitizer) as link:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            assert rest(link) == b""
    assert is_served(digitizer)


def test_a_pattern_that_backtracks_is_answered(digitizer: Digitizer) -> None:
    with connected(digitizer) as link:
        for pattern in (b"(a+)+$", b"([A-Z]+)*x$", b"(.*)*(.*)*(.*)*x$"):
            link.sendall(message(f"MATCH {len(pattern)}", pattern))
            assert link.recv(100).endswith(b"0 streams selected")


def test_channel_patterns_of_a_station_are_limited(digitizer: Digitizer) -> None:
    with connected(digitizer) as link, link.makefile("rb") as answers:
        link.sendall(b"STATION B918 PB\r\n" + b"SELECT EH?\r\n" * (MAX_SELECTORS + 1))
        found = [answers.readline() for _ in range(MAX_SELECTORS + 2)]
        assert found == [b"OK\r\n"] * (MAX_SELECTORS + 1) + [b"ERROR\r\n"]
        link.sendall(b"SELECT\r\nSELECT EHZ\r\n")  # without a pattern: all channels again
        assert [answers.readline() for _ in range(2)] == [b"OK\r\n"] * 2


SEEDLINK = (
    "HELLO", "SLPROTO 4.0", "SLPROTO 3.1", "SLPROTO", "STATION B918 PB", "STATION PB_B918", "STATION *_*", "STATION",
    "SELECT EH?", "SELECT *_E_H_Z", "SELECT !", "SELECT", "DATA", "DATA 000001", "DATA ALL", "DATA -1",
    "DATA 9" + "9" * 30,
    "DATA ALL 2019-07-07T08:16:00Z", "FETCH 0", "FETCH x", "TIME 2019,7,7", "TIME 1", "TIME 9999999,1,1", "TIME", "END",
    "ENDFETCH", "INFO", "INFO ID", "INFO STATIONS", "INFO STREAMS", "INFO ü", "ü", "CAT", "USERAGENT x", "x" * 500,
)  # fmt: skip
DATALINK = (
    "ID x", "MATCH 3", "MATCH 0", "MATCH", "REJECT 2", "POSITION SET EARLIEST", "POSITION SET 5", "POSITION SET 5 x",
    "POSITION AFTER 1", "POSITION AFTER x", "POSITION SET 9" + "9" * 30, "INFO STATUS", "INFO STREAMS", "INFO",
    "STREAM", "STREAM DIALUP", "ENDSTREAM", "", "READ 3",
)  # fmt: skip


def random_commands(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        endings = (b"\r\n", b"\n", b"\r", b"")
        data = b"".join(rng.choice(SEEDLINK).encode() + rng.choice(endings) for _ in range(rng.randrange(1, 12)))
    else:
        payloads = (b"", b"", rng.randbytes(2), rng.randbytes(3))
        data = b"".join(message(rng.choice(DATALINK), rng.choice(payloads)) for _ in range(rng.randrange(1, 12)))
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 3))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("ring", [None, 5])
def test_random_commands_end_no_thread_with_an_exception(ring: int | None, cut: Path) -> None:
    """An exception of a thread fails the test."""
    rng = random.Random(0)
    with Digitizer(cut, speed=0, ring=ring) as digitizer:
        for _ in range(400):
            with connected(digitizer) as link:
                link.sendall(random_commands(rng))
                link.shutdown(socket.SHUT_WR)
                rest(link)
        assert is_served(digitizer)


class Waits(threading.Event):
    """An event that is never set; keeps the waits."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.kept.append(timeout or 0.0)
        return False


def test_a_client_waits_for_the_work_of_its_commands(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After FREE_WORK_S of CPU time it waits WAIT_PER_WORK times as long as its commands take."""
    used_s = iter(k * 0.125 for k in range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: next(used_s))
    waits, recording = Waits(), Recording([cut], 512)
    served = Served(recording, ReplayClock(0, 0.0, lambda: 0), 0.0, 1, 0.5, waits)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as theirs,
        listening.accept()[0] as ours,
    ):
        theirs.sendall(b"HELLO\r\n" * 30 + b"BYE\r\n")
        client = SeedLinkClient(ours, served)
        client.run()
    free = round(_client.FREE_WORK_S / 0.125)
    assert len(waits.kept) == 30 - free
    assert waits.kept == [0.125 * _client.WAIT_PER_WORK] * (30 - free)


def test_too_many_clients(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that is not streaming is disconnected; where all are streaming, the new one is refused."""
    monkeypatch.setattr(server, "MAX_CLIENTS", 3)
    with Digitizer(cut, speed=0) as digitizer:
        streaming = connected(digitizer)
        streaming.sendall(b"STATION B918 PB\r\nDATA\r\nEND\r\n")
        assert streaming.recv(4) == b"OK\r\n" and streaming.recv(4) == b"OK\r\n" and streaming.recv(2) == b"SL"
        idle = [connected(digitizer) for _ in range(5)]
        for link in idle[:3]:
            assert rest(link) == b""
        for link in idle[3:]:
            link.sendall(b"STATION B918 PB\r\nDATA\r\nEND\r\n")
            assert link.recv(8) in (b"OK\r\n", b"OK\r\nOK\r\n")
            while b"SL" not in link.recv(512):
                pass
        with connected(digitizer) as late:
            assert rest(late) == b""
        streaming.sendall(b"INFO ID\r\n")
        received = b""
        while b"SLINFO" not in received:
            received += streaming.recv(4096)
        for link in (streaming, *idle):
            link.close()

"""Servers that send bytes, but never what the client waits for: no limit of time is extended by them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
from tests.paths import RECORDING

from seisedge.runtime.errors import ConnectError, FailedError
from seisedge.runtime.replay._info import info_packets
from seisedge.runtime.sources import _link, open_source
from seisedge.runtime.sources._datalink_wire import message

Serve = Callable[[list[bytes], bytes], int]

RECORD = RECORDING.read_bytes()[:512]
PAUSE_S = 0.01
GIVE_UP_S = 10.0  # then the server closes the connection, and the test fails by the reason that the client reports

HELLO = b"SeedLink v3.1 (slow) :: SLPROTO:4.0 SLPROTO:3.1\r\nsite\r\n"
INFO = info_packets("x" * 1000)[0]  # more packets follow
PACKET = message(f"PACKET PB_B918__EHZ/MSEED 1 1 1 1 {len(RECORD)}", RECORD)


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "REPLY_TIMEOUT_S": 0.4,
        "NEGOTIATION_TIMEOUT_S": 5.0,
        "STATION_TIMEOUT_S": 0.0,
        "BACKOFF_FIRST_S": 0.01,
        "TICK_S": 0.02,
    }.items():
        monkeypatch.setattr(_link, name, value)


@pytest.fixture
def serving() -> Iterator[Serve]:
    """Serve each connection the same pieces, with a pause after each; returns the port."""
    ending = threading.Event()
    opened: list[socket.socket] = []

    def serve(link: socket.socket, pieces: list[bytes], drip: bytes) -> None:
        with link, contextlib.suppress(OSError):
            for piece in pieces:
                link.sendall(piece)
            for _ in range(round(GIVE_UP_S / PAUSE_S)):
                link.sendall(drip)
                if ending.wait(PAUSE_S):
                    return

    def listen(pieces: list[bytes], drip: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0], pieces, drip), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(server.getsockname()[1])

    yield listen
    ending.set()
    for server in opened:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize(
    ("scheme", "pieces", "drip", "reason"),
    [
        ("seedlink", [], b"S", "no complete reply to HELLO within 0.4 s"),
        ("seedlink", [HELLO[:-2]], b"x", "no complete reply to HELLO within 0.4 s"),
        ("seedlink", [b"x" * 20_000], b"x", "the reply to HELLO is a line of more than 16384 bytes"),
        ("seedlink", [HELLO], b"O", "no complete reply to INFO STATIONS within 0.4 s"),
        ("seedlink", [HELLO], INFO, "no complete reply to INFO STATIONS within 0.4 s"),
        ("seedlink", [HELLO, INFO * 40_000], INFO, "the reply to INFO STATIONS has more than 16777216 bytes"),
        ("datalink", [], b"D", "no complete reply to ID within 0.4 s"),
        ("datalink", [b"DL\xf0ID "], b"x", "no complete reply to ID within 0.4 s"),
        ("datalink", [], PACKET, "no complete reply to ID within 0.4 s"),
        ("datalink", [message("ID x")], PACKET, "no complete reply to MATCH within 0.4 s"),
        ("datalink", [message("ID x"), message("OK 1 8388608")], b"x", "no complete reply to MATCH within 0.4 s"),
    ],
)  # fmt: skip
def test_a_reply_that_is_never_complete(
    scheme: str, pieces: list[bytes], drip: bytes, reason: str, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "bytes" in reason:
        monkeypatch.setattr(_link, "REPLY_TIMEOUT_S", GIVE_UP_S)
        monkeypatch.setattr(_link, "NEGOTIATION_TIMEOUT_S", GIVE_UP_S)
    version = "?protocol=3" if scheme == "seedlink" else ""
    port = serving(pieces, drip)
    with (
        pytest.raises(ConnectError, match=reason),
        open_source(f"{scheme}://127.0.0.1:{port}/{version}", until_end=True) as source,
    ):
        list(source.packets())


@pytest.mark.parametrize("scheme", ["seedlink", "datalink"])
def test_a_negotiation_of_slow_replies(scheme: str, serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reply arrives in time, all of them together do not."""
    monkeypatch.setattr(_link, "REPLY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(_link, "NEGOTIATION_TIMEOUT_S", 0.1)
    if scheme == "seedlink":
        port = serving([HELLO], b"OK\r\n")
        path = f"/{','.join(f'XX_A{k}' for k in range(200))}?protocol=3"
    else:
        port, path = serving([message("ID x")], b""), ""
    with (
        pytest.raises(ConnectError, match=r"the server did not complete the negotiation within 0\.1 s"),
        open_source(f"{scheme}://127.0.0.1:{port}{path}", until_end=True) as source,
    ):
        list(source.packets())


def test_the_connect_timeout_holds_for_the_negotiation(serving: Serve) -> None:
    port = serving([], b"S")
    with (
        pytest.raises(ConnectError, match=r"did not complete the negotiation within 0\.1 s"),
        open_source(f"seedlink://127.0.0.1:{port}/XX_A", connect_timeout_s=0.1) as source,
    ):
        list(source.packets())


@pytest.mark.parametrize(
    ("scheme", "pieces", "drip"),
    [
        ("seedlink", [HELLO, *repeat(b"OK\r\n", 2)], b"x"),
        ("seedlink", [HELLO, *repeat(b"OK\r\n", 2)], info_packets("x")[0]),
        ("datalink", [message("ID x"), *repeat(message("OK 1 0"), 2)], b"x"),
        ("datalink", [message("ID x"), *repeat(message("OK 1 0"), 2)], message("INFO STATUS 0")),
    ],
)  # fmt: skip
def test_a_stream_without_packets_is_lost_by_data_age(
    scheme: str, pieces: list[bytes], drip: bytes, serving: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """And ticks go on: the loop has its timers."""
    version = "?protocol=3" if scheme == "seedlink" else ""
    port = serving(pieces, drip)
    with open_source(f"{scheme}://127.0.0.1:{port}/XX_A{version}", data_timeout_s=0.1) as source:
        for packet in source.packets():
            assert packet is None
            if "no data for" in caplog.text:
                break


def test_texts_of_a_server_are_printed_in_part_and_without_control_characters(serving: Serve) -> None:
    for pieces, shown in (
        ([b"SeedLink v9 \x1b[31m" + b"x" * 9000 + b" SLPROTO:9.0\r\nsite\r\n"], "(SeedLink v9  [31mxxx"),
        ([HELLO, b"ERROR \x1b[31m" + b"x" * 9000 + b"\r\n"], "the server replied:  [31mxxx"),
    ):
        port = serving(pieces, b"OK\r\n")
        with (
            pytest.raises(FailedError) as caught,
            open_source(f"seedlink://127.0.0.1:{port}/XX_A", until_end=True) as source,
        ):
            list(source.packets())
        assert shown in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_codes_of_a_server_that_no_command_can_contain_are_ignored(serving: Serve) -> None:
    stations = "".join(f'<station network="XX" name="{name}"/>' for name in ("A B", "A&#10;BYE", "ü", ""))
    port = serving([HELLO, *info_packets(f"<seedlink>{stations}</seedlink>")], b"OK\r\n")
    with (
        pytest.raises(FailedError, match="it has no station"),
        open_source(f"seedlink://127.0.0.1:{port}/?protocol=3", until_end=True) as source,
    ):
        list(source.packets())

"""Against a real HTTP server that answers with given status codes."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.fakes import silent_port, unreachable_port
from tests.runtime.sinks.receiver import DRIP_BYTES, Receiver, answering, dripping, serving

from seisedge.runtime.event import Event
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.sinks import Refused
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.webhook import WebhookSink


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as server:
        yield server


def test_one_post_per_revision(receiver: Receiver, events: list[Event]) -> None:
    sink = WebhookSink(receiver.url, token="hush")
    sink.write(events[1])
    ((headers, body),) = receiver.got
    assert msgspec.json.decode(body, type=Event) == events[1]
    assert headers["Idempotency-Key"] == f"{events[1].id}/1"
    assert headers["Content-Type"] == "application/json" and headers["Authorization"] == "Bearer hush"


@pytest.mark.parametrize(
    ("code", "error"),
    [(200, None), (204, None), (409, None),
     (400, Refused), (406, Refused), (411, Refused), (413, Refused), (414, Refused), (415, Refused), (422, Refused),
     (302, ConnectionError), (401, ConnectionError), (403, ConnectionError), (404, ConnectionError),
     (405, ConnectionError), (407, ConnectionError), (408, ConnectionError), (410, ConnectionError),
     (425, ConnectionError), (429, ConnectionError), (500, ConnectionError), (503, ConnectionError)],
)  # fmt: skip
def test_status_codes(receiver: Receiver, events: list[Event], code: int, error: type[Exception] | None) -> None:
    receiver.codes = [code]
    if error is None:
        WebhookSink(receiver.url).write(events[0])
    else:
        with pytest.raises(error, match=str(code)):
            WebhookSink(receiver.url).write(events[0])
    assert len(receiver.got) == 1


def test_a_refused_connection(events: list[Event]) -> None:
    with Receiver() as server:
        url = server.url
    with pytest.raises(ConnectionError, match="refused"):
        WebhookSink(url).write(events[0])


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
DRIPS: dict[str, Callable[[], Iterable[bytes]]] = {
    "status line": dripping(b"HTTP/1.1 200 ", b"\r\nContent-Length: 0\r\n\r\n"),
    "headers": dripping(b"HTTP/1.1 200 OK\r\nX: ", b"\r\nContent-Length: 0\r\n\r\n"),
    "100 Continue": lambda: [*[b"HTTP/1.1 100 Continue\r\n\r\n"] * DRIP_BYTES, OK],
    "100 Continue with headers": lambda: [*[b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"] * DRIP_BYTES, OK],
}


@pytest.mark.parametrize("drip", DRIPS)
def test_a_dripping_answer_ends_at_the_deadline(events: list[Event], drip: str) -> None:
    """Each of them ends with 200 after a second; without a deadline for the whole exchange it is accepted."""
    with answering(DRIPS[drip]) as port:
        with pytest.raises(TimeoutError, match=r"no complete answer within 0\.3 s"):
            WebhookSink(f"http://127.0.0.1:{port}/", timeout_s=0.3).write(events[0])
        WebhookSink(f"http://127.0.0.1:{port}/", timeout_s=60).write(events[0])  # it is an answer, in the end


def test_a_peer_that_does_not_answer_or_cannot_be_reached(events: list[Event]) -> None:
    for peer in (silent_port, unreachable_port):
        for scheme in ("http", "https"):
            with peer() as port, pytest.raises(TimeoutError, match="no complete answer"):
                WebhookSink(f"{scheme}://127.0.0.1:{port}/", timeout_s=0.1).write(events[0])


def test_a_tls_handshake_that_drips(events: list[Event]) -> None:
    hello = dripping(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # of 16 KB, a byte at a time; then the end: an SSLError
    with answering(hello) as port, pytest.raises(TimeoutError, match="no complete answer"):
        WebhookSink(f"https://127.0.0.1:{port}/", timeout_s=0.3).write(events[0])


def test_a_proxy_that_drips(events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to CONNECT, before TLS."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(dripping(b"HTTP/1.1 200 OK\r\nX: ")) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(TimeoutError, match="no complete answer"):
            WebhookSink("https://192.0.2.1/", timeout_s=0.3).write(events[0])


def test_tls_with_a_verified_certificate(events: list[Event], authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "broker.pem", authority / "broker.key")

    def secure(link: socket.socket) -> socket.socket:
        return context.wrap_socket(link, server_side=True)

    with answering(DRIPS["headers"], secure) as port:
        url = f"https://127.0.0.1:{port}/"
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "other.pem"))
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            WebhookSink(url, timeout_s=60).write(events[0])
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        with pytest.raises(TimeoutError, match="no complete answer"):
            WebhookSink(url, timeout_s=0.5).write(events[0])
        WebhookSink(url, timeout_s=60).write(events[0])


def test_the_body_of_an_answer_decides_nothing(events: list[Event]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with answering(dripping(head)) as port:
        WebhookSink(f"http://127.0.0.1:{port}/", timeout_s=0.3).write(events[0])
    head = b"HTTP/1.1 400 \x1b[31mBad\x07\r\nContent-Length: 1000000\r\n\r\n\x1b]0;title\x07 no \r\n hush station"
    with answering(dripping(head)) as port, pytest.raises(Refused) as caught:
        WebhookSink(f"http://127.0.0.1:{port}/", token="hush", timeout_s=0.3).write(events[0])
    assert (caught.value.status, str(caught.value).partition("answered ")[2]) == (400, "400 \\x1b[31mBad\\x07")
    assert caught.value.answer.startswith(r"\x1b]0;title\x07 no \r\n … station")


def test_a_long_body_is_cut_off(receiver: Receiver, events: list[Event]) -> None:
    receiver.codes, receiver.body = [413], b"y" * 100_000
    with pytest.raises(Refused) as caught:
        WebhookSink(receiver.url).write(events[0])
    assert (caught.value.status, caught.value.answer) == (413, "y" * 500)


def test_down_and_back_in_order(receiver: Receiver, events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    receiver.codes = [503, 503, 400]
    journal = MemoryJournal("list:")
    drain = Drain(WebhookSink(receiver.url), "webhook", journal.outbox, backoff_first_s=0.01)
    drain.start()
    for event in events:
        journal.add(event)
    journal.step()
    done = threading.Event()
    for _ in range(500):
        if journal.outbox.undelivered("webhook") == 0 or done.wait(0.01):
            break
    assert drain.close(5) == 0
    keys = [headers["Idempotency-Key"].rpartition("/")[2] for headers, _ in receiver.got]
    assert keys == ["0", "0", "0", "1", "2"]
    assert (drain.counters.delivered, drain.counters.failures, drain.counters.refused) == (2, 2, 1)
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len([text for text in warned if "retrying" in text]) == 1
    assert any("refused" in text and "XX.STA" in text for text in warned)

"""The server: clients that do not read, too many clients, work that fails. The clock is simulated."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from tests.waiting import wait_until

from seisedge.runtime.errors import FailedError
from seisedge.runtime.http_server import server as module
from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.http_server.server import Limits, Server
from seisedge.runtime.http_server.stream import MAX_BUFFER_BYTES, Stream


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Handler:
    """Answers with a body of the size in the query, or with a stream."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.put = b""
        self.fails = 0

    def answer(self, request: Request) -> Response:
        if request.path == "/stream":
            self.streams.append(Stream())
            return Response(HTTPStatus.OK, "text/event-stream", b"first\n", (), self.streams[-1])
        return Response(HTTPStatus.OK, "text/plain", b"x" * int(request.query.get("n", 3)))

    def refusal(self, status: HTTPStatus, sentence: str) -> Response:
        return Response(status, "text/plain", sentence.encode())

    def work(self) -> float | None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the work fails")
        data, self.put = self.put, b""
        for stream in self.streams:
            stream.put(data)
        return None


class Served:
    """A server with its handler and its clock."""

    def __init__(self, limits: Limits, port: int = 0) -> None:
        self.clock, self.handler = Clock(), Handler()
        self.server = Server("test", self.handler, ("127.0.0.1", port), limits, self.clock, required=not port)

    def client(self, target: str = "", buffer_bytes: int | None = None) -> socket.socket:
        link = socket.socket()
        if buffer_bytes is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        link.settimeout(30)
        link.connect(("127.0.0.1", self.server.port))
        if target:
            link.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return link

    def get(self, target: str) -> bytes:
        with self.client(target) as link:
            return _all_of(link)

    def send(self, data: bytes) -> None:
        """Put data into all streams, in the thread of the server."""
        self.handler.put = data
        self.server.wake()
        wait_until(lambda: self.handler.put == b"")

    def later(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.server.wake()


def _all_of(link: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := link.recv(65536):
            received += data
    return received


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(Limits(connections=16, answers_per_s=10_000, send_s=60.0))
    yield made
    made.server.close()


def test_a_stream_receives_what_is_put_and_ends_with_its_client(served: Served) -> None:
    with served.client("/stream") as link:
        received = b""
        while not received.endswith(b"first\n"):
            received += link.recv(1000)
        assert b"Content-Length" not in received
        served.send(b"second\n")
        assert link.recv(1000) == b"second\n"
        served.later(10_000.0)  # a stream has no age
        served.send(b"third\n")
        assert link.recv(1000) == b"third\n"
    wait_until(lambda: served.handler.streams[0].ended)
    assert served.server._connections == {}


class Reading:
    """Reads all that a client receives, in a thread."""

    def __init__(self, link: socket.socket) -> None:
        self.received = bytearray()
        self._link = link
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._link.recv(65536):
                self.received += data


def test_a_stream_that_is_not_read_has_a_bounded_buffer_and_ends(served: Served) -> None:
    with served.client("/stream", 4096) as stalled, served.client("/stream") as link:
        reading = Reading(link)
        wait_until(lambda: len(served.handler.streams) == 2 and b"first\n" in reading.received)
        head, sent = len(reading.received), 0
        first, second = served.handler.streams
        while not (first.ended or second.ended):
            served.send(b"e" * 8192)
            sent += 8192
            assert max(len(first.pending), len(second.pending)) <= MAX_BUFFER_BYTES
            wait_until(lambda: len(reading.received) == head + sent)  # noqa: B023 - it returns within the iteration
        assert sent < 4 * 2**20 and len(served.server._connections) == 1  # the kernel holds the rest
        assert not first.pending or not second.pending
        assert stalled.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_reads_a_byte_a_minute_is_disconnected(served: Served) -> None:
    with served.client("/?n=2500000", 4096) as slow, served.client("/stream", 4096) as stream:
        for pause_s in (0.0, 29.0, 29.0):
            assert slow.recv(1) and stream.recv(1)
            served.later(pause_s)
            assert served.get("/?n=5").endswith(b"\r\n\r\nxxxxx")  # the deadlines have been looked at
            assert sum(len(c.answer) > 0 for c in served.server._connections.values()) == 1
        served.later(3.0)  # 61 s in all
        wait_until(lambda: not any(len(c.answer) for c in served.server._connections.values()))
        assert len(served.server._connections) >= 1 and not served.handler.streams[0].ended


def test_answers_that_are_not_read_are_bounded_together(served: Served) -> None:
    assert served.server._listener is not None
    served.server._listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDBUF, 65536
    )  # else the kernel may take a whole answer
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(served.client("/?n=2500000", 4096)) for _ in range(5)]
        wait_until(lambda: sum(c.answered for c in served.server._connections.values()) == 5)
        waiting = sum(len(c.answer) for c in served.server._connections.values())
        assert waiting <= module.MAX_WAITING_BYTES
        assert served.get("/?n=5").endswith(b"xxxxx")
        heads = [client.recv(12) for client in clients]
    assert heads == [b"HTTP/1.1 200"] + [b"HTTP/1.1 503"] * 4


def test_a_thousand_clients_and_the_next_one_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ACCEPTS_PER_S", 10_000)
    served = Served(Limits(connections=16))
    served.server._accepted._limit = 10_000
    try:
        with contextlib.ExitStack() as opened:
            link = opened.enter_context(served.client("/stream"))
            reading = Reading(link)
            wait_until(lambda: b"first\n" in reading.received)
            threads = threading.active_count()
            for k in range(1000):
                with contextlib.suppress(OSError):
                    opened.enter_context(served.client("/?n=1" if k % 3 == 0 else ""))
            assert len(served.server._connections) <= 16 and threading.active_count() == threads
            assert served.get("/?n=5").endswith(b"xxxxx") or served.get("/?n=5").endswith(b"later")
            served.send(b"still here\n")
            wait_until(lambda: reading.received.endswith(b"still here\n"))  # streams are not closed for new clients
    finally:
        served.server.close()


def test_too_many_requests_are_refused_with_a_sentence() -> None:
    served = Served(Limits(answers_per_s=2, too_many=HTTPStatus.SERVICE_UNAVAILABLE))
    try:
        answers = [served.get("/?n=5") for _ in range(4)]
        assert [answer[9:12] for answer in answers] == [b"200", b"200", b"503", b"503"]
        assert answers[3].endswith(b"more than 2 requests per second; try again later")
        served.clock.now_s += 1.0
        assert served.get("/?n=5")[9:12] == b"200"
    finally:
        served.server.close()


def test_work_that_fails_once_is_done_again_and_the_port_stays(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.threads.RESTART_FIRST_S", 0.01)
    port = served.server.port
    served.handler.fails = 1
    served.server.wake()
    wait_until(lambda: served.handler.fails == 0)
    assert served.get("/?n=5").endswith(b"xxxxx") and served.server.port == port


def test_a_request_that_is_no_http_is_answered_in_one_sentence(served: Served) -> None:
    with served.client() as link:
        link.sendall(b"\x16\x03\x01\r\n\r\n")
        assert _all_of(link).endswith(b"\r\n\r\nthis is not an HTTP/1.1 request")


def test_a_port_that_is_taken_is_opened_when_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FailedError, match=f"required: cannot listen on 127.0.0.1 port {port}: Address already"):
            Server("required", Handler(), ("127.0.0.1", port))
        served = Served(Limits(), port)
        served.later(module.REOPEN_S)
        served.send(b"work")
        assert served.server._listener is None and served.server.port == port
        assert str(served.server.failure).startswith(f"test: cannot listen on 127.0.0.1 port {port}: Address already")
    try:
        served.later(module.REOPEN_S)
        wait_until(lambda: served.server.failure is None)
        assert served.get("/?n=5").endswith(b"xxxxx")
    finally:
        served.server.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]

"""Server: answers HTTP requests in one thread, with bounded connections, memory, age and rate.

Clients that connect and send nothing, or read nothing, cost neither threads nor the descriptors of the sources. Beyond
the number of connections the oldest one is closed: a new client is served.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Protocol

from seisedge.runtime.errors import FailedError
from seisedge.runtime.http_server.message import (
    END_OF_HEADER,
    MAX_REQUEST_BYTES,
    BadRequestError,
    Request,
    Response,
    request_from,
)
from seisedge.runtime.http_server.stream import Stream
from seisedge.runtime.listening import cannot_listen
from seisedge.runtime.threads import start_worker

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 32  # fewer where the process may open fewer files, see `max_connections`
MAX_AGE_S = 10.0  # of a connection
MAX_ACCEPTS_PER_S = 200  # a thousand connections cost the station no time
MAX_ANSWERS_PER_S = 20
MAX_WAITING_BYTES = 3 * 2**20  # answers that clients have not received yet
SEND_BYTES = 16 * 1024  # to one client at a time
STREAM_BUFFER_BYTES = 64 * 1024  # in the kernel, for a client that does not read
BACKLOG = 128  # connections that wait in the kernel
LINGER_S = 1.0  # for the client to close the connection after the answer
CLOSE_WAIT_S = 1.0
REOPEN_S = 30.0  # between two attempts to open a port


class Handler(Protocol):
    """What a server serves. All methods are called in the thread of the server."""

    def answer(self, request: Request) -> Response:
        """The response to one request. An exception is logged and answered with 500."""

    def refusal(self, status: HTTPStatus, sentence: str) -> Response:
        """The response to a request that is not answered."""

    def work(self) -> float | None:
        """Work that is due; returns the seconds to the next work, or None."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server. send_s: time in which a client must have received its answer; None: within MAX_AGE_S."""

    connections: int = MAX_CONNECTIONS
    answers_per_s: int = MAX_ANSWERS_PER_S
    send_s: float | None = None
    too_many: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS


class Server:
    """Serves until `close`. Raises InputError for an unknown host, FailedError if the port cannot be opened.

    required: False logs a port that cannot be opened and retries every `REOPEN_S`; meanwhile the work continues.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        address: tuple[str, int],
        limits: Limits | None = None,
        now_s: Callable[[], float] = monotonic,
        *,
        required: bool = True,
    ) -> None:
        """name: of the thread, in the log and in the error for an address that cannot be used."""
        self.name = name
        self._handler = handler
        self._now_s = now_s
        self._limits = limits or Limits()
        self._address = address
        self._reopen_s = 0.0
        self.failure: str | None = None  # why the port cannot be opened
        self._listener: socket.socket | None = None
        try:
            self._listener = _listener(address)
        except (OSError, OverflowError, UnicodeError) as error:
            failure = cannot_listen(name, *address, error)
            if required or not isinstance(failure, FailedError):
                raise failure from error
            self.failure = str(failure)
            logger.warning("%s; it is tried again every %.0f s", failure, REOPEN_S)
            self._reopen_s = now_s() + REOPEN_S
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._closing = False
        self._max_connections = max_connections(self._limits.connections)
        self._connections: dict[socket.socket, _Connection] = {}  # oldest first
        self._accepted = Rate(MAX_ACCEPTS_PER_S, now_s)
        self._answered = Rate(self._limits.answers_per_s, now_s)
        self._worker = start_worker(name, self._serve)

    @property
    def port(self) -> int:
        """The port; the one of the address while that cannot be opened."""
        return self._address[1] if self._listener is None else int(self._listener.getsockname()[1])

    @property
    def listening(self) -> bool:
        """True once the port is open."""
        return self._listener is not None

    @property
    def address_text(self) -> str:
        """HOST:PORT; an IPv6 address is in brackets."""
        host = self._address[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def thread_id(self) -> int | None:
        """Identifier of the thread."""
        return self._worker.ident

    def close(self) -> None:
        """Stop serving and close all connections."""
        self._closing = True
        self._worker.stop()
        self.wake()
        self._worker.join(CLOSE_WAIT_S)
        for link in (self._listener, self._wake, self._woken, *list(self._connections)):
            if link is not None:
                link.close()

    def wake(self) -> None:
        """Let the thread check its deadlines and do its work now."""
        with contextlib.suppress(BlockingIOError):  # it has not looked since the last times
            self._wake.send(b"\0")

    def _serve(self) -> None:
        for connection in list(self._connections.values()):  # of a thread that has failed
            self._disconnect(connection)
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing:
                self._listen(selector)
                due_s = self._handler.work()
                self._update_streams(selector)
                for key, events in selector.select(self._wait_s(due_s)):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fileobj is self._woken:
                        self._woken.recv(1024)
                    elif isinstance(key.data, _Connection):
                        self._handle(key.data, selector, events)
                self._expire(selector)

    def _reopen(self) -> None:
        """Try to open the port that could not be opened at the start."""
        if self._listener is None and self._now_s() >= self._reopen_s:
            self._reopen_s = self._now_s() + REOPEN_S
            try:
                self._listener = _listener(self._address)
            except OSError as error:
                logger.debug("%s: the port cannot be opened yet: %s", self.name, error)
            else:
                self.failure = None
                logger.info("%s: listens on %s port %d now", self.name, *self._address)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Accept connections while their rate is below the limit; the others wait in the kernel."""
        self._reopen()
        if self._listener is None:
            return
        listening = self._listener in selector.get_map()
        if self._accepted.available and not listening:
            selector.register(self._listener, selectors.EVENT_READ)
        elif not self._accepted.available and listening:
            selector.unregister(self._listener)

    def _wait_s(self, due_s: float | None) -> float | None:
        """Seconds to the next deadline."""
        now_s = self._now_s()
        waits_s = [connection.until_s - now_s for connection in self._connections.values()]
        waits_s += [] if due_s is None else [due_s]
        if self._listener is None:
            waits_s.append(self._reopen_s - now_s)
        if not self._accepted.available:
            waits_s.append(self._accepted.next_s - now_s)
        finite_s = [wait_s for wait_s in waits_s if wait_s < float("inf")]
        return max(min(finite_s), 0.0) if finite_s else None

    def _accept(self, selector: selectors.BaseSelector) -> None:
        assert self._listener is not None
        self._accepted.take()
        try:
            link, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptor is free, or the client has gone
            logger.debug("%s: a connection could not be accepted: %s", self.name, error)
            return
        if len(self._connections) >= self._max_connections:
            oldest = next((c for c in self._connections.values() if c.stream is None), None)
            self._disconnect(oldest or next(iter(self._connections.values())), selector)
        link.setblocking(False)
        connection = self._connections[link] = _Connection(link, self._now_s() + MAX_AGE_S)
        selector.register(link, selectors.EVENT_READ, connection)

    def _handle(self, connection: _Connection, selector: selectors.BaseSelector, events: int) -> None:
        """Read the request, or write the answer, as far as that is possible now."""
        try:
            if events & selectors.EVENT_WRITE:
                self._send(connection, selector)
                return
            data = connection.link.recv(MAX_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the client has gone
            data = b""
        if not data or (connection.stream is None and len(connection.request) + len(data) > MAX_REQUEST_BYTES):
            self._disconnect(connection, selector)
        elif not connection.answered:
            connection.request += data
            if END_OF_HEADER.search(connection.request):
                self._respond(connection, selector)

    def _send(self, connection: _Connection, selector: selectors.BaseSelector) -> None:
        """Send a part of the answer, then what is in the stream."""
        if connection.answer:
            sent = connection.link.send(connection.answer[:SEND_BYTES])
            connection.answer = connection.answer[sent:]
        elif connection.stream is not None:
            sent = connection.link.send(bytes(connection.stream.pending[:SEND_BYTES]))
            del connection.stream.pending[:sent]
        if connection.answer or (connection.stream is not None and connection.stream.pending):
            return
        if connection.stream is None:
            connection.link.shutdown(socket.SHUT_WR)
            connection.until_s = min(connection.until_s, self._now_s() + LINGER_S)
        selector.modify(connection.link, selectors.EVENT_READ, connection)

    def _respond(self, connection: _Connection, selector: selectors.BaseSelector) -> None:
        response, head = self._response(bytes(connection.request))
        answer = response.encoded(head=head)
        waiting = sum(len(other.answer) for other in self._connections.values())
        if waiting + len(answer) > MAX_WAITING_BYTES and not head:
            busy = "the clients of this server have not read their answers yet; try again later"
            response = self._handler.refusal(HTTPStatus.SERVICE_UNAVAILABLE, busy)
            answer = response.encoded(head=False)
        connection.answer, connection.answered = memoryview(answer), True
        connection.request.clear()
        if response.stream is not None and not head:
            connection.stream, connection.until_s = response.stream, float("inf")
            connection.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)
        elif self._limits.send_s is not None:
            connection.until_s = self._now_s() + self._limits.send_s
        selector.modify(connection.link, selectors.EVENT_WRITE, connection)

    def _response(self, data: bytes) -> tuple[Response, bool]:
        """The response to a request, and whether its body is left out."""
        try:
            request = request_from(data)
        except BadRequestError as error:
            return self._handler.refusal(HTTPStatus.BAD_REQUEST, str(error)), False
        head = request.method == "HEAD"
        if not self._answered.available:
            sentence = f"more than {self._limits.answers_per_s} requests per second; try again later"
            return self._handler.refusal(self._limits.too_many, sentence), head
        self._answered.take()
        try:
            return self._handler.answer(request), head
        except Exception:
            logger.exception("%s: programming error in the answer to %s", self.name, request.path)
            sentence = "programming error, see the log of the station"
            return self._handler.refusal(HTTPStatus.INTERNAL_SERVER_ERROR, sentence), head

    def _update_streams(self, selector: selectors.BaseSelector) -> None:
        """Send what was put into the streams, and disconnect the clients of those that have ended."""
        for connection in [c for c in self._connections.values() if c.stream is not None]:
            stream = connection.stream
            assert stream is not None
            if stream.ended:
                self._disconnect(connection, selector)
            elif stream.pending:
                selector.modify(connection.link, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _expire(self, selector: selectors.BaseSelector) -> None:
        now_s = self._now_s()
        for connection in [c for c in self._connections.values() if c.until_s <= now_s]:
            self._disconnect(connection, selector)

    def _disconnect(self, connection: _Connection, selector: selectors.BaseSelector | None = None) -> None:
        self._connections.pop(connection.link, None)
        if connection.stream is not None:
            connection.stream.end()
        if selector is not None and connection.link in selector.get_map():
            selector.unregister(connection.link)
        connection.link.close()


@dataclass(slots=True, eq=False)
class _Connection:
    """One client. until_s: when it is disconnected, whatever it has sent or received."""

    link: socket.socket
    until_s: float
    request: bytearray = field(default_factory=bytearray)
    answer: bytes | memoryview = b""
    answered: bool = False
    stream: Stream | None = None


class Rate:
    """At most `limit` per second."""

    def __init__(self, limit: int, now_s: Callable[[], float]) -> None:
        self.next_s = 0.0  # the next second begins
        self._limit = limit
        self._taken = 0
        self._now_s = now_s

    @property
    def available(self) -> bool:
        return self._taken < self._limit or self._now_s() >= self.next_s

    def take(self) -> None:
        if self._now_s() >= self.next_s:
            self.next_s, self._taken = self._now_s() + 1.0, 0
        self._taken += 1


def max_connections(most: int = MAX_CONNECTIONS) -> int:
    """Connections that are open at the same time: few of the descriptors that the sources and sinks need."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return min(most, max(soft // 16, 4))


def _listener(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    socket.getaddrinfo(address[0], None, family)  # create_server does not report which step failed
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    link = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    link.setblocking(False)
    return link

"""Metrics: `/healthz` and `/metrics` over HTTP, served by one thread.

Connections are bounded in number, age and rate, so that clients which connect and send nothing cost neither threads nor
the descriptors of the sources. Beyond the number, the oldest connection is closed: a new client is served.

`/healthz`: JSON, with status 200, or 503 in an outage. `/metrics`: Prometheus text format 0.0.4.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import json
import logging
import re
import resource
import selectors
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic

from seisedge.runtime.addresses import listen_fault
from seisedge.runtime.counters import Histogram
from seisedge.runtime.errors import InputError
from seisedge.runtime.listening import cannot_listen
from seisedge.runtime.service.health import Health, Sample
from seisedge.runtime.service.metric_help import HELP
from seisedge.runtime.text import shortened
from seisedge.runtime.threads import start_worker

logger = logging.getLogger(__name__)

NAME = "metrics"  # of the thread and in the log
PREFIX = "seisedge_"
LOOPBACK = "127.0.0.1"

MAX_CONNECTIONS = 32  # fewer where the process may open fewer files, see `max_connections`
MAX_AGE_S = 10.0  # of a connection
MAX_REQUEST_BYTES = 8192
MAX_ACCEPTS_PER_S = 200  # a thousand connections cost the station no time
MAX_ANSWERS_PER_S = 20
BACKLOG = 128  # connections that wait in the kernel
LINGER_S = 1.0  # for the client to close the connection after the answer
CLOSE_WAIT_S = 1.0
END_OF_HEADER = re.compile(rb"\r?\n\r?\n")


def address_from_text(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; `:PORT` is the loopback interface. Raises InputError."""
    if fault := listen_fault(text):
        raise InputError(f"--metrics {shortened(text)}: {fault}")
    host, _, port = text.rpartition(":")
    return host.strip("[]") or LOOPBACK, int(port)


class MetricsServer:
    """Serves until `close`. Raises InputError for an unknown host, FailedError if the port cannot be opened."""

    def __init__(self, health: Health, address: tuple[str, int]) -> None:
        self._health = health
        try:
            self._listener = _listener(address)
        except (OSError, OverflowError, UnicodeError) as error:
            raise cannot_listen("metrics", *address, error) from error
        self._wake, self._woken = socket.socketpair()
        self._closing = False
        self._max_connections = max_connections()
        self._connections: dict[socket.socket, _Connection] = {}  # oldest first
        self._accepted = _Rate(MAX_ACCEPTS_PER_S)
        self._answered = _Rate(MAX_ANSWERS_PER_S)
        self._worker = start_worker(NAME, self._serve)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Stop serving and close all connections."""
        self._closing = True
        self._worker.stop()
        self._wake.send(b"\0")
        self._worker.join(CLOSE_WAIT_S)
        for link in (self._listener, self._wake, self._woken, *list(self._connections)):
            link.close()

    def _serve(self) -> None:
        for connection in list(self._connections.values()):  # of a thread that has failed
            self._disconnect(connection)
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing:
                self._listen(selector)
                for key, _ in selector.select(self._wait_s()):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif isinstance(key.data, _Connection):
                        self._handle(key.data, selector)
                self._expire(selector)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Accept connections while their rate is below the limit; the others wait in the kernel."""
        listening = self._listener in selector.get_map()
        if self._accepted.available and not listening:
            selector.register(self._listener, selectors.EVENT_READ)
        elif not self._accepted.available and listening:
            selector.unregister(self._listener)

    def _wait_s(self) -> float | None:
        """Seconds to the next deadline."""
        deadlines = [connection.until_s for connection in self._connections.values()]
        if not self._accepted.available:
            deadlines.append(self._accepted.next_s)
        return max(min(deadlines) - monotonic(), 0.0) if deadlines else None

    def _accept(self, selector: selectors.BaseSelector) -> None:
        self._accepted.take()
        try:
            link, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptor is free, or the client has gone
            logger.debug("%s: a connection could not be accepted: %s", NAME, error)
            return
        if len(self._connections) >= self._max_connections:
            self._disconnect(next(iter(self._connections.values())), selector)
        link.setblocking(False)
        connection = self._connections[link] = _Connection(link, monotonic() + MAX_AGE_S)
        selector.register(link, selectors.EVENT_READ, connection)

    def _handle(self, connection: _Connection, selector: selectors.BaseSelector) -> None:
        """Read the request, or write the answer, as far as that is possible now."""
        try:
            if connection.answer:
                sent = connection.link.send(connection.answer)
                connection.answer = connection.answer[sent:]
                if not connection.answer:
                    connection.link.shutdown(socket.SHUT_WR)
                    connection.until_s = min(connection.until_s, monotonic() + LINGER_S)
                    selector.modify(connection.link, selectors.EVENT_READ, connection)
                return
            data = connection.link.recv(MAX_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the client has gone
            data = b""
        if not data or len(connection.request) + len(data) > MAX_REQUEST_BYTES:
            self._disconnect(connection, selector)
        elif not connection.answered:
            connection.request += data
            if END_OF_HEADER.search(connection.request):
                connection.answer, connection.answered = memoryview(self._answer(bytes(connection.request))), True
                selector.modify(connection.link, selectors.EVENT_WRITE, connection)

    def _expire(self, selector: selectors.BaseSelector) -> None:
        now_s = monotonic()
        for connection in [c for c in self._connections.values() if c.until_s <= now_s]:
            self._disconnect(connection, selector)

    def _disconnect(self, connection: _Connection, selector: selectors.BaseSelector | None = None) -> None:
        self._connections.pop(connection.link, None)
        if selector is not None:
            selector.unregister(connection.link)
        connection.link.close()

    def _answer(self, request: bytes) -> bytes:
        """The whole answer to a request."""
        method, _, rest = request.partition(b"\r")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "GET /healthz or /metrics\n")
        if path not in (b"/healthz", b"/metrics"):
            return _response(HTTPStatus.NOT_FOUND, "text/plain", "/healthz or /metrics\n")
        if not self._answered.available:
            return _response(HTTPStatus.TOO_MANY_REQUESTS, "text/plain", f"{MAX_ANSWERS_PER_S} requests per second\n")
        self._answered.take()
        code, kind = HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8"
        try:
            if path == b"/metrics":
                text = text_from_health(self._health)
            else:
                document = self._health.document()
                kind, text = "application/json", json.dumps(document) + "\n"
                if document["status"] == "outage":
                    code = HTTPStatus.SERVICE_UNAVAILABLE
        except Exception:
            logger.exception("%s: programming error in the answer to %s", NAME, path.decode())
            code, kind, text = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", "programming error, see the log\n"
        answer = _response(code, kind, text)
        return answer[: answer.index(b"\r\n\r\n") + 4] if method == b"HEAD" else answer


@dataclass(slots=True, eq=False)
class _Connection:
    """One client. until_s: when it is disconnected, on the monotonic clock, whatever it has sent or received."""

    link: socket.socket
    until_s: float
    request: bytearray = field(default_factory=bytearray)
    answer: bytes | memoryview = b""
    answered: bool = False


class _Rate:
    """At most `limit` per second."""

    def __init__(self, limit: int) -> None:
        self.next_s = 0.0  # the next second begins
        self._limit = limit
        self._taken = 0

    @property
    def available(self) -> bool:
        return self._taken < self._limit or monotonic() >= self.next_s

    def take(self) -> None:
        if monotonic() >= self.next_s:
            self.next_s, self._taken = monotonic() + 1.0, 0
        self._taken += 1


def max_connections() -> int:
    """Connections that are open at the same time: few of the descriptors that the sources and sinks need."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(soft // 16, 4))


def _listener(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    socket.getaddrinfo(address[0], None, family)  # create_server does not report which step failed
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    link = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    link.setblocking(False)
    return link


def _response(code: HTTPStatus, kind: str, text: str) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {code.value} {code.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


def text_from_health(health: Health) -> str:
    """All metrics as Prometheus text."""
    by_name: dict[str, list[Sample]] = {}
    for sample in health.samples():
        by_name.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for name, samples in by_name.items():
        lines.append(f"# HELP {PREFIX}{name} {samples[0].help}")
        lines.append(f"# TYPE {PREFIX}{name} {samples[0].kind}")
        lines += [f"{PREFIX}{name}{_labels(sample.labels)} {sample.value:.15g}" for sample in samples]
    engines = health.models.engines if health.models is not None else []
    of_models = [({"model": engine.card.name}, engine.inference_ms) for engine in engines]
    lines += _histogram("inference_seconds", of_models)
    lines += _histogram("work_seconds", [({}, health.work_ms)])
    if health.journal.folder is not None or health.drains:
        lines += _histogram("commit_seconds", [({}, health.journal.commit_ms)])
    return "\n".join(lines) + "\n"


def _histogram(name: str, found: Sequence[tuple[dict[str, str], Histogram]]) -> list[str]:
    """A histogram in seconds, the base unit of Prometheus; those of the run are in milliseconds."""
    lines = [f"# HELP {PREFIX}{name} {HELP[name]}", f"# TYPE {PREFIX}{name} histogram"] if found else []
    for labels, histogram in found:
        below = 0
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            below += count
            edge = {"le": "+Inf" if bound == float("inf") else f"{bound / 1e3:g}"}
            lines.append(f"{PREFIX}{name}_bucket{_labels(labels | edge)} {below}")
        lines.append(f"{PREFIX}{name}_sum{_labels(labels)} {histogram.total / 1e3:.10g}")
        lines.append(f"{PREFIX}{name}_count{_labels(labels)} {below}")
    return lines


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    parts = (f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{','.join(parts)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""A link to a server that may be lost: dialling, waiting, trying again, giving up.

Shared by all sources that connect; what is said on a connection is theirs.
"""

from __future__ import annotations

import abc
import contextlib
import enum
import logging
import random
import select
import socket
import threading
import time
from collections.abc import Generator, Iterator
from queue import Empty, SimpleQueue

from seisedge.runtime.errors import ConnectError
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources._base import TICK_S, Source
from seisedge.runtime.sources._registry import SourceOptions

logger = logging.getLogger(__name__)

DIAL_TIMEOUT_S = 10.0  # for one attempt: name look-up and connection
REPLY_TIMEOUT_S = 20.0  # for the answer to a command; busy servers take seconds
RECEIVE_BYTES = 1 << 16
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0
BACKOFF_JITTER = 0.3  # share of the wait that is random: stations must not come back all at once
LOST_UNTIL_END_S = 60.0  # --until-end: how long a lost connection is tried again, where no timeout is given


class Lost(Exception):
    """The connection is of no more use; the reason, for the log."""


class AskAgain(Exception):
    """The server wants to be asked in other words: connect again at once."""


class LinkState(enum.Enum):
    """Where a connection is; `LinkSource.state`, for metrics and tests."""

    CONNECTING = "connecting"
    NEGOTIATING = "negotiating"
    STREAMING = "streaming"
    WAITING = "waiting"  # before the next attempt
    CLOSED = "closed"


class Receiver:
    """Bytes from a socket that times out after TICK_S, and when they came."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.received_ns = time.monotonic_ns()

    def receive(self) -> bytes:
        """What is there; b'' after TICK_S without anything. Raises Lost where the server has closed."""
        try:
            data = self.link.recv(RECEIVE_BYTES)
        except TimeoutError:
            return b""
        self.received_ns = time.monotonic_ns()
        if not data:
            raise Lost("the server closed the connection")
        return data


class LinkSource(Source):
    """Base of sources that connect to a server.

    A subclass says what it wants in `_negotiate` and hands out packets in `_stream`; both raise Lost where the
    connection is of no more use, and are generators so that ticks go on while they wait.

    `packets` raises ConnectError where no connection is made in the time allowed (`connect_timeout_s`; with
    `until_end` and without a timeout, at the first refusal); a live run without `connect_timeout_s` tries for ever.
    """

    live = True

    def __init__(self, url: str, options: SourceOptions | None, host: str, port: int) -> None:
        super().__init__(url)
        self.options = options if options is not None else SourceOptions()
        self.state = LinkState.WAITING
        self._host, self._port = host, port
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._failures = 0
        self._was_connected = False

    @abc.abstractmethod
    def _negotiate(self, link: socket.socket) -> Generator[None]:
        """Say what is wanted; raises FailedError where that cannot be had and waiting will not help."""

    @abc.abstractmethod
    def _stream(self) -> Generator[Packet | None, None, bool]:
        """Packets of the connection; True where the server said that all is sent."""

    @property
    def back_pressure(self) -> bool:
        """With `until_end` the server is not in a hurry."""
        return self.options.until_end

    def _note_idle(self) -> None:
        """Before waiting for bytes: where none are there, the station is level with the stream."""
        link = self._socket
        if link is not None and link.fileno() >= 0:
            poll = select.poll()
            poll.register(link, select.POLLIN)
            if not poll.poll(0):
                self.idle_ns = time.monotonic_ns()

    def _left(self) -> None:
        """The connection is over; count what is to be counted."""

    def close(self) -> None:
        """End `packets` at once, from whichever thread."""
        self._closed.set()
        self.state = LinkState.CLOSED
        link = self._socket
        if link is not None:
            with contextlib.suppress(OSError):  # not connected any more
                link.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in recv

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they come; None at least every TICK_S while nothing does."""
        backoff_s = BACKOFF_FIRST_S
        outage_began = time.monotonic()
        while not self._closed.is_set():
            before = self.counters.records
            try:
                ended = yield from self._session()
                if ended or self._closed.is_set():
                    return
            except AskAgain:
                continue
            except (Lost, OSError) as error:
                if self._closed.is_set():
                    return
                if self.counters.records > before:
                    backoff_s, outage_began = BACKOFF_FIRST_S, time.monotonic()
                self._note_failure(error, time.monotonic() - outage_began)
            finally:
                self._hang_up()
            wait_s = backoff_s * (1 + random.uniform(-BACKOFF_JITTER, BACKOFF_JITTER))
            allowed_s = self._allowed_s()
            if allowed_s is not None:  # the last attempt is at the end of the time allowed
                wait_s = min(wait_s, max(0.0, outage_began + allowed_s - time.monotonic()))
            yield from self._pause(wait_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _note_failure(self, error: Exception, outage_s: float) -> None:
        """Log a failed or lost connection; raises ConnectError where the time allowed is over."""
        allowed_s = self._allowed_s()
        if allowed_s is not None and outage_s >= allowed_s:
            waited = f" in {outage_s:.0f} s" if outage_s >= 1 else ""
            raise ConnectError(
                f"{self.url}: no connection to {self._host} port {self._port}{waited}: "
                f"{reason_of(error)}; is the server running and the address right?"
            ) from error
        level = logging.WARNING if self._failures == 0 else logging.DEBUG
        logger.log(level, "%s: %s; trying again", self.url, reason_of(error))
        self._failures += 1

    def _allowed_s(self) -> float | None:
        if self._was_connected:
            if not self.options.until_end:
                return None
            return self.options.connect_timeout_s or LOST_UNTIL_END_S
        if self.options.connect_timeout_s is not None:
            return self.options.connect_timeout_s
        return 0.0 if self.options.until_end else None

    def _pause(self, wait_s: float) -> Generator[None]:
        self.state = LinkState.WAITING
        until = time.monotonic() + wait_s
        while (left := until - time.monotonic()) > 0 and not self._closed.wait(min(left, TICK_S)):
            yield None

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _session(self) -> Generator[Packet | None, None, bool]:
        """Connect, ask, receive; True where the server said that all is sent."""
        self.state = LinkState.CONNECTING
        link = yield from self._dial()
        self._socket = link
        if self._closed.is_set():  # closed while the socket was not yet known
            return False
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.settimeout(TICK_S)
        self.state = LinkState.NEGOTIATING
        try:
            yield from self._negotiate(link)
            if self._was_connected:
                self.counters.reconnects += 1
            if self._failures:
                logger.info("%s: connected again after %d failures", self.url, self._failures)
            else:
                logger.info("%s: connected", self.url)
            self._was_connected, self._failures = True, 0
            self.state = LinkState.STREAMING
            return (yield from self._stream())
        finally:
            self._left()

    def _dial(self) -> Generator[None, None, socket.socket]:
        """A connected socket; name look-up and connection wait in a thread, so that ticks go on."""
        answer: SimpleQueue[socket.socket | OSError] = SimpleQueue()
        gone = threading.Event()
        timeout_s = min(DIAL_TIMEOUT_S, self.options.connect_timeout_s or DIAL_TIMEOUT_S)

        def dial() -> None:
            try:
                link = socket.create_connection((self._host, self._port), timeout_s)
            except OSError as error:
                answer.put(error)
                return
            if gone.is_set():
                link.close()
            else:
                answer.put(link)

        threading.Thread(target=dial, name=f"{self._host}:{self._port} dial", daemon=True).start()
        until = time.monotonic() + timeout_s
        while not self._closed.is_set():
            try:
                result = answer.get(timeout=TICK_S)
            except Empty:
                if time.monotonic() > until:
                    break
                yield None
                continue
            if isinstance(result, OSError):
                raise result
            return result
        gone.set()
        raise Lost(f"no answer in {timeout_s:g} s")

    def _check_age(self, data_ns: int) -> None:
        """Raises Lost where the last data, at `data_ns` on the monotonic clock, are too long ago."""
        age_s = (time.monotonic_ns() - data_ns) / 1e9
        if age_s > self.options.data_timeout_s:
            raise Lost(f"no data for {age_s:.0f} s")


def reason_of(error: Exception) -> str:
    """Why a connection failed, in words that go into a sentence."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or "no answer"

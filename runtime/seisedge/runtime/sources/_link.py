"""A connection to a server that may be lost: connect, wait, retry, give up.

Shared by all sources that connect to a server; the protocol is in the subclasses.
"""

from __future__ import annotations

import abc
import contextlib
import logging
import random
import select
import socket
import threading
import time
from collections.abc import Generator, Iterator
from queue import Empty, SimpleQueue

from seisedge.runtime.clock import duration_text
from seisedge.runtime.errors import ConnectError, FailedError, SeisedgeError
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources._base import TICK_S, LinkState, Source
from seisedge.runtime.sources._registry import SourceOptions
from seisedge.runtime.threads import start_task

logger = logging.getLogger(__name__)

DIAL_TIMEOUT_S = 10.0  # for one attempt: name look-up and connection
REPLY_TIMEOUT_S = 20.0  # for the whole reply to a command; busy servers take seconds
NEGOTIATION_TIMEOUT_S = 60.0  # for all commands and replies of a connection, and
STATION_TIMEOUT_S = 2.0  # in addition for each station requested
RECEIVE_BYTES = 1 << 16
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0
BACKOFF_JITTER = 0.3  # random share of the wait, so that many stations do not reconnect at the same moment
MAX_REASONS = 5  # different reasons for one outage that are logged as warnings
LOST_UNTIL_END_S = 60.0  # --until-end without a timeout: how long a lost connection is retried


class Lost(Exception):
    """The connection can no longer be used; the message is the reason, for the log."""


class Renegotiate(Exception):
    """The server needs other commands: reconnect at once."""


class Receiver:
    """Bytes from a socket with a timeout of TICK_S, and their arrival time.

    limit_s: time for the whole negotiation. It and the time for a reply end whether or not bytes arrive: a server that
    sends a byte now and then does not hold up the source.
    """

    def __init__(self, link: socket.socket, limit_s: float = NEGOTIATION_TIMEOUT_S) -> None:
        self.link = link
        self.received_ns = time.monotonic_ns()
        self._limit_s: float | None = limit_s
        self._began_s = time.monotonic()
        self._reply_until_s: float | None = None
        self._awaited = ""
        self._ticked_s = time.monotonic()

    def await_reply(self, command: str) -> None:
        """From now on, `receive` raises Lost if `replied` is not called within REPLY_TIMEOUT_S."""
        self._awaited, self._reply_until_s = command, time.monotonic() + REPLY_TIMEOUT_S

    def replied(self) -> None:
        """The reply to the last command is complete."""
        self._reply_until_s = None

    def extend(self, seconds: float) -> None:
        """Allow more time for the negotiation."""
        if self._limit_s is not None:
            self._limit_s += seconds

    def negotiated(self) -> None:
        """The negotiation is complete: no time limit from now on."""
        self._limit_s = self._reply_until_s = None

    def _check_time(self) -> None:
        now_s = time.monotonic()
        if self._reply_until_s is not None and now_s > self._reply_until_s:
            raise Lost(f"no complete reply to {self._awaited} within {REPLY_TIMEOUT_S:g} s")
        if self._limit_s is not None and now_s - self._began_s > self._limit_s:
            raise Lost(f"the server did not complete the negotiation within {self._limit_s:g} s")

    def receive(self) -> bytes:
        """The bytes available; b'' if none arrive within TICK_S.

        Raises Lost if the server closed the connection, or if a time limit has passed.
        """
        self._check_time()
        try:
            data = self.link.recv(RECEIVE_BYTES)
        except TimeoutError:
            return b""
        self.received_ns = time.monotonic_ns()
        if not data:
            raise Lost("the server closed the connection")
        return data

    def is_tick(self, received: bytes) -> bool:
        """True if a tick is due after `receive`: nothing was received, or the last tick was TICK_S ago.

        The second is for a server that sends bytes without completing a reply or packet.
        """
        now_s = time.monotonic()
        if received and now_s - self._ticked_s < TICK_S:
            return False
        self._ticked_s = now_s
        return True


class LinkSource(Source):
    """Base of sources that connect to a server.

    A subclass requests data in `_negotiate` and yields packets in `_stream`. Both raise Lost if the connection can no
    longer be used, and both are generators, so that ticks continue while they wait.

    `packets` raises ConnectError if no connection is made within `connect_timeout_s` (with `until_end` and without a
    timeout: at the first failure). A live run without `connect_timeout_s` retries without limit.
    """

    live = True

    def __init__(self, url: str, options: SourceOptions | None, host: str, port: int) -> None:
        super().__init__(url)
        if "@" in url:
            logger.warning("%s: user and password of the URL are not sent: logging in is not supported", self.url)
        self.options = options if options is not None else SourceOptions()
        self.state = LinkState.WAITING
        self._host, self._port = host, port
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._failures = 0  # attempts since the connection was lost or the run began
        self._outage_s = time.monotonic()  # when the present outage began
        self._why: list[str] = []  # different reasons for the present outage; the last one is the present one
        self._was_connected = False

    @abc.abstractmethod
    def _negotiate(self, link: socket.socket) -> Generator[None]:
        """Request the data. Raises the error of `_refusal` if the server cannot provide them."""

    @abc.abstractmethod
    def _stream(self) -> Generator[Packet | None, None, bool]:
        """Packets of the connection. Returns True if the server reported the end of the data."""

    def _refusal(self, reason: str) -> Exception:
        """The error to raise if the server cannot provide the data.

        FailedError at the first connection, where the URL is likely to be wrong; later Lost, since the server did
        provide them: one wrong reply must not end a run.
        """
        return Lost(reason) if self._was_connected else FailedError(f"{self.url}: {reason}")

    @property
    def retrying(self) -> bool:
        return self._failures > 0

    @property
    def link_text(self) -> str:
        if self.state is LinkState.WAITING and not self._why:
            return "not connected yet"
        if self.state is LinkState.STREAMING or not self._why:
            return self.state.value
        return (
            f"not connected for {duration_text(time.monotonic() - self._outage_s)}: {self._why[-1]} "
            f"({self._failures} failed attempt(s))"
        )

    @property
    def _protocol(self) -> str:
        """The protocol of the connection in words, for the log."""
        return ""

    @property
    def back_pressure(self) -> bool:
        """True with `until_end`: the server then waits for the reader."""
        return self.options.until_end

    @property
    def _negotiation_limit_s(self) -> float:
        """Time for the negotiation of one connection, without that of the stations."""
        limit_s = None if self._was_connected else self.options.connect_timeout_s
        return min(NEGOTIATION_TIMEOUT_S, limit_s or NEGOTIATION_TIMEOUT_S)

    def _station_limit_s(self, n_stations: int) -> float:
        """Time for the negotiation in addition, for the stations requested."""
        limited = not self._was_connected and self.options.connect_timeout_s is not None
        return 0.0 if limited else STATION_TIMEOUT_S * n_stations

    def _note_idle(self) -> None:
        """Called before waiting for bytes: if none are available, the station has caught up with the stream."""
        link = self._socket
        if link is not None and link.fileno() >= 0:
            poll = select.poll()
            poll.register(link, select.POLLIN)
            while not poll.poll(0):
                self.idle_ns = time.monotonic_ns()
                if self.on_idle is None or not self.on_idle():
                    break

    def _disconnected(self) -> None:
        """Called at the end of a connection, to update counters."""

    def close(self) -> None:
        """End `packets` at once; may be called from any thread."""
        self._closed.set()
        self.state = LinkState.CLOSED
        link = self._socket
        if link is not None:
            with contextlib.suppress(OSError):  # not connected any more
                link.shutdown(socket.SHUT_RDWR)  # wakes up a thread that is blocked in recv

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they arrive; None at least every TICK_S while none arrives."""
        backoff_s = BACKOFF_FIRST_S
        outage_began = time.monotonic()
        while not self._closed.is_set():
            before = self.counters.records
            try:
                ended = yield from self._session()
                if ended or self._closed.is_set():
                    return
            except Renegotiate:
                continue
            except SeisedgeError:
                raise
            except Exception as error:  # a reply of the server must never end a run
                if self._closed.is_set():
                    return
                if not isinstance(error, Lost | OSError):
                    self._log_fault(error)
                if self.counters.records > before:
                    backoff_s, outage_began = BACKOFF_FIRST_S, time.monotonic()
                self._note_failure(error, time.monotonic() - outage_began)
            finally:
                self._close_socket()
            wait_s = backoff_s * (1 + random.uniform(-BACKOFF_JITTER, BACKOFF_JITTER))
            limit_s = self._time_limit_s()
            if limit_s is not None:  # the last attempt is made when the limit is reached
                wait_s = min(wait_s, max(0.0, outage_began + limit_s - time.monotonic()))
            yield from self._pause(wait_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _note_failure(self, error: Exception, outage_s: float) -> None:
        """Log a failed or lost connection. Raises ConnectError once the time limit is reached."""
        limit_s = self._time_limit_s()
        if limit_s is not None and outage_s >= limit_s:
            waited = f" in {outage_s:.0f} s" if outage_s >= 1 else ""
            raise ConnectError(
                f"{self.url}: no connection to {self._host} port {self._port}{waited}: "
                f"{loss_reason(error)}; check that the server is running and that host and port are correct"
            ) from error
        reason = loss_reason(error)
        if self.state is LinkState.STREAMING:
            self._outage_s = time.monotonic()
            what = "connection lost"
        else:
            what = "not connected"
        fresh = reason not in self._why and len(self._why) < MAX_REASONS
        self._why = [other for other in self._why if other != reason] + [reason]
        level = logging.WARNING if fresh else logging.DEBUG
        logger.log(level, "%s: %s: %s; retrying, at least every %g s", self.url, what, reason, BACKOFF_MAX_S)
        self._failures += 1

    def _log_fault(self, error: Exception) -> None:
        """Log an exception that no rule foresees; the traceback once for each type."""
        kind = type(error).__name__
        if kind not in self._failures_logged:
            self._failures_logged.add(kind)
            logger.warning(
                "%s: the protocol raised %s; this is a fault of seisedge, please report it",
                self.url,
                kind,
                exc_info=error,
            )

    def _time_limit_s(self) -> float | None:
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
        while (left := until - time.monotonic()) > 0 and not self._closed.is_set():
            time.sleep(min(left, TICK_S))  # not `wait`: a signal handler that calls `close` must not wait for its lock
            yield None

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _session(self) -> Generator[Packet | None, None, bool]:
        """Connect, negotiate, receive. Returns True if the server reported the end of the data."""
        self.state = LinkState.CONNECTING
        link = yield from self._dial()
        self._socket = link
        if self._closed.is_set():  # `close` was called before the socket was stored
            return False
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.settimeout(TICK_S)
        self.state = LinkState.NEGOTIATING
        try:
            yield from self._negotiate(link)
            if self._was_connected:
                self.counters.reconnects += 1
            self._log_connected()
            self._was_connected, self._failures, self._why = True, 0, []
            self.state = LinkState.STREAMING
            return (yield from self._stream())
        finally:
            self._disconnected()

    def _log_connected(self) -> None:
        again = "re" if self._was_connected else ""
        after = ""
        if self._failures:
            outage = duration_text(time.monotonic() - self._outage_s)
            after = f" after {outage}, {self._failures} failed attempt(s)"
        logger.info("%s: %sconnected%s%s", self.url, again, after, f"; {self._protocol}" if self._protocol else "")

    def _dial(self) -> Generator[None, None, socket.socket]:
        """A connected socket. Name look-up and connection run in a thread, so that ticks continue."""
        answer: SimpleQueue[socket.socket | BaseException] = SimpleQueue()
        gone = threading.Event()
        timeout_s = min(DIAL_TIMEOUT_S, self.options.connect_timeout_s or DIAL_TIMEOUT_S)

        def dial() -> None:
            try:
                link = socket.create_connection((self._host, self._port), timeout_s)
            except OSError as error:
                answer.put(error)
                return
            except ValueError as error:  # a name that no resolver accepts
                answer.put(OSError(f"the host cannot be looked up: {error}"))
                return
            if gone.is_set():
                link.close()
            else:
                answer.put(link)

        start_task(f"{self._host}:{self._port} dial", dial, answer.put)
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
            if isinstance(result, BaseException):
                raise Lost(f"{type(result).__name__}: {result}") from result
            return result
        gone.set()
        raise Lost(f"no reply within {timeout_s:g} s")

    def _check_age(self, data_ns: int) -> None:
        """Raises Lost if the last data, received at `data_ns` (monotonic clock), are older than `data_timeout_s`."""
        age_s = (time.monotonic_ns() - data_ns) / 1e9
        if age_s > self.options.data_timeout_s:
            raise Lost(f"no data for {age_s:.0f} s")


def loss_reason(error: Exception) -> str:
    """Why a connection failed, as part of a sentence."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or "no reply"

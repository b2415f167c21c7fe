"""One client of the virtual digitizer: the part common to all protocols."""

from __future__ import annotations

import abc
import heapq
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

from seisedge.runtime.replay._clock import ReplayClock
from seisedge.runtime.replay._fault import Fault, Link, Piece
from seisedge.runtime.replay._recording import Recording, Station
from seisedge.runtime.replay._select import Subscription

SITE = "seisedge virtual digitizer"
SOFTWARE = f"seisedge {version('seisedge')}"
MAX_LINE_BYTES = 1024
MAX_UNHANDLED_BYTES = (1 << 16) + 2 * MAX_LINE_BYTES  # of an incomplete command: a pattern of DataLink
COMMAND_TIMEOUT_S = 120.0  # a client that sends nothing before it streams is disconnected after this time
SEND_TIMEOUT_S = 600.0  # a client that takes no data for this time is disconnected
FREE_WORK_S = 1.0  # CPU time for the commands of a client; after that it waits
WAIT_PER_WORK = 4.0  # this many times as long as its commands take, one such client at a time
MIN_WAIT_S = 0.02
POLL_STEP_S = 0.002  # a poll ends up to a millisecond late; the rest of a wait is slept
BATCH_BYTES = 1 << 16  # at most, per send; for a slow reader no more than this and the socket's buffer is held


class Lag(Protocol):
    """What a server tells a measurement of its own delay."""

    def note(self, release_ns: int) -> None:
        """A packet that was due at a time of the replay clock is part of the next send."""

    def sending(self) -> None:
        """The packets noted so far are sent now; that may wait for the reader."""

    def sent(self) -> None:
        """They are sent."""


@dataclass(frozen=True, slots=True)
class Served:
    """The state shared by all clients."""

    recording: Recording
    clock: ReplayClock
    speed: float
    first_sequence: int
    poll_s: float  # longest wait before the clock is read again
    closing: threading.Event
    faults: tuple[Fault, ...] = ()
    ring: int | None = None  # records of each station that are kept; None: all
    lag: Lag | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)  # of clients that wait because of their commands

    def n_released(self, station: Station) -> int:
        """Number of records of a station that are complete at the current replay time; at speed 0 all of them."""
        data_ns = self.clock.data_ns()
        if data_ns is None:
            return 0 if self.speed else len(station.entries)
        return station.n_released(data_ns)

    def n_gone(self, station: Station) -> int:
        """Number of records of a station that are no longer kept."""
        return 0 if self.ring is None else max(0, self.n_released(station) - self.ring)


class Gone(Exception):
    """The client has disconnected, or must be disconnected."""


class Client(abc.ABC):
    """Serves one client until it disconnects or everything is sent; a subclass implements a protocol.

    number: of the connection, starting at 1.
    """

    end_word: bytes  # message of the protocol at the end of the data

    def __init__(self, link: socket.socket, served: Served, number: int = 1) -> None:
        self._link = link
        self._served = served
        self._number = number
        self._received = bytearray()
        self._marked_s = 0.0  # CPU time of this thread up to which commands are accounted for
        self._work_s = self._unpaid_s = 0.0  # CPU time of commands, and of those for which the client has not waited
        self.n_sent = 0
        self.streaming = False

    def run(self) -> None:
        """Serve the client; returns at the end of the connection."""
        self._marked_s = time.thread_time()
        try:
            self._link.settimeout(COMMAND_TIMEOUT_S)
            self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._converse()
        except (Gone, OSError):
            pass  # a client may disconnect at any time

    @abc.abstractmethod
    def _converse(self) -> None:
        """Commands, then the stream. Raises Gone if the client has disconnected."""

    @abc.abstractmethod
    def _handle_received(self) -> None:
        """Handle commands received while streaming."""

    def _account(self) -> None:
        """Call after a command: a client whose commands take much time waits, so that others are served."""
        now_s = time.thread_time()
        used_s, self._marked_s = now_s - self._marked_s, now_s
        self._work_s += used_s
        if self._work_s > FREE_WORK_S:
            self._unpaid_s += used_s * WAIT_PER_WORK
            if self._unpaid_s > MIN_WAIT_S:
                with self._served.turn:
                    self._served.closing.wait(self._unpaid_s)
                self._unpaid_s = 0.0

    def _receive(self) -> None:
        data = self._link.recv(4096)
        if not data:
            raise Gone
        self._received += data

    def _read_line(self) -> str:
        while not self._served.closing.is_set():
            line = self._buffered_line()
            if line is not None:
                return line
            if len(self._received) > MAX_LINE_BYTES:
                break
            self._receive()
        raise Gone

    def _buffered_line(self) -> str | None:
        match = re.search(rb"[\r\n]+", self._received)
        if match is None:
            return None
        line = self._received[: match.start()].decode("ascii", errors="replace").strip()
        del self._received[: match.end()]
        return line

    def _send(self, data: bytes) -> None:
        self._link.sendall(data)

    def _send_in_time(self, packets: Iterator[tuple[int, bytes]]) -> None:
        """Send packets, each at its release time on the replay clock. Raises Gone if a fault ends the connection."""
        served = self._served
        self.streaming = True
        self._link.settimeout(SEND_TIMEOUT_S)
        batch = bytearray()
        for piece in self._pieces(packets):
            if served.speed and served.clock.wait_s(piece.release_ns) > 0:
                self._flush(batch)
                self._wait_until(piece.release_ns)
            if piece.pause_s:
                served.closing.wait(piece.pause_s)
            if served.lag is not None:
                served.lag.note(piece.release_ns)
            batch += piece.data
            self.n_sent += 1
            if piece.alone or piece.last or len(batch) >= BATCH_BYTES:
                self._flush(batch)
            if piece.last:
                raise Gone
        self._flush(batch)

    def _wait_until(self, release_ns: int) -> None:
        """Wait for a time of the replay clock, and handle commands meanwhile."""
        served = self._served
        while (wait_s := served.clock.wait_s(release_ns)) > 0:
            if wait_s > POLL_STEP_S:
                self._listen(min(wait_s - POLL_STEP_S, served.poll_s))
            else:
                time.sleep(wait_s)
                self._listen(0.0)

    def _pieces(self, packets: Iterator[tuple[int, bytes]]) -> Iterator[Piece]:
        pieces: Iterator[Piece] = (Piece(release_ns, data) for release_ns, data in packets)
        link = Link(self._number, self.end_word)
        for fault in self._served.faults:
            pieces = fault.pieces(pieces, link)
        return pieces

    def _wait_for_disconnect(self) -> None:
        """Everything is sent; keep a live client connected."""
        while True:
            self._listen(self._served.poll_s)

    def _flush(self, batch: bytearray) -> None:
        if batch:
            lag = self._served.lag
            if lag is not None:
                lag.sending()
            self._send(bytes(batch))
            batch.clear()
            if lag is not None:
                lag.sent()
        self._listen(0.0)

    def _listen(self, wait_s: float) -> None:
        """Wait up to `wait_s` for commands of the client while streaming."""
        if self._served.closing.is_set():
            raise Gone
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        if poll.poll(wait_s * 1000):
            self._marked_s = time.thread_time()
            self._receive()
            self._handle_received()
            if len(self._received) > MAX_UNHANDLED_BYTES:
                raise Gone


def in_order(subscriptions: list[Subscription]) -> Iterator[tuple[int, Subscription, int]]:
    """Release time, subscription and index of every requested entry, in order of release."""
    streams = [_entries(number, subscription) for number, subscription in enumerate(subscriptions)]
    for release_ns, _, number, index in heapq.merge(*streams):
        yield release_ns, subscriptions[number], index


def _entries(number: int, subscription: Subscription) -> Iterator[tuple[int, str, int, int]]:
    entries = subscription.station.entries
    for index in range(subscription.next, subscription.stop):
        if subscription.takes(index):
            entry = entries[index]
            yield entry.release_ns, str(entry.source_id), number, index

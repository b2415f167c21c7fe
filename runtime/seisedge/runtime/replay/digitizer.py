"""Digitizer: a SeedLink (3.1 and 4.0) and DataLink server over recorded miniSEED, all on one port."""

from __future__ import annotations

import contextlib
import logging
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import Self

from seisedge.runtime.errors import InputError
from seisedge.runtime.listening import cannot_listen
from seisedge.runtime.replay._client import Client, Lag, Served
from seisedge.runtime.replay._clock import MAX_SPEED, MIN_SPEED, ReplayClock
from seisedge.runtime.replay._datalink import DataLinkClient
from seisedge.runtime.replay._fault import Fault, fault_from_spec
from seisedge.runtime.replay._recording import Entry, Recording
from seisedge.runtime.replay._seedlink import SeedLinkClient
from seisedge.runtime.sources._datalink_wire import PREFIX
from seisedge.runtime.threads import Worker, start_task, start_worker

logger = logging.getLogger(__name__)

POLL_S = 0.5
POLL_FOREIGN_CLOCK_S = 0.01  # an injected clock cannot be waited for
CLOSE_WAIT_S = 2.0
FIRST_BYTES_POLL_S = 0.01
MAX_CLIENTS = 200  # fewer where the process may open fewer files, see `max_clients`
FIRST_BYTES_S = 10.0  # for the first command of a client


class Digitizer:
    """Serves a recording as a station would have sent it; a context manager.

    paths: miniSEED files and folders, or a Recording. listen: host and port; port 0 selects a free one (see `port`).
    speed: times real time. A record is available when its last sample is past on the replay clock, which starts with
    the first client that streams. 0: as fast as clients read, each from the start, without loss.
    record_length: bytes, a power of two from 128 to 65536. stations: number of copies of each station, the first under
    its own code. faults: as for `--fault`. first_sequence: of each station's first record.
    ring: number of records of each station that are kept for requests; None: all. now: monotonic clock in ns.
    on_client: called from the client's thread with a line of text when a client connects and disconnects.
    clock: of the replay; default: one that starts with the first client. lag: is notified of each packet.

    A client in dial-up mode (FETCH, ENDFETCH, TIME with an end; STREAM DIALUP in DataLink) receives END after the
    recording; a live client stays connected. Raises InputError and DataError for an unusable recording or option,
    FailedError if the port cannot be opened.
    """

    def __init__(  # noqa: PLR0913 - independent inputs, each used as it is
        self,
        paths: Sequence[str | Path] | str | Path | Recording,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        speed: float = 1.0,
        record_length: int = 512,
        stations: int = 1,
        *,
        faults: Sequence[str | Fault] = (),
        first_sequence: int = 1,
        ring: int | None = None,
        now: Callable[[], int] = time.monotonic_ns,
        on_client: Callable[[str], None] | None = None,
        clock: ReplayClock | None = None,
        lag: Lag | None = None,
    ) -> None:
        if not (speed == 0 or MIN_SPEED <= speed <= MAX_SPEED):
            raise InputError(
                f"--speed {speed:g}: must be 0 (as fast as clients read) or from {MIN_SPEED:g} to {MAX_SPEED:g}"
            )
        parsed = tuple(fault_from_spec(fault) if isinstance(fault, str) else fault for fault in faults)
        for fault in parsed:
            first_sequence = fault.first_sequence(first_sequence)
        channels: set[str] = set()

        def changed(entries: list[Entry]) -> list[Entry]:
            channels.update(entry.source_id.channel for entry in entries)
            return reduce(lambda some, fault: fault.records(some), parsed, entries)

        self.recording = (
            paths
            if isinstance(paths, Recording)
            else Recording([paths] if isinstance(paths, str | Path) else paths, record_length, stations, changed)
        )
        for fault in parsed:
            fault.require(channels)
        self.speed = speed
        self._listen = listen
        self._on_client = on_client
        self._clock = clock or ReplayClock(self.recording.starttime_ns, speed, now)
        self._closing = threading.Event()
        self._served = Served(
            self.recording,
            self._clock,
            speed,
            first_sequence,
            POLL_S if now is time.monotonic_ns else POLL_FOREIGN_CLOCK_S,
            self._closing,
            parsed,
            ring,
            lag,
        )
        self._n_links = 0
        self._socket: socket.socket | None = None
        self._links: dict[socket.socket, Client | None] = {}  # oldest first; without a client before its first bytes
        self._max_clients = max_clients()
        self._n_refused = 0
        self._acceptor: Worker | None = None
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """The host given as `listen`."""
        return self._listen[0]

    @property
    def port(self) -> int:
        """The port; available after `open`."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The source URL for a SeedLink client."""
        return self.url_for("seedlink")

    def url_for(self, scheme: str) -> str:
        """The source URL for a client of a protocol, `seedlink` or `datalink`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    def released_ns(self, last_sample_ns: int) -> int | None:
        """Monotonic time at which a record with that last sample became available; None before the start."""
        return self._clock.wall_ns(last_sample_ns)

    def open(self, listening: socket.socket | None = None) -> None:
        """Listen, and serve in separate threads. Raises InputError for an unknown host, FailedError.

        listening: a socket that listens already; it then belongs to the digitizer.
        """
        self._socket = listening or self._listening()
        self._acceptor = start_worker("digitizer", self._accept)

    def _listening(self) -> socket.socket:
        host, port = self._listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            socket.getaddrinfo(host, None, family)  # create_server does not tell which step failed
            return socket.create_server((host, port), family=family, backlog=128)
        except (OSError, OverflowError, UnicodeError) as error:
            raise cannot_listen("--listen", host, port, error) from error

    def close(self) -> None:
        """Disconnect all clients and stop listening; may be called twice."""
        self._closing.set()
        with self._lock:
            links = list(self._links)
            threads = list(self._threads)
        for link in [*links, *([self._socket] if self._socket is not None else [])]:
            with contextlib.suppress(OSError):  # already disconnected
                link.shutdown(socket.SHUT_RDWR)
        if self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor.join(CLOSE_WAIT_S)
        for thread in threads:
            thread.join(CLOSE_WAIT_S)
        if self._socket is not None:
            self._socket.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, link: socket.socket, name: str) -> None:
        """Serve a client in a thread of its own."""

        def failed(error: BaseException) -> None:
            logger.error("client %s: disconnected after an exception", name, exc_info=error)
            with self._lock:
                self._links.pop(link, None)
            link.close()

        thread = start_task(f"digitizer {name}", lambda: self._serve(link, name), failed)
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)

    def _accept(self) -> None:
        assert self._socket is not None
        while not self._closing.is_set():
            try:
                link, address = self._socket.accept()
            except OSError as error:
                if not self._closing.is_set():
                    logger.warning("a client could not be accepted: %s", error)
                    self._closing.wait(POLL_S)  # out of file descriptors: wait until a client disconnects
                continue
            name = f"{address[0]}:{address[1]}"
            if not self._make_room():
                link.close()
                self._n_refused += 1
                level = logging.WARNING if self._n_refused == 1 else logging.DEBUG
                logger.log(level, "client %s refused: there are %d clients already", name, self._max_clients)
                continue
            with self._lock:
                self._links[link] = None
            self._start(link, name)

    def _serve(self, link: socket.socket, name: str) -> None:
        with self._lock:
            self._n_links += 1
            number = self._n_links
        client: Client | None = None
        self._note(f"client {name} connected")
        try:
            if self._is_served(link, number):
                begin = self._first_bytes(link)
                if begin:
                    client = (DataLinkClient if begin == PREFIX else SeedLinkClient)(link, self._served, number)
                    self._links[link] = client
                    client.run()
        finally:
            with self._lock:
                self._links.pop(link, None)
            link.close()
            self._note(f"client {name} disconnected after {client.n_sent if client else 0} packets")

    def _make_room(self) -> bool:
        """Disconnect the oldest client that has received no packet if there are too many; False if there is none."""
        with self._lock:
            if len(self._links) < self._max_clients:
                return True
            for link, client in self._links.items():
                if client is None or not client.n_sent:
                    with contextlib.suppress(OSError):  # already disconnected
                        link.shutdown(socket.SHUT_RDWR)
                    del self._links[link]
                    return True
        return False

    def _is_served(self, link: socket.socket, number: int) -> bool:
        """False if a fault prevents this connection from being served; returns at its end then."""
        answers = {fault.answers(number) for fault in self._served.faults}
        if "reset" in answers:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            return False
        if "silence" in answers:
            with contextlib.suppress(OSError):  # the client disconnected
                while link.recv(4096):
                    pass
            return False
        return True

    def _first_bytes(self, link: socket.socket) -> bytes:
        """The first bytes of a client, not removed from the socket: they show which protocol it uses.

        Empty if the client sends nothing for `FIRST_BYTES_S`.
        """
        begin = b""
        until_s = time.monotonic() + FIRST_BYTES_S
        poll = select.poll()
        poll.register(link, select.POLLIN)
        while len(begin) < len(PREFIX) and not self._closing.is_set() and time.monotonic() < until_s:
            if not poll.poll(max(until_s - time.monotonic(), 0.0) * 1e3):
                break
            try:
                seen = link.recv(len(PREFIX), socket.MSG_PEEK)
            except OSError:
                break
            if len(seen) <= len(begin) and (not seen or self._closing.wait(FIRST_BYTES_POLL_S)):
                break
            begin = seen
        return begin

    def _note(self, line: str) -> None:
        logger.info("%s", line)
        if self._on_client is not None and not self._closing.is_set():
            self._on_client(line)


def max_clients() -> int:
    """Clients that are served at the same time: not all descriptors that the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CLIENTS if soft == resource.RLIM_INFINITY else min(MAX_CLIENTS, max(soft // 4, 4))

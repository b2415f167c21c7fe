"""One client of the virtual digitizer: the SeedLink 3.1 conversation, then the stream.

https://www.seiscomp.de/doc/apps/seedlink.html
"""

from __future__ import annotations

import heapq
import re
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.replay._clock import ReplayClock
from seisedge.runtime.replay._info import info_packets, info_text
from seisedge.runtime.replay._recording import Recording, Station
from seisedge.runtime.replay._select import Request, Selector, Subscription

SITE = "seisedge virtual digitizer"
MAX_LINE_BYTES = 1024
MAX_REQUESTS = 10_000  # stations that one client may ask for
BATCH_BYTES = 1 << 16  # sent at once at the most; a slow reader holds back no more than this and its socket
_CODE = re.compile(r"[A-Za-z0-9?*]{1,8}")


@dataclass(frozen=True, slots=True)
class Served:
    """What all clients share."""

    recording: Recording
    clock: ReplayClock
    speed: float
    first_sequence: int
    poll_s: float  # longest wait before the clock is looked at again
    closing: threading.Event


class _Gone(Exception):
    """The client has hung up."""


class SeedLinkClient:
    """Talks with one client until it goes, says BYE, or all is sent to a dial-up client."""

    def __init__(self, link: socket.socket, served: Served) -> None:
        self._link = link
        self._served = served
        self._received = bytearray()
        self._requests: list[Request] = []
        self._current = Request()  # before the first STATION: for all stations
        self._streaming = False
        self._dial_up = False
        self.n_sent = 0

    def run(self) -> None:
        """Serve it; returns when the conversation is over."""
        try:
            self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._streaming:
                self._command(self._read_line())
            self._stream()
        except (_Gone, OSError):
            pass  # clients come and go as they like

    # the conversation

    def _read_line(self) -> str:
        while not self._served.closing.is_set():
            line = self._buffered_line()
            if line is not None:
                return line
            if len(self._received) > MAX_LINE_BYTES:
                break
            self._receive()
        raise _Gone

    def _buffered_line(self) -> str | None:
        match = re.search(rb"[\r\n]+", self._received)
        if match is None:
            return None
        line = self._received[: match.start()].decode("ascii", errors="replace").strip()
        del self._received[: match.end()]
        return line

    def _receive(self) -> None:
        data = self._link.recv(4096)
        if not data:
            raise _Gone
        self._received += data

    def _send(self, data: bytes) -> None:
        self._link.sendall(data)

    def _answer(self, accepted: bool) -> None:
        self._send(b"OK\r\n" if accepted else b"ERROR\r\n")

    def _command(self, line: str) -> None:
        word, *arguments = line.upper().split() or [""]
        if word == "":
            return
        if word == "BYE":
            raise _Gone
        if word == "HELLO":
            software = f"SeedLink v3.1 (seisedge {version('seisedge')}) :: SLPROTO:3.1"
            self._send(f"{software}\r\n{SITE}\r\n".encode("ascii"))
        elif word == "CAT":
            rows = (f"{s.network:2} {s.code:5} replayed\r\n" for s in self._served.recording.stations)
            self._send("".join([*rows, "END"]).encode("ascii"))
        elif word == "INFO":
            self._info(arguments[0] if arguments else "ID")
        elif word == "STATION":
            self._answer(self._station(arguments))
        elif word == "SELECT":
            self._answer(self._select(arguments))
        elif word in ("DATA", "FETCH", "TIME"):
            self._start(word, arguments)
        elif word in ("END", "ENDFETCH"):
            self._dial_up = self._dial_up or word == "ENDFETCH"
            self._streaming = True
        else:
            self._answer(False)

    def _station(self, arguments: list[str]) -> bool:
        if not 1 <= len(arguments) <= 2 or not all(_CODE.fullmatch(a) for a in arguments):
            return False
        request = Request(network=arguments[1] if len(arguments) == 2 else "*", station=arguments[0])
        known = any(request.takes(station) for station in self._served.recording.stations)
        if not known or len(self._requests) >= MAX_REQUESTS:
            return False
        self._current = request
        self._requests.append(request)
        return True

    def _select(self, arguments: list[str]) -> bool:
        if not arguments:
            self._current.selectors = ()
            return True
        selector = Selector.from_text(arguments[0])
        if selector is None or len(arguments) > 1:
            return False
        self._current.selectors += (selector,)
        return True

    def _start(self, word: str, arguments: list[str]) -> None:
        """DATA, FETCH or TIME: for the station at hand, or for all and at once where none was named."""
        request = self._current
        try:
            if word == "TIME":
                request.begin_ns, request.end_ns = _window(arguments)
            else:
                request.sequence = int(arguments[0], 16) & 0xFFFFFF if arguments else None
                request.begin_ns = _time(arguments[1]) if len(arguments) > 1 else None
                request.dial_up = word == "FETCH"
        except (ValueError, IndexError):
            self._answer(False)
            return
        if self._requests:
            self._answer(True)
        else:
            self._requests.append(request)
            self._streaming = True

    def _info(self, level: str) -> None:
        served = self._served
        software = f"SeedLink v3.1 (seisedge {version('seisedge')})"
        text = info_text(level, software, SITE, served.recording.stations, self._progress)
        if text is None:
            wrong = f'<?xml version="1.0"?>\n<seedlink><error>INFO {level} is not served</error></seedlink>\n'
            self._send(b"".join(info_packets(wrong, is_error=True)))
        else:
            self._send(b"".join(info_packets(text)))

    def _progress(self, station: Station) -> tuple[int, int]:
        return self._n_released(station), self._served.first_sequence

    def _n_released(self, station: Station) -> int:
        """At speed 0 there is no now: all is there."""
        data_ns = self._served.clock.data_ns()
        if data_ns is None:
            return 0 if self._served.speed else len(station.entries)
        return station.n_released(data_ns)

    # the stream

    def _stream(self) -> None:
        served = self._served
        served.clock.start()
        subscriptions = self._subscriptions()
        batch = bytearray()
        for release_ns, packet in self._packets(subscriptions):
            if served.speed and served.clock.wait_s(release_ns) > 0:
                self._flush(batch)
                while (wait_s := served.clock.wait_s(release_ns)) > 0:
                    self._listen(min(wait_s, served.poll_s))
            batch += packet
            self.n_sent += 1
            if len(batch) >= BATCH_BYTES:
                self._flush(batch)
        self._flush(batch)
        if self._dial_up or all(s.request.dial_up or s.request.end_ns is not None for s in subscriptions):
            self._send(b"END")
            return
        while True:  # all is sent; a live client waits for what does not come
            self._listen(served.poll_s)

    def _subscriptions(self) -> list[Subscription]:
        served = self._served
        found: dict[str, Subscription] = {}
        for request in self._requests:
            for station in served.recording.stations:
                if request.takes(station):
                    # a station asked for twice: the later request holds
                    found[station.id] = Subscription(station, replace(request), served.first_sequence)
        for subscription in found.values():
            # at speed 0 every client has the recording from its beginning
            subscription.place(self._n_released(subscription.station) if served.speed else 0)
        return list(found.values())

    def _packets(self, subscriptions: list[Subscription]) -> Iterator[tuple[int, bytes]]:
        """Release time and packet of all that was asked for, in order of release."""
        streams = [_entries(number, subscription) for number, subscription in enumerate(subscriptions)]
        for release_ns, _, number, index in heapq.merge(*streams):
            subscription = subscriptions[number]
            record = subscription.station.record(subscription.station.entries[index])
            yield release_ns, b"SL%06X" % subscription.sequence(index) + record

    def _flush(self, batch: bytearray) -> None:
        if batch:
            self._send(bytes(batch))
            batch.clear()
        self._listen(0.0)

    def _listen(self, wait_s: float) -> None:
        """Wait for a command while streaming: INFO and BYE are understood."""
        if self._served.closing.is_set():
            raise _Gone
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        if poll.poll(wait_s * 1000):
            self._receive()
            while (line := self._buffered_line()) is not None:
                word, *arguments = line.upper().split() or [""]
                if word == "BYE":
                    raise _Gone
                if word == "INFO":
                    self._info(arguments[0] if arguments else "ID")


def _entries(number: int, subscription: Subscription) -> Iterator[tuple[int, str, int, int]]:
    entries = subscription.station.entries
    for index in range(subscription.next, subscription.stop):
        if subscription.takes(index):
            entry = entries[index]
            yield entry.release_ns, str(entry.source_id), number, index


def _window(arguments: list[str]) -> tuple[int, int | None]:
    return _time(arguments[0]), _time(arguments[1]) if len(arguments) > 1 else None


def _time(text: str) -> int:
    """`2019,07,07,08,16,00`, as SeedLink 3 writes it, the parts with or without leading zeros; ValueError else."""
    parts = [int(part) for part in text.split(",")]
    if not 3 <= len(parts) <= 6:
        raise ValueError(text)
    year, month, day, hour, minute, second = parts + [0] * (6 - len(parts))
    return ns_from_iso(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}")

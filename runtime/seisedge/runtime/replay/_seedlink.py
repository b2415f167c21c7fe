"""One SeedLink 3.1 or 4.0 client: commands, then the stream."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

from seisedge.runtime.replay._client import MAX_LINE_BYTES, SITE, SOFTWARE, Client, Gone, Served, in_order
from seisedge.runtime.replay._recording import Station
from seisedge.runtime.replay._seedlink_dialect import OK, Dialect, Dialect3, Dialect4, Refusal
from seisedge.runtime.replay._select import Request, Subscription

MAX_REQUESTS = 10_000  # stations that one client may request
MAX_SELECTORS = 256  # channel patterns for one of them


class SeedLinkClient(Client):
    """Serves one client until it disconnects or sends BYE; in dial-up mode until everything is sent."""

    end_word = b"END"

    def __init__(self, link: socket.socket, served: Served, number: int = 1) -> None:
        super().__init__(link, served, number)
        self._dialect: Dialect = Dialect3()
        self._requests: list[Request] = []
        self._current = Request(seed_only=True)  # before the first STATION: all stations, in version 3
        self._streaming = False
        self._dial_up = False

    def _converse(self) -> None:
        while not self._streaming:
            self._command(self._read_line())
            self._account()
        served = self._served
        served.clock.start()
        subscriptions = self._subscriptions()
        self._send_in_time(self._packets(subscriptions))
        if self._dial_up or all(s.request.dial_up or s.request.end_ns is not None for s in subscriptions):
            self._send(self.end_word)
            return
        self._wait_for_disconnect()

    def _handle_received(self) -> None:
        """INFO and BYE are accepted while streaming."""
        while (line := self._buffered_line()) is not None:
            word, *arguments = line.upper().split() or [""]
            if word == "BYE":
                raise Gone
            if word == "INFO":
                self._info(arguments)
            self._account()
        if len(self._received) > MAX_LINE_BYTES:
            raise Gone

    def _answer(self, refusal: Refusal | None) -> None:
        self._send(OK if refusal is None else self._dialect.error(refusal))

    def _command(self, line: str) -> None:
        word, *arguments = line.upper().split() or [""]
        if word == "":
            return
        if word == "BYE":
            raise Gone
        if word == "HELLO":
            hello = f"SeedLink v3.1 ({SOFTWARE}) :: SLPROTO:4.0 SLPROTO:3.1"
            self._send(f"{hello}\r\n{SITE}\r\n".encode("ascii"))
        elif word == "SLPROTO":
            self._answer(self._switch(arguments))
        elif word == "USERAGENT" and self._dialect.version == 4:
            self._answer(None)
        elif word == "CAT" and self._dialect.version == 3:
            rows = (f"{s.network:2} {s.code:5} replayed\r\n" for s in self._served.recording.stations)
            self._send("".join([*rows, "END"]).encode("ascii"))
        elif word == "INFO":
            self._info(arguments)
        elif word == "STATION":
            self._answer(self._station(arguments))
        elif word == "SELECT":
            self._answer(self._select(arguments))
        elif word in self._dialect.start_words:
            self._start(word, arguments)
        elif word in ("END", "ENDFETCH"):
            self._dial_up = self._dial_up or word == "ENDFETCH"
            self._streaming = True
        else:
            self._answer(Refusal("UNSUPPORTED", f"{word[:20]} is not supported"))

    def _switch(self, arguments: list[str]) -> Refusal | None:
        if arguments == ["4.0"]:
            self._dialect = Dialect4()
        elif arguments == ["3.1"]:
            self._dialect = Dialect3()
        else:
            return Refusal("UNSUPPORTED", "SeedLink 3.1 and 4.0 are supported")
        return None

    def _station(self, arguments: list[str]) -> Refusal | None:
        request = self._dialect.station(arguments)
        if request is None:
            return Refusal("ARGUMENTS", "invalid station")
        if not any(request.takes(station) for station in self._served.recording.stations):
            return Refusal("ARGUMENTS", "unknown station")
        if len(self._requests) >= MAX_REQUESTS:
            return Refusal("LIMIT", f"at most {MAX_REQUESTS} stations")
        self._current = request
        self._requests.append(request)
        return None

    def _select(self, arguments: list[str]) -> Refusal | None:
        selectors = self._dialect.selectors(arguments)
        if selectors is None:
            return Refusal("ARGUMENTS", "invalid channel pattern")
        if len(self._current.selectors) + len(selectors) > MAX_SELECTORS:
            return Refusal("LIMIT", f"at most {MAX_SELECTORS} channel patterns")
        self._current.selectors = (*self._current.selectors, *selectors) if arguments else ()
        return None

    def _start(self, word: str, arguments: list[str]) -> None:
        """DATA, FETCH or TIME: for the last STATION; without one, in version 3, for all stations at once."""
        try:
            self._dialect.start(self._current, word, arguments)
        except (ValueError, IndexError):
            self._answer(Refusal("ARGUMENTS", "invalid sequence number or time"))
            return
        if self._requests:
            self._answer(None)
        elif self._dialect.version == 4:
            self._answer(Refusal("UNEXPECTED", "send STATION first"))
        else:
            self._requests.append(self._current)
            self._streaming = True

    def _info(self, arguments: list[str]) -> None:
        stations = self._served.recording.stations
        self._send(self._dialect.info(arguments[0] if arguments else "ID", stations, self._progress))

    def _progress(self, station: Station) -> tuple[int, int, int]:
        served = self._served
        return served.n_gone(station), served.n_released(station), served.first_sequence

    def _subscriptions(self) -> list[Subscription]:
        served = self._served
        found: dict[str, Subscription] = {}
        for request in self._requests:
            for station in served.recording.stations:
                if request.takes(station):
                    # for a station requested twice the later request applies
                    found[station.id] = Subscription(
                        station, replace(request), served.first_sequence, self._dialect.modulus
                    )
        for subscription in found.values():
            station = subscription.station
            # at speed 0 every client receives the recording from its start
            subscription.set_range(served.n_released(station) if served.speed else 0, served.n_gone(station))
        return list(found.values())

    def _packets(self, subscriptions: list[Subscription]) -> Iterator[tuple[int, bytes]]:
        for release_ns, subscription, index in in_order(subscriptions):
            station = subscription.station
            record = station.record(station.entries[index])
            yield release_ns, self._dialect.packet(station, subscription.sequence(index), record)

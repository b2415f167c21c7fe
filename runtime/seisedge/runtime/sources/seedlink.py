"""SeedLink 3.1: packets from a station, an observatory or the virtual digitizer.

A client of our own: it sets a record that cannot be read aside and goes on, and it knows only what was handed out;
what was *processed* is the journal's business, which gives it back as `resume`.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import random
import socket
import threading
import time
from collections.abc import Generator, Iterator
from queue import Empty, SimpleQueue

from seisedge.runtime.errors import ConnectError, FailedError
from seisedge.runtime.miniseed import BadRecord, Decoder
from seisedge.runtime.packet import Packet, SourceId
from seisedge.runtime.sources import _seedlink_url as url_parts
from seisedge.runtime.sources._base import TICK_S, Source
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._seedlink_talk import Conversation, Lost
from seisedge.runtime.sources._seedlink_wire import (
    SEQUENCE_MODULUS,
    Frame,
    is_after,
    next_sequence,
    sequence_from_token,
    time_from_ns,
)

logger = logging.getLogger(__name__)

DIAL_TIMEOUT_S = 10.0  # for one attempt: name look-up and connection
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0
BACKOFF_JITTER = 0.3  # share of the wait that is random: stations must not come back all at once
LOST_UNTIL_END_S = 60.0  # --until-end: how long a lost connection is tried again, where no timeout is given

_EARLIEST_NS = 0  # a TIME before all data: works where sequence numbers are unknown


class LinkState(enum.Enum):
    """Where a connection is; `SeedLinkSource.state`, for metrics and tests."""

    CONNECTING = "connecting"
    NEGOTIATING = "negotiating"
    STREAMING = "streaming"
    WAITING = "waiting"  # before the next attempt
    CLOSED = "closed"


class _NoEndFetch(Exception):
    """The server does not know ENDFETCH."""


class SeedLinkSource(Source):
    """A SeedLink 3 server.

    Where it begins: after `resume` (last token taken per 'NET.STA'), else where the URL's `from` says, else at the
    earliest with `until_end` and at the latest without. `until_end` asks in dial-up mode and ends when the server
    says END. Packets carry their sequence number, six hexadecimal digits, as token.

    `packets` raises ConnectError where no connection is made in the time allowed (`connect_timeout_s`; with
    `until_end` and without a timeout, at the first refusal), and FailedError where a server lacks all stations
    asked for; a live run without `connect_timeout_s` tries both again for ever.
    """

    live = True

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError where the URL cannot be used."""
        super().__init__(url)
        self.options = options if options is not None else SourceOptions()
        self.address = url_parts.address_from_url(url)
        self.state = LinkState.WAITING
        self._name = f"seedlink {self.address.host}:{self.address.port}"
        self._last: dict[str, int] = {}
        for station_id, token in self.options.resume.items():
            sequence = sequence_from_token(token)
            if sequence is None:
                logger.warning("%s: %s: '%s' is no sequence number; ignored", url, station_id, token)
            else:
                self._last[station_id] = sequence
        self._ends: dict[SourceId, int] = {}
        self._decoder = Decoder()
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._knows_endfetch = True
        self._failures = 0
        self._was_connected = False

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
            except _NoEndFetch:
                self._knows_endfetch = False
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
                f"{self.url}: no connection to {self.address.host} port {self.address.port}{waited}: "
                f"{_reason(error)}; is the server running and the address right?"
            ) from error
        level = logging.WARNING if self._failures == 0 else logging.DEBUG
        logger.log(level, "%s: %s; trying again", self.url, _reason(error))
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

    # one connection

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
        conversation = Conversation(link)
        yield from self._negotiate(conversation)
        if self._was_connected:
            self.counters.reconnects += 1
        if self._failures:
            logger.info("%s: connected again after %d failures", self.url, self._failures)
        else:
            logger.info("%s: connected", self.url)
        self._was_connected, self._failures = True, 0
        self.state = LinkState.STREAMING
        try:
            return (yield from self._stream(conversation))
        finally:
            self.counters.skipped_bytes += conversation.cutter.skipped_bytes

    def _dial(self) -> Generator[None, None, socket.socket]:
        """A connected socket; name look-up and connection wait in a thread, so that ticks go on."""
        answer: SimpleQueue[socket.socket | OSError] = SimpleQueue()
        gone = threading.Event()

        timeout_s = min(DIAL_TIMEOUT_S, self.options.connect_timeout_s or DIAL_TIMEOUT_S)

        def dial() -> None:
            try:
                link = socket.create_connection((self.address.host, self.address.port), timeout_s)
            except OSError as error:
                answer.put(error)
                return
            if gone.is_set():
                link.close()
            else:
                answer.put(link)

        threading.Thread(target=dial, name=f"{self._name} dial", daemon=True).start()
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

    def _negotiate(self, talk: Conversation) -> Generator[None]:
        talk.send("HELLO")
        server = yield from talk.line()
        yield from talk.line()  # the organisation
        stations = self.address.stations
        if not stations:
            stations = yield from self._all_stations(talk)
        starts = self._start_sequences(stations, "ringserver" in server.lower())
        accepted = 0
        for network, station in stations:
            if not (yield from talk.ask(f"STATION {station} {network}")):
                if self._failures == 0:
                    logger.warning("%s: the server has no station %s.%s", self.url, network, station)
                continue
            accepted += 1
            for selector in self.address.selectors:
                if not (yield from talk.ask(f"SELECT {selector}")):
                    raise FailedError(f"{self.url}: the server does not accept select={selector}")
            command = self._start_command(starts.get(f"{network}.{station}"))
            if not (yield from talk.ask(command)):
                raise Lost(f"the server refuses '{command}' for {network}.{station}")
        if not accepted:
            names = ", ".join(f"{network}.{station}" for network, station in stations) or "no station at all"
            if self._allowed_s() is None:  # a live run waits for it, as it waits for a host
                raise Lost(f"the server does not have what was asked for: {names}")
            raise FailedError(f"{self.url}: the server does not have what was asked for: {names}")
        talk.send("ENDFETCH" if self.options.until_end and self._knows_endfetch else "END")

    def _start_command(self, sequence: int | None) -> str:
        dial_up = self.options.until_end
        if sequence is not None:
            return f"{'FETCH' if dial_up else 'DATA'} {sequence:06X}"
        start = self.address.start
        if start is None:
            start = url_parts.EARLIEST if dial_up else url_parts.LATEST
        if start == url_parts.LATEST:
            return "FETCH" if dial_up else "DATA"
        # By time, not by sequence number: what number is the first one is known to the server alone, and
        # ringserver 4.5 answers an unknown one with nothing. (By time it leaves out its oldest packet.)
        begin_ns = start if isinstance(start, int) else _EARLIEST_NS
        if dial_up and not self._knows_endfetch:
            return f"TIME {time_from_ns(begin_ns)} {time_from_ns(time.time_ns())}"
        return f"TIME {time_from_ns(begin_ns)}"

    def _start_sequences(self, stations: tuple[tuple[str, str], ...], one_sequence_for_all: bool) -> dict[str, int]:
        """The first sequence number wanted of each station that can be resumed.

        ringserver numbers the packets of all stations in one row and begins all at the newest number asked for:
        there every station asks for the oldest, and what comes twice is dropped.
        """
        known = {
            name: self._last[name]
            for name in (f"{network}.{station}" for network, station in stations)
            if name in self._last
        }
        if one_sequence_for_all and known:
            oldest = next(iter(known.values()))
            for sequence in known.values():
                if is_after(oldest, sequence):
                    oldest = sequence
            known = dict.fromkeys(known, oldest)
        return {name: next_sequence(sequence) for name, sequence in known.items()}

    def _all_stations(self, talk: Conversation) -> Generator[None, None, tuple[tuple[str, str], ...]]:
        from xml.etree import ElementTree  # only here: a fixed list of stations needs no XML

        text = yield from talk.info("STATIONS")
        try:
            found = ElementTree.fromstring(text).iter("station")
            return tuple((item.attrib["network"], item.attrib["name"]) for item in found)
        except (ElementTree.ParseError, KeyError) as error:
            raise Lost(f"the answer to INFO STATIONS cannot be read: {error}") from error

    def _stream(self, talk: Conversation) -> Generator[Packet | None, None, bool]:
        data_ns = time.monotonic_ns()
        cutter = talk.cutter
        while not self._closed.is_set():
            frame = cutter.next()
            if frame is None:
                arrived = talk.receive()
                if self._closed.is_set():
                    return False
                if not arrived:
                    age_s = (time.monotonic_ns() - data_ns) / 1e9
                    if age_s > self.options.data_timeout_s:
                        raise Lost(f"no data for {age_s:.0f} s")
                    yield None
                continue
            if frame.kind == "end":
                if self.options.until_end:
                    return True
                raise Lost("the server ended the transmission")
            if frame.kind == "error":
                if self.options.until_end and self._knows_endfetch:
                    raise _NoEndFetch
                raise Lost(frame.reason)
            if frame.kind == "info":
                continue
            data_ns = talk.received_ns
            packet = self._packet(frame, data_ns)
            if packet is not None:
                yield packet
        return False

    def _packet(self, frame: Frame, arrival_ns: int) -> Packet | None:
        """Decode a data packet; None where it is set aside or was here before."""
        self.counters.bytes += len(frame.record)
        token = f"{frame.sequence:06X}"
        if frame.kind == "bad":
            self.set_aside(BadRecord(frame.record, frame.reason), f"sequence {token}")
            if len(self._last) == 1:  # whose it was is not known, unless there is one station only
                self._last[next(iter(self._last))] = frame.sequence
            return None
        packet = self._decoder.packet(frame.record, arrival_ns, token)
        if isinstance(packet, BadRecord):
            self.set_aside(packet, f"sequence {token}")
            header = self._decoder.header(frame.record)
            if not isinstance(header, BadRecord):
                self._last[header.source_id.station_id] = frame.sequence
            return None
        source_id = packet.source_id
        last = self._last.get(source_id.station_id)
        behind = last is not None and (frame.sequence - last) % SEQUENCE_MODULUS >= SEQUENCE_MODULUS // 2
        if (behind or frame.sequence == last) and packet.endtime_ns <= self._ends.get(source_id, 0):
            # Both must hold: a server that was set up anew begins its numbers again, with new data.
            self.counters.duplicates += 1
            return None
        self._last[source_id.station_id] = frame.sequence
        self._ends[source_id] = packet.endtime_ns
        self.counters.records += 1
        return packet


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or "no answer"


@register_source("seedlink")
def _seedlink_source(url: str, options: SourceOptions) -> SeedLinkSource:
    """`seedlink://host:port/NET_STA?select=EH?&from=earliest`"""
    return SeedLinkSource(url, options)

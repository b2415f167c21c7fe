"""SeedLink 3.1 and 4.0: packets from a station, an observatory or the virtual digitizer.

The client sets unreadable records aside and continues. It only tracks which packets it delivered; which of them were
*processed* is stored by the journal, which passes it back as `resume`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Generator
from fnmatch import fnmatchcase
from importlib.metadata import version

from seisedge.runtime.errors import FailedError
from seisedge.runtime.records.miniseed import BadRecord, Decoder
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources import _server_url as url_parts
from seisedge.runtime.sources._base import LinkState
from seisedge.runtime.sources._link import LinkSource, Lost, Renegotiate
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._seedlink_conversation import Conversation
from seisedge.runtime.sources._seedlink_dialect import DIALECTS, Dialect, Dialect3, versions_offered
from seisedge.runtime.sources._seedlink_position import Position, position_from_token
from seisedge.runtime.sources._seedlink_wire import Frame

__all__ = ["LinkState", "SeedLinkSource"]

logger = logging.getLogger(__name__)


class SeedLinkSource(LinkSource):
    """A SeedLink server.

    Version: the URL's `protocol`; else the version of the tokens, if the server supports it; else the highest that the
    server offers. Start: after `resume` (last processed token per 'NET.STA'); else the URL's `from`; else the earliest
    packet with `until_end` and the latest without. The token of a packet is its sequence number: six hexadecimal
    digits in version 3, `v4:` and a decimal number in version 4. A station with a token of the other version starts at
    the earliest packet, so that no data are lost. `until_end` uses the dial-up mode and ends with the server's END.

    `packets` raises ConnectError as every LinkSource, and FailedError if the server has none of the requested
    stations, refuses a channel pattern, or does not support the requested version. A live run without
    `connect_timeout_s` waits for stations without limit.
    """

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError for an invalid URL."""
        self.address = url_parts.address_from_url(url)
        super().__init__(url, options, self.address.host, self.address.port)
        self.version: int | None = None  # of the current or last connection
        self._dialect: Dialect = Dialect3()
        self._last: dict[str, Position] = {}
        for station_id, token in self.options.resume.items():
            position = position_from_token(token)
            if position is None:
                logger.warning("%s: %s: '%s' is not a sequence number; ignored", self.url, station_id, token)
            else:
                self._last[station_id] = position
        self._ends: dict[SourceId, int] = {}
        self._decoder = Decoder()
        self._supports_endfetch = True
        self._conversation: Conversation | None = None

    def _negotiate(self, link: socket.socket) -> Generator[None]:
        conversation = self._conversation = Conversation(link)
        conversation.send("HELLO")
        hello = yield from conversation.line()
        yield from conversation.line()  # the organisation
        yield from self._choose_version(conversation, hello)
        dialect = self._dialect
        stations = yield from self._stations(conversation)
        positions = self._positions(stations, "ringserver" in hello.lower())
        selectors = [self._selector(pattern) for pattern in self.address.selectors]
        accepted = 0
        for network, station in stations:
            refusal = yield from conversation.ask(dialect.station(network, station))
            if refusal:
                if self._failures == 0:
                    logger.warning("%s: the server has no station %s.%s (%s)", self.url, network, station, refusal)
                continue
            accepted += 1
            for selector in selectors:
                refusal = yield from conversation.ask(f"SELECT {selector}")
                if refusal:
                    raise FailedError(f"{self.url}: the server refused select={selector} ({refusal})")
            position = positions.get(f"{network}.{station}")
            start = self._start(f"{network}.{station}") if position is None else url_parts.EARLIEST
            command = dialect.start(position, start, self.options.until_end, self._supports_endfetch)
            refusal = yield from conversation.ask(command)
            if refusal:
                raise Lost(f"the server refused '{command}' for {network}.{station} ({refusal})")
        if not accepted:
            names = ", ".join(f"{network}.{station}" for network, station in stations) or "it has no station"
            if self._time_limit_s() is None:  # a live run waits for a station as it waits for a host
                raise Lost(f"the server has none of the requested stations: {names}")
            raise FailedError(f"{self.url}: the server has none of the requested stations: {names}")
        conversation.send("ENDFETCH" if self.options.until_end and self._supports_endfetch else "END")

    def _choose_version(self, conversation: Conversation, hello: str) -> Generator[None]:
        """Choose the version and switch to it. Raises FailedError if the server does not support it."""
        offered, wanted = versions_offered(hello), self.address.protocol
        if not offered or (wanted is not None and wanted not in offered):
            known = "3 or 4" if wanted is None else str(wanted)
            supported = " and ".join(map(str, sorted(offered))) or "another version"
            raise FailedError(f"{self.url}: the server supports SeedLink {supported}, not {known} ({hello})")
        of_tokens = {position.version for position in self._last.values()}
        resumable = of_tokens & offered if len(of_tokens) == 1 else set()
        chosen = wanted or max(resumable or offered)
        if chosen == 4:
            refusal = yield from conversation.ask("SLPROTO 4.0")
            if refusal:
                raise Lost(f"it offers SeedLink 4 but refused 'SLPROTO 4.0' ({refusal})")
            yield from conversation.ask(
                f"USERAGENT seisedge/{version('seisedge')}"
            )  # optional: a refusal has no effect
        self.version, self._dialect = chosen, DIALECTS[chosen]()
        conversation.cutter = self._dialect.cutter()

    def _selector(self, pattern: str) -> str:
        selector = self._dialect.selector(pattern)
        if selector is None:
            form = "EHZ, EH?, 00EH?" if self.version == 3 else "EHZ, EH?, 00_B_H_Z"
            raise FailedError(
                f"{self.url}: select={pattern} has no form in SeedLink {self.version}; write a pattern such as {form}"
            )
        return selector

    def _start(self, station_id: str) -> str | int:
        """Start of a station that is not resumed."""
        if station_id in self._last:
            logger.warning(
                "%s: %s: token %s is not of SeedLink %d; starting at the earliest packet",
                self.url,
                station_id,
                self._last[station_id].token,
                self.version,
            )
            return url_parts.EARLIEST
        if self.address.start is not None:
            return self.address.start
        return url_parts.EARLIEST if self.options.until_end else url_parts.LATEST

    def _stations(self, conversation: Conversation) -> Generator[None, None, list[tuple[str, str]]]:
        """Stations to request. Patterns are expanded if a station is resumed, since a pattern has no position."""
        wanted = self.address.stations or (("*", "*"),)
        found: dict[tuple[str, str], None] = {}
        present: list[tuple[str, str]] | None = None
        for network, station in wanted:
            pattern = f"{network}.{station}"
            is_pattern = "*" in pattern or "?" in pattern
            resumable = any(fnmatchcase(station_id, pattern) for station_id in self._last)
            if not is_pattern or (self.address.stations and not resumable):
                found[network, station] = None
                continue
            if present is None:
                present = self._dialect.stations_from_info((yield from conversation.info("STATIONS")))
            for pair in present:
                if fnmatchcase(".".join(pair), pattern):
                    found[pair] = None
        return list(found)

    def _positions(self, stations: list[tuple[str, str]], shared_numbers: bool) -> dict[str, Position]:
        """Last position of each station that can be resumed.

        ringserver numbers the packets of all stations in one sequence and starts all at the newest number requested.
        There every station requests the oldest number, and repeated packets are dropped.
        """
        names = [f"{network}.{station}" for network, station in stations]
        known = {n: self._last[n] for n in names if n in self._last and self._last[n].version == self._dialect.version}
        if shared_numbers and known:
            oldest = next(iter(known.values()))
            for position in known.values():
                if oldest.is_after(position):
                    oldest = position
            known = dict.fromkeys(known, oldest)
        return known

    def _disconnected(self) -> None:
        if self._conversation is not None:
            self.counters.skipped_bytes += self._conversation.cutter.skipped_bytes
            self._conversation = None

    def _stream(self) -> Generator[Packet | None, None, bool]:
        conversation = self._conversation
        assert conversation is not None
        data_ns = time.monotonic_ns()
        while not self._closed.is_set():
            frame = conversation.cutter.next()
            if frame is None:
                self._note_idle()
                arrived = conversation.take()
                if self._closed.is_set():
                    return False
                if not arrived:
                    self._check_age(data_ns)
                    yield None
                continue
            if frame.kind == "end":
                if self.options.until_end:
                    return True
                raise Lost("the server ended the stream")
            if frame.kind == "error":
                if self.version == 3 and self.options.until_end and self._supports_endfetch:
                    self._supports_endfetch = False
                    raise Renegotiate
                raise Lost(frame.reason)
            if frame.kind == "info":
                continue
            data_ns = conversation.received_ns
            packet = self._packet(frame, data_ns)
            if packet is not None:
                yield packet
        return False

    def _packet(self, frame: Frame, arrival_ns: int) -> Packet | None:
        """Decode a data packet; None if it is set aside or was already delivered."""
        self.counters.bytes += len(frame.record)
        position = Position(self._dialect.version, frame.sequence)
        if frame.kind == "bad":
            self._set_aside(BadRecord(frame.record, frame.reason), position, frame.station)
            return None
        packet = self._decoder.packet(frame.record, arrival_ns, position.token)
        if isinstance(packet, BadRecord):
            station = frame.station
            if not station:
                header = self._decoder.header(frame.record)
                station = "" if isinstance(header, BadRecord) else header.source_id.station_id
            self._set_aside(packet, position, station)
            return None
        source_id = packet.source_id
        last = self._last.get(source_id.station_id)
        again = last is not None and last.version == position.version and not position.is_after(last)
        before_ns = self._ends.get(source_id, self.options.resume_ns.get(source_id.station_id, 0))
        if again and packet.endtime_ns <= before_ns:
            # Both conditions: a replaced server restarts its numbers, with new data.
            self.counters.duplicates += 1
            return None
        self._last[source_id.station_id] = position
        self._ends[source_id] = packet.endtime_ns
        self.counters.records += 1
        return packet

    def _set_aside(self, bad: BadRecord, position: Position, station: str) -> None:
        """Set a record aside; it is not requested again if its station is known."""
        self.set_aside(bad, f"sequence {position.token}")
        if not station and len(self._last) == 1:
            station = next(iter(self._last))
        if station and position.sequence >= 0:
            self._last[station] = position


@register_source("seedlink")
def _seedlink_source(url: str, options: SourceOptions) -> SeedLinkSource:
    """`seedlink://host:port/NET_STA?select=EH?&from=earliest&protocol=4`"""
    return SeedLinkSource(url, options)

"""SeedLink 3.1 and 4.0: packets from a station, an observatory or the virtual digitizer.

The client sets unreadable records aside and continues. It only tracks which packets it delivered; which of them were
*processed* is stored by the journal, which passes it back as `resume`.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Generator, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import version

from seisedge.runtime.errors import FailedError
from seisedge.runtime.records.codes import SEED_FORM, station_fits_seed
from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources import _server_url as url_parts
from seisedge.runtime.sources._base import LinkState
from seisedge.runtime.sources._cutter import printable
from seisedge.runtime.sources._link import LinkSource, Lost, Renegotiate
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._seedlink_conversation import Conversation
from seisedge.runtime.sources._seedlink_dialect import DIALECTS, Dialect, Dialect3, versions_offered
from seisedge.runtime.sources._seedlink_position import Position, Span, position_from_token
from seisedge.runtime.sources._seedlink_wire import Frame

__all__ = ["LinkState", "SeedLinkSource"]

logger = logging.getLogger(__name__)

_CODE = re.compile(r"[!-~]{1,21}")  # a code that can be part of a command: one word of ASCII
MAX_INFO_FAILURES = 2  # then positions are requested without a check: a server may be unable to reply to INFO


class SeedLinkSource(LinkSource):
    """A SeedLink server.

    Version: the URL's `protocol`; else the version of the tokens, if the server supports it; else the highest that the
    server offers. Start: after `resume` (last processed token per 'NET.STA'); else the URL's `from`; else the earliest
    packet with `until_end` and the latest without. The token of a packet is its sequence number: six hexadecimal
    digits in version 3, `v4:` and a decimal number in version 4. A station with a token of the other version starts at
    the earliest packet, so that no data are lost. So does a station if the server no longer has the packet after its
    token, by its reply to INFO STATIONS; that gap is counted and logged. `until_end` uses the dial-up mode and ends
    with the server's END.

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
        self._supports_endfetch = True
        self._conversation: Conversation | None = None
        self._info_failures = 0  # of INFO STATIONS, since the last complete reply
        self._requested = 0  # stations that the server accepted
        self._gaps: dict[str, Position] = {}  # position after which the server had a gap, as last reported

    @property
    def _protocol(self) -> str:
        return f"SeedLink {self.version}, {self._requested} station(s)"

    def _negotiate(self, link: socket.socket) -> Generator[None]:
        conversation = self._conversation = Conversation(link, self._negotiation_limit_s)
        conversation.send("HELLO")
        hello = yield from conversation.line("HELLO")
        yield from conversation.line("HELLO")  # the organisation
        yield from self._choose_version(conversation, hello)
        dialect = self._dialect
        present = yield from self._present(conversation)
        stations = self._stations(present)
        conversation.extend(self._station_limit_s(len(stations)))
        positions = self._positions(stations, dialect.is_ringserver, present or {})
        selectors = [self._selector(pattern) for pattern in self.address.selectors]
        accepted = 0
        if self.version == 3:
            stations = self._with_room(stations)
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
                    raise self._refusal(f"the server refused select={selector} ({refusal})")
            station_id = f"{network}.{station}"
            position = positions.get(station_id)
            start = self._start(station_id) if position is None else url_parts.EARLIEST
            command = dialect.start(position, start, self.options.until_end, self._supports_endfetch)
            refusal = yield from conversation.ask(command)
            if refusal:
                raise Lost(f"the server refused '{command}' for {network}.{station} ({refusal})")
        if not accepted:
            names = ", ".join(f"{network}.{station}" for network, station in stations) or "it has no station"
            reason = f"the server has none of the requested stations: {names}"
            if self._time_limit_s() is None:  # a live run waits for a station as it waits for a host
                raise Lost(reason)
            raise self._refusal(reason)
        self._requested = accepted
        conversation.send("ENDFETCH" if self.options.until_end and self._supports_endfetch else "END")
        conversation.negotiated()

    def _choose_version(self, conversation: Conversation, hello: str) -> Generator[None]:
        """Choose the version and switch to it. Raises FailedError if the server does not support it."""
        offered, wanted = versions_offered(hello), self.address.protocol
        if not offered or (wanted is not None and wanted not in offered):
            known = "3 or 4" if wanted is None else str(wanted)
            supported = " and ".join(map(str, sorted(offered))) or "another version"
            raise self._refusal(f"the server supports SeedLink {supported}, not {known} ({printable(hello)})")
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
        self.version, self._dialect = chosen, DIALECTS[chosen]("ringserver" in hello.lower())
        conversation.cutter = self._dialect.cutter()

    def _with_room(self, stations: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The stations whose codes have room in SeedLink 3. Raises FailedError if the URL names another one."""
        found = []
        for network, station in stations:
            if station_fits_seed(network, station):
                found.append((network, station))
                continue
            reason = f"SeedLink 3 cannot carry the station {network}_{station}: {SEED_FORM}"
            if (network, station) in self.address.stations:
                raise FailedError(f"{self.url}: {reason}; use a server of SeedLink 4, or datalink://")
            if self._failures == 0:
                logger.warning("%s: %s", self.url, reason)
        return found

    def _selector(self, pattern: str) -> str:
        selector = self._dialect.selector(pattern)
        if selector is None:
            form = "EHZ, EH?, 00EH?" if self.version == 3 else "EHZ, EH?, 00_B_H_Z"
            raise self._refusal(
                f"select={pattern} has no form in SeedLink {self.version}; write a pattern such as {form}"
            )
        return selector

    def _start(self, station_id: str) -> str | int:
        """Start of a station that is not resumed."""
        last = self._last.get(station_id)
        if last is not None:
            if last.version != self.version:
                logger.warning(
                    "%s: %s: token %s is not of SeedLink %d; starting at the earliest packet",
                    self.url,
                    station_id,
                    last.token,
                    self.version,
                )
            return url_parts.EARLIEST
        if self.address.start is not None:
            return self.address.start
        return url_parts.EARLIEST if self.options.until_end else url_parts.LATEST

    def _present(self, conversation: Conversation) -> Generator[None, None, dict[tuple[str, str], Span | None] | None]:
        """The stations of the server, if they are needed: to expand patterns, and to check positions.

        None if they are not needed, or if the server refuses INFO and no pattern needs them. Raises Lost.
        """
        has_pattern = any(self._is_expanded(*pair) for pair in self.address.stations or (("*", "*"),))
        resumes = any(position.version == self._dialect.version for position in self._last.values())
        if not has_pattern and (not resumes or self._info_failures >= MAX_INFO_FAILURES):
            return None
        self._info_failures += 1  # until the reply has arrived
        parts = yield from conversation.info("STATIONS")
        if parts is None:
            if has_pattern:
                raise Lost("the server refuses INFO STATIONS")
            return None
        found = self._dialect.stations_from_info(parts)
        self._info_failures = 0
        return {pair: span for pair, span in found.items() if all(map(_CODE.fullmatch, pair))}

    def _is_expanded(self, network: str, station: str) -> bool:
        """True for a pattern that is replaced by its stations, since a pattern has no position."""
        pattern = f"{network}.{station}"
        resumable = any(fnmatchcase(station_id, pattern) for station_id in self._last)
        return ("*" in pattern or "?" in pattern) and (resumable or not self.address.stations)

    def _stations(self, present: Mapping[tuple[str, str], Span | None] | None) -> list[tuple[str, str]]:
        """Stations to request. present: those of the server."""
        found: dict[tuple[str, str], None] = {}
        for network, station in self.address.stations or (("*", "*"),):
            if not self._is_expanded(network, station):
                found[network, station] = None
                continue
            for pair in present or {}:
                if fnmatchcase(".".join(pair), f"{network}.{station}"):
                    found[pair] = None
        return list(found)

    def _positions(
        self, stations: list[tuple[str, str]], shared_numbers: bool, present: Mapping[tuple[str, str], Span | None]
    ) -> dict[str, Position]:
        """Last position of each station that can be resumed; without those after which the server has a gap.

        ringserver numbers the packets of all stations in one sequence and starts all at the newest number requested.
        There every station requests the oldest number, and repeated packets are dropped.
        """
        names = [f"{network}.{station}" for network, station in stations]
        known = {n: self._last[n] for n in names if n in self._last and self._last[n].version == self._dialect.version}
        spans = {".".join(pair): span for pair, span in present.items() if span is not None}
        gone = {n for n, position in known.items() if n in spans and not spans[n].continues(position)}
        for station_id in gone:
            self._note_gap(station_id, known[station_id])
        if not shared_numbers:
            return {station_id: position for station_id, position in known.items() if station_id not in gone}
        if gone or not known:
            return {}
        oldest = next(iter(known.values()))
        for position in known.values():
            if oldest.is_after(position):
                oldest = position
        return dict.fromkeys(known, oldest)

    def _note_gap(self, station_id: str, position: Position) -> None:
        """Report, once for each position, that the server no longer has the packet after it."""
        if self._gaps.get(station_id) == position:
            return
        self._gaps[station_id] = position
        self.counters.resume_gaps += 1
        logger.warning(
            "%s: %s: the server no longer has the packet after %s; starting at its earliest packet; "
            "data may be missing",
            self.url,
            station_id,
            position.token.removeprefix("v4:"),
        )

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
                data = conversation.take()
                if self._closed.is_set():
                    return False
                self._check_age(data_ns)
                if conversation.is_tick(data):
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
            self._drop_repeated(source_id.station_id, arrival_ns)
            return None
        self._last[source_id.station_id] = position
        self._ends[source_id] = packet.endtime_ns
        self._count_new(source_id.station_id)
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

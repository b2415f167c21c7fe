"""SeedLink 3.1 and 4.0: packets from a station, an observatory or the virtual digitizer.

A client of our own: it sets a record that cannot be read aside and goes on, and it knows only what was handed out;
what was *processed* is the journal's business, which gives it back as `resume`.
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
from seisedge.runtime.sources._link import AskAgain, LinkSource, LinkState, Lost
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._seedlink_dialect import DIALECTS, Dialect, Dialect3, versions_offered
from seisedge.runtime.sources._seedlink_place import Place, place_from_token
from seisedge.runtime.sources._seedlink_talk import Conversation
from seisedge.runtime.sources._seedlink_wire import Frame

__all__ = ["LinkState", "SeedLinkSource"]

logger = logging.getLogger(__name__)


class SeedLinkSource(LinkSource):
    """A SeedLink server.

    Which version: the URL's `protocol`, else that of the tokens where the server speaks it, else the best it offers.
    Where it begins: after `resume` (last token taken per 'NET.STA'), else where the URL's `from` says, else at the
    earliest with `until_end` and at the latest without. Packets carry their sequence number as token: six
    hexadecimal digits in version 3, `v4:` and a decimal number in version 4. A token of the other version cannot be
    used: that station begins at the earliest, so that nothing is lost. `until_end` asks in dial-up mode and ends
    when the server says END.

    `packets` raises ConnectError as every LinkSource does, and FailedError where a server lacks all stations asked
    for, does not accept a channel pattern, or does not speak the version asked for; of these a live run without
    `connect_timeout_s` waits for ever for stations.
    """

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError where the URL cannot be used."""
        self.address = url_parts.address_from_url(url)
        super().__init__(url, options, self.address.host, self.address.port)
        self.version: int | None = None  # spoken on the present or last connection
        self._dialect: Dialect = Dialect3()
        self._last: dict[str, Place] = {}
        for station_id, token in self.options.resume.items():
            place = place_from_token(token)
            if place is None:
                logger.warning("%s: %s: '%s' is no sequence number; ignored", url, station_id, token)
            else:
                self._last[station_id] = place
        self._ends: dict[SourceId, int] = {}
        self._decoder = Decoder()
        self._knows_endfetch = True
        self._talk: Conversation | None = None

    def _negotiate(self, link: socket.socket) -> Generator[None]:
        talk = self._talk = Conversation(link)
        talk.send("HELLO")
        hello = yield from talk.line()
        yield from talk.line()  # the organisation
        yield from self._agree(talk, hello)
        dialect = self._dialect
        stations = yield from self._stations(talk)
        places = self._places(stations, "ringserver" in hello.lower())
        selectors = [self._selector(pattern) for pattern in self.address.selectors]
        accepted = 0
        for network, station in stations:
            refusal = yield from talk.ask(dialect.station(network, station))
            if refusal:
                if self._failures == 0:
                    logger.warning("%s: the server has no station %s.%s (%s)", self.url, network, station, refusal)
                continue
            accepted += 1
            for selector in selectors:
                refusal = yield from talk.ask(f"SELECT {selector}")
                if refusal:
                    raise FailedError(f"{self.url}: the server does not accept select={selector} ({refusal})")
            place = places.get(f"{network}.{station}")
            start = self._start(f"{network}.{station}") if place is None else url_parts.EARLIEST
            command = dialect.start(place, start, self.options.until_end, self._knows_endfetch)
            refusal = yield from talk.ask(command)
            if refusal:
                raise Lost(f"the server refuses '{command}' for {network}.{station} ({refusal})")
        if not accepted:
            names = ", ".join(f"{network}.{station}" for network, station in stations) or "no station at all"
            if self._allowed_s() is None:  # a live run waits for it, as it waits for a host
                raise Lost(f"the server does not have what was asked for: {names}")
            raise FailedError(f"{self.url}: the server does not have what was asked for: {names}")
        talk.send("ENDFETCH" if self.options.until_end and self._knows_endfetch else "END")

    def _agree(self, talk: Conversation, hello: str) -> Generator[None]:
        """Choose the version and switch to it."""
        offered, wanted = versions_offered(hello), self.address.protocol
        if not offered or (wanted is not None and wanted not in offered):
            known = "3 or 4" if wanted is None else str(wanted)
            spoken = " and ".join(map(str, sorted(offered))) or "another version"
            raise FailedError(f"{self.url}: the server speaks SeedLink {spoken}, not {known} ({hello})")
        of_tokens = {place.version for place in self._last.values()}
        resumable = of_tokens & offered if len(of_tokens) == 1 else set()
        chosen = wanted or max(resumable or offered)
        if chosen == 4:
            refusal = yield from talk.ask("SLPROTO 4.0")
            if refusal:
                raise Lost(f"the server offers SeedLink 4 but refuses 'SLPROTO 4.0' ({refusal})")
            yield from talk.ask(f"USERAGENT seisedge/{version('seisedge')}")  # a courtesy: refused without harm
        self.version, self._dialect = chosen, DIALECTS[chosen]()
        talk.cutter = self._dialect.cutter()

    def _selector(self, pattern: str) -> str:
        selector = self._dialect.selector(pattern)
        if selector is None:
            form = "EHZ, EH?, 00EH?" if self.version == 3 else "EHZ, EH?, 00_B_H_Z"
            raise FailedError(
                f"{self.url}: select={pattern} cannot be said in SeedLink {self.version}; write it as {form}"
            )
        return selector

    def _start(self, station_id: str) -> str | int:
        """Where a station begins that is not resumed."""
        if station_id in self._last:
            logger.warning(
                "%s: %s: token %s is not of SeedLink %d; beginning at the earliest",
                self.url,
                station_id,
                self._last[station_id].token,
                self.version,
            )
            return url_parts.EARLIEST
        if self.address.start is not None:
            return self.address.start
        return url_parts.EARLIEST if self.options.until_end else url_parts.LATEST

    def _stations(self, talk: Conversation) -> Generator[None, None, list[tuple[str, str]]]:
        """What to ask for; patterns are looked up where there is a place to resume from, which a pattern has not."""
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
                present = self._dialect.stations_from_info((yield from talk.info("STATIONS")))
            for pair in present:
                if fnmatchcase(".".join(pair), pattern):
                    found[pair] = None
        return list(found)

    def _places(self, stations: list[tuple[str, str]], one_row_for_all: bool) -> dict[str, Place]:
        """The last place of each station that can be resumed.

        ringserver numbers the packets of all stations in one row and begins all at the newest number asked for:
        there every station asks for the oldest, and what comes twice is dropped.
        """
        names = [f"{network}.{station}" for network, station in stations]
        known = {n: self._last[n] for n in names if n in self._last and self._last[n].version == self._dialect.version}
        if one_row_for_all and known:
            oldest = next(iter(known.values()))
            for place in known.values():
                if oldest.is_after(place):
                    oldest = place
            known = dict.fromkeys(known, oldest)
        return known

    def _left(self) -> None:
        if self._talk is not None:
            self.counters.skipped_bytes += self._talk.cutter.skipped_bytes
            self._talk = None

    def _stream(self) -> Generator[Packet | None, None, bool]:
        talk = self._talk
        assert talk is not None
        data_ns = time.monotonic_ns()
        while not self._closed.is_set():
            frame = talk.cutter.next()
            if frame is None:
                self._note_idle()
                arrived = talk.take()
                if self._closed.is_set():
                    return False
                if not arrived:
                    self._check_age(data_ns)
                    yield None
                continue
            if frame.kind == "end":
                if self.options.until_end:
                    return True
                raise Lost("the server ended the transmission")
            if frame.kind == "error":
                if self.version == 3 and self.options.until_end and self._knows_endfetch:
                    self._knows_endfetch = False
                    raise AskAgain
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
        place = Place(self._dialect.version, frame.sequence)
        if frame.kind == "bad":
            self._set_aside(BadRecord(frame.record, frame.reason), place, frame.station)
            return None
        packet = self._decoder.packet(frame.record, arrival_ns, place.token)
        if isinstance(packet, BadRecord):
            station = frame.station
            if not station:
                header = self._decoder.header(frame.record)
                station = "" if isinstance(header, BadRecord) else header.source_id.station_id
            self._set_aside(packet, place, station)
            return None
        source_id = packet.source_id
        last = self._last.get(source_id.station_id)
        again = last is not None and last.version == place.version and not place.is_after(last)
        before_ns = self._ends.get(source_id, self.options.resume_ns.get(source_id.station_id, 0))
        if again and packet.endtime_ns <= before_ns:
            # Both must hold: a server that was set up anew begins its numbers again, with new data.
            self.counters.duplicates += 1
            return None
        self._last[source_id.station_id] = place
        self._ends[source_id] = packet.endtime_ns
        self.counters.records += 1
        return packet

    def _set_aside(self, bad: BadRecord, place: Place, station: str) -> None:
        """A record that cannot be used is not asked for again, where it is known whose it was."""
        self.set_aside(bad, f"sequence {place.token}")
        if not station and len(self._last) == 1:
            station = next(iter(self._last))
        if station and place.sequence >= 0:
            self._last[station] = place


@register_source("seedlink")
def _seedlink_source(url: str, options: SourceOptions) -> SeedLinkSource:
    """`seedlink://host:port/NET_STA?select=EH?&from=earliest&protocol=4`"""
    return SeedLinkSource(url, options)

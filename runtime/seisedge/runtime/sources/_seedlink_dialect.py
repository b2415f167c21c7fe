"""Commands and replies of SeedLink 3 and 4, from the client's side: one class per version."""

from __future__ import annotations

import abc
import re
import time

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.records.codes import location_from_text
from seisedge.runtime.records.miniseed import text_from_record
from seisedge.runtime.sources._cutter import Cutter
from seisedge.runtime.sources._link import Lost
from seisedge.runtime.sources._seedlink_position import Position, Span
from seisedge.runtime.sources._seedlink_wire import Frame, FrameCutter, time_from_ns
from seisedge.runtime.sources._seedlink_wire4 import FrameCutter4
from seisedge.runtime.sources._server_url import LATEST

_EARLIEST_NS = 0  # before all data; a time works without known sequence numbers
_PATTERN_3 = re.compile(r"(!?)([A-Z0-9?-]{2})?([A-Z0-9?*])([A-Z0-9?*])([A-Z0-9?*])(\.[A-Z])?")
_PATTERN_4 = re.compile(r"(!?)([A-Z0-9?*-]{0,8})_([A-Z0-9?*]+)_([A-Z0-9?*]*)_([A-Z0-9?*]+)")


class Dialect(abc.ABC):
    """Commands and replies of one version.

    is_ringserver: the server numbers the packets of all stations in one sequence, and its INFO has decimal numbers.
    """

    version: int

    def __init__(self, is_ringserver: bool = False) -> None:
        self.is_ringserver = is_ringserver

    @abc.abstractmethod
    def cutter(self) -> Cutter[Frame]:
        """A new cutter for the packets of this version."""

    @abc.abstractmethod
    def station(self, network: str, station: str) -> str:
        """The command that selects a station."""

    @abc.abstractmethod
    def selector(self, pattern: str) -> str | None:
        """A channel pattern of either version in the form of this one; None if it has no such form."""

    @abc.abstractmethod
    def start(self, position: Position | None, start: str | int, dial_up: bool, supports_endfetch: bool) -> str:
        """The command that requests data: after `position`, else from `start` (earliest, latest or ns)."""

    @abc.abstractmethod
    def stations_from_info(self, parts: list[bytes]) -> dict[tuple[str, str], Span | None]:
        """(network, station) pairs in the reply to INFO STATIONS, and which packets the server has of each.

        None: the reply does not state it, or has no packet. Raises Lost if the reply cannot be parsed.
        """


class Dialect3(Dialect):
    """SeedLink 3.1, of SeisComP and older servers. https://www.seiscomp.de/doc/apps/seedlink.html"""

    version = 3

    def cutter(self) -> Cutter[Frame]:
        return FrameCutter()

    def station(self, network: str, station: str) -> str:
        return f"STATION {station} {network}"

    def selector(self, pattern: str) -> str | None:
        match = _PATTERN_4.fullmatch(pattern)
        if match is None:
            return pattern
        no, location, *codes = match.groups()
        if any(len(code) != 1 for code in codes) or len(location) not in (0, 1, 2):
            return None
        if location in ("*", "??"):
            return f"{no}{''.join(codes)}".replace("*", "?")
        return f"{no}{location.ljust(2, '-')}{''.join(codes)}".replace("*", "?")

    def start(self, position: Position | None, start: str | int, dial_up: bool, supports_endfetch: bool) -> str:
        if position is not None:
            return f"{'FETCH' if dial_up else 'DATA'} {position.following:06X}"
        if start == LATEST:
            return "FETCH" if dial_up else "DATA"
        # By time, not by sequence number: only the server knows its first number, and ringserver 4.5 sends nothing
        # for an unknown one. (With a time it omits its oldest packet.)
        begin_ns = start if isinstance(start, int) else _EARLIEST_NS
        if dial_up and not supports_endfetch:
            return f"TIME {time_from_ns(begin_ns)} {time_from_ns(time.time_ns())}"
        return f"TIME {time_from_ns(begin_ns)}"

    def stations_from_info(self, parts: list[bytes]) -> dict[tuple[str, str], Span | None]:
        from xml.etree import ElementTree  # imported here: a first start with a list of stations needs no XML

        try:
            found = list(ElementTree.fromstring("".join(map(text_from_record, parts))).iter("station"))
            names = [(item.attrib["network"], item.attrib["name"]) for item in found]
        except (ElementTree.ParseError, LookupError, ValueError) as error:  # ValueError: utf-7 is declared
            raise Lost(f"the reply to INFO STATIONS cannot be parsed: {error}") from error
        base = 10 if self.is_ringserver else 16
        spans = [Span.from_texts(3, item.get("begin_seq"), item.get("end_seq"), base) for item in found]
        return dict(zip(names, spans, strict=True))


class Dialect4(Dialect):
    """SeedLink 4.0. https://docs.fdsn.org/projects/seedlink"""

    version = 4

    def cutter(self) -> Cutter[Frame]:
        return FrameCutter4()

    def station(self, network: str, station: str) -> str:
        return f"STATION {network}_{station}"

    def selector(self, pattern: str) -> str | None:
        match = _PATTERN_4.fullmatch(pattern)
        if match is not None:
            no, location, *codes = match.groups()
            return f"{no}{location_from_text(location)}_{'_'.join(codes)}"
        if pattern.lstrip("!") == "*":
            return pattern
        match = _PATTERN_3.fullmatch(pattern)
        if match is None:
            return None
        no, location, *codes, kind = match.groups()
        location = "*" if location is None else location.replace("-", "")
        return f"{no}{location}_{'_'.join(codes)}" + (f".?{kind[1]}" if kind else "")

    def start(self, position: Position | None, start: str | int, dial_up: bool, supports_endfetch: bool) -> str:
        if position is not None:
            return f"DATA {position.following}"
        if start == LATEST:
            return "DATA"
        # With a time, since ringserver 4.5 sends nothing after a bare DATA ALL.
        begin_ns = start if isinstance(start, int) else _EARLIEST_NS
        return f"DATA ALL {iso_from_ns(begin_ns // NS_PER_S * NS_PER_S)[:19]}Z"

    def stations_from_info(self, parts: list[bytes]) -> dict[tuple[str, str], Span | None]:
        import json

        stations: dict[tuple[str, str], Span | None] = {}
        try:
            for item in json.loads(b"".join(parts)).get("station", []):
                network, mark, station = item["id"].partition("_")
                if mark:
                    first, last = item.get("start_seq"), item.get("end_seq")
                    stations[network, station] = Span.from_texts(4, str(first), str(last))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Lost(f"the reply to INFO STATIONS cannot be parsed: {type(error).__name__}: {error}") from error
        return stations


DIALECTS: dict[int, type[Dialect]] = {3: Dialect3, 4: Dialect4}


def versions_offered(hello: str) -> set[int]:
    """Major versions in the first line of a server's reply to HELLO; 3 if it states none."""
    found = {int(number) for number in re.findall(r"\bSLPROTO:(\d+)", hello)}
    return found & set(DIALECTS) if found else {3}

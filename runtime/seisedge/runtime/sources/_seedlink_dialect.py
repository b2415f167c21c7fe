"""How the two versions of SeedLink say the same things: one class each."""

from __future__ import annotations

import abc
import re
import time

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.records.miniseed import text_from_record
from seisedge.runtime.sources._cutter import Cutter
from seisedge.runtime.sources._link import Lost
from seisedge.runtime.sources._seedlink_place import Place
from seisedge.runtime.sources._seedlink_wire import Frame, FrameCutter, time_from_ns
from seisedge.runtime.sources._seedlink_wire4 import FrameCutter4
from seisedge.runtime.sources._server_url import LATEST

_EARLIEST_NS = 0  # a time before all data: works where sequence numbers are unknown
_PATTERN_3 = re.compile(r"(!?)([A-Z0-9?-]{2})?([A-Z0-9?*])([A-Z0-9?*])([A-Z0-9?*])(\.[A-Z])?")
_PATTERN_4 = re.compile(r"(!?)([A-Z0-9?*]*)_([A-Z0-9?*]+)_([A-Z0-9?*]*)_([A-Z0-9?*]+)")


class Dialect(abc.ABC):
    """Commands and answers of one version."""

    version: int

    @abc.abstractmethod
    def cutter(self) -> Cutter[Frame]:
        """What cuts its packets out of the stream."""

    @abc.abstractmethod
    def station(self, network: str, station: str) -> str:
        """The command that asks for a station."""

    @abc.abstractmethod
    def selector(self, pattern: str) -> str | None:
        """A channel pattern of either version in this one's words; None where it cannot be said."""

    @abc.abstractmethod
    def start(self, place: Place | None, start: str | int, dial_up: bool, knows_endfetch: bool) -> str:
        """The command that asks for data: behind `place`, else from `start` (earliest, latest or ns)."""

    @abc.abstractmethod
    def stations_from_info(self, parts: list[bytes]) -> list[tuple[str, str]]:
        """(network, station) of the answer to INFO STATIONS; raises Lost where it cannot be read."""


class Dialect3(Dialect):
    """SeedLink 3.1, as SeisComP and older servers speak it. https://www.seiscomp.de/doc/apps/seedlink.html"""

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

    def start(self, place: Place | None, start: str | int, dial_up: bool, knows_endfetch: bool) -> str:
        if place is not None:
            return f"{'FETCH' if dial_up else 'DATA'} {place.following:06X}"
        if start == LATEST:
            return "FETCH" if dial_up else "DATA"
        # By time, not by sequence number: what number is the first one is known to the server alone, and
        # ringserver 4.5 answers an unknown one with nothing. (By time it leaves out its oldest packet.)
        begin_ns = start if isinstance(start, int) else _EARLIEST_NS
        if dial_up and not knows_endfetch:
            return f"TIME {time_from_ns(begin_ns)} {time_from_ns(time.time_ns())}"
        return f"TIME {time_from_ns(begin_ns)}"

    def stations_from_info(self, parts: list[bytes]) -> list[tuple[str, str]]:
        from xml.etree import ElementTree  # only here: a fixed list of stations needs no XML

        try:
            found = ElementTree.fromstring("".join(map(text_from_record, parts))).iter("station")
            return [(item.attrib["network"], item.attrib["name"]) for item in found]
        except (ElementTree.ParseError, KeyError) as error:
            raise Lost(f"the answer to INFO STATIONS cannot be read: {error}") from error


class Dialect4(Dialect):
    """SeedLink 4.0. https://docs.fdsn.org/projects/seedlink"""

    version = 4

    def cutter(self) -> Cutter[Frame]:
        return FrameCutter4()

    def station(self, network: str, station: str) -> str:
        return f"STATION {network}_{station}"

    def selector(self, pattern: str) -> str | None:
        if _PATTERN_4.fullmatch(pattern) or pattern.lstrip("!") == "*":
            return pattern
        match = _PATTERN_3.fullmatch(pattern)
        if match is None:
            return None
        no, location, *codes, kind = match.groups()
        location = "*" if location is None else location.replace("-", "")
        return f"{no}{location}_{'_'.join(codes)}" + (f".?{kind[1]}" if kind else "")

    def start(self, place: Place | None, start: str | int, dial_up: bool, knows_endfetch: bool) -> str:
        if place is not None:
            return f"DATA {place.following}"
        if start == LATEST:
            return "DATA"
        # With a time, for ringserver 4.5 answers a bare DATA ALL with nothing.
        begin_ns = start if isinstance(start, int) else _EARLIEST_NS
        return f"DATA ALL {iso_from_ns(begin_ns // NS_PER_S * NS_PER_S)[:19]}Z"

    def stations_from_info(self, parts: list[bytes]) -> list[tuple[str, str]]:
        import json

        try:
            names = [item["id"] for item in json.loads(b"".join(parts)).get("station", [])]
            pairs = [tuple(name.split("_", 1)) for name in names]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Lost(f"the answer to INFO STATIONS cannot be read: {error}") from error
        return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


DIALECTS: dict[int, type[Dialect]] = {3: Dialect3, 4: Dialect4}


def versions_offered(hello: str) -> set[int]:
    """Major versions in the first line of a server's answer to HELLO; 3 where it names none."""
    found = {int(number) for number in re.findall(r"\bSLPROTO:(\d+)", hello)}
    return found & set(DIALECTS) if found else {3}

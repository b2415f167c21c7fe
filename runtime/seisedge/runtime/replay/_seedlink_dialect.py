"""Commands and replies of SeedLink 3 and 4, from the server's side: one class per version."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.records.codes import station_from_text
from seisedge.runtime.replay._client import SITE, SOFTWARE
from seisedge.runtime.replay._info import Progress, info_json, info_packets, info_text
from seisedge.runtime.replay._recording import Station
from seisedge.runtime.replay._select import Request, Selector
from seisedge.runtime.sources._seedlink_position import SEQUENCE_MODULUS, UNSET_4
from seisedge.runtime.sources._seedlink_wire4 import HEADER

OK = b"OK\r\n"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the reply to a command is ERROR; version 3 does not transmit the reason."""

    code: str
    message: str


class Dialect(abc.ABC):
    """Commands and packets of one version."""

    version: int
    modulus: int
    start_words: tuple[str, ...]

    @abc.abstractmethod
    def error(self, refusal: Refusal) -> bytes:
        """The reply to a refused command."""

    @abc.abstractmethod
    def station(self, arguments: list[str]) -> Request | None:
        """The request of STATION; None for an invalid station."""

    @abc.abstractmethod
    def selectors(self, arguments: list[str]) -> list[Selector] | None:
        """The selectors of SELECT; None for an invalid pattern."""

    @abc.abstractmethod
    def start(self, request: Request, word: str, arguments: list[str]) -> None:
        """Set start and end of `request`. Raises ValueError or IndexError for invalid arguments."""

    @abc.abstractmethod
    def packet(self, station: Station, sequence: int, record: bytes) -> bytes:
        """A record in its packet."""

    @abc.abstractmethod
    def info(self, level: str, stations: Iterable[Station], progress: Progress) -> bytes:
        """The reply to INFO."""


class Dialect3(Dialect):
    """SeedLink 3.1. https://www.seiscomp.de/doc/apps/seedlink.html"""

    version = 3
    modulus = SEQUENCE_MODULUS
    start_words = ("DATA", "FETCH", "TIME")

    def error(self, refusal: Refusal) -> bytes:
        return b"ERROR\r\n"

    def station(self, arguments: list[str]) -> Request | None:
        if not 1 <= len(arguments) <= 2:
            return None
        codes = station_from_text(f"{arguments[1] if len(arguments) == 2 else '*'}_{arguments[0]}", patterns=True)
        return None if codes is None else Request(*codes, seed_only=True)

    def selectors(self, arguments: list[str]) -> list[Selector] | None:
        if not arguments:
            return []
        selector = Selector.from_text(arguments[0])
        return None if selector is None or len(arguments) > 1 else [selector]

    def start(self, request: Request, word: str, arguments: list[str]) -> None:
        if word == "TIME":
            request.begin_ns = _time(arguments[0])
            request.end_ns = _time(arguments[1]) if len(arguments) > 1 else None
            return
        request.sequence = int(arguments[0], 16) & 0xFFFFFF if arguments else None
        request.begin_ns = _time(arguments[1]) if len(arguments) > 1 else None
        request.dial_up = word == "FETCH"

    def packet(self, station: Station, sequence: int, record: bytes) -> bytes:
        return b"SL%06X" % sequence + record

    def info(self, level: str, stations: Iterable[Station], progress: Progress) -> bytes:
        text = info_text(level, f"SeedLink v3.1 ({SOFTWARE})", SITE, stations, progress)
        if text is None:
            wrong = f'<?xml version="1.0"?>\n<seedlink><error>INFO {level} is not supported</error></seedlink>\n'
            return b"".join(info_packets(wrong, is_error=True))
        return b"".join(info_packets(text))


class Dialect4(Dialect):
    """SeedLink 4.0. https://docs.fdsn.org/projects/seedlink"""

    version = 4
    modulus = 1 << 64
    start_words = ("DATA",)

    def error(self, refusal: Refusal) -> bytes:
        return f"ERROR {refusal.code} {refusal.message}\r\n".encode("ascii", errors="replace")

    def station(self, arguments: list[str]) -> Request | None:
        if len(arguments) != 1:
            return None
        codes = station_from_text("*_*" if arguments[0] in ("*", "*_") else arguments[0], patterns=True)
        return None if codes is None else Request(*codes)

    def selectors(self, arguments: list[str]) -> list[Selector] | None:
        found = [Selector.from_text_4(text) for text in arguments]
        known = [selector for selector in found if selector is not None]
        return known if known and len(known) == len(found) else None

    def start(self, request: Request, word: str, arguments: list[str]) -> None:
        if len(arguments) > 3:
            raise ValueError(arguments[3])
        request.from_now = not arguments
        request.sequence = int(arguments[0]) if arguments and arguments[0] != "ALL" else None
        if request.sequence is not None and not 0 <= request.sequence < self.modulus:
            raise ValueError(arguments[0])
        request.begin_ns = ns_from_iso(arguments[1]) if len(arguments) > 1 else None
        request.end_ns = ns_from_iso(arguments[2]) if len(arguments) > 2 else None

    def packet(self, station: Station, sequence: int, record: bytes) -> bytes:
        return _packet4(
            b"3" if record[:3] == b"MS\x03" else b"2", b"D", sequence, f"{station.network}_{station.code}", record
        )

    def info(self, level: str, stations: Iterable[Station], progress: Progress) -> bytes:
        text = info_json(level, f"SeedLink v4.0 ({SOFTWARE})", SITE, stations, progress)
        return _packet4(b"J", b"E" if text.startswith('{"error"') else b"I", UNSET_4, "", text.encode("utf-8"))


def _packet4(kind: bytes, sub: bytes, sequence: int, station: str, payload: bytes) -> bytes:
    name = station.encode("ascii")
    return HEADER.pack(b"SE", kind, sub, len(payload), sequence, len(name)) + name + payload


def _time(text: str) -> int:
    """`2019,07,07,08,16,00`, the form of SeedLink 3, with or without leading zeros. Raises ValueError."""
    parts = [int(part) for part in text.split(",")]
    if not 3 <= len(parts) <= 6:
        raise ValueError(text)
    year, month, day, hour, minute, second = parts + [0] * (6 - len(parts))
    return ns_from_iso(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}")

"""Wire format of SeedLink 3.1: packets cut out of a stream of bytes.

A data packet is 'SL', the sequence number in six hexadecimal digits, and one miniSEED record of any length. A reply to
INFO has 'SLINFO ' instead, and then '*' if more packets follow. 'END' marks the end of the data.
https://www.seiscomp.de/doc/apps/seedlink.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.records.miniseed import HEADER_BYTES, MAX_RECORD_BYTES, is_header, record_length
from seisedge.runtime.sources._cutter import Cutter, printable

PREFIX_BYTES = 8
DEFAULT_RECORD_BYTES = 512  # assumed if the record does not state its length, or cannot be read

# Valid only as the last received bytes: inside a stream it is damage. In version 4 a reason follows ERROR.
LAST_WORD = re.compile(rb"(?:END|ERROR(?P<reason>[ \r][ -~]{0,250})?)\r?\n?")

_PREFIX = re.compile(rb"SL(?:[0-9A-Fa-f]{6}|INFO [ *])")

FrameKind = Literal["data", "info", "bad", "end", "error"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet. sequence: of data, else -1. last: whether this is the last packet of an INFO reply."""

    kind: FrameKind
    record: bytes = b""
    sequence: int = -1
    last: bool = True
    reason: str = ""
    station: str = ""  # 'NET.STA' if the packet states it (version 4)


def error_text(line: str) -> str:
    """The server's message after ERROR, as part of a sentence."""
    text = printable(line.strip().removeprefix("ERROR").strip())
    return f"the server replied: {text}" if text else "the server replied ERROR"


def time_from_ns(time_ns: int) -> str:
    """A time in the form of the protocol, rounded down to whole seconds: `2019,07,07,08,16,00`."""
    return iso_from_ns(time_ns // NS_PER_S * NS_PER_S)[:19].translate(str.maketrans("-T:", ",,,"))


def last_frame(word: re.Match[bytes]) -> Frame:
    """The frame for a match of LAST_WORD."""
    if word[0].startswith(b"END"):
        return Frame("end")
    return Frame("error", reason=error_text((word["reason"] or b"").decode("ascii")))


class FrameCutter(Cutter[Frame]):
    """Cuts packets with records of any length out of a stream of bytes.

    A record with an unreadable header is returned as `bad`: as many bytes as the previous record had, or up to the
    next readable packet. Reading continues behind it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._usual_bytes = DEFAULT_RECORD_BYTES

    def _read(self, at: int) -> Frame | None:  # noqa: C901 - one branch for each form of a packet, in the order of the bytes
        data = self._data
        available = len(data) - at
        if data[at] != 0x53 or data[at + 1] != 0x4C:  # 'SL'
            last = LAST_WORD.fullmatch(data, at)
            if last is not None:
                self._at = len(data)
                return last_frame(last)
            if available >= PREFIX_BYTES:
                self._resync()
            return None
        if available < PREFIX_BYTES:
            return None
        if not _PREFIX.match(data, at):
            self._resync()
            return None
        if available < PREFIX_BYTES + HEADER_BYTES:
            return None
        begin = at + PREFIX_BYTES
        is_info = data[at + 2] == 0x49 and data[at + 3] == 0x4E  # 'IN': not hexadecimal
        sequence = -1 if is_info else int(data[at + 2 : at + 8], 16)
        length: int | None = 0
        if is_header(data, begin):
            length = record_length(data, begin)
            if length is None:
                length = DEFAULT_RECORD_BYTES if available > MAX_RECORD_BYTES else None
            if length is None:
                return None
            length = length or DEFAULT_RECORD_BYTES
            inner = self._packet_within(begin, length)
            if inner is not None and inner < length:
                return self._bad(begin, inner, sequence, f"its length, {length}, runs over the next packet")
            if inner is None or available < PREFIX_BYTES + length:
                return None
            record = bytes(data[begin : begin + length])
            self._at = begin + length
            if is_info:
                return Frame("info", record, last=data[at + 7] != 0x2A)
            self._usual_bytes = length
            return Frame("data", record, sequence)
        return self._unreadable(begin, sequence)

    def _unreadable(self, begin: int, sequence: int) -> Frame | None:
        """A packet whose record has no readable header; it ends where the next packet begins."""
        data = self._data
        usual = begin + self._usual_bytes
        if len(data) >= usual and (len(data) == usual or data.startswith((b"SL", b"END"), usual)):
            return self._bad(begin, self._usual_bytes, sequence, "its header cannot be read")
        match = self._next_packet(begin)
        if match is not None:
            return self._bad(begin, match - begin, sequence, "its header cannot be read")
        if len(data) - begin > MAX_RECORD_BYTES + PREFIX_BYTES + HEADER_BYTES:
            return self._bad(begin, MAX_RECORD_BYTES, sequence, "its header cannot be read")
        return None

    def _bad(self, begin: int, length: int, sequence: int, reason: str) -> Frame:
        self._at = begin + length
        return Frame("bad", bytes(self._data[begin : begin + length]), sequence, reason=reason)

    def _packet_within(self, begin: int, length: int) -> int | None:
        """Length up to another packet in a record that states `length`, else `length`; None if bytes are missing."""
        data = self._data
        match = _PREFIX.search(data, begin, begin + length + PREFIX_BYTES - 1)
        while match is not None:
            if match.end() + 40 > len(data):
                return None
            if is_header(data, match.end()):
                return match.start() - begin
            match = _PREFIX.search(data, match.start() + 1, begin + length + PREFIX_BYTES - 1)
        return length

    def _next_packet(self, at: int) -> int | None:
        for match in _PREFIX.finditer(self._data, at):
            if is_header(self._data, match.end()):
                return match.start()
        return None

    def _resync(self) -> None:
        """Skip to the next readable packet; else keep the last bytes, in which one may begin."""
        place = self._next_packet(self._at)
        if place is None:
            place = max(self._at, len(self._data) - PREFIX_BYTES - 40)
            if self._data.endswith(b"END"):
                place = len(self._data) - 3
        self._skip_to(place)

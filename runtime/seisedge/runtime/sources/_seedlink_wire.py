"""SeedLink 3.1 on the wire, without a socket: packets cut out of a stream of bytes.

A data packet is 'SL', six hexadecimal digits of sequence number, and one miniSEED record of any length; an answer
to INFO has 'SLINFO ' and '*' where more follow. 'END' says that all is sent.
https://www.seiscomp.de/doc/apps/seedlink.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.records.miniseed import HEADER_BYTES, MAX_RECORD_BYTES, is_header, record_length
from seisedge.runtime.sources._cutter import Cutter

PREFIX_BYTES = 8
DEFAULT_RECORD_BYTES = 512  # what a server means that does not say, and a guess for a record that cannot be read

# Only where nothing follows: in the middle of a stream it is damage. ERROR has its reason behind it in version 4.
LAST_WORD = re.compile(rb"(?:END|ERROR(?P<reason>[ \r][ -~]{0,250})?)\r?\n?")

_PREFIX = re.compile(rb"SL(?:[0-9A-Fa-f]{6}|INFO [ *])")

FrameKind = Literal["data", "info", "bad", "end", "error"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet: `sequence` of data (-1 where there is none), `last` of an INFO answer."""

    kind: FrameKind
    record: bytes = b""
    sequence: int = -1
    last: bool = True
    reason: str = ""
    station: str = ""  # 'NET.STA' where the packet itself says so (version 4)


def error_text(line: str) -> str:
    """What a server says behind ERROR, in words that go into a sentence."""
    said = line.strip().removeprefix("ERROR").replace("\r", " ").strip()
    return f"the server says: {said}" if said else "the server says ERROR"


def time_from_ns(time_ns: int) -> str:
    """The protocol's form of a time, to whole seconds, rounded down: `2019,07,07,08,16,00`."""
    return iso_from_ns(time_ns // NS_PER_S * NS_PER_S)[:19].translate(str.maketrans("-T:", ",,,"))


def last_frame(word: re.Match[bytes]) -> Frame:
    """What a match of LAST_WORD says."""
    if word[0].startswith(b"END"):
        return Frame("end")
    return Frame("error", reason=error_text((word["reason"] or b"").decode("ascii")))


class FrameCutter(Cutter[Frame]):
    """Cuts packets out of a stream of bytes, whatever the records' lengths.

    A record whose header cannot be read is given as `bad`, with as many bytes as the records before it had or up
    to the next packet that can be read, and the stream goes on behind it. `skipped_bytes` counts what lay between.
    """

    def __init__(self) -> None:
        super().__init__()
        self._usual_bytes = DEFAULT_RECORD_BYTES

    def _read(self, at: int) -> Frame | None:
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
        is_info = data[at + 2] == 0x49 and data[at + 3] == 0x4E  # 'IN': no hexadecimal digits
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
        """A packet whose record has no header: its end is where the next packet begins."""
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
        """Length up to another packet inside a record that claims `length`; None where more bytes must tell."""
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
        """Go to the next packet that can be read; keep what may be the beginning of one."""
        place = self._next_packet(self._at)
        if place is None:
            place = max(self._at, len(self._data) - PREFIX_BYTES - 40)
            if self._data.endswith(b"END"):
                place = len(self._data) - 3
        self._skip_to(place)

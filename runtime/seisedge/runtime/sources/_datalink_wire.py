"""Wire format of DataLink 1.0: messages cut out of a stream of bytes, stream ids, patterns.

A message is 'DL', the length of its header (8 bits), the header (ASCII words) and, if the header states a size, that
many bytes of payload. https://iris-edu.github.io/libdali/datalink-protocol.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seisedge.runtime.records.codes import location_from_text
from seisedge.runtime.records.miniseed import is_header
from seisedge.runtime.sources._cutter import Cutter, printable

PREFIX = b"DL"
MAX_HEADER_BYTES = 255
MAX_PAYLOAD_BYTES = 1 << 24  # of a reply to INFO
MAX_RECORD_PAYLOAD_BYTES = 1 << 17

_WORD = rb"(?:PACKET|OK|ERROR|INFO|ID|ENDSTREAM)"
_START = re.compile(rb"DL[\x02-\xff]" + _WORD, re.DOTALL)
_HEADER = re.compile(rb"(PACKET|OK|ERROR|INFO|ID|ENDSTREAM)(?: [\x20-\x7e]*)?")
_NUMBER = re.compile(r"-?[0-9]{1,19}")  # 64 bits; a longer one would not fit into a command
_SIZE_AT = {"PACKET": 6, "OK": 2, "ERROR": 2, "INFO": 2}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: the words of its header, and its payload. `whole` is False if another message began inside it."""

    words: list[str]
    payload: bytes = b""
    whole: bool = True

    @property
    def text(self) -> str:
        """The payload as text, for messages."""
        return printable(self.payload.decode("utf-8", errors="replace").strip())


@dataclass(frozen=True, slots=True)
class PacketHead:
    """The header of a PACKET message."""

    stream: str
    number: int
    time_us: int  # when the server received it

    @classmethod
    def from_words(cls, words: list[str]) -> PacketHead | None:
        """None if the words are not the header of a packet."""
        if len(words) != 7 or not all(map(_NUMBER.fullmatch, words[2:4])):
            return None
        return cls(words[1], int(words[2]), int(words[3]))

    @property
    def station_id(self) -> str:
        """'NET.STA'; '' if the stream name has another form."""
        match = re.fullmatch(r"(?:FDSN:)?([A-Za-z0-9]+)_([A-Za-z0-9-]+)_.*", self.stream)
        return f"{match[1]}.{match[2]}" if match else ""


class MessageCutter(Cutter[Message]):
    """Cuts messages out of a stream of bytes; skips and counts the bytes between them."""

    def _read(self, at: int) -> Message | None:
        data = self._data
        end = at + 3 + data[at + 2]
        if data.startswith(PREFIX, at) and len(data) < end and _may_begin(data, at):
            return None
        words = self._words(at)
        if words is not None:
            return self._message(words, end)
        self._resync(at + 1)
        return None

    def _words(self, at: int) -> list[str] | None:
        """Words of the complete, valid header at `at`; else None."""
        data = self._data
        if not data.startswith(PREFIX, at):
            return None
        end = at + 3 + data[at + 2]
        header = bytes(data[at + 3 : end])
        if len(data) < end or not _HEADER.fullmatch(header):
            return None
        words = header.decode("ascii").split()
        return words if _payload_bytes(words) is not None else None

    def _message(self, words: list[str], begin: int) -> Message | None:
        data = self._data
        size = _payload_bytes(words) or 0
        end = begin + size
        inner = self._packet_within(begin, min(end, len(data))) if words[0] == "PACKET" else None
        if inner is not None:
            self._at = inner
            return Message(words, bytes(data[begin:inner]), whole=False)
        if len(data) < end:
            return None
        self._at = end
        return Message(words, bytes(data[begin:end]))

    def _packet_within(self, begin: int, end: int) -> int | None:
        """Position of another packet before `end` whose payload begins with a record; else None."""
        for match in _START.finditer(self._data, begin, end):
            at = match.start()
            words = self._words(at)
            if words is not None and words[0] == "PACKET" and is_header(self._data, at + 3 + self._data[at + 2]):
                return at
        return None

    def _resync(self, search_from: int) -> None:
        """Skip to the next message, complete or not; else keep the last bytes, in which one may begin."""
        data = self._data
        for match in _START.finditer(data, search_from):
            at = match.start()
            if self._words(at) is not None or len(data) < at + 3 + data[at + 2]:
                self._skip_to(at)
                return
        self._skip_to(max(self._at, len(data) - 12))


def _may_begin(data: bytearray, at: int) -> bool:
    """True if the incomplete bytes at `at` can still become a message."""
    seen = bytes(data[at + 3 : at + 12]).partition(b" ")[0]
    return any(word.startswith(seen) for word in (b"PACKET", b"OK", b"ERROR", b"INFO", b"ID", b"ENDSTREAM"))


def _payload_bytes(words: list[str]) -> int | None:
    """Size of the payload stated in a header; None if it is missing, not a number or too large."""
    place = _SIZE_AT.get(words[0])
    if place is None or len(words) <= place:
        return 0 if words[0] != "PACKET" else None
    if not words[place].isdigit():
        return None
    size = int(words[place])
    return size if size <= (MAX_RECORD_PAYLOAD_BYTES if words[0] == "PACKET" else MAX_PAYLOAD_BYTES) else None


def message(header: str, payload: bytes = b"") -> bytes:
    """A message. The header must state the size of the payload. Raises ValueError for a header over 255 bytes."""
    data = header.encode("ascii")
    if len(data) > MAX_HEADER_BYTES:
        raise ValueError(f"the header must have at most {MAX_HEADER_BYTES} bytes; got {len(data)}")
    return PREFIX + bytes([len(data)]) + data + payload


def pattern_of(stations: tuple[tuple[str, str], ...], selectors: tuple[str, ...]) -> str:
    """Regular expression for MATCH and REJECT: stream ids of these stations and channels, in miniSEED.

    selectors: [LL]CCC or LOC_B_S_SS, without '!'; empty for all channels.
    """
    places = "|".join(f"{_glob(network)}_{_glob(station)}" for network, station in stations) or "[^_/]*_[^_/]*"
    channels = "|".join(_channel(selector) for selector in selectors) or "[^/]*"
    return f"^(FDSN:)?({places})_({channels})/MSEED3?$"


def _glob(text: str) -> str:
    return re.escape(text).replace(r"\?", "[^_/]").replace(r"\*", "[^_/]*")


def _channel(selector: str) -> str:
    if selector == "*":
        return "[^/]*"
    if "_" in selector:
        location, *codes = selector.split("_")
        return f"{_glob(location_from_text(location))}_{'_?'.join(map(_glob, codes))}"
    selector = selector.partition(".")[0]
    location, codes = selector[:-3], list(selector[-3:])
    return f"{_glob(location.replace('-', '')) if location else '[^_/]*'}_{'_?'.join(map(_glob, codes))}"

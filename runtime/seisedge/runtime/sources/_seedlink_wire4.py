"""Wire format of SeedLink 4.0: packets cut out of a stream of bytes.

A packet is 'SE', payload format and subformat (one character each), payload length (32 bits) and sequence number
(64 bits, both little-endian), length of the station id (8 bits), station id, payload. 'END' marks the end of the data,
'ERROR' with a code and a message a command that failed.
https://docs.fdsn.org/projects/seedlink
"""

from __future__ import annotations

import re
import struct

from seisedge.runtime.records.miniseed import is_header, record_length
from seisedge.runtime.sources._cutter import Cutter
from seisedge.runtime.sources._seedlink_position import UNSET_4
from seisedge.runtime.sources._seedlink_wire import LAST_WORD, Frame, last_frame

HEADER = struct.Struct("<2sccIQB")
MINISEED_FORMATS = b"23"
MAX_PAYLOAD_BYTES = 1 << 22  # of a reply to INFO; records are far smaller
MAX_RECORD_PAYLOAD_BYTES = 1 << 17
MAX_STATION_BYTES = 21

_START = re.compile(rb"SE[23JX][!-~].{12}[\x00-\x15]", re.DOTALL)
_STATION = re.compile(rb"[A-Za-z0-9]+_[A-Za-z0-9-]+")


class FrameCutter4(Cutter[Frame]):
    """As `FrameCutter`, for version 4.

    A packet is returned as `bad`, with its station if readable, if another packet begins inside its stated length, or
    if the record in it states another length.
    """

    def _read(self, at: int) -> Frame | None:
        data = self._data
        last = LAST_WORD.fullmatch(data, at) if data[at] == 0x45 else None  # 'E'
        if last is not None:
            if data.startswith(b"ERR", at) and not data.endswith(b"\n"):
                return None  # the reason has not arrived yet
            self._at = len(data)
            return last_frame(last)
        if not data.startswith(b"SE", at):
            self._resync(at)
            return None
        if len(data) - at < HEADER.size:
            return None
        header = self._header(at)
        if header is not None:
            return self._packet(*header)
        self._resync(at + 2)
        return None

    def _header(self, at: int) -> tuple[int, int, int, int, bytes] | None:
        """Begin and end of the payload, sequence, station bytes and format; None if there is no valid header."""
        if not _START.match(self._data, at):
            return None
        _, kind, _, length, sequence, n_station = HEADER.unpack_from(self._data, at)
        limit = MAX_RECORD_PAYLOAD_BYTES if kind in MINISEED_FORMATS else MAX_PAYLOAD_BYTES
        if length > limit:
            return None
        begin = at + HEADER.size + n_station
        return begin, begin + length, sequence, n_station, kind

    def _packet(self, begin: int, end: int, sequence: int, n_station: int, kind: bytes) -> Frame | None:
        data = self._data
        inner = self._packet_within(begin, min(end, len(data)))
        if inner is None and len(data) < end:
            return None
        name = bytes(data[begin - n_station : begin])
        station = name.decode("ascii").replace("_", ".", 1) if _STATION.fullmatch(name) else ""
        if inner is not None:
            self._at = inner
            reason = f"its length, {end - begin}, runs over the next packet"
            return Frame("bad", bytes(data[begin:inner]), sequence, reason=reason, station=station)
        payload = bytes(data[begin:end])
        self._at = end
        if kind not in MINISEED_FORMATS:
            return Frame("info", payload)
        if sequence == UNSET_4:
            return Frame("bad", payload, reason="it has no sequence number", station=station)
        if len(payload) < 40 or not is_header(payload, 0):
            return Frame("bad", payload, sequence, reason="its header cannot be read", station=station)
        claimed = record_length(payload, 0)
        if claimed and claimed != len(payload):
            reason = f"its length is {claimed} in the record and {len(payload)} in the packet"
            return Frame("bad", payload, sequence, reason=reason, station=station)
        return Frame("data", payload, sequence, station=station)

    def _packet_within(self, begin: int, end: int) -> int | None:
        """Position of another packet before `end` whose payload begins with a record; else None."""
        for match in _START.finditer(self._data, begin, end):
            header = self._header(match.start())
            if header is not None and header[4] in MINISEED_FORMATS and is_header(self._data, header[0]):
                return match.start()
        return None

    def _resync(self, search_from: int) -> None:
        """Skip to the next packet, complete or not; else keep the last bytes, in which one may begin."""
        data = self._data
        for match in _START.finditer(data, search_from):
            header = self._header(match.start())
            if header is None:
                continue
            incomplete = len(data) < header[0] + 40
            if incomplete or header[4] not in MINISEED_FORMATS or is_header(data, header[0]):
                self._skip_to(match.start())
                return
        if data.endswith((b"END", b"END\r\n")) and data.rfind(b"END") >= search_from:
            self._skip_to(data.rfind(b"END"))
        else:
            self._skip_to(max(self._at, len(data) - HEADER.size))

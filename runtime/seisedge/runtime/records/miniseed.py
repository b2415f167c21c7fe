"""miniSEED 2 and 3: where records begin and end in a stream of bytes, and what is in one.

`Scanner` finds records in a stream of bytes, and the next intact one after damage; `Decoder` decodes a record to a
`Packet`, or returns a `BadRecord` with the reason. Neither raises an exception, whatever the bytes are.

Formats: FDSN SEED reference manual 2.4, chapter 8 (miniSEED 2); FDSN miniSEED 3 specification.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records import _libmseed
from seisedge.runtime.records.codes import location_from_text
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId

MIN_RECORD_BYTES = 128
MAX_RECORD_BYTES = 65_536
HEADER_BYTES = 64  # enough to determine the length of most records
MAX_ERROR_CHARACTERS = 200  # of the text of an exception, in a message
MIN_RATE_HZ = 1e-4
MAX_RATE_HZ = 100_000.0
MIN_STARTTIME_NS = 0  # 1970
MAX_STARTTIME_NS = 4_133_980_800 * NS_PER_S  # 2101-01-01: the year 2100 is the last accepted

# The scale is the manufacturer's. 0 is ignored: digitizers without information on their clock write it.
POOR_TIMING_QUALITY_PERCENT = 50

# Deepest nesting of extra headers; Python's JSON parser raises RecursionError at a depth that depends on its caller.
# The headers that FDSN has defined have four levels.
MAX_EXTRA_DEPTH = 64
CACHED_EXTRA_BYTES = 1024  # longer extra headers are parsed for each record, so that the cache stays small

TEXT_ENCODING = 0  # ASCII in miniSEED 2, UTF-8 in miniSEED 3
TEXT_REASON = "it holds text (a log), not samples"

_PROTO2 = re.compile(rb"[0-9 \x00]{6}[DRQM][ \x00]|MS\x03", re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_SEQUENCE = frozenset(b"0123456789 \x00")
_DATA_QUALITIES = frozenset(b"DRQM")
_SPACE = frozenset(b" \x00")
_SIZES = tuple(1 << k for k in range(7, 17))


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that is not used, with the reason as a clause for a message."""

    record: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class TextRecord(BadRecord):
    """A record of text, as a digitizer's log is: not damaged, but without samples."""


@dataclass(frozen=True, slots=True)
class FailedRecord(BadRecord):
    """A record whose handling raised an exception that no rule foresees: a programming error, or too little memory."""

    error: Exception


def failed_record(record: bytes, what: str, error: Exception) -> FailedRecord:
    """what: the operation that raised `error`."""
    text = str(error).partition("\n")[0][:MAX_ERROR_CHARACTERS]
    return FailedRecord(record, f"{what} raised {type(error).__name__}" + (f" ({text})" if text else ""), error)


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """The header of a record."""

    source_id: SourceId
    starttime_ns: int
    sampling_rate_hz: float
    n_samples: int
    flags: RecordFlag

    @property
    def last_sample_ns(self) -> int:
        """Time of the last sample, in ns: the earliest time at which a digitizer can send the record."""
        return self.starttime_ns + round((self.n_samples - 1) * NS_PER_S / self.sampling_rate_hz)


def is_header(data: bytes | bytearray | memoryview, at: int) -> bool:
    """True if a record header begins at `at`; False if fewer than 40 bytes follow."""
    if len(data) - at < 40:
        return False
    if _is_version_3(data, at):
        nanosecond, year, day = struct.unpack_from("<IHH", data, at + 4)
        dated = nanosecond < NS_PER_S and _is_date(year, day)
        return dated and data[at + 12] < 24 and data[at + 13] < 60 and data[at + 14] <= 60
    big, little = struct.unpack_from(">HH", data, at + 20), struct.unpack_from("<HH", data, at + 20)
    return (
        data[at + 6] in _DATA_QUALITIES
        and (_is_date(*big) or _is_date(*little))
        and data[at + 7] in _SPACE
        and data[at + 24] < 24
        and data[at + 25] < 60
        and data[at + 26] <= 60
        and all(byte in _SEQUENCE for byte in data[at : at + 6])
    )


def _is_date(year: int, day: int) -> bool:
    """True for a year and a day of the year of a record; samples that look like a header otherwise have none."""
    return 1900 <= year <= 2100 and 1 <= day <= 366


def _is_version_3(data: bytes | bytearray | memoryview, at: int) -> bool:
    return data[at] == 0x4D and data[at + 1] == 0x53 and data[at + 2] == 3  # 'MS', 3


def _byte_order(data: bytes | bytearray | memoryview, at: int) -> str:
    """Byte order of a miniSEED 2 header, by its year; if both orders are plausible, by the smaller blockette offset."""
    big = data[at + 20] << 8 | data[at + 21]
    little = data[at + 21] << 8 | data[at + 20]
    if (1900 <= big <= 2100) != (1900 <= little <= 2100):
        return ">" if 1900 <= big <= 2100 else "<"
    return ">" if data[at + 46] <= data[at + 47] else "<"


def record_length(data: bytes | bytearray | memoryview, at: int) -> int | None:
    """Length in bytes that the header at `at` states; 0 if it states none or an invalid one.

    None if more bytes are needed. `is_header(data, at)` must be True.
    """
    if _is_version_3(data, at):
        id_length, extra_length, data_length = struct.unpack_from("<xBHI", data, at + 32)
        length = 40 + id_length + extra_length + data_length
        return length if length <= MAX_RECORD_BYTES else 0
    if len(data) - at < 56:
        return None
    order = _byte_order(data, at)
    offset = struct.unpack_from(f"{order}H", data, at + 46)[0]
    hops = 0
    while 48 <= offset < 4096 and hops < 16:
        if len(data) - at < offset + 8:
            return None
        kind, following = struct.unpack_from(f"{order}HH", data, at + offset)
        if kind == 1000:
            exponent = data[at + offset + 6]
            return 1 << exponent if 7 <= exponent <= 16 else 0
        if following and following <= offset:
            return 0
        offset, hops = following, hops + 1
    return 0


class Scanner:
    """Finds records in a stream of bytes that arrives piece by piece.

    After damage it resumes at the next header. A stated length that reaches beyond the next header is ignored and
    counted in `forged_lengths`; bytes that belong to no record are counted in `skipped_bytes`. A miniSEED 2 record
    that does not state its length (no blockette 1000) ends where the next one begins.
    """

    def __init__(self) -> None:
        self.skipped_bytes = 0
        self.forged_lengths = 0
        self.truncated_bytes = 0  # of an incomplete last record
        self._rest = bytearray()
        self._offset = 0  # of `_rest` in the stream
        self._searched = 0  # `_rest` begins with a record; up to here no other header was found in it

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Append `data`; yields the records that are now complete, each with its offset in the stream."""
        self._rest += data
        return self._scan(at_end=False)

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """End of the stream: yields the records that remain."""
        return self._scan(at_end=True)

    def _scan(self, at_end: bool) -> Iterator[tuple[int, bytes]]:
        rest = self._rest
        at = 0
        while at < len(rest):
            if not is_header(rest, at):
                at = self._next_header(at, at_end)
                if not is_header(rest, at):  # the end, or too few bytes to decide
                    break
                continue
            claimed = record_length(rest, at)
            if claimed is None and not at_end:
                break
            length = claimed or self._length_by_next(at, at_end)
            inner = self._header_within(at, length if length is not None else MAX_RECORD_BYTES)
            if inner:
                self.forged_lengths += 1
                self.skipped_bytes += inner
                at += inner
                continue
            if length is None or at + length > len(rest):
                if at_end:
                    self.truncated_bytes += len(rest) - at
                    at = len(rest)
                break
            yield self._offset + at, bytes(rest[at : at + length])
            at += length
        self._offset += at
        self._searched = max(self._searched - at, 0)
        del rest[:at]

    def _next_header(self, at: int, at_end: bool) -> int:
        """Position of the next header after `at`, or the first position where one can begin once more bytes arrive."""
        rest = self._rest
        start = at
        for match in _PROTO2.finditer(rest, at + 1 if is_header(rest, at) else at):
            if is_header(rest, match.start()) or (not at_end and len(rest) - match.start() < 40):
                self.skipped_bytes += match.start() - start
                return match.start()
        end = len(rest) if at_end else max(at, len(rest) - 40)
        self.skipped_bytes += end - start
        return end

    def _header_within(self, at: int, length: int) -> int:
        """Offset of another header within the `length` bytes from `at`; 0 if there is none.

        If a header follows directly after these bytes, only the offsets that are valid record lengths are searched.
        """
        rest = self._rest
        for size in _SIZES:
            if size >= length or at + size + 40 > len(rest):
                break
            if is_header(rest, at + size):
                return size
        if _PROTO2.match(rest, at + length):
            return 0
        end = min(at + length, len(rest))
        for match in _PROTO2.finditer(rest, max(at + 40, self._searched if at == 0 else 0), end + 7):
            if match.start() < end and is_header(rest, match.start()):
                return match.start() - at
        if at == 0:
            self._searched = max(end - 48, 0)  # the end may hold a part of a header
        return 0

    def _length_by_next(self, at: int, at_end: bool) -> int | None:
        rest = self._rest
        for length in range(MIN_RECORD_BYTES, MAX_RECORD_BYTES + 1, MIN_RECORD_BYTES):
            if at + length + 40 > len(rest):
                break
            if is_header(rest, at + length):
                return length
        remaining = len(rest) - at
        if remaining >= MAX_RECORD_BYTES + 40:
            return MIN_RECORD_BYTES  # no length and no next header: too short to decode, so the decoder refuses it
        return remaining if at_end and remaining in _SIZES else None


class Decoder:
    """Makes packets from records. Use one decoder per thread: it reuses the struct of the parsed record.

    record: the last one given to `header` or `packet`; b'' before the first.
    refusal: called with each record before it is parsed; a text is the reason why it must not be parsed.
    """

    def __init__(self) -> None:
        self.record = b""
        self.refusal: Callable[[bytes], str | None] | None = None
        self._parser = _libmseed.RecordParser()

    def header(self, record: bytes) -> RecordHeader | BadRecord:
        """The header of `record`; its samples are not decoded."""
        try:
            return self._header(record)
        except Exception as error:  # one record must never end a run
            return failed_record(record, "decoding", error)

    def packet(self, record: bytes, arrival_ns: int, token: str = "") -> Packet | BadRecord:
        """Decode one record; the samples are a copy (int32, float32 or float64) and belong to the packet."""
        try:
            return self._packet(record, arrival_ns, token)
        except Exception as error:  # as in `header`
            return failed_record(record, "decoding", error)

    def _header(self, record: bytes) -> RecordHeader | BadRecord:
        parsed = self._parse(record, with_samples=False)
        if isinstance(parsed, BadRecord):
            return parsed
        msr, source_id, rate_hz, flags = parsed
        return RecordHeader(source_id, msr.starttime, rate_hz, msr.samplecnt, flags)

    def _packet(self, record: bytes, arrival_ns: int, token: str) -> Packet | BadRecord:
        parsed = self._parse(record, with_samples=True)
        if isinstance(parsed, BadRecord):
            return parsed
        msr, source_id, rate_hz, flags = parsed
        dtype = _DTYPES.get(msr.sampletype)
        if dtype is None:
            return TextRecord(record, TEXT_REASON)
        if msr.numsamples != msr.samplecnt:
            return BadRecord(record, f"its header states {msr.samplecnt} samples, {msr.numsamples} were decoded")
        # libmseed compares the last decoded sample with the header's copy of it, and only warns
        if _libmseed.discard_messages() and self._integrity_fails(record):
            return BadRecord(record, "the last decoded sample differs from the check value in the record")
        samples = _libmseed.samples(msr, dtype)
        if dtype.kind == "f":
            _quieten(samples)
        return Packet(source_id, msr.starttime, rate_hz, samples, flags, arrival_ns, token)

    def _parse(self, record: bytes, *, with_samples: bool) -> tuple[Any, SourceId, float, RecordFlag] | BadRecord:
        """The parsed struct, valid until the next call, with its source id, sampling rate (Hz) and flags."""
        self.record = record
        reason = self.refusal(record) if self.refusal is not None else None
        if reason is not None:
            return BadRecord(record, reason)
        msr = self._parser.parse(record, with_samples=with_samples)
        if msr is None:
            messages = _libmseed.messages()
            return BadRecord(record, "it cannot be decoded" + (f" ({messages[0]})" if messages else ""))
        if msr.encoding == TEXT_ENCODING:  # before the rate, which is 0 in a log record
            return TextRecord(record, TEXT_REASON)
        rate_hz = _libmseed.sampling_rate_hz(msr)
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            return BadRecord(record, f"sampling rate {rate_hz:g} Hz")
        if not MIN_STARTTIME_NS <= msr.starttime < MAX_STARTTIME_NS:
            return BadRecord(record, "start time outside the years 1970 to 2100")
        if msr.samplecnt <= 0:
            return BadRecord(record, "no samples")
        source_id = _source_id(_libmseed.source_id(msr))
        if source_id is None:
            return BadRecord(record, "its network, station or channel code is invalid")
        flags = _record_flags(msr.flags, _libmseed.extra_headers(msr))
        if flags is None:
            return BadRecord(record, f"its extra headers are nested more than {MAX_EXTRA_DEPTH} levels deep")
        return msr, source_id, rate_hz, flags

    def _integrity_fails(self, record: bytes) -> bool:
        self._parser.parse(record, with_samples=True)
        return any("integrity" in message for message in _libmseed.messages())


_DTYPES: dict[bytes, np.dtype[Any]] = {
    b"i": np.dtype(np.int32),
    b"f": np.dtype(np.float32),
    b"d": np.dtype(np.float64),
}


def _quieten(samples: npt.NDArray[Any]) -> None:
    """Replace each NaN in place by the quiet one: numpy warns of signaling NaNs where it converts them."""
    missing = np.isnan(samples)
    if missing.any():
        samples[missing] = np.nan


@lru_cache(maxsize=16_384)
def _source_id(sid: bytes) -> SourceId | None:
    """Codes of a source identifier `FDSN:NET_STA_LOC_B_S_s`; None if it is invalid."""
    try:
        text = sid.decode("ascii")
    except UnicodeDecodeError:
        return None
    parts = text.removeprefix("FDSN:").split("_")
    if not text.startswith("FDSN:") or len(parts) != 6 or not text.isprintable():
        return None
    network, station, location, *channel = parts
    if not station or not any(channel):
        return None
    # three single letters make a SEED channel code; longer codes keep their separators
    code = ("" if max(map(len, channel)) <= 1 else "_").join(channel)
    return SourceId(network, station, location_from_text(location), code)


def _record_flags(bits: int, extra: bytes) -> RecordFlag | None:
    """Flags from the flag byte and the extra headers of a record; libmseed copies the bits of miniSEED 2 to both.

    None if the extra headers are nested too deeply. Those that are not JSON are ignored.
    """
    return (_cached_flags if len(extra) <= CACHED_EXTRA_BYTES else _flags_of)(bits, extra)


def _flags_of(bits: int, extra: bytes) -> RecordFlag | None:
    if not _is_shallow(extra):
        return None
    flags = RecordFlag.NONE
    if bits & 0x01:
        flags |= RecordFlag.CALIBRATION
    if bits & 0x02:
        flags |= RecordFlag.TIME_QUESTIONABLE
    try:
        fdsn = json.loads(extra)["FDSN"] if extra else {}
    except (ValueError, KeyError, TypeError):
        return flags
    if not isinstance(fdsn, dict):
        return flags
    quality = fdsn.get("Flags")
    if isinstance(quality, dict):
        if quality.get("AmplifierSaturation"):
            flags |= RecordFlag.SATURATED
        if quality.get("DigitizerClipping"):
            flags |= RecordFlag.CLIPPED
        if quality.get("Spikes") or quality.get("Glitches"):
            flags |= RecordFlag.SPIKES
    if isinstance(fdsn.get("Calibration"), dict):
        flags |= RecordFlag.CALIBRATION
    return flags | _timing_flags(fdsn.get("Time"), locked=bool(bits & 0x04))


def _timing_flags(time: object, *, locked: bool) -> RecordFlag:
    """Flags of a poor timing quality; `time` is what the extra headers have under FDSN.Time."""
    percent = time.get("Quality") if isinstance(time, dict) else None
    if not isinstance(percent, int | float) or not 0 < percent < POOR_TIMING_QUALITY_PERCENT:
        return RecordFlag.NONE
    if locked:  # most digitizers never set 'clock locked', so that its absence alone has no meaning
        return RecordFlag.TIME_QUESTIONABLE
    return RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED


_cached_flags = lru_cache(maxsize=1024)(_flags_of)


def _is_shallow(extra: bytes) -> bool:
    """True if JSON text has at most MAX_EXTRA_DEPTH levels; brackets in strings count as levels."""
    if extra.count(b"[") + extra.count(b"{") <= MAX_EXTRA_DEPTH:
        return True
    depth = 0
    for bracket in _BRACKETS.finditer(extra):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_EXTRA_DEPTH:
            return False
    return True


def text_from_record(record: bytes) -> str:
    """Text of a miniSEED 2 log record; SeedLink sends its INFO responses in such records."""
    order = _byte_order(record, 0)
    n = struct.unpack_from(f"{order}H", record, 30)[0]
    begin = struct.unpack_from(f"{order}H", record, 44)[0]
    return record[begin : begin + n].decode("utf-8", errors="replace")

"""Pack recorded miniSEED into records of another length: the same samples at the same times."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MiniSEEDError, MS3Record

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import InputError

STEIM2_LIMIT = 1 << 29  # differences are 30-bit two's complement
MICROSECOND_NS = 1000
MAX_SPAN_SAMPLES = 1 << 20  # packed at a time; limits the memory for a long recording without gaps

_ENCODINGS = {"f": DataEncoding.FLOAT32, "d": DataEncoding.FLOAT64}


@dataclass(slots=True)
class _Span:
    """Contiguous samples of one channel with one sampling rate and one set of flags."""

    sid: str
    starttime_ns: int
    rate_hz: float
    flags: int
    extra: str
    sample_type: str
    parts: list[npt.NDArray[Any]] = field(default_factory=list)
    n: int = 0

    def time_ns(self, n: int) -> int:
        return self.starttime_ns + round(n * NS_PER_S / self.rate_hz)

    def continues_with(self, other: MS3Record) -> bool:
        return (
            self.n < MAX_SPAN_SAMPLES
            and other.starttime == self.time_ns(self.n)
            and other.samprate == self.rate_hz
            and other.flags == self.flags
            and other.extra == self.extra
            and other.sampletype == self.sample_type
        )


def repack(records: Iterator[bytes], record_bytes: int) -> Iterator[bytes]:
    """Records of at most `record_bytes` with the samples of `records`, which must be decodable and of one channel.

    Integers are packed as Steim2, or as 32-bit integers if a difference does not fit; floats unchanged. A new record
    begins at a gap, at any other deviation from the sample interval, and at a change of flags. The format is
    miniSEED 2, in records of exactly that length; miniSEED 3 if miniSEED 2 cannot represent a start time (it has
    whole microseconds), the sampling rate, or the codes. Raises InputError if `record_bytes` are too few for a header.
    """
    span: _Span | None = None
    for record in records:
        parsed = MS3Record.parse(record, unpack_data=True)
        samples = parsed.np_datasamples.copy()
        if span is None or not span.continues_with(parsed):
            if span is not None:
                yield from _packed(span, record_bytes)
            assert parsed.sampletype is not None  # the records are decodable
            span = _Span(
                parsed.sourceid,
                parsed.starttime,
                parsed.samprate,
                parsed.flags,
                parsed.extra,
                parsed.sampletype,
            )
        span.parts.append(samples)
        span.n += len(samples)
    if span is not None:
        yield from _packed(span, record_bytes)


def _packed(span: _Span, record_bytes: int) -> list[bytes]:
    samples = np.concatenate(span.parts)
    with contextlib.suppress(MiniSEEDError):  # such as codes that are too long
        records = _pack(span, samples, record_bytes, version=2)
        if _is_exact(span, records):
            return records
    try:
        return _pack(span, samples, record_bytes, version=3)
    except MiniSEEDError as error:
        raise InputError(
            f"{span.sid}: cannot be packed into records of {record_bytes} bytes ({error}); use a larger --record-length"
        ) from error


def _pack(span: _Span, samples: npt.NDArray[Any], record_bytes: int, version: int) -> list[bytes]:
    template = MS3Record(reclen=record_bytes, encoding=_encoding(span.sample_type, samples))
    template.formatversion = version
    template.sourceid = span.sid
    template.starttime = span.starttime_ns
    template.samprate = span.rate_hz
    template.flags = span.flags
    template.pubversion = 1
    if span.extra:
        template.extra = span.extra
    return list(template.generate(data_samples=samples, sample_type=span.sample_type))


def _encoding(sample_type: str, samples: npt.NDArray[Any]) -> DataEncoding:
    if sample_type != "i":
        return _ENCODINGS[sample_type]
    steps = np.diff(samples.astype(np.int64), prepend=0)[1:]
    return DataEncoding.STEIM2 if np.all(np.abs(steps) < STEIM2_LIMIT) else DataEncoding.INT32


def _is_exact(span: _Span, records: list[bytes]) -> bool:
    """True if every record of a packed span has the correct time and rate."""
    n = 0
    for record in records:
        header = MS3Record.parse(record)
        if header.starttime != span.time_ns(n) or header.samprate != span.rate_hz:
            return False
        n += header.samplecnt
    return n == span.n

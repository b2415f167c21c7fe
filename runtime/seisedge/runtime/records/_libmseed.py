"""libmseed through `pymseed.clib`, a private module of pymseed; no other module uses it.

pymseed's public `MS3Record.parse` takes three times as long, for it creates a record and its properties each time, and
decoding is most of the work of a file source. `RecordParser` reuses one struct for all records. The names used here
may change with a minor release of pymseed; `tests/runtime/records/test_miniseed.py` then fails.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed.clib import clibmseed, ffi
from pymseed.logging import ensure_thread_logging, get_error_messages

_HEADER = clibmseed.MSF_ATENDOFFILE
_HEADER_AND_SAMPLES = clibmseed.MSF_ATENDOFFILE | clibmseed.MSF_UNPACKDATA
_CHECKSUM = clibmseed.MSF_VALIDATECRC  # without effect on miniSEED 2, which has none
_NO_CHECKSUM = bytes(4)
_SWAPS = int(sys.byteorder == "little")  # samples of miniSEED 2 are big-endian


class RecordParser:
    """Parses one record after the other into the same struct; use one parser per thread."""

    def __init__(self) -> None:
        self._record = ffi.new("MS3Record **")
        self._thread = 0

    def __del__(self) -> None:
        if self._record[0] != ffi.NULL:
            clibmseed.msr3_free(self._record)

    def parse(self, record: bytes, *, with_samples: bool) -> Any | None:
        """The struct MS3Record of `record`, valid until the next call; None where libmseed refuses it.

        `messages` then has the reason. The samples are decoded only `with_samples`.
        """
        thread = threading.get_ident()
        if (
            thread != self._thread
        ):  # libmseed stores its messages per thread, and prints them in a thread without this call
            ensure_thread_logging()
            self._thread = thread
        clibmseed.ms_rlog_free(ffi.NULL)
        control = _HEADER_AND_SAMPLES if with_samples else _HEADER
        if record[28:32] != _NO_CHECKSUM:  # a writer of miniSEED 3 that computes none leaves the field 0
            control |= _CHECKSUM
        if clibmseed.msr3_parse(ffi.from_buffer(record), len(record), self._record, control, 0):
            return None
        return self._record[0]


def decode(
    data: npt.NDArray[np.uint8], places: Iterable[tuple[int, int, int, int]], samples: npt.NDArray[np.int32]
) -> bool:
    """Decode the samples of miniSEED 2 records in `data` one behind the other into `samples`.

    places: of each record where its samples begin in `data`, their length in bytes, encoding and number. False where a
    record does not have this number, or where libmseed warns of anything.
    """
    ensure_thread_logging()
    clibmseed.ms_rlog_free(ffi.NULL)
    source, target = ffi.from_buffer("char[]", data), ffi.from_buffer("int32_t[]", samples, require_writable=True)
    kind, name, run, at, end = ffi.new("char *"), ffi.new("char[]", b""), clibmseed.ms_decode_data, 0, len(samples)
    for begin, size, encoding, n in places:
        left = 4 * (end - at)
        if run(source + begin, size, encoding, n, target + at, left, kind, _SWAPS, name, 0) != n:
            return False
        at += n
    return at == end and not discard_messages()


def messages() -> list[str]:
    """Errors and warnings of the last `parse` in this thread; they are removed."""
    return [message.removeprefix("Error: ").strip() for message in get_error_messages()]


def discard_messages() -> int:
    """Remove the messages of the last `parse` in this thread, and return their number: cheaper than `messages`."""
    count: int = clibmseed.ms_rlog_free(ffi.NULL)
    return count


def sampling_rate_hz(msr: Any) -> float:
    """Sampling rate of a parsed record; the struct's own field is a period where it is negative."""
    rate_hz: float = clibmseed.msr3_sampratehz(msr)
    return rate_hz


def source_id(msr: Any) -> bytes:
    """FDSN source identifier of a parsed record."""
    text: bytes = ffi.string(msr.sid)
    return text


def extra_headers(msr: Any) -> bytes:
    """Extra headers of a parsed record, JSON; empty where it has none."""
    text: bytes = ffi.string(msr.extra) if msr.extralength else b""
    return text


def samples(msr: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """(numsamples,), a copy of the decoded samples; dtype: that of `msr.sampletype`."""
    return np.frombuffer(ffi.buffer(msr.datasamples, msr.numsamples * dtype.itemsize), dtype=dtype).copy()

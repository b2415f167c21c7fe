"""Read a miniSEED 2 file of equally long records as a table: a day is indexed in hundredths of a second.

Only uniform files are read in this way: every record has the length that the first one states, states it itself, begins
at a multiple of it, contains no second header, and its header can be read with arithmetic alone. Records with and
without a blockette 1001 may be mixed. All other files are scanned record by record.

Format: FDSN SEED reference manual 2.4, chapter 8, fixed section of the data header, blockettes 1000 and 1001.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.miniseed import POOR_TIMING_QUALITY_PERCENT

MIN_YEAR, MAX_YEAR = 1970, 2100
TIME_CORRECTION_APPLIED = 0x02  # of the activity flags
MAX_LAYOUTS = 4
HEADER_BYTES = 64  # fixed section and two blockettes
_LAYOUT = [39, 48, 49, 56, 57]  # number of blockettes, and the types of the first and of the second one
INTEGER_ENCODINGS = (1, 3, 10, 11)  # 16 and 32 bits, Steim1, Steim2


@dataclass(frozen=True, slots=True)
class UniformRecords:
    """Columns over the records of a file, in file order. ids: station, location, channel and network, as stored.

    payload: where the samples begin, in bytes from the begin of a record. plain: True for records without flags, of
    integer samples at 1 Hz or more.
    """

    length: int
    ids: npt.NDArray[np.bytes_]
    first_sample_ns: npt.NDArray[np.int64]
    last_sample_ns: npt.NDArray[np.int64]
    rate_hz: npt.NDArray[np.float64]
    n_samples: npt.NDArray[np.uint16]
    encoding: npt.NDArray[np.uint8]
    payload: npt.NDArray[np.uint16]
    plain: npt.NDArray[np.bool_]


def uniform_records(data: bytes | memoryview | mmap.mmap, length: int) -> UniformRecords | None:
    """Columns of a whole file whose first record states `length` bytes; None if the file is not uniform."""
    if length < 128 or len(data) % length or len(data) < length:
        return None
    table = np.frombuffer(data, dtype=np.uint8).reshape(-1, length)
    if not all(_are_headers(table[:, place : place + 40], place == 0) for place in range(0, length, 128)):
        return None
    key = np.ascontiguousarray(table[:, _LAYOUT])
    key[key[:, 0] == 1, 3:] = 0  # without a second blockette, samples may begin there
    if (key == key[0]).all():
        return _columns(table, length)
    layouts, layout = np.unique(key.view(f"S{len(_LAYOUT)}")[:, 0], return_inverse=True)
    if len(layouts) > MAX_LAYOUTS:
        return None
    rows = [np.flatnonzero(layout == k) for k in range(len(layouts))]
    parts = [_columns(table[here, :HEADER_BYTES], length) for here in rows]
    return _in_order(rows, [part for part in parts if part is not None]) if all(parts) else None


def _in_order(rows: list[npt.NDArray[np.intp]], parts: list[UniformRecords]) -> UniformRecords:
    """Records of several layouts together, those of each part at the places `rows`."""
    order = np.argsort(np.concatenate(rows))
    names = [field.name for field in fields(UniformRecords) if field.name != "length"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in names}
    return UniformRecords(parts[0].length, **columns)


def _columns(table: npt.NDArray[np.uint8], length: int) -> UniformRecords | None:
    """As `uniform_records`, of records that all have the blockettes of the first one.

    table: (n, `HEADER_BYTES` or more), their bytes.
    """
    big = 1900 <= int(table[0, 20]) << 8 | int(table[0, 21]) <= 2100
    order = ">" if big else "<"
    kinds = table[0, :64].view(f"{order}u2")[[24, 28]].tolist()
    header = table.reshape(-1).view(_header_type(table.shape[1], order, kinds))
    if not _is_uniform(header, length, kinds):
        return None
    rate_hz = _rates(header["factor"].astype(np.float64), header["multiplier"].astype(np.float64))
    if rate_hz is None:
        return None
    has_time = 1001 in kinds[: int(header["blockettes"][0])]
    start_ns = _start_ns(header, has_time)
    last_ns = start_ns + np.rint((header["samples"].astype(np.float64) - 1) * NS_PER_S / rate_hz).astype(np.int64)
    ids = table[:, 8:20].copy().view("S12")[:, 0]  # a copy, so that nothing refers to the data
    plain = _is_plain(header, length, has_time) & (rate_hz >= 1.0)
    samples, encoding, payload = (header[name].copy() for name in ("samples", "encoding", "payload"))
    return UniformRecords(length, ids, start_ns, last_ns, rate_hz, samples, encoding, payload, plain)


def _is_plain(header: npt.NDArray[np.void], length: int, has_quality: bool) -> npt.NDArray[np.bool_]:
    """(n,), True for records whose flags state nothing, with integer samples in big-endian byte order."""
    plain = (header["activity"] & ~np.uint8(TIME_CORRECTION_APPLIED) == 0) & (header["quality"] == 0)
    plain &= np.isin(header["encoding"], INTEGER_ENCODINGS) & (header["byte_order"] == 1)
    plain &= (header["payload"] >= 48) & (header["payload"] < length)
    if has_quality:
        plain &= (header["timing"] == 0) | (header["timing"] >= POOR_TIMING_QUALITY_PERCENT)
    return np.asarray(plain)


def _header_type(size: int, order: str, kinds: list[int]) -> np.dtype[np.void]:
    """Fields of a record, of which `size` bytes are there.

    kinds: of the one or two blockettes, 1000 with the length and 1001 with microseconds.
    """
    of_length, of_time = (56, 48) if kinds == [1001, 1000] else (48, 56)
    fields = {
        "year": (f"{order}u2", 20), "day": (f"{order}u2", 22), "hour": ("u1", 24), "minute": ("u1", 25),
        "second": ("u1", 26), "fraction": (f"{order}u2", 28), "samples": (f"{order}u2", 30),
        "factor": (f"{order}i2", 32), "multiplier": (f"{order}i2", 34), "activity": ("u1", 36),
        "quality": ("u1", 38), "blockettes": ("u1", 39), "correction": (f"{order}i4", 40),
        "payload": (f"{order}u2", 44), "first": (f"{order}u2", 46),
        "type": (f"{order}u2", 48), "next": (f"{order}u2", 50), "exponent": ("u1", of_length + 6),
        "encoding": ("u1", of_length + 4), "byte_order": ("u1", of_length + 5),
        "type2": (f"{order}u2", 56), "next2": (f"{order}u2", 58), "timing": ("u1", of_time + 4),
        "micro": ("i1", of_time + 5),
    }  # fmt: skip
    names = list(fields)
    return np.dtype(
        {
            "names": names,
            "formats": [fields[name][0] for name in names],
            "offsets": [fields[name][1] for name in names],
            "itemsize": size,
        }
    )


def _is_uniform(header: npt.NDArray[np.void], length: int, kinds: list[int]) -> bool:
    alone = int(header["blockettes"][0]) == 1
    if kinds[0] != 1000 if alone else sorted(kinds) != [1000, 1001]:
        return False
    same = {"first": 48, "type": kinds[0], "blockettes": 1 if alone else 2, "next": 0 if alone else 56}
    same |= {} if alone else {"type2": kinds[1], "next2": 0}
    within = {
        "year": (MIN_YEAR, MAX_YEAR), "day": (1, 366), "hour": (0, 23), "minute": (0, 59), "second": (0, 59),
        "fraction": (0, 9999), "samples": (1, 65_535), "exponent": (7, 16),
    }  # fmt: skip
    return (
        all(bool((header[name] == value).all()) for name, value in same.items())
        and all(bool(((header[name] >= a) & (header[name] <= b)).all()) for name, (a, b) in within.items())
        and not bool(((header["day"] == 366) & ~_is_leap(header["year"])).any())
        and bool((np.left_shift(1, header["exponent"].astype(np.int64)) == length).all())
    )


def _is_leap(year: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    return np.asarray((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)), dtype=np.bool_)


def _are_headers(part: npt.NDArray[np.uint8], wanted: bool) -> bool:
    """(n, 40) → True where all of them could begin a record, or, with `wanted` False, none."""
    found = _like_header(part)
    return bool(found.all() if wanted else not found.any())


def _like_header(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """(n, 40) → (n,), True for bytes that could begin a miniSEED 2 or 3 record."""
    found = (part[:, 0] == 0x4D) & (part[:, 1] == 0x53) & (part[:, 2] == 3)
    rows = np.flatnonzero(_QUALITIES[part[:, 6]] & _SPACES[part[:, 7]])
    found[rows] |= _SEQUENCES[part[rows, :6]].all(axis=1)
    return np.asarray(found)


def _one_of(values: bytes) -> npt.NDArray[np.bool_]:
    """(256,), True at these bytes."""
    return np.isin(np.arange(256), list(values))


_QUALITIES, _SPACES, _SEQUENCES = _one_of(b"DRQM"), _one_of(b" \x00"), _one_of(b"0123456789 \x00")


def _rates(factor: npt.NDArray[np.float64], multiplier: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Sampling rates in Hz; None if one is 0. A negative factor is a period, a negative multiplier a divisor."""
    if not (factor.all() and multiplier.all()):
        return None
    rate = np.where(factor > 0, factor, -1.0 / factor)
    return np.where(multiplier > 0, rate * multiplier, -rate / multiplier)


def _start_ns(header: npt.NDArray[np.void], has_micro: bool) -> npt.NDArray[np.int64]:
    year = header["year"].astype(np.int64)
    days = (np.array(year - 1970, dtype="datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    days = days + header["day"].astype(np.int64) - 1
    seconds = ((days * 24 + header["hour"]) * 60 + header["minute"]) * 60 + header["second"]
    tenths_ms = header["fraction"].astype(np.int64)
    tenths_ms += np.where(header["activity"] & TIME_CORRECTION_APPLIED, 0, header["correction"])
    start_ns = seconds * NS_PER_S + tenths_ms * 100_000
    return np.asarray(start_ns + header["micro"].astype(np.int64) * 1000 if has_micro else start_ns)

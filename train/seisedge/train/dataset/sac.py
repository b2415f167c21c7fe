"""SAC files: the header values that place a trace in time, and its samples.

Binary, evenly sampled time series of header version 6 and 7 are read, in either byte order. An undefined value is
-12345. The first sample is at the reference time (NZYEAR to NZMSEC) plus B. Version 7 repeats DELTA, B and the position
of the station in double precision after the samples.
https://ds.iris.edu/files/sac-manual/manual/file_format.html

Samples are taken as counts. SCALE and IDEP are not applied: programs write the gain, its inverse or 1 into SCALE, and
velocity into IDEP for counts, too. Picks (A, T0 to T9) are not used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.text import quoted
from seisedge.train.dataset.plausible import is_implausible, is_implausible_time

HEADER_BYTES, FOOTER_BYTES = 632, 22 * 8
UNDEFINED = -12345
VERSIONS = (6, 7)
TIME_SERIES = 1  # IFTYPE = ITIME
KINDS = {6: "displacement", 7: "velocity", 8: "acceleration"}  # IDEP
# Positions of header values: in units of 4 bytes from the start for numbers, in bytes for texts.
DELTA, SCALE, B, PICKS, STLA, STLO = 0, 3, 5, (8, *range(10, 20)), 31, 32
NZYEAR, NVHDR, NPTS, IFTYPE, IDEP, LEVEN = 70, 76, 79, 85, 86, 105
KSTNM, KHOLE, KCMPNM, KNETWK, TEXT_BYTES = 440, 464, 600, 608, 8
FOOTER_DELTA, FOOTER_B, FOOTER_STLA, FOOTER_STLO = 0, 1, 19, 18  # in units of 8 bytes


class SacError(ValueError):
    """The file cannot be used; the message is a clause without the name of the file."""


@dataclass(frozen=True, slots=True)
class SacHeader:
    """byte_order: '<' or '>'. position: latitude and longitude of the station in degrees; None if undefined.

    notes: what the header states and this reader does not use, one clause each.
    """

    byte_order: str
    source_id: SourceId
    start_ns: int
    rate_hz: float
    n_samples: int
    position: tuple[float, float] | None
    notes: tuple[str, ...]


def byte_order_of(head: bytes) -> str:
    """'<' or '>' if `head`, the start of a file, is a SAC header, else ''."""
    if len(head) < HEADER_BYTES:
        return ""
    field = head[4 * NVHDR : 4 * NVHDR + 4]
    return next((order for order in "<>" if int(np.frombuffer(field, f"{order}i4")[0]) in VERSIONS), "")


def read_header(file: BinaryIO, byte_order: str, networks: Mapping[str, str]) -> SacHeader:
    """The header of an open SAC file with this byte order. Raises SacError, OSError.

    networks: station code → network code, for files without a network code.
    """
    file.seek(0)
    head = file.read(HEADER_BYTES)
    floats = np.frombuffer(head, f"{byte_order}f4", 70)
    ints = np.frombuffer(head, f"{byte_order}i4", 110)  # those from 70 on are integers
    if ints[IFTYPE] != TIME_SERIES or ints[LEVEN] != 1:
        raise SacError("SAC: not an evenly sampled time series (IFTYPE must be ITIME, LEVEN true)")
    n, double = int(ints[NPTS]), ints[NVHDR] == 7
    expected = HEADER_BYTES + 4 * n + (FOOTER_BYTES if double else 0)
    if n < 1 or os.fstat(file.fileno()).st_size < expected:
        raise SacError("SAC: the file is shorter than NPTS states")
    delta_s, b_s = _decimal(floats[DELTA]), _decimal(floats[B])
    latitude, longitude = _decimal(floats[STLA]), _decimal(floats[STLO])
    rate_hz = _rate(floats[DELTA]) if delta_s > 0 else 0.0
    if double:
        file.seek(HEADER_BYTES + 4 * n)
        footer = np.frombuffer(file.read(FOOTER_BYTES), f"{byte_order}f8")
        delta_s, b_s = float(footer[FOOTER_DELTA]), float(footer[FOOTER_B])
        latitude, longitude = float(footer[FOOTER_STLA]), float(footer[FOOTER_STLO])
        rate_hz = 1 / delta_s if delta_s > 0 else 0.0
    if not 1e-6 <= rate_hz <= 1e6:
        raise SacError("SAC: DELTA is undefined or not a sampling interval")
    known = UNDEFINED not in (latitude, longitude)
    known = known and not is_implausible("station_latitude_deg", latitude)
    known = known and not is_implausible("station_longitude_deg", longitude)
    source_id = _source_id(head, networks)
    notes = _notes(floats, int(ints[IDEP]))
    if not _text(head, KNETWK):
        notes.append(f"SAC: KNETWK is undefined; the network of {source_id.station_id} in the station metadata is used")
    return SacHeader(
        byte_order=byte_order,
        source_id=source_id,
        start_ns=_reference_ns([int(v) for v in ints[NZYEAR : NZYEAR + 6]]) + _b_ns(b_s),
        rate_hz=rate_hz,
        n_samples=n,
        position=(latitude, longitude) if known else None,
        notes=tuple(notes),
    )


def read_samples(file: BinaryIO, byte_order: str, first: int, last: int) -> npt.NDArray[np.float32]:
    """Samples [first, last) of an open SAC file. Returns (n,), fewer if the file has become shorter. Raises OSError."""
    file.seek(HEADER_BYTES + 4 * first)
    data = file.read(4 * (last - first))
    return np.frombuffer(data[: len(data) // 4 * 4], f"{byte_order}f4").astype(np.float32)


def _rate(delta_s: np.float32) -> float:
    """The sampling rate of an interval stored with 24 bits: the shortest one, up to 3 decimals, with this interval.

    Some programs cut the bits off instead of rounding them.
    """
    for digits in range(4):
        rate_hz = round(1 / float(delta_s), digits)
        if rate_hz and abs(np.float32(1 / rate_hz) - delta_s) <= np.spacing(delta_s):
            return rate_hz
    return 1 / _decimal(delta_s)


def _decimal(value: np.float32) -> float:
    """The shortest decimal number that is stored as this value: 0.01, not 0.009999999776."""
    return float(str(np.float32(value)))


def _reference_ns(parts: list[int]) -> int:
    """The reference time of year, day of year, hour, minute, second and millisecond. Raises SacError."""
    year, day, hour, minute, second, millisecond = parts
    if UNDEFINED in parts:
        raise SacError("SAC: the reference time (NZYEAR to NZMSEC) is undefined")
    if not (1 <= year <= 9998 and 1 <= day <= 366 and 0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
        raise SacError("SAC: the reference time (NZYEAR to NZMSEC) is not a time")
    if not 0 <= millisecond <= 999:
        raise SacError("SAC: the reference time (NZYEAR to NZMSEC) is not a time")
    days = date(year, 1, 1).toordinal() - date(1970, 1, 1).toordinal() + day - 1
    time_ns = (((days * 24 + hour) * 60 + minute) * 60 + second) * NS_PER_S + millisecond * NS_PER_S // 1000
    if is_implausible_time(time_ns):
        raise SacError("SAC: the reference time (NZYEAR to NZMSEC) is before 1880, after 2100 or 1970-01-01T00:00:00")
    return time_ns


def _b_ns(b_s: float) -> int:
    if b_s == UNDEFINED or not abs(b_s) < 1e9:
        raise SacError("SAC: B, the time of the first sample, is undefined")
    return ns_from_s(b_s)


def _source_id(head: bytes, networks: Mapping[str, str]) -> SourceId:
    """The codes of the header, without padding. Raises SacError."""
    network, station, location, channel = (_text(head, at) for at in (KNETWK, KSTNM, KHOLE, KCMPNM))
    if not station:
        raise SacError("SAC: KSTNM is undefined; write the station code into the header")
    network = network or networks.get(station, "")
    if not network:
        raise SacError(
            "SAC: KNETWK is undefined, and --stations does not contain the station once; write the network code into "
            "the header"
        )
    for name, value in (("KNETWK", network), ("KSTNM", station)):
        if not (value.isascii() and value.replace("-", "").isalnum()):
            raise SacError(f"SAC: {name} {quoted(value)} is not a code of letters, digits and '-'")
    if not (len(channel) == 3 and channel.isascii() and channel.isalnum()):
        raise SacError(f"SAC: KCMPNM {quoted(channel)} is not a channel code of three letters such as HHZ")
    return SourceId(network, station, location.strip("-"), channel)


def _text(head: bytes, at: int) -> str:
    """A text of the header, which is padded with blanks or zero bytes; '' if it is undefined."""
    value = head[at : at + TEXT_BYTES].partition(b"\0")[0].decode("latin-1").strip()
    return "" if value.startswith(str(UNDEFINED)) else value


def _notes(floats: npt.NDArray[np.float32], idep: int) -> list[str]:
    out = []
    if floats[SCALE] not in (UNDEFINED, 1):
        out.append("SAC: SCALE is stated and not applied; samples are taken as counts")
    if idep in KINDS:
        out.append(f"SAC: IDEP states {KINDS[idep]}; samples are taken as counts")
    if any(floats[k] != UNDEFINED for k in PICKS):
        out.append("SAC: picks of the header (A, T0 to T9) are not used")
    return out

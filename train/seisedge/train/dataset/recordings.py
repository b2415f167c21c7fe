"""Continuous recordings: read windows from miniSEED files, folders or an SDS archive.

The decoder of the station runtime decodes the records; it skips damaged data up to the next good record. For files
and folders all headers are read first; for an SDS archive only those of the day files that overlap a window.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.records.miniseed import BadRecord, Decoder, RecordHeader, Scanner
from seisedge.runtime.records.packet import SourceId
from seisedge.train.dataset.progress import progress

logger = logging.getLogger(__name__)

SDS = "sds:"
DAY_NS = 86_400 * NS_PER_S
SLACK_NS = 7200 * NS_PER_S  # records of an SDS day file may extend this far beyond its day
CHUNK_BYTES = 1 << 20
RATE_TOLERANCE = 1e-4  # relative; headers of one channel may differ by rounding
JOIN_S = 1.0  # spans with a shorter gap between them are joined
_DAY_FILE = re.compile(r"([^.]*)\.([^.]+)\.([^.]*)\.([^.]+)\.D\.(\d{4})\.(\d{3})")


@dataclass(frozen=True, slots=True)
class RecordLocation:
    """File position and header values of a record."""

    path: Path
    offset: int
    length: int
    start_ns: int
    end_ns: int  # time after the last sample
    rate_hz: float


@dataclass(frozen=True, slots=True)
class ChannelWindow:
    """A window of one channel on its own sample clock.

    samples: (n,), zeros in gaps. valid: (n,). start_ns: time of sample 0.
    disagreeing: number of samples that differ between overlapping records; the first value is used.
    """

    samples: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_]
    start_ns: int
    rate_hz: float
    disagreeing: int


class Recordings:
    """All channels of the given files, folders and `sds:DIR`. Raises InputError or DataError if there are none."""

    def __init__(self, names: Sequence[str]) -> None:
        self._decoder = Decoder()
        self._records: dict[SourceId, list[RecordLocation]] = {}
        self._longest: dict[SourceId, int] = {}  # duration of the longest record
        self._days: dict[SourceId, dict[int, Path]] = {}  # midnight → day file
        self.bad_records = 0
        files: list[Path] = []
        for name in names:
            if name.startswith(SDS):
                self._add_sds(Path(name.removeprefix(SDS)))
            elif Path(name).is_dir():
                files += sorted(path for path in Path(name).rglob("*") if path.is_file())
            elif Path(name).is_file():
                files.append(Path(name))
            else:
                raise InputError(f"{name}: no such file or folder; give miniSEED files, folders or sds:DIR")
        for path in progress(files, "files indexed") if len(files) > 1 else files:
            for source_id, places in self._index(path).items():
                self._records.setdefault(source_id, []).extend(places)
        for source_id, places in self._records.items():
            places.sort(key=lambda p: p.start_ns)
            self._longest[source_id] = max(p.end_ns - p.start_ns for p in places)
        if not self._records and not self._days:
            raise DataError(f"{', '.join(names)}: contains no miniSEED record")

    def channels(self) -> list[SourceId]:
        """All channels, sorted."""
        return sorted({*self._records, *self._days})

    def spans(self, channel: SourceId) -> list[tuple[int, int]]:
        """Recorded spans [start, end) in ns, sorted; whole days for an SDS archive, whose records are not read."""
        spans = [(p.start_ns, p.end_ns) for p in self._records.get(channel, ())]
        spans += [(day, day + DAY_NS) for day in self._days.get(channel, ())]
        out: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if out and start <= out[-1][1] + JOIN_S * NS_PER_S:
                out[-1] = out[-1][0], max(out[-1][1], end)
            else:
                out.append((start, end))
        return out

    def cut(self, channel: SourceId, start_ns: int, length_s: float) -> ChannelWindow | None:
        """The window of `length_s` whose first sample is nearest to `start_ns`; None if nothing was recorded, or if the
        sampling rate changes within the window.
        """
        places = self._between(channel, start_ns, start_ns + round(length_s * NS_PER_S))
        if not places or not all(same_rate(p.rate_hz, places[0].rate_hz) for p in places):
            return None
        rate = places[0].rate_hz
        lead = round((start_ns - places[0].start_ns) * rate / NS_PER_S)  # samples from the first record to the window
        first_ns = places[0].start_ns + round(lead * NS_PER_S / rate)
        n = round(length_s * rate)
        samples: npt.NDArray[np.generic] | None = None
        valid, disagreeing = np.zeros(n, dtype=bool), 0
        for record in _read(places):
            packet = self._decoder.packet(record, 0)
            if isinstance(packet, BadRecord):
                self.bad_records += 1
                continue
            if samples is None:
                samples = np.zeros(n, dtype=packet.samples.dtype)
            at = round((packet.starttime_ns - first_ns) * rate / NS_PER_S)
            low, high = max(at, 0), min(at + len(packet.samples), n)
            if low >= high:
                continue
            new = packet.samples[low - at : high - at]
            known = np.isfinite(new)  # a NaN or infinite sample is a gap
            old = valid[low:high]
            disagreeing += int((old & known & (samples[low:high] != new)).sum())
            samples = samples.astype(np.result_type(samples, new), copy=False)
            samples[low:high] = np.where(old | ~known, samples[low:high], new)
            valid[low:high] |= known
        if samples is None or not valid.any():
            return None
        return ChannelWindow(samples, valid, first_ns, rate, disagreeing)

    def _between(self, channel: SourceId, start_ns: int, end_ns: int) -> list[RecordLocation]:
        """Records that overlap [start, end), sorted by time."""
        places = self._records.get(channel, [])
        longest = self._longest.get(channel, 0)
        first = bisect_left(places, start_ns - longest, key=lambda p: p.start_ns)
        last = bisect_left(places, end_ns, key=lambda p: p.start_ns)
        places = places[first:last]
        days = self._days.get(channel)
        if days:
            midnight = (start_ns - SLACK_NS) // DAY_NS * DAY_NS
            found = list(places)
            while midnight < end_ns + SLACK_NS:
                if midnight in days:
                    found += self._day(days[midnight]).get(channel, [])
                midnight += DAY_NS
            places = sorted(found, key=lambda p: p.start_ns)
        return [p for p in places if p.start_ns < end_ns and p.end_ns > start_ns]

    @lru_cache(maxsize=64)  # noqa: B019  the object lives as long as the command
    def _day(self, path: Path) -> dict[SourceId, list[RecordLocation]]:
        return self._index(path)

    def _index(self, path: Path) -> dict[SourceId, list[RecordLocation]]:
        """Records by channel; empty if the file is not miniSEED."""
        out: dict[SourceId, list[RecordLocation]] = {}
        scanner = Scanner()
        try:
            with path.open("rb") as file:
                while data := file.read(CHUNK_BYTES):
                    for offset, record in scanner.feed(data):
                        self._note(path, offset, record, out)
                for offset, record in scanner.finish():
                    self._note(path, offset, record, out)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        return out

    def _note(self, path: Path, offset: int, record: bytes, out: dict[SourceId, list[RecordLocation]]) -> None:
        header = self._decoder.header(record)
        if not isinstance(header, RecordHeader):
            self.bad_records += 1
            return
        end_ns = header.starttime_ns + round(header.n_samples * NS_PER_S / header.sampling_rate_hz)
        place = RecordLocation(path, offset, len(record), header.starttime_ns, end_ns, header.sampling_rate_hz)
        out.setdefault(header.source_id, []).append(place)

    def _add_sds(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"{SDS}{root}: is not a folder; expected an SDS archive, YEAR/NET/STA/CHAN.D/…")
        for path in root.rglob("*.D.*"):
            match = _DAY_FILE.fullmatch(path.name)
            if match is None or not 1 <= int(match[6]) <= 366 or not path.is_file():
                continue
            try:
                midnight = ns_from_iso(f"{match[5]}-01-01") + (int(match[6]) - 1) * DAY_NS
            except ValueError:
                logger.warning("%s: skipped: the year of an SDS day file must be 0001 to 9999", path)
                continue
            channel = SourceId(match[1], match[2], match[3].replace("--", ""), match[4])
            self._days.setdefault(channel, {})[midnight] = path
        if not self._days:
            raise DataError(f"{SDS}{root}: contains no day file of an SDS archive (NET.STA.LOC.CHAN.D.YEAR.DAY)")


def same_rate(a_hz: float, b_hz: float) -> bool:
    """True if two sampling rates are equal within the rounding of headers."""
    return abs(a_hz - b_hz) <= RATE_TOLERANCE * b_hz


def _read(places: Sequence[RecordLocation]) -> Iterator[bytes]:
    """Read the records; consecutive records of one file share one open file."""
    path, file = None, None
    try:
        for place in places:
            if file is None or place.path != path:
                if file is not None:
                    file.close()
                path, file = place.path, place.path.open("rb")
            file.seek(place.offset)
            yield file.read(place.length)
    finally:
        if file is not None:
            file.close()

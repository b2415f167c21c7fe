"""Continuous recordings: read windows from miniSEED and SAC files, folders or an SDS archive.

The decoder of the station runtime decodes miniSEED records; it skips damaged data up to the next good record. For files
and folders all headers are read first; for an SDS archive only those of the day files that overlap a window. A file
that cannot be used is skipped, logged and counted.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.miniseed import BadRecord, Decoder, RecordHeader, Scanner
from seisedge.runtime.records.packet import SourceId
from seisedge.train.dataset.progress import progress
from seisedge.train.dataset.sac import HEADER_BYTES, SacError, byte_order_of, read_header, read_samples

logger = logging.getLogger(__name__)

SDS = "sds:"
DAY_NS = 86_400 * NS_PER_S
SLACK_NS = 7200 * NS_PER_S  # records of an SDS day file may extend this far beyond its day
CHUNK_BYTES = 1 << 20
RATE_TOLERANCE = 1e-4  # relative; headers of one channel may differ by rounding
LOGGED = 20  # files that are skipped for one reason
JOIN_S = 1.0  # spans with a shorter gap between them are joined
_MINISEED_START = re.compile(rb"MS\x03|[0-9 ]{6}[DRQM]")
_DAY_FILE = re.compile(r"([^.]*)\.([^.]+)\.([^.]*)\.([^.]+)\.D\.(\d{4})\.(\d{3})")


@dataclass(frozen=True, slots=True)
class RecordLocation:
    """File position and header values of a miniSEED record, or of a SAC file.

    byte_order: of a SAC file, '<' or '>'; '' for a miniSEED record.
    """

    path: Path
    offset: int
    length: int
    start_ns: int
    end_ns: int  # time after the last sample
    rate_hz: float
    byte_order: str = ""


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
    """All channels of the given files, folders and `sds:DIR`. Raises InputError or DataError if there are none.

    networks: station code → network code, for SAC files without a network code.
    skipped: reason → names of the files that cannot be used. notes: what SAC headers state that is not used → files.
    positions: latitude and longitude of NET.STA in degrees, of the first SAC file that states them.
    """

    def __init__(self, names: Sequence[str], networks: Mapping[str, str] | None = None) -> None:
        self._networks = networks or {}
        self._decoder = Decoder()
        self._records: dict[SourceId, list[RecordLocation]] = {}
        self._longest: dict[SourceId, int] = {}  # duration of the longest record
        self._days: dict[SourceId, dict[int, Path]] = {}  # midnight → day file
        self.bad_records = 0
        self.skipped: dict[str, list[str]] = {}
        self.notes: Counter[str] = Counter()
        self.positions: dict[str, tuple[float, float]] = {}
        files: list[Path] = []
        for name in names:
            if name.startswith(SDS):
                self._add_sds(Path(name.removeprefix(SDS)))
            elif Path(name).is_dir():
                files += sorted(path for path in Path(name).rglob("*") if path.is_file())
            elif Path(name).is_file():
                files.append(Path(name))
            else:
                raise InputError(f"{name}: no such file or folder; give miniSEED or SAC files, folders or sds:DIR")
        for path in progress(files, "files indexed") if len(files) > 1 else files:
            for source_id, places in self._index(path).items():
                self._records.setdefault(source_id, []).extend(places)
        for source_id, places in self._records.items():
            places.sort(key=lambda p: p.start_ns)
            self._longest[source_id] = max(p.end_ns - p.start_ns for p in places)
        if not self._records and not self._days:
            why = "; ".join(f"{len(files)} × {reason}" for reason, files in self.skipped.items())
            raise DataError(f"{', '.join(names)}: contains no miniSEED record and no SAC file" + (why and f" ({why})"))

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
        for part_ns, part in self._parts(places, start_ns, start_ns + round(length_s * NS_PER_S)):
            if samples is None:
                samples = np.zeros(n, dtype=part.dtype)
            at = round((part_ns - first_ns) * rate / NS_PER_S)
            low, high = max(at, 0), min(at + len(part), n)
            if low >= high:
                continue
            new = part[low - at : high - at]
            known = np.isfinite(new)  # a NaN or infinite sample is a gap
            old = valid[low:high]
            disagreeing += int((old & known & (samples[low:high] != new)).sum())
            samples = samples.astype(np.result_type(samples, new), copy=False)
            samples[low:high] = np.where(old | ~known, samples[low:high], new)
            valid[low:high] |= known
        if samples is None or not valid.any():
            return None
        return ChannelWindow(samples, valid, first_ns, rate, disagreeing)

    def _parts(
        self, places: Sequence[RecordLocation], start_ns: int, end_ns: int
    ) -> Iterator[tuple[int, npt.NDArray[np.generic]]]:
        """Time of the first sample and samples of the records; of a SAC file only those near [start, end)."""
        for place, file in _opened(places):
            if place.byte_order:
                n = place.length // 4
                first = int(np.clip((start_ns - place.start_ns) * place.rate_hz / NS_PER_S - 1, 0, n))
                last = int(np.clip((end_ns - place.start_ns) * place.rate_hz / NS_PER_S + 2, first, n))
                yield (
                    place.start_ns + round(first * NS_PER_S / place.rate_hz),
                    read_samples(file, place.byte_order, first, last),
                )
                continue
            file.seek(place.offset)
            packet = self._decoder.packet(file.read(place.length), 0)
            if isinstance(packet, BadRecord):
                self.bad_records += 1
            else:
                yield packet.starttime_ns, packet.samples

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
        """Records by channel; empty if the file cannot be used."""
        out: dict[SourceId, list[RecordLocation]] = {}
        scanner = Scanner()
        try:
            with path.open("rb") as file:
                data = file.read(CHUNK_BYTES)
                if not _MINISEED_START.match(data) and (byte_order := byte_order_of(data)):
                    return self._index_sac(path, file, byte_order)
                while data:
                    for offset, record in scanner.feed(data):
                        self._note(path, offset, record, out)
                    data = file.read(CHUNK_BYTES)
                for offset, record in scanner.finish():
                    self._note(path, offset, record, out)
        except OSError as error:
            self._skip(path, f"cannot be read: {error.strerror}")
        else:
            if not out:
                self._skip(path, "neither miniSEED nor binary SAC")
        return out

    def _index_sac(self, path: Path, file: BinaryIO, byte_order: str) -> dict[SourceId, list[RecordLocation]]:
        """The trace of a SAC file by its channel; empty, logged and counted if it cannot be used. Raises OSError."""
        try:
            header = read_header(file, byte_order, self._networks)
        except SacError as error:
            self._skip(path, str(error))
            return {}
        self.notes.update(header.notes)
        if header.position is not None:
            self.positions.setdefault(header.source_id.station_id, header.position)
        end_ns = header.start_ns + round(header.n_samples * NS_PER_S / header.rate_hz)
        return {
            header.source_id: [
                RecordLocation(
                    path, HEADER_BYTES, 4 * header.n_samples, header.start_ns, end_ns, header.rate_hz, byte_order
                )
            ]
        }

    def _skip(self, path: Path, why: str) -> None:
        names = self.skipped.setdefault(why, [])
        names.append(text_from_path(path.name))
        if len(names) <= LOGGED:
            logger.warning("%s: skipped: %s%s", path, why, " (more are only counted)" if len(names) == LOGGED else "")

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


def _opened(places: Sequence[RecordLocation]) -> Iterator[tuple[RecordLocation, BinaryIO]]:
    """The records with their open files; consecutive records of one file share one open file."""
    path, file = None, None
    try:
        for place in places:
            if file is None or place.path != path:
                if file is not None:
                    file.close()
                path, file = place.path, place.path.open("rb")
            yield place, file
    finally:
        if file is not None:
            file.close()

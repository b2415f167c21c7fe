"""The records of one station within a stretch of time, out of many files, in the order in which one run reads them.

`seisedge run` reads all files at once, ordered by the last samples of the records, then by source id, then by the order
of the files. Here the same order is made piece by piece, with the files that can hold records of a piece.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import DataError, SeisedgeError
from seisedge.runtime.records.miniseed import BadRecord, Decoder
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources.batch import Batch, batch_size, read_batch
from seisedge.runtime.sources.miniseed import MiniSeedSource, OpenFiles, RecordColumns, RecordIndex

MAX_INDEXED = 2_000_000  # records whose places are kept in memory between units, 28 bytes each
OUTSIDE = "the time is more than two hours outside the day of the file"
PIECE_NS = 6 * 3600 * NS_PER_S  # records that are put in order at once


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file and the time [low_ns, high_ns) that the last samples of its records lie in.

    size, mtime: of the manifest; mtime in seconds, None where the storage does not state it. day_ns: start of the day
    of an SDS file; None for another file.
    """

    url: str
    low_ns: int
    high_ns: int
    size: int = 0
    mtime: float | None = None
    day_ns: int | None = None


@dataclass(slots=True)
class _Opened:
    """Records of one station in one file, in file order."""

    path: Path
    last_ns: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int32]


class _Indexer(MiniSeedSource):
    """Indexes one file, and counts its bad records."""

    def index(self) -> RecordIndex:
        """Raises DataError where the file has no usable record."""
        found = RecordIndex()
        fault = self._index_file(Path(self._paths[0]), found)
        if fault is not None:
            raise DataError(fault)
        return found


_Index = tuple[RecordColumns, dict[str, int]]
# of this process, by path, size and time of change; in order of use: neighbouring units read the same files
_indexes: dict[tuple[str, int, int], _Index] = {}


def index_of(path: Path) -> _Index:
    """The records of a file, and why others are left out, with their number. Raises DataError, InputError."""
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    found = _indexes.pop(key, None)
    if found is None:
        indexer = _Indexer([path])
        found = indexer.index().columns(), indexer.reasons
    _indexes[key] = found
    while len(_indexes) > 1 and sum(len(columns.last_ns) for columns, _ in _indexes.values()) > MAX_INDEXED:
        _indexes.pop(next(iter(_indexes)))
    return found


class StationReader:
    """Packets of one station from `files`, which are in the order of one run over all of them.

    local: gives the path of a file on this machine, copying it if necessary. faults: files that cannot be used, with
    the reason; they are passed over. left_out: why records of the files `own` (None: of all) are left out, with their
    number.
    """

    def __init__(
        self,
        station_id: str,
        files: Sequence[ArchiveFile],
        local: Callable[[str], Path],
        own: Collection[str] | None = None,
    ) -> None:
        self._station_id = station_id
        self._own = own
        self._files = files
        self._local = local
        self._opened: dict[int, _Opened | None] = {}
        self._channels: dict[SourceId, int] = {}
        self.faults: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()

    def packets(self, from_ns: int, until_ns: int | None = None) -> Iterator[tuple[int, Packet]]:
        """Time of the last sample and packet, of all records whose last sample lies in [from_ns, until_ns)."""
        for last_ns, item in self.batches(from_ns, until_ns):
            packets = [item] if isinstance(item, Packet) else map(item.packet, range(len(item)))
            yield from zip(last_ns, packets, strict=True)

    def batches(self, from_ns: int, until_ns: int | None = None) -> Iterator[tuple[list[int], Packet | Batch]]:
        """As `packets`; records that are alike come together, each time of the last sample in a list."""
        decoder = Decoder()
        begin_ns = from_ns
        while (begin_ns := self._next_begin(begin_ns)) is not None:  # type: ignore[assignment]
            end_ns = (begin_ns // PIECE_NS + 1) * PIECE_NS
            if until_ns is not None:
                end_ns = min(end_ns, until_ns)
                if begin_ns >= end_ns:
                    return
            numbers = [k for k, file in enumerate(self._files) if file.low_ns < end_ns and file.high_ns > begin_ns]
            places = self._records(numbers, begin_ns, end_ns)
            with OpenFiles([self._path(number) for number in range(len(self._files))]) as files:
                while len(places):
                    size = batch_size(int(places[0, 3]))
                    yield from self._decoded(places[:size], files, decoder)
                    places = places[size:]
            begin_ns = end_ns

    def _decoded(
        self, places: npt.NDArray[np.int64], files: OpenFiles, decoder: Decoder
    ) -> Iterator[tuple[list[int], Packet | Batch]]:
        """places: see `_records`."""
        last_ns, file, offset, length = places.T
        batch = read_batch(files.read, file, offset, length, decoder)
        if batch is not None:
            yield last_ns.tolist(), batch
            return
        for last, number, begin, size in places.tolist():
            packet = decoder.packet(files.read(number, begin, size), 0)
            if isinstance(packet, BadRecord):
                self._leave_out(self._files[number].url, {packet.reason: 1})
                continue
            yield [last], packet

    def _next_begin(self, from_ns: int) -> int | None:
        """The first time at or after `from_ns` at which a file can hold records."""
        return min((max(file.low_ns, from_ns) for file in self._files if file.high_ns > from_ns), default=None)

    def _path(self, number: int) -> Path:
        opened = self._opened.get(number)
        return opened.path if opened is not None else Path()

    def _records(self, numbers: list[int], begin_ns: int, end_ns: int) -> npt.NDArray[np.int64]:
        """(n, 4): last sample, file number, offset and length of the records in [begin_ns, end_ns), in order."""
        columns: list[tuple[npt.NDArray[Any], ...]] = []
        for number in numbers:
            opened = self._open(number)
            if opened is None:
                continue
            here = np.flatnonzero((opened.last_ns >= begin_ns) & (opened.last_ns < end_ns))
            if len(here):
                columns.append(
                    (opened.last_ns[here], opened.channel[here], np.full(len(here), number), opened.offset[here],
                     opened.length[here])
                )  # fmt: skip
        for number in list(self._opened):
            if self._files[number].high_ns <= begin_ns:
                self._opened[number] = None
        if not columns:
            return np.empty((0, 4), dtype=np.int64)
        last_ns, channel, file, offset, length = (np.concatenate(column) for column in zip(*columns, strict=True))
        rank = np.zeros(len(self._channels), dtype=np.int32)
        for place, source_id in enumerate(sorted(self._channels)):
            rank[self._channels[source_id]] = place
        order = np.lexsort((rank[channel], last_ns))  # stable: file order remains
        return np.stack([last_ns, file, offset, length], axis=1)[order]

    def _open(self, number: int) -> _Opened | None:
        if number not in self._opened:
            self._opened[number] = self._index(self._files[number])
        return self._opened[number]

    def _leave_out(self, url: str, reasons: Mapping[str, int]) -> None:
        if self._own is None or url in self._own:
            self.left_out.update(reasons)

    def _index(self, file: ArchiveFile) -> _Opened | None:
        url = file.url
        try:
            path = self._local(url)
            columns, reasons = index_of(path)
        except SeisedgeError as error:
            self.faults[url] = str(error)
            return None
        except OSError as error:
            self.faults[url] = f"cannot be read: {error.strerror or error}"
            return None
        self._leave_out(url, reasons)
        mine = [n for n, name in enumerate(columns.channels) if name.station_id == self._station_id]
        of_station = np.isin(columns.channel, mine)
        here = np.flatnonzero(of_station & (columns.last_ns >= file.low_ns) & (columns.last_ns < file.high_ns))
        if file.day_ns is not None and len(here) < of_station.sum():
            self._leave_out(url, {OUTSIDE: int(of_station.sum()) - len(here)})
        number_of = np.zeros(len(columns.channels), dtype=np.int32)
        for n in mine:
            number_of[n] = self._channels.setdefault(columns.channels[n], len(self._channels))
        return _Opened(
            path,
            columns.last_ns[here],
            number_of[columns.channel[here]],
            columns.offset[here],
            columns.length[here],
        )

"""Archive: every record received, appended to an SDS archive by the storage thread.

https://www.seiscomp.de/seiscomp3/doc/applications/slarchive/SDS.html

The loop only appends to a bounded queue. A record is appended whole or not at all; what a loss of power leaves of the
last one is removed before the next is appended. Records that a source sends again after a restart are recognised by
their bytes. Files are not flushed to the disk one by one: a loss of power can cost the last seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.files import append_bounded, make_folder
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.miniseed import MAX_RECORD_BYTES, BadRecord, Decoder, RecordHeader, Scanner
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.snippets.names import day_of, day_path
from seisedge.runtime.snippets.packing import follows, records_from_packets
from seisedge.runtime.snippets.received import Entry
from seisedge.runtime.snippets.retention import Retention
from seisedge.runtime.text import error_clause

logger = logging.getLogger(__name__)

MAX_WAITING_BYTES = 16 << 20  # in the queue; beyond it the oldest records are dropped and counted
WAKE_BYTES = 1 << 20  # in the queue, from which on the thread does not wait for its next turn
WAKE_S = 10.0  # the same, of data of one station
STALLED_S = 30.0  # of one write, before it is reported
RETRY_S = 10.0  # after a fault of the disk, as the journal
PACK_S = 10.0  # of packets without a record that are packed at once
TAIL_BYTES = 512 << 10  # of an existing file that are searched for records which the source sends again
MAX_CHANNELS = 20_000  # whose newest file is remembered as checked
CHUNK_BYTES = 1 << 20  # read at a time
NO_LIMIT = 1 << 62
LONGEST_NS = 7200 * NS_PER_S  # of a record that begins on the day before


@dataclass(slots=True)
class ArchiveCounters:
    """Totals of one archive. repeated: records that were in it. dropped: those for which there was no room to wait."""

    records: int = 0
    bytes: int = 0
    repeated: int = 0
    dropped: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Checked:
    """The newest file of a channel. known: records at its end that may be sent again, up to `newest_ns`."""

    path: Path
    known: set[bytes]
    newest_ns: int


@dataclass(slots=True)
class _Part:
    """Records of one channel and day that are to be appended. size: of their entries in the queue."""

    source_id: SourceId
    path: Path
    records: list[bytes]
    starts_ns: list[int]
    size: int = 0


class Archive:
    """One SDS archive. folder: its root. file_mode: rights of new files.

    fault: why the last write failed; '' after one that succeeded.
    """

    def __init__(
        self,
        folder: Path,
        file_mode: int,
        retention: Retention,
        wake: Callable[[], None] = lambda: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.counters = ArchiveCounters()
        self.fault = ""
        self._file_mode = file_mode
        self._retention = retention
        self._wake = wake
        self._now_s = now_s
        self._retry_s = 0.0
        self._began_s: float | None = None  # of the write that is under way
        self._lock = threading.Condition()
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._oldest_ns: dict[str, int] = {}  # by station, earliest start of the records in the queue
        self._writing_ns: dict[str, int] = {}  # the same of the records that are being written
        self._parts: list[_Part] = []  # taken from the queue, and yet to be written
        self._packets: dict[SourceId, list[Packet]] = {}  # without a record, until they are packed
        self._checked: OrderedDict[SourceId, _Checked] = OrderedDict()
        self._decoder = Decoder()

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    @property
    def trouble(self) -> str:
        """Why nothing is written now, as a clause; '' while the disk works."""
        began_s = self._began_s
        stalled_s = 0.0 if began_s is None else self._now_s() - began_s
        return f"the disk has not finished a write for {stalled_s:.0f} s" if stalled_s > STALLED_S else self.fault

    def unwritten_ns(self, station_id: str) -> int | None:
        """Start of the oldest record of a station that waits; None if none does."""
        with self._lock:
            waiting = [one[station_id] for one in (self._writing_ns, self._oldest_ns) if station_id in one]
        return min(waiting, default=None)

    def put(self, entry: Entry, *, wait: bool) -> None:
        """Queue a record. wait: while the queue is full and the disk works; else the oldest record is dropped."""
        with self._lock:
            while wait and self._bytes >= MAX_WAITING_BYTES and not self.fault:
                self._wake()
                self._lock.wait(1.0)
            self._queue.append(entry)
            station_id = entry.source_id.station_id
            oldest_ns = min(entry.start_ns, self._oldest_ns.get(station_id, entry.start_ns))
            self._oldest_ns[station_id] = oldest_ns
            self._bytes += entry.size
            while self._bytes > MAX_WAITING_BYTES and len(self._queue) > 1:
                self._bytes -= self._queue.popleft().size
                self.counters.dropped += 1
        # in a replay faster than real time, many seconds of data arrive between two turns of the thread
        behind = entry.end_ns - oldest_ns >= WAKE_S * NS_PER_S
        if (behind or self._bytes >= WAKE_BYTES) and not self.fault:
            self._wake()

    def flush(self, *, ending: bool = False) -> None:
        """Write what waits; for the storage thread. A fault of the disk is noted, logged and retried."""
        if self.fault and not ending and self._now_s() < self._retry_s:
            return
        for _ in range(2):  # what the last attempt has left, then the queue
            if not self._parts:
                with self._lock:
                    batch = list(self._queue)
                    self._queue.clear()
                    self._writing_ns, self._oldest_ns = self._oldest_ns, {}
                self._parts = self._grouped(batch, ending)
            try:
                self._write()
            except OSError as error:
                self._failed(error)
                return

    def _write(self) -> None:
        while self._parts:
            part = self._parts[0]
            self._began_s = self._now_s()
            try:
                self._append(part)
            finally:
                self._began_s = None
            del self._parts[0]
            self._release(part.size)
            if self.fault:
                logger.info("%s: the archive can be written again", text_from_path(self.folder))
                self.fault = ""
        with self._lock:
            self._writing_ns = {}

    def _release(self, size: int) -> None:
        with self._lock:
            self._bytes -= size
            self._lock.notify_all()

    def _grouped(self, batch: list[Entry], ending: bool) -> list[_Part]:
        """The entries by channel and day, in order; packets without a record as records."""
        parts: dict[tuple[SourceId, int], _Part] = {}

        def add(source_id: SourceId, start_ns: int, records: list[bytes], size: int) -> None:
            day = day_of(start_ns)
            if (source_id, day) not in parts:
                parts[source_id, day] = _Part(source_id, day_path(self.folder, source_id, day), [], [])
            part = parts[source_id, day]
            part.records += records
            part.starts_ns += [start_ns] * len(records)
            part.size += size

        for entry in batch:
            if entry.packet is None:
                add(entry.source_id, entry.start_ns, [entry.record], entry.size)
                continue
            waiting = self._packets.setdefault(entry.source_id, [])
            if waiting and not follows(waiting[-1], entry.packet):
                add(entry.source_id, waiting[0].starttime_ns, records_from_packets(waiting), 0)
                waiting.clear()
            waiting.append(entry.packet)
            self._release(entry.size)
        for source_id, waiting in self._packets.items():
            if waiting and (ending or waiting[-1].endtime_ns - waiting[0].starttime_ns >= PACK_S * NS_PER_S):
                add(source_id, waiting[0].starttime_ns, records_from_packets(waiting), 0)
                waiting.clear()
        return list(parts.values())

    def _append(self, part: _Part) -> None:
        checked = self._checked_file(part)
        fresh: list[bytes] = []
        for record, start_ns in zip(part.records, part.starts_ns, strict=True):
            if record in checked.known:
                self.counters.repeated += 1
            else:
                fresh.append(record)
            if start_ns > checked.newest_ns:
                checked.known = set()
        data = b"".join(fresh)
        if not data:
            return
        with self._retention.room(self.folder, len(data)):
            make_folder(part.path.parent, self._file_mode)
            append_bounded(part.path, data, NO_LIMIT, self._file_mode)
        self.counters.records += len(fresh)
        self.counters.bytes += len(data)

    def _checked_file(self, part: _Part) -> _Checked:
        """The file of a part, without an incomplete last record. Raises OSError."""
        checked = self._checked.get(part.source_id)
        if checked is None or checked.path != part.path:
            checked = _Checked(part.path, *self._tail(part.path, min(part.starts_ns)))
            self._checked[part.source_id] = checked
        self._checked.move_to_end(part.source_id)
        if len(self._checked) > MAX_CHANNELS:
            self._checked.popitem(last=False)
        return checked

    def _tail(self, path: Path, from_ns: int) -> tuple[set[bytes], int]:
        """Records at the end of an earlier run's file that begin at `from_ns` or later, and the newest start."""
        known: set[bytes] = set()
        newest_ns = from_ns
        try:
            size = path.stat().st_size
            with path.open("r+b", buffering=0) as file:
                begin = file.seek(max(0, size - TAIL_BYTES))
                scanner = Scanner()
                found = [*scanner.feed(file.read()), *scanner.finish()]
                end = begin + found[-1][0] + len(found[-1][1]) if found else size if begin else 0
                if end < size <= end + MAX_RECORD_BYTES:
                    logger.warning(
                        "%s: %d bytes after the last whole record are removed", text_from_path(path), size - end
                    )
                    file.truncate(end)
        except FileNotFoundError:
            return known, newest_ns
        for _, record in found:
            header = self._decoder.header(record)
            if not isinstance(header, BadRecord) and header.starttime_ns >= from_ns:
                known.add(record)
                newest_ns = max(newest_ns, header.starttime_ns)
        return known, newest_ns

    def _failed(self, error: OSError) -> None:
        self.counters.failures += 1
        self._retry_s = self._now_s() + RETRY_S
        self._checked.clear()  # the folder may be another one when it works again
        reason = error_clause(error)
        if reason != self.fault:
            logger.warning("%s: the archive cannot be written: %s; retrying", text_from_path(self.folder), reason)
        self.fault = reason
        with self._lock:
            self._lock.notify_all()


def entries_between(folder: Path, station_id: str, from_ns: int, to_ns: int) -> list[Entry]:
    """The records of a station in an archive that overlap a span. A day file that cannot be read is skipped."""
    found: list[Entry] = []
    for path in day_files(folder, station_id, from_ns, to_ns):
        try:
            found += [entry for entry in entries_of(path) if entry.overlaps(from_ns, to_ns)]
        except OSError as error:
            logger.warning("%s: cannot be read: %s", text_from_path(path), error.strerror)
    return found


def day_files(folder: Path, station_id: str, from_ns: int, to_ns: int) -> list[Path]:
    """The existing day files of a station whose records may overlap a span, in order of days and names."""
    network, _, station = station_id.partition(".")
    found: list[Path] = []
    for day in range(day_of(from_ns - LONGEST_NS), day_of(to_ns) + 1):
        pattern = day_path(folder, SourceId(network, station, "", "X"), day)
        ending = pattern.name.split(".D.")[1]
        try:
            found += sorted(pattern.parent.parent.glob(f"*.D/*.D.{ending}"))
        except OSError:
            continue
    return found


def entries_of(path: Path) -> Iterator[Entry]:
    """The records of a miniSEED file. Raises OSError."""
    scanner, decoder = Scanner(), Decoder()
    with path.open("rb") as file:
        while True:
            data = file.read(CHUNK_BYTES)
            for _, record in scanner.feed(data) if data else scanner.finish():
                header = decoder.header(record)
                if isinstance(header, RecordHeader):
                    end_ns = header.last_sample_ns + round(NS_PER_S / header.sampling_rate_hz)
                    yield Entry(header.source_id, header.starttime_ns, end_ns, record)
            if not data:
                return

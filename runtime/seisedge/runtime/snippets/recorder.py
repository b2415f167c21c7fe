"""Recorder: keeps the records of a run for the snippets and the archive.

The loop calls `take` for each packet and `note` for each event: both only append to bounded structures. The files are
written by the storage thread, and by the thread of the drain that delivers events to `SnippetSink`.

Memory: `MAX_RING_BYTES` for the newest records of all stations, `MAX_HELD_BYTES` for events that wait for their file,
`archive.MAX_WAITING_BYTES` for each archive. Measured for a station with three components at 100 Hz: 0.2 MiB.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seisedge.runtime.clock import ns_from_iso, ns_from_s
from seisedge.runtime.config import StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.journal.line import Undecodable
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.miniseed import BadRecord, Decoder, RecordHeader
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.snippets.archive import Archive
from seisedge.runtime.snippets.received import WAIT_NS, Capture, Doubt, Entry, Ring, entry_from_packet
from seisedge.runtime.snippets.retention import Limits, Retention, free_bytes
from seisedge.runtime.snippets.sink import SnippetCounters, SnippetSink
from seisedge.runtime.sources import Source
from seisedge.runtime.threads import Worker, start_worker

logger = logging.getLogger(__name__)

MAX_RING_BYTES = 64 << 20
MAX_HELD_BYTES = 32 << 20
WINDOW_S = 120.0  # longest window of a model, from the onset to its end
MAX_EXPECTED = 1000  # events of earlier runs whose records are held from the first packet on
MAX_CAPTURES = 10_000  # events that wait for their file, about 0.5 KiB each without records
HELD_S = 900.0  # of data: how far back a run reads again after a kill, for events that wait for their file
FLUSH_S = 1.0  # between two writes of the archive
ENFORCE_S = 300.0  # between two looks at the limits
ARCHIVE_S = 5.0  # for an archive, before its records are read
END_S = 10.0  # for the last write at the end of a run


class Recorder:
    """Snippets and archives of the stations of a run.

    resumed: ids of the stations whose stream is read again from an earlier run's position.
    failures: exceptions that no rule foresees; the station continues.
    """

    def __init__(self, configs: Mapping[str, StationConfig], resumed: Collection[str] = ()) -> None:
        """Raises InputError if two station files give one folder different limits."""
        self._configs = {key: one for key, one in configs.items() if one.snippets is not None}
        self._resumed = frozenset(resumed)
        self.failures = 0
        self._lock = threading.Condition()
        self._rings = {
            key: Ring(one.snippets.before_s + WINDOW_S + one.timeline.max_wait_s + one.timeline.reorder_wait_s)
            for key, one in self._configs.items()
            if one.snippets is not None
        }
        self._ring_bytes = 0
        self._decoder = Decoder()  # of records that were set aside
        self._captures: dict[tuple[str, int], Capture] = {}  # by event id and revision, until their file is written
        self._held_bytes = 0  # of these
        self._open: dict[str, list[Capture]] = {}  # by station, until they are complete
        self._began_s: float | None = None  # first packet, on the monotonic clock
        self._wake = threading.Event()
        self._ended = self._continued = False  # the data have ended; a later run reads on
        self._closing = False
        self._worker: Worker | None = None
        self.retention = Retention(_limits(configs))
        self.archives: dict[Path, Archive] = {}
        self._archive_of: dict[str, Archive] = {}
        for key, one in configs.items():
            if one.archive is not None:
                folder = Path(one.archive.folder)
                mode = int(one.archive.file_mode, 8)
                archive = self.archives.setdefault(folder, Archive(folder, mode, self.retention, self._wake.set))
                self._archive_of[key] = archive
        self.counters: dict[Path, SnippetCounters] = {}

    def start(self) -> None:
        """Start the storage thread."""
        self._worker = start_worker("storage", self._work)

    def close(self) -> None:
        """Write what waits for the archives, and end the storage thread."""
        self._closing = True
        self._wake.set()
        if self._worker is not None:
            self._worker.stop()
            self._worker.join(END_S)
            if self._worker.alive:
                for folder in self.archives:
                    logger.warning("%s: the disk hangs; what waits for it is lost", text_from_path(folder))
                return
        for archive in self.archives.values():  # of a thread that failed
            archive.flush(ending=True)
        self.retention.close()

    def drains(self, outbox: Outbox) -> list[Drain]:
        """One drain for each folder of snippets, not yet started."""
        folders: dict[Path, list[str]] = {}
        for key, one in self._configs.items():
            if one.snippets is not None:
                folders.setdefault(Path(one.snippets.folder), []).append(key)
        found = []
        for folder, stations in folders.items():
            settings = {key: one.snippets for key, one in self._configs.items() if one.snippets is not None}
            sink = SnippetSink(folder, {key: settings[key] for key in stations}, self)
            self.counters[folder] = sink.counters
            name = f"snippets {text_from_path(folder.resolve())}"
            found.append(Drain(sink, name, outbox, stations=frozenset(stations), hops=False, wanted=sink.wants))
            self._expect(outbox, outbox.places[name], sink)
        return found

    def _expect(self, outbox: Outbox, seq: int, sink: SnippetSink) -> None:
        """Hold the records of the events that an earlier run emitted and did not write, from the first packet on."""
        expected = 0
        while expected < MAX_EXPECTED and (lines := outbox.lines_after(seq)):
            seq = lines[-1].seq
            for line in lines:
                with contextlib.suppress(Undecodable):
                    event = line.decoded()
                    if isinstance(event, Event) and event.status == "final" and sink.wants(event):
                        expected += 1
                        with self._lock:
                            self._begin(event, resumed=True)

    # called by the loop

    def take(self, packet: Packet, record: bytes, *, wait: bool = False) -> None:
        """Keep a record of one of the stations; it never raises. wait: the source waits where an archive is behind."""
        try:
            self._take(packet, record, wait)
        except Exception:
            self._fail(packet.source_id.station_id, "a record")

    def _take(self, packet: Packet, record: bytes, wait: bool) -> None:
        key = packet.source_id.station_id
        ring, archive = self._rings.get(key), self._archive_of.get(key)
        if ring is None and archive is None:
            return
        entry = entry_from_packet(packet, record)
        self.retention.note(entry.end_ns)
        if archive is not None:
            archive.put(entry, wait=wait)
        if ring is not None:
            self._keep(key, ring, entry)

    def _keep(self, key: str, ring: Ring, entry: Entry) -> None:
        with self._lock:
            if self._began_s is None:
                self._began_s = time.monotonic()
            before = ring.bytes
            ring.add(entry)
            self._ring_bytes += ring.bytes - before
            while self._ring_bytes > MAX_RING_BYTES and (dropped := ring.drop_oldest()):
                self._ring_bytes -= dropped
            for capture in list(self._open.get(key, ())):
                if entry.overlaps(capture.from_ns, capture.to_ns):
                    self._hold(capture, [entry])
                self._complete_if_all(capture, ring)

    def watch(self, source: Source) -> None:
        """Learn of the records that a source sets aside, besides whoever else does. Call before it is opened."""
        others = source.on_bad_record

        def note(bad: BadRecord) -> None:
            if others is not None:
                others(bad)
            try:
                self._note_bad(bad)
            except Exception:
                self._fail("a station", "the time of a record that was set aside")

        source.on_bad_record = note

    def _note_bad(self, bad: BadRecord) -> None:
        """Events lack what it has; one whose header cannot be read belongs to nothing."""
        header = self._decoder.header(bad.record)
        ring = self._rings.get(header.source_id.station_id) if isinstance(header, RecordHeader) else None
        if ring is not None and isinstance(header, RecordHeader):
            with self._lock:
                ring.note_lost(header.source_id, header.starttime_ns, header.last_sample_ns + 1)

    def note(self, event: Event, *, wait: bool = False) -> None:
        """An event was emitted; it never raises. wait: the source waits while too many events wait for their files."""
        try:
            self._note(event, wait)
        except Exception:
            self._fail(event.station, f"event {event.id}")

    def _fail(self, station_id: str, what: str) -> None:
        self.failures += 1
        level = logging.ERROR if self.failures == 1 else logging.DEBUG
        logger.log(level, "%s: %s could not be kept: programming error", station_id, what, exc_info=True)

    def _note(self, event: Event, wait: bool) -> None:
        config = self._configs.get(event.station)
        if config is None or config.snippets is None:
            return
        if event.status != "final" and not (event.status == "new" and config.snippets.at_new):
            return
        with self._lock:
            while wait and self._held_bytes >= MAX_HELD_BYTES and self._progressing:
                self._lock.wait(1.0)
            if len(self._captures) < MAX_CAPTURES:  # else as for an event of an earlier run, when the disk works again
                self._begin(event, resumed=False)

    def finish(self, *, ended: bool, continued: bool) -> None:
        """No more packets come. ended: the data have ended. continued: a later run reads on, and events wait for it."""
        with self._lock:
            self._ended, self._continued = ended, continued
            if ended:
                for capture in [one for waiting in self._open.values() for one in waiting]:
                    self._complete(capture)

    def held_from(self, station_id: str, needed_ns: int) -> int:
        """The time from which a later run must read again, given the oldest sample that its events need."""
        earliest = needed_ns
        config = self._configs.get(station_id)
        if config is not None and config.snippets is not None:
            with self._lock:
                held = [one.from_ns for one in self._captures.values() if one.station_id == station_id]
            earliest = min([needed_ns - ns_from_s(config.snippets.before_s), *held])
        archive = self._archive_of.get(station_id)
        unwritten_ns = archive.unwritten_ns(station_id) if archive is not None else None
        earliest = earliest if unwritten_ns is None else min(earliest, unwritten_ns)
        return max(earliest, needed_ns - ns_from_s(HELD_S))

    # called by the sink

    def capture_of(self, event: Event) -> Capture:
        """The records of an event; of one that an earlier run emitted: those that the source sends again."""
        with self._lock:
            return self._captures.get((event.id, event.revision)) or self._begin(event, resumed=True)

    def waited_s(self, capture: Capture) -> float:
        """Seconds for which the records of an event could have arrived; 0 before the first packet of the run."""
        since_s = capture.began_s if not capture.resumed else self._began_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def is_continued(self, capture: Capture) -> bool:
        """True if the run has ended before all records of a capture arrived, and a later run receives the others."""
        return self._continued and not capture.complete.is_set()

    def held(self, stations: Collection[str]) -> list[Capture]:
        """The captures of some stations whose files are yet to be written."""
        with self._lock:
            return [capture for capture in self._captures.values() if capture.station_id in stations]

    def doubts(self, capture: Capture) -> list[Doubt]:
        """What may be missing in a capture."""
        from_ns, to_ns = capture.from_ns, capture.to_ns
        found: list[Doubt] = []
        with self._lock:
            ring = self._rings[capture.station_id]
            if capture.left_out:
                until_ns = min(ring.reached_ns(from_ns), to_ns)
                found.append(Doubt(from_ns, until_ns, "too many records waited for a file to be written"))
            if capture.gone_ns is not None:
                until_ns = min(capture.gone_ns, to_ns)
                found.append(Doubt(from_ns, until_ns, "more records arrived than are kept in memory"))
            first_ns = to_ns if ring.first_ns is None else ring.first_ns
            if first_ns > from_ns and self.is_resumed(capture):
                cause = "an earlier run ended before it wrote them, and the source has not sent them again"
                found.append(Doubt(from_ns, min(first_ns, to_ns), cause))
            cause = "they were set aside, see the log"
            found += [Doubt(start_ns, end_ns, cause, name) for name, start_ns, end_ns in ring.lost(from_ns, to_ns)]
            behind = capture.behind if capture.complete.is_set() else ring.behind(from_ns, to_ns)
            cause = "they had not arrived when this was written"
            found += [Doubt(reached_ns, to_ns, cause, name, kept=False) for name, reached_ns in behind]
        return found

    def is_resumed(self, capture: Capture) -> bool:
        """True if an earlier run received some of the records, or may have."""
        return capture.resumed or capture.station_id in self._resumed

    def await_archive(self, capture: Capture) -> None:
        """Wait until the archive has the records of an event; not for a disk that fails."""
        archive = self._archive_of.get(capture.station_id)
        until_s = time.monotonic() + ARCHIVE_S
        while archive is not None and not archive.fault and time.monotonic() < until_s:
            unwritten_ns = archive.unwritten_ns(capture.station_id)
            if unwritten_ns is None or unwritten_ns >= capture.to_ns:
                return
            self._wake.set()
            time.sleep(0.05)

    def archive_folder(self, station_id: str) -> Path | None:
        """The archive of a station."""
        archive = self._archive_of.get(station_id)
        return None if archive is None else archive.folder

    def release(self, event: Event) -> None:
        """The file of an event is written."""
        with self._lock:
            capture = self._captures.pop((event.id, event.revision), None)
            if capture is not None:
                self._complete(capture)
                self._held_bytes -= capture.bytes
            self._lock.notify_all()

    # for health and metrics; may be called from any thread

    def faults(self) -> list[str]:
        """Why an archive is not written, as reasons; the drains report snippets that are not."""
        found = [(archive, archive.trouble) for archive in self.archives.values()]
        return [
            f"archive {text_from_path(archive.folder)}: {trouble}; {archive.waiting_bytes / 1e6:.1f} MB wait"
            for archive, trouble in found
            if trouble
        ]

    def document(self) -> list[dict[str, Any]]:
        """The folders and their use, for `/healthz`."""
        return [
            {
                "kind": one.kind,
                "folder": text_from_path(one.folder),
                "free_bytes": free_bytes(one.folder),
                "deleted_files": self.retention.deleted[one.folder].files,
                **(dataclasses.asdict(self.counters[one.folder]) if one.folder in self.counters else {}),
                **(dataclasses.asdict(self.archives[one.folder].counters) if one.folder in self.archives else {}),
            }
            for one in self.retention.limits
        ]

    def values(self) -> list[tuple[str, float | None, dict[str, str]]]:
        """Name, value and labels of each metric."""
        found: list[tuple[str, float | None, dict[str, str]]] = []
        for folder, counters in self.counters.items():
            of = {"folder": text_from_path(folder)}
            found += [
                ("snippets_written_total", float(counters.written), of),
                ("snippets_incomplete_total", float(counters.incomplete), of),
                ("snippets_missing_total", float(counters.missing), of),
            ]
        if self.counters:
            found += [
                ("snippets_held_bytes", float(self._held_bytes), {}),
                ("snippets_failures_total", float(self.failures), {}),
            ]
        for folder, archive in self.archives.items():
            of = {"folder": text_from_path(folder)}
            found += [
                ("archive_records_total", float(archive.counters.records), of),
                ("archive_written_bytes_total", float(archive.counters.bytes), of),
                ("archive_repeated_records_total", float(archive.counters.repeated), of),
                ("archive_dropped_records_total", float(archive.counters.dropped), of),
                ("archive_failures_total", float(archive.counters.failures), of),
                ("archive_waiting_bytes", float(archive.waiting_bytes), of),
            ]
        for one in self.retention.limits:
            of = {"folder": text_from_path(one.folder), "kind": one.kind}
            deleted = self.retention.deleted[one.folder]
            found += [
                ("storage_deleted_files_total", float(deleted.files), of),
                ("storage_deleted_bytes_total", float(deleted.bytes), of),
                ("storage_free_bytes", free_bytes(one.folder), of),
            ]
        return found

    # with the lock

    def _begin(self, event: Event, *, resumed: bool) -> Capture:
        settings = self._configs[event.station].snippets
        assert settings is not None
        start_ns = ns_from_iso(event.window.start)
        from_ns = min(ns_from_iso(event.onset) - ns_from_s(settings.before_s), start_ns)
        to_ns = start_ns + ns_from_s(event.window.length_s) + ns_from_s(settings.after_s)
        key = event.id, event.revision
        capture = self._captures[key] = Capture(key, event.station, from_ns, to_ns, time.monotonic(), resumed)
        ring = self._rings[event.station]
        capture.gone_ns = ring.gone_ns if ring.gone_ns is not None and ring.gone_ns > from_ns else None
        self._open.setdefault(event.station, []).append(capture)
        self._hold(capture, ring.within(from_ns, to_ns))
        if self._ended or event.status == "new":
            self._complete(capture)
        else:
            self._complete_if_all(capture, ring)
        return capture

    def _complete_if_all(self, capture: Capture, ring: Ring) -> None:
        """Complete a capture if no channel has records of it to come.

        A channel is known from its first record in this run. A run that resumed within the span of a capture therefore
        reads on until a record of each channel must have arrived.
        """
        first_ns, until_ns = ring.first_ns, capture.to_ns
        if first_ns is not None and first_ns > capture.from_ns and self.is_resumed(capture):
            until_ns = max(until_ns, first_ns + WAIT_NS)
        if ring.reaches(until_ns):
            if ring.within(capture.to_ns - 1, capture.to_ns):  # else all channels have a gap there, and none is behind
                capture.behind = ring.behind(capture.from_ns, capture.to_ns)
            self._complete(capture)

    def _hold(self, capture: Capture, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self._held_bytes + entry.size > MAX_HELD_BYTES:
                capture.left_out += 1
            else:
                capture.add(entry)
                self._held_bytes += entry.size

    def _complete(self, capture: Capture) -> None:
        waiting = self._open.get(capture.station_id, [])
        if capture in waiting:
            waiting.remove(capture)
        capture.complete.set()

    @property
    def _progressing(self) -> bool:
        """True while a file can be written: one of the events is complete, and no sink fails."""
        failing = any(counters.failing for counters in self.counters.values())
        return not failing and any(capture.complete.is_set() for capture in self._captures.values())

    def _work(self) -> None:
        """The storage thread."""
        enforce_s = 0.0
        while True:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            closing = self._closing
            for archive in self.archives.values():
                archive.flush(ending=closing)
            if closing:
                return
            if time.monotonic() >= enforce_s:
                self.retention.enforce()
                enforce_s = time.monotonic() + ENFORCE_S


def _limits(configs: Mapping[str, StationConfig]) -> list[Limits]:
    """The limits of each folder. Raises InputError if it has different ones."""
    found: dict[Path, tuple[str, Limits]] = {}
    for key, one in configs.items():
        for kind, table in (("snippets", one.snippets), ("archive", one.archive)):
            if table is None:
                continue
            folder = Path(table.folder)
            limits = Limits(
                folder,
                "archive" if kind == "archive" else "snippets",
                table.keep_days,
                table.max_mb,
                table.min_free_mb,
            )
            other, before = found.setdefault(folder, (key, limits))
            if before != limits:
                tables = " and ".join(dict.fromkeys((f"[{before.kind}]", f"[{kind}]")))
                raise InputError(
                    f"{text_from_path(folder)}: the station files of {other} and {key} use this folder with different "
                    f"settings of {tables}; give each its own folder, or the same keep_days, "
                    "max_mb and min_free_mb"
                )
    return [limits for _, limits in found.values()]

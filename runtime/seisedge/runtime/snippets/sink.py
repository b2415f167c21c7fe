"""Sink: the records of each event as a file, with the event beside it.

FOLDER/NET.STA/2019-07-07/ID.mseed has the records as received, from before the onset to after the window; ID.json the
event line. Each is written aside, flushed to the disk and renamed; the event comes last, so that an event with a .json
is done. What an event has no records for is stated in ID.txt.

The outbox delivers an event again until it is done, also after a kill: no event has two snippets, and none has neither
a snippet nor a reason. Records of an event that an earlier run emitted are those that the source sends again, those of
the archive, and those of a file that is already there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.config import SnippetsConfig
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.files import make_folder, write_atomically
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._base import FILE_RETRY_S, Refused
from seisedge.runtime.snippets.archive import entries_between, entries_of
from seisedge.runtime.snippets.names import EVENT, REASON, RECORDS, snippet_path, with_suffix
from seisedge.runtime.snippets.received import Capture, Doubt, Entry, records_of
from seisedge.runtime.snippets.retention import Retention

logger = logging.getLogger(__name__)

WAIT_S = 120.0  # of the wall clock, for records after the window and for those that the source sends again
LOOK_S = 0.5
HOLE_NS = NS_PER_S // 20  # a shorter one between two records is not stated


@dataclass(slots=True)
class SnippetCounters:
    """Totals of one folder. incomplete: files with a reason beside them. missing: reasons without a file.

    failing: the last attempt to write has failed.
    """

    written: int = 0
    incomplete: int = 0
    missing: int = 0
    failing: bool = False


class Captures(Protocol):
    """Where the records come from: `Recorder`, see there."""

    retention: Retention

    def capture_of(self, event: Event) -> Capture: ...
    def waited_s(self, capture: Capture) -> float: ...
    def is_continued(self, capture: Capture) -> bool: ...
    def held(self, stations: Collection[str]) -> list[Capture]: ...
    def doubts(self, capture: Capture) -> list[Doubt]: ...
    def archive_folder(self, station_id: str) -> Path | None: ...
    def await_archive(self, capture: Capture) -> None: ...
    def release(self, event: Event) -> None: ...


class _Revision(msgspec.Struct):
    """The revision of the event that a file has."""

    revision: int = -1


class SnippetSink(Sink):
    """Writes the snippets of one folder. settings: by station."""

    retry_max_s = FILE_RETRY_S

    def __init__(self, folder: Path, settings: Mapping[str, SnippetsConfig], captures: Captures) -> None:
        self.counters = SnippetCounters()
        self._folder = folder
        self._settings = settings
        self._captures = captures
        self._ending = threading.Event()

    def wants(self, event: Event) -> bool:
        """True for a revision that is written."""
        settings = self._settings.get(event.station)
        early = settings is not None and settings.at_new
        return event.status == "final" or (early and event.status in ("new", "retracted"))

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        path = snippet_path(self._folder, line.id)
        if path is None:
            raise Refused(f"{line.id} is no id of an event")
        try:
            self._write(line, path)
        except OSError:
            self.counters.failing = True
            raise
        self.counters.failing = False

    def give_up(self) -> None:
        self._ending.set()

    def _write(self, event: Event, path: Path) -> None:
        if _revision(with_suffix(path, EVENT)) >= event.revision:
            self._captures.release(event)
            return
        mode = int(self._settings[event.station].file_mode, 8)
        if event.status == "retracted":  # the records stay as they are
            self._put(with_suffix(path, EVENT), _line(event), mode)
            return
        capture = self._captures.capture_of(event)
        if event.status == "new" and capture.resumed:  # its records may yet be sent again, for the final revision
            self._captures.release(event)
            return
        if not self._await(capture):
            self._write_so_far()
            raise OSError(
                "the run ended before all records of an event had arrived; the next run adds those sent again"
            )
        entries, reason = self._gather(capture, with_suffix(path, RECORDS))
        self._put(with_suffix(path, RECORDS), b"".join(records_of(entries)), mode)
        self._put(with_suffix(path, REASON), reason.encode(), mode)
        self._put(with_suffix(path, EVENT), _line(event), mode)
        self._captures.release(event)
        self.counters.written += bool(entries)
        self.counters.incomplete += bool(entries and reason)
        self.counters.missing += not entries
        if reason:
            logger.warning("%s: snippet of %s: %s", event.station, event.id, reason.strip())

    def _await(self, capture: Capture) -> bool:
        """Wait until no more records are expected; False if the run ends before and leaves them to a later one."""
        limit_s = WAIT_S + self._settings[capture.station_id].after_s
        while not capture.complete.is_set():
            if self._ending.is_set():
                return not self._captures.is_continued(capture)
            if self._captures.waited_s(capture) > limit_s:
                break
            capture.complete.wait(LOOK_S)
        return True

    def _write_so_far(self) -> None:
        """Write the records of all events that wait, to which the next run adds the others. Raises OSError."""
        for capture in self._captures.held(self._settings):
            place = snippet_path(self._folder, capture.key[0])
            if place is not None and capture.entries:
                path = with_suffix(place, RECORDS)
                entries = [*capture.entries, *_earlier(capture, path)]
                mode = int(self._settings[capture.station_id].file_mode, 8)
                self._put(path, b"".join(records_of(entries)), mode)

    def _gather(self, capture: Capture, path: Path) -> tuple[list[Entry], str]:
        """The records of an event, and why some are missing; '' if none is known to be."""
        doubts = self._captures.doubts(capture)  # before the entries, of which there may be more soon
        entries = [*capture.entries, *_earlier(capture, path)]
        archive = None
        if any(one.kept and (one.source_id is None or _hole(one, entries)) for one in doubts):
            if not capture.resumed and path.exists():
                entries += entries_of(path)
            archive = self._captures.archive_folder(capture.station_id)
        if archive is not None:
            self._captures.await_archive(capture)
            entries += entries_between(archive, capture.station_id, capture.from_ns, capture.to_ns)
        holes = [(hole, one.cause) for one in doubts if (hole := _hole(one, entries)) is not None]
        if not holes:
            return entries, "" if entries else "no record of this time was received\n"
        begin_ns, end_ns = min(start for (start, _), _ in holes), max(end for (_, end), _ in holes)
        _, cause = max(holes, key=lambda one: one[0][1] - one[0][0])
        also = "" if archive is None else "; the archive does not have them"
        return entries, f"records from {iso_from_ns(begin_ns)} to {iso_from_ns(end_ns)} are missing: {cause}{also}\n"

    def _put(self, path: Path, data: bytes, mode: int) -> None:
        """Write a file whole; without data it must not exist. Raises OSError."""
        if not data:
            path.unlink(missing_ok=True)
            return
        with self._captures.retention.room(self._folder, len(data)):
            make_folder(path.parent, mode)
            write_atomically(path, data, mode)


def _earlier(capture: Capture, path: Path) -> list[Entry]:
    """The records that an earlier run has written of its event. Raises OSError."""
    return list(entries_of(path)) if capture.resumed and path.exists() else []


def _line(event: Event) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def _revision(path: Path) -> int:
    """The revision in an event file; -1 without one, or where it is damaged. Raises OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Revision).revision
    except (FileNotFoundError, msgspec.DecodeError):
        return -1


def _hole(doubt: Doubt, entries: list[Entry]) -> tuple[int, int] | None:
    """The span of what is missing of any channel within a doubt; without records the whole span."""
    from_ns, to_ns = doubt.from_ns, doubt.until_ns
    channels: dict[SourceId, list[Entry]] = {}
    for entry in entries:
        if doubt.source_id in (None, entry.source_id):
            channels.setdefault(entry.source_id, []).append(entry)
    holes = [] if channels else [(from_ns, to_ns)]
    for one in channels.values():
        reached_ns = from_ns
        for entry in sorted(one, key=lambda entry: entry.start_ns):
            if entry.start_ns >= to_ns:
                break
            if entry.start_ns > reached_ns + HOLE_NS:
                holes.append((reached_ns, entry.start_ns))
            reached_ns = max(reached_ns, entry.end_ns)
        if to_ns > reached_ns + HOLE_NS:
            holes.append((reached_ns, to_ns))
    return (min(start for start, _ in holes), max(end for _, end in holes)) if holes else None

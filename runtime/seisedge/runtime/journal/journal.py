"""Journal: what a run stores in its state folder, so that a later run can resume it.

One transaction holds emitted lines, the state of the stations that they come from, and the tokens from which those
stations can resume. It is written at once for an event and otherwise every `commit_s`; sinks receive a line after its
transaction. A run that is killed at any moment is therefore resumed from its last transaction: the next run reads the
stream from the stored token, and computes the lines that the killed run would have emitted. Lines that were already
emitted are recognised (`emitted`) and not emitted again.

The token stored for a station is that of a packet before the oldest sample that any line yet to be emitted depends on
(`points`). The run continues through disk faults (`store`). A kill during a fault causes repetitions, with the same
ids and revisions; if the database could not be opened at all, the next run begins where its source begins.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import JournalConfig
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.database import StationRow, Transaction
from seisedge.runtime.journal.emitted import Emitted
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.journal.points import Point, Points
from seisedge.runtime.journal.storage_clock import StorageClock
from seisedge.runtime.journal.store import RETRY_S, Store, StoreState
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.state import BackState, FrontState
from seisedge.runtime.station.station import Station

logger = logging.getLogger(__name__)

PRUNE_S = 3600.0
CHECK_S = 1.0  # between two checks that the files of the state folder are those that this run uses
NS_PER_DAY = 86_400 * NS_PER_S


class Journal(BaseJournal):
    """The journal of a state folder. source: URL that the tokens belong to."""

    folder: Path

    def __init__(
        self,
        folder: Path,
        source: str,
        settings: JournalConfig | None = None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Raises InputError for a folder that cannot be used. now_s, time_ns: monotonic and wall clock."""
        self._clock = StorageClock(now_s, time_ns)
        super().__init__(source, Outbox(now_s=now_s, time_ns=self._clock))
        self.folder = folder
        self._settings = settings or JournalConfig()
        self.file_mode = int(self._settings.file_mode, 8)
        self._now_s = now_s
        self._time_ns = time_ns
        self._store = Store(folder, source, self.outbox, self.counters, now_s, self._clock, self.file_mode)
        self._restorable: Mapping[str, StationRow] = {row.station: row for row in self._store.contents.stations}
        self.resume = {station: row.token for station, row in self._restorable.items()}
        self.resume_ns = {station: row.token_ns for station, row in self._restorable.items()}
        self._emitted = Emitted(self._store.contents.hops)
        self._points = Points()
        self._stations: dict[str, Station] = {}
        self._unsaved_stations: dict[str, Station] = {}
        self._event_pending = False
        self._next_commit_s = self._next_prune_s = self._next_check_s = 0.0

    @property
    def state(self) -> StoreState:
        return self._store.state

    @property
    def durable(self) -> bool:
        return self.outbox.durable

    @property
    def failing(self) -> bool:
        return self._store.failing

    def close(self) -> None:
        super().close()  # before the database is closed: no sink may receive a line that was not stored
        self._store.close()

    # called by the loop

    def restore(self, station: Station) -> None:
        self._stations[station.station_id] = station
        row = self._restorable.get(station.station_id)
        if row is None:
            return
        same = row.settings == station.fingerprint
        reason = "" if same else "models or settings differ from those of the earlier run"
        try:
            front = msgspec.json.decode(row.front, type=FrontState)
            back = msgspec.json.decode(row.back, type=BackState)
        except msgspec.DecodeError as error:
            reason = reason or f"its stored state cannot be read ({error})"
        if reason:
            station.epoch = self._emitted.epoch_of(station.station_id) or station.epoch
            logger.warning(
                "%s: %s; open events are not resumed, the stream is read again from before them",
                station.station_id,
                reason,
            )
            return
        station.restore(front, back)
        self._points.restore(station, Point(row.token, row.token_ns, row.front.encode(), station.epoch))
        logger.info("%s: resumes after token %s", station.station_id, row.token)

    def record_packet(self, station: Station, packet: Packet) -> None:
        self._unsaved_stations[station.station_id] = station
        self._points.add(station)

    def record_state(self, station: Station) -> None:
        self._unsaved_stations[station.station_id] = station

    def numbered(self, line: Event | Hop) -> Event | Hop | None:
        if isinstance(line, Hop):
            return line
        numbered = self._emitted.numbered(line, self._store.contents_of(line.id))
        if numbered is None:
            self.counters.repeated_lines += 1
        return numbered

    def add(self, line: Event | Hop) -> bool:
        station = self._stations.get(line.station)
        if not self._emitted.add(line, 0 if station is None else station.epoch, self._store.was_emitted):
            self.counters.repeated_lines += 1
            return False
        self.outbox.add(line)
        self._event_pending = self._event_pending or isinstance(line, Event)
        self.counters.lines += 1
        return True

    def step(self) -> None:
        if self._now_s() >= self._next_check_s:
            self._store.keep_in_place()
            self._next_check_s = self._now_s() + CHECK_S
        if self._event_pending and self.state is not StoreState.FAILING:
            stations = {line.station for line in self.outbox.unsaved}
            self._commit([s for s in self._unsaved_stations.values() if s.station_id in stations])
        elif self._now_s() >= self._next_commit_s:
            self.flush()
        elif self._event_pending:  # sinks receive it without waiting for the disk
            self.outbox.notify()

    def flush(self) -> None:
        self._commit(list(self._unsaved_stations.values()))

    def save_places(self) -> None:
        self._commit([])

    # transactions

    def _commit(self, stations: list[Station]) -> None:
        now_s = self._now_s()
        if self._store.reopen_if_due(self._time_ns()):
            stations = list(self._unsaved_stations.values())
        self._next_commit_s = now_s + (RETRY_S if self.failing else self._settings.commit_s)
        if not (stations or self.outbox.unsaved or self.outbox.places_changed):
            return
        if self.durable:
            self._write(stations, now_s)
        else:
            self._count_dropped(self.outbox.trim())
        self._event_pending = False
        self.outbox.notify()
        if self.state is StoreState.STORING and now_s >= self._next_prune_s:
            self._prune()
            self._next_prune_s = now_s + PRUNE_S

    def _write(self, stations: Iterable[Station], now_s: float) -> None:
        rows = {station.station_id: self._row(station) for station in stations}
        with self.outbox.lock:
            stored = self._store.write(self._transaction([row for row in rows.values() if row is not None]))
            if stored:
                self.outbox.stored()
                self._emitted.stored()
        if stored:
            for station_id in rows:
                self._unsaved_stations.pop(station_id, None)
        else:
            self._next_commit_s = now_s + RETRY_S
            self._count_dropped(self.outbox.trim())
        self.counters.commits += 1
        commit_ms = (self._now_s() - now_s) * 1e3
        self.commit_ms.add(commit_ms)
        self.counters.longest_commit_ms = max(self.counters.longest_commit_ms, commit_ms)

    def _row(self, station: Station) -> StationRow | None:
        """What is stored of a station; None while it has no point to resume from."""
        point = self._points.resume_point(station, self.held_from)
        if point is None:
            return None
        back = msgspec.json.encode(station.back()).decode()
        return StationRow(
            station.station_id, point.token, point.newest_ns, point.front.decode(), back, station.fingerprint
        )

    def _transaction(self, stations: list[StationRow]) -> Transaction:
        outbox = self.outbox
        return Transaction(
            source=self.source,
            stations=stations,
            lines=outbox.unsaved,
            events=self._emitted.unsaved_events,
            hops=self._emitted.unsaved_hops,
            places=outbox.places if outbox.places_changed else None,
            now_ns=self._time_ns(),
            stored_ns=self._clock(),
            contents=self._emitted.unsaved_contents,
        )

    def _prune(self) -> None:
        """Remove revisions older than `keep_days`, and lines beyond `max_lines`; no line is removed for its age."""
        before_ns = self._clock() - round(self._settings.keep_days * NS_PER_DAY)
        with self.outbox.lock:
            removed = self._store.prune(before_ns, self._settings.max_lines)
        self._count_dropped(removed)

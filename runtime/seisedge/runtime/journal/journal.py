"""Journal: what a run must not forget, and what its sinks have yet to be given.

Lines, the state of the stations they come from and the places in the stream that state needs are stored in one
transaction: at once for an event, else once a second. Sinks see a line after that. So a run that is killed anywhere
goes on with the state of its last transaction, reads again from the token that belongs to it, and says what it would
have said; a line is told from one already said by (id, revision).

The token kept of a station is that of a packet before the oldest sample that anything not yet said depends on
(`Station.needed_ns`); see `points`.

Where the disk fails, at the start or in mid-run, the run goes on: a warning, lines straight to the sinks, and another
try every `RETRY_S`. Nothing is lost; a run that is killed while it lasts repeats lines, with the same ids and
revisions, or, where the journal could not be had at all, begins where its source begins.
Without a folder it is an outbox in memory.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import JournalConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.histogram import Histogram
from seisedge.runtime.journal.database import FILE_NAME, Locked, Unusable, make_room, open_database, set_aside
from seisedge.runtime.journal.outbox import Line, Unsaved
from seisedge.runtime.journal.points import HopPlace, Point, Points
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.station import BackState, FrontState, Station

logger = logging.getLogger(__name__)

RETRY_S = 10.0
TIDY_S = 3600.0
NS_PER_DAY = 86_400 * NS_PER_S


@dataclass(slots=True)
class JournalCounters:
    """What the journal has done."""

    lines: int = 0
    known_lines: int = 0  # said in an earlier run, not said again
    commits: int = 0
    failures: int = 0
    dropped_lines: int = 0  # some sink was down for too long
    longest_commit_ms: float = 0.0


class _Stored(msgspec.Struct, frozen=True):
    """A station's row from an earlier run."""

    point: Point
    back: bytes
    settings: str


class Journal:
    """See the module. `source`: the URL whose tokens these are. Use from one thread, but for what sinks call.

    `durable` is False without a folder, and while a disk does not take one.
    Raises InputError for a folder that cannot be used.
    """

    def __init__(
        self,
        folder: Path | None,
        source: str,
        settings: JournalConfig | None = None,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.folder = folder
        self.counters = JournalCounters()
        self.commit_ms = Histogram()
        self.failing = False
        self._settings = settings or JournalConfig()
        self._now_s = now_s
        self._lock = threading.Lock()  # over everything that sinks' threads look at
        self._changed: list[Callable[[], None]] = []
        self._points = Points()
        self._stored: dict[str, _Stored] = {}
        self._hops: dict[str, HopPlace] = {}  # the last one said
        self._stations: dict[str, Station] = {}
        self._touched: dict[str, Station] = {}
        self._unsaved = Unsaved()
        self._places: dict[str, int] = {}  # of the sinks of this run: the last line each has
        self._places_moved = False
        self._seq = 0
        self._rows = 0
        self._next_commit_s = self._next_tidy_s = self._next_open_s = 0.0
        self._trouble = ""  # why there is no database
        self._closed = False
        self._event_waits = False
        self._link: sqlite3.Connection | None = None
        self._locked: Locked | None = None
        if folder is not None:
            self._open(folder)

    def _open(self, folder: Path) -> None:
        try:
            self._locked = Locked(folder)
            try:
                self._link = open_database(folder)
            except InputError:
                self._locked.close()
                raise
        except Unusable as error:
            self._without(error)
            return
        rows = self._link.execute(
            "SELECT station, token, token_ns, front, back, settings FROM stations WHERE source = ?", (self.source,)
        )
        for station, token, token_ns, front, back, settings in rows:
            self._stored[station] = _Stored(Point(token, token_ns, front.encode()), back.encode(), settings)
        hops = self._link.execute("SELECT station, time FROM hops WHERE source = ?", (self.source,))
        self._hops = {station: HopPlace.parse(text) for station, text in hops}
        self._seq, self._rows = self._link.execute("SELECT coalesce(max(seq), 0), count(*) FROM outbox").fetchone()
        (given,) = self._link.execute("SELECT coalesce(max(seq), 0) FROM sinks").fetchone()
        self._seq = max(self._seq, given)

    def _without(self, error: Exception) -> None:
        """There is no database: say why, once, and try again later."""
        self.failing = True
        self._next_open_s = self._now_s() + RETRY_S
        level = logging.DEBUG if str(error) == self._trouble else logging.WARNING
        self._trouble = str(error)
        logger.log(
            level,
            "%s; the run goes on without a memory: until the disk is mended a restart begins where its source begins, "
            "and what sinks have not got by then is lost; another try every %g s",
            error,
            RETRY_S,
        )

    def _open_again(self) -> None:
        """Try for the database that could not be had, or was lost; what is in it gives way to this run's state."""
        assert self.folder is not None
        link: sqlite3.Connection | None = None
        try:
            if self._locked is None:
                self._locked = Locked(self.folder)
            link = open_database(self.folder)
            with self._lock:
                self._seq, self._rows = make_room(link, self._places, self._seq)
                self._link = link
        except (Unusable, InputError, sqlite3.Error) as error:
            if link is not None:
                link.close()
            self._without(error)
        else:
            self._trouble = ""

    @property
    def durable(self) -> bool:
        return self._link is not None

    @property
    def resume(self) -> dict[str, str]:
        """Token after which the stream of each station goes on, for `open_source`."""
        return {station: stored.point.token for station, stored in self._stored.items()}

    @property
    def resume_ns(self) -> dict[str, int]:
        """A time that no sample of a station up to its token is after, for `open_source`."""
        return {station: stored.point.newest_ns for station, stored in self._stored.items()}

    def close(self) -> None:
        """Without a last transaction: call `flush` for that."""
        with self._lock:
            self._closed = True
            self._unsaved.lines.clear()
            if self._link is not None:
                self._link.close()
                self._link = None
        if self._locked is not None:
            self._locked.close()
            self._locked = None

    # what the loop calls

    def begin(self, station: Station) -> None:
        """A station has spoken for the first time in this run: let it go on where it was."""
        self._stations[station.station_id] = station
        stored = self._stored.get(station.station_id)
        if stored is None:
            return
        reason = "" if stored.settings == station.fingerprint else "models or settings are not those of the earlier run"
        try:
            front = msgspec.json.decode(stored.point.front, type=FrontState)
            back = msgspec.json.decode(stored.back, type=BackState)
        except msgspec.DecodeError as error:
            reason = reason or f"its state cannot be read ({error})"
        if reason:
            if station.station_id in self._hops:
                station.epoch = self._hops[station.station_id].epoch  # of a front that may not be readable
            logger.warning(
                "%s: %s; its open events are not gone on with, the stream is read again from before them",
                station.station_id,
                reason,
            )
            return
        station.restore(front, back)
        self._points.begin(station, stored.point)
        logger.info("%s: goes on after token %s", station.station_id, stored.point.token)

    def took(self, station: Station, packet: Packet) -> None:
        """After `station.add(packet)`: a candidate for the token, every few seconds of data."""
        self._touched[station.station_id] = station
        self._points.took(station, packet)

    def add(self, line: Event | Hop) -> bool:
        """Take a line; False where it was said before."""
        key = None
        if isinstance(line, Event):
            key = (line.id, line.revision)
            known = key in self._unsaved.keys or self._was_emitted(key)
        else:
            place = HopPlace(self._epoch_of(line.station), line.time)
            known = line.station in self._hops and place <= self._hops[line.station]
        if known:
            self.counters.known_lines += 1
            return False
        kind = "hop" if key is None else "event"
        with self._lock:
            self._seq += 1
            entry = Line(self._seq, line.station, kind, msgspec.json.encode(line))
            self._unsaved.add(entry, self._now_s() if self._link is not None else None)
        if isinstance(line, Hop):
            if self.folder is not None:
                self._hops[line.station] = place
        elif self.folder is not None and key is not None:
            self._unsaved.add_key(key)
        self._event_waits = self._event_waits or kind == "event"
        self.counters.lines += 1
        return True

    def step(self) -> None:
        """A transaction where one is due: at once for an event, else once in `commit_s`."""
        if self._event_waits and (self._link is None or not self.failing):
            events_of = {line.station for line in self._unsaved.lines}
            self._commit([s for s in self._touched.values() if s.station_id in events_of])
        elif self._now_s() >= self._next_commit_s:
            self.flush()
        elif self._event_waits:  # the disk fails: sinks get it all the same
            self._tell()

    def flush(self) -> None:
        """A transaction over everything, now; between two steps of the loop."""
        self._commit(list(self._touched.values()))

    def save_places(self) -> None:
        """A transaction over what the sinks have got, and lines, but no station: after a run that broke off in one."""
        self._commit([])

    # what sinks call, from their threads

    def subscribe(self, name: str, changed: Callable[[], None]) -> int:
        """The last line that the sink has; `changed` is called when there are new ones. Before the first line."""
        with self._lock:
            place = self._seq
            if self._link is not None:
                row = self._link.execute("SELECT seq FROM sinks WHERE name = ?", (name,)).fetchone()
                place = row[0] if row else place
            self._places[name] = place
            self._places_moved = True
            self._changed.append(changed)
            return place

    def lines_after(self, seq: int, limit: int = 100) -> list[Line]:
        """Lines that are stored, in order; those not stored as well where the disk fails or there is none."""
        with self._lock:
            if self._link is not None:
                try:
                    rows = self._link.execute(
                        "SELECT seq, station, kind, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
                    ).fetchall()
                except sqlite3.Error as error:
                    logger.debug("%s: the outbox cannot be read: %s", self.folder, error)
                    rows = []
                if rows:
                    times = self._unsaved.stored_ms
                    return [Line(seq, station, kind, body, times.get(seq)) for seq, station, kind, body in rows]
                if not self.failing:
                    return []
            return [line for line in self._unsaved.lines if line.seq > seq][:limit]

    def delivered(self, name: str, seq: int) -> None:
        """The sink has everything up to `seq`."""
        with self._lock:
            self._places[name] = seq
            self._places_moved = True

    def undelivered(self, name: str) -> int:
        """How many lines the sink has yet to get, at the most."""
        with self._lock:
            return self._seq - self._places.get(name, 0)

    def oldest_waiting_s(self, name: str) -> float:
        """How long the oldest stored line has been waiting for the sink; 0 where none is."""
        with self._lock:
            if self._link is None:
                return 0.0
            try:
                place = self._places.get(name, 0)
                (made_ns,) = self._link.execute(
                    "SELECT created_ns FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1", (place,)
                ).fetchone() or (time.time_ns(),)
            except sqlite3.Error:
                return 0.0
        return max(time.time_ns() - made_ns, 0) / NS_PER_S

    # the transaction

    def _commit(self, stations: list[Station]) -> None:
        now_s = self._now_s()
        if self._link is None and self.folder is not None and now_s >= self._next_open_s and not self._closed:
            self._open_again()
            stations = list(self._touched.values())
        self._next_commit_s = now_s + (RETRY_S if self.failing else self._settings.commit_s)
        if not (self._unsaved.lines or self._places_moved or stations):
            return
        if self._link is None:
            self._trim_unsaved(all_given=True)
            self._event_waits = False
            self._tell()
            return
        rows = [row for row in map(self._row, stations) if row is not None]
        with self._lock:
            try:
                self._write(rows)
            except sqlite3.DatabaseError as error:
                self._failed(error)
                self._next_commit_s = now_s + RETRY_S
            else:
                if self.failing:
                    logger.warning("%s: the journal is written again", self.folder)
                self.failing = False
                self._unsaved.stored(self._now_s())
                self._places_moved = False
                for station in stations:
                    self._touched.pop(station.station_id, None)
        if self.failing:
            self._trim_unsaved(all_given=False)
        self._event_waits = False
        self.counters.commits += 1
        commit_ms = (self._now_s() - now_s) * 1e3
        self.commit_ms.add(commit_ms)
        self.counters.longest_commit_ms = max(self.counters.longest_commit_ms, commit_ms)
        self._tell()
        if now_s >= self._next_tidy_s and not self.failing:
            self._tidy()
            self._next_tidy_s = now_s + TIDY_S

    def _epoch_of(self, station_id: str) -> int:
        return self._stations[station_id].epoch if station_id in self._stations else 0

    def _row(self, station: Station) -> tuple[object, ...] | None:
        """What is stored of a station, or None while there is no place in its stream to go on from."""
        point = self._points.needed(station)
        if point is None:
            return None
        back = msgspec.json.encode(station.back())
        return (
            self.source, station.station_id, point.token, point.newest_ns, point.front.decode(), back.decode(),
            station.fingerprint, time.time_ns(),
        )  # fmt: skip

    def _write(self, rows: Iterable[tuple[object, ...]]) -> None:
        link, now_ns = self._link, time.time_ns()
        assert link is not None
        link.execute(f"PRAGMA synchronous = {'FULL' if self._event_waits else 'NORMAL'}")
        link.execute("BEGIN IMMEDIATE")
        try:
            link.executemany(
                "INSERT OR IGNORE INTO emitted VALUES (?, ?, ?)", [(*k, now_ns) for k in self._unsaved.keys]
            )
            link.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)",
                [(line.seq, line.station, line.kind, line.body, now_ns) for line in self._unsaved.lines],
            )
            hops = {line.station for line in self._unsaved.lines if line.kind == "hop"}
            link.executemany(
                "INSERT OR REPLACE INTO hops VALUES (?, ?, ?)", [(self.source, s, str(self._hops[s])) for s in hops]
            )
            link.executemany("INSERT OR REPLACE INTO stations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            rows_now = self._rows + len(self._unsaved.lines)
            if self._places_moved:
                places = [(name, seq, now_ns) for name, seq in self._places.items()]
                link.executemany("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?)", places)
                given = min(self._places.values(), default=self._seq)
                rows_now -= link.execute("DELETE FROM outbox WHERE seq <= ?", (given,)).rowcount
            link.execute("COMMIT")
        except BaseException:
            if link.in_transaction:
                link.execute("ROLLBACK")
            raise
        self._rows = rows_now

    def _failed(self, error: sqlite3.DatabaseError) -> None:
        """A transaction that could not be: say so, and set a file aside that is damaged."""
        self.counters.failures += 1
        level = logging.DEBUG if self.failing else logging.WARNING
        logger.log(
            level,
            "%s: the journal cannot be written: %s; lines go to the sinks unrecorded, another try every %g s",
            self.folder,
            error,
            RETRY_S,
        )
        self.failing = True
        if isinstance(error, sqlite3.OperationalError) or self.folder is None or self._link is None:
            return
        self._link.close()
        set_aside(self.folder / FILE_NAME, str(error))
        try:
            self._link = open_database(self.folder)
            self._rows, self._places_moved = 0, True
        except Unusable as trouble:
            self._link = None
            self._without(trouble)

    def _trim_unsaved(self, *, all_given: bool) -> None:
        with self._lock:
            self._drop(self._unsaved.trim(min(self._places.values(), default=self._seq), all_given=all_given))

    def _tidy(self) -> None:
        """Forget what is older than `keep_days`, and what is beyond `max_lines`."""
        assert self._link is not None
        old_ns = time.time_ns() - round(self._settings.keep_days * NS_PER_DAY)
        with self._lock:
            try:
                self._link.execute("DELETE FROM emitted WHERE emitted_ns < ?", (old_ns,))
                lost = self._link.execute("DELETE FROM outbox WHERE created_ns < ?", (old_ns,)).rowcount
                excess = self._rows - lost - self._settings.max_lines
                if excess > 0:
                    lost += self._link.execute(
                        "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT ?)", (excess,)
                    ).rowcount
            except sqlite3.DatabaseError as error:
                self._failed(error)
                return
            self._rows -= lost
            self._drop(lost)

    def _drop(self, count: int) -> None:
        if count:
            level = logging.DEBUG if self.counters.dropped_lines else logging.WARNING
            logger.log(level, "%s: %d lines that a sink has not taken were dropped from the outbox", self.source, count)
            self.counters.dropped_lines += count

    def _was_emitted(self, key: tuple[str, int]) -> bool:
        if self._link is None:
            return False
        with self._lock:
            try:
                found = self._link.execute("SELECT 1 FROM emitted WHERE id = ? AND revision = ?", key).fetchone()
            except sqlite3.Error as error:
                logger.debug("%s: cannot be read: %s", self.folder, error)
                return False
        return found is not None

    def _tell(self) -> None:
        for changed in self._changed:
            changed()

"""Database: the SQLite file of a state folder. All SQL of the journal is in this module.

The file has a write-ahead log. A transaction that stores a line of an event is written with `synchronous = FULL`: it
is on the disk before a sink receives the line, and a loss of power cannot undo it. All other transactions (once a
second) are written with `NORMAL` and do not flush the disk, which saves the write cycles of a memory card. A loss of
power can undo the last of these, each as a whole; the stream is then read again from a slightly older token and gives
the same lines. A killed process loses neither kind.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.journal.folder_lock import Unavailable
from seisedge.runtime.journal.line import Line
from seisedge.runtime.urls import shown_url, url_key

logger = logging.getLogger(__name__)

FILE_NAME = "journal.sqlite"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x5E15ED6E
WAL_LIMIT_BYTES = 4 << 20
BUSY_S = 5.0  # wait for another connection: `seisedge state show` may be reading

TABLES = """
CREATE TABLE stations (
    source TEXT NOT NULL, station TEXT NOT NULL,
    token TEXT NOT NULL,         -- the stream continues after it
    token_ns INTEGER NOT NULL,   -- no sample up to the token is newer
    front TEXT NOT NULL,         -- timelines after the token's packet, without samples
    back TEXT NOT NULL,          -- results from all packets up to the time of the transaction
    settings TEXT NOT NULL,      -- fingerprint of the settings and models of both
    updated_ns INTEGER NOT NULL,
    PRIMARY KEY (source, station)
);
CREATE TABLE emitted (
    id TEXT NOT NULL, revision INTEGER NOT NULL, emitted_ns INTEGER NOT NULL,
    PRIMARY KEY (id, revision)
) WITHOUT ROWID;
CREATE TABLE hops (source TEXT NOT NULL, station TEXT NOT NULL, time TEXT NOT NULL, PRIMARY KEY (source, station));
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, station TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, created_ns INTEGER NOT NULL
);
CREATE TABLE sinks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, updated_ns INTEGER NOT NULL);
"""


class Damaged(Exception):
    """The content of the database is damaged; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class StationRow:
    """One row of `stations`, without its source and time."""

    station: str
    token: str
    token_ns: int
    front: str
    back: str
    settings: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one transaction stores.

    events: (id, revision) of the events emitted. hops: by station, the position of the last hop emitted.
    places: by sink, the number of the last line received; None if unchanged. now_ns: wall clock, ns UTC.
    """

    source: str
    stations: Sequence[StationRow]
    lines: Sequence[Line]
    events: Sequence[tuple[str, int]]
    hops: Mapping[str, str]
    places: Mapping[str, int] | None
    now_ns: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What earlier runs have stored: rows of stations and hops of one source, places of sinks, the newest number."""

    stations: Sequence[StationRow]
    hops: Mapping[str, str]
    places: Mapping[str, int]
    seq: int


class Database:
    """An open database. All methods may be called from any thread; each is one transaction.

    Methods that read a line or a key return nothing where the disk cannot be read; that is logged at DEBUG.
    """

    def __init__(self, path: Path) -> None:
        """Open or create. Raises InputError for a file of another program or of a newer release, sqlite3.Error."""
        self.path = path
        self._lock = threading.RLock()
        self._link = sqlite3.connect(path, BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._link.execute("PRAGMA journal_mode = WAL")
            self._link.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            if not self._link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._link.executescript(
                    f"BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID}; "
                    f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
            _check_version(self._link, path)
            self._hide_secrets()
            verdict = self._link.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except BaseException:
            self._link.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._link.close()

    def contents(self, source: str) -> Contents:
        """Everything that a new run continues with. Raises Unavailable or Damaged."""
        with self._lock, _translated_errors():
            stations = self._link.execute(
                "SELECT station, token, token_ns, front, back, settings FROM stations WHERE source = ?", (source,)
            ).fetchall()
            hops = self._link.execute("SELECT station, time FROM hops WHERE source = ?", (source,)).fetchall()
            places = dict(self._link.execute("SELECT name, seq FROM sinks"))
            (newest,) = self._link.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
        seq = max(newest, *places.values(), 0)
        return Contents([StationRow(*row) for row in stations], dict(hops), places, seq)

    def write(self, transaction: Transaction) -> None:
        """Store everything or nothing; remove lines that every sink of `places` has. Raises Unavailable or Damaged."""
        now_ns, source = transaction.now_ns, transaction.source
        has_event = any(line.kind == "event" for line in transaction.lines)
        with self._lock, _translated_errors():
            self._link.execute(f"PRAGMA synchronous = {'FULL' if has_event else 'NORMAL'}")
            with self._atomic():
                self._link.executemany(
                    "INSERT OR IGNORE INTO emitted VALUES (?, ?, ?)", [(*key, now_ns) for key in transaction.events]
                )
                self._link.executemany(
                    "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)",
                    [(line.seq, line.station, line.kind, line.body, now_ns) for line in transaction.lines],
                )
                self._link.executemany(
                    "INSERT OR REPLACE INTO hops VALUES (?, ?, ?)",
                    [(source, station, position) for station, position in transaction.hops.items()],
                )
                self._link.executemany(
                    "INSERT OR REPLACE INTO stations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (source, x.station, x.token, x.token_ns, x.front, x.back, x.settings, now_ns)
                        for x in transaction.stations
                    ],
                )
                if transaction.places:
                    self._store_places(transaction.places, now_ns)
                    delivered = min(transaction.places.values())
                    self._link.execute("DELETE FROM outbox WHERE seq <= ?", (delivered,))

    def merge(self, places: Mapping[str, int], seq: int, now_ns: int) -> int:
        """Renumber the lines of an earlier run behind the `seq` lines of a run that began without the database.

        places: by sink of this run, the number of the last line received. Every sink of this run receives each line
        of the earlier run that one of them lacked; a sink recognises a repetition by (id, revision).
        Returns the newest number. Raises Unavailable or Damaged.
        """
        with self._lock, _translated_errors(), self._atomic():
            (newest,) = self._link.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
            earlier = dict(self._link.execute("SELECT name, seq FROM sinks"))
            delivered = min((earlier.get(name, newest) for name in places), default=newest)
            self._link.execute("DELETE FROM outbox WHERE seq <= ?", (delivered,))
            self._link.execute("UPDATE outbox SET seq = -seq")  # first to numbers that no line has
            self._link.execute("UPDATE outbox SET seq = -seq + ?", (seq - delivered,))
            self._store_places(places, now_ns)
            (newest,) = self._link.execute("SELECT coalesce(max(seq), ?) FROM outbox", (seq,)).fetchone()
        return int(newest)

    def prune(self, before_ns: int, max_lines: int) -> int:
        """Remove keys and lines stored before `before_ns`, and all lines but the newest `max_lines`.

        Returns the number of lines removed. Raises Unavailable or Damaged.
        """
        with self._lock, _translated_errors(), self._atomic():
            self._link.execute("DELETE FROM emitted WHERE emitted_ns < ?", (before_ns,))
            old = self._link.execute("DELETE FROM outbox WHERE created_ns < ?", (before_ns,)).rowcount
            excess = self._link.execute(
                "DELETE FROM outbox WHERE seq <= (SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (max_lines,),
            ).rowcount
        return old + excess

    def was_emitted(self, event_id: str, revision: int) -> bool:
        """True if this revision of an event is stored as emitted."""
        rows = self._read("SELECT 1 FROM emitted WHERE id = ? AND revision = ?", event_id, revision)
        return bool(rows)

    def lines_after(self, seq: int, limit: int) -> list[Line]:
        """Up to `limit` lines with numbers above `seq`, in order."""
        rows = self._read("SELECT seq, station, kind, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
        return [Line(*row) for row in rows]

    def oldest_created_ns(self, after_seq: int) -> int | None:
        """When the oldest line with a number above `after_seq` was stored; None if there is no such line."""
        rows = self._read("SELECT created_ns FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1", after_seq)
        return int(rows[0][0]) if rows else None

    def _hide_secrets(self) -> None:
        """Remove the secrets of URLs that earlier releases stored in keys and lines; sources and sinks keep their rows.

        Raises sqlite3.Error.
        """
        sources = self._renamed("SELECT source FROM stations UNION SELECT source FROM hops", shown_url)
        sinks = self._renamed("SELECT name FROM sinks", sink_key)
        if not (sources or sinks):
            return
        self._link.execute("PRAGMA secure_delete = ON")  # overwrite freed parts of the file with zeros
        with self._atomic():
            for old, new in sources.items():
                for table in ("stations", "hops"):
                    self._link.execute(f"UPDATE OR REPLACE {table} SET source = ? WHERE source = ?", (new, old))
                quoted = (msgspec.json.encode(text).decode() for text in (old, new))
                self._link.execute(
                    "UPDATE outbox SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB)", tuple(quoted)
                )
            for old, new in sinks.items():
                self._link.execute("UPDATE OR REPLACE sinks SET name = ? WHERE name = ?", (new, old))
        self._link.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _renamed(self, query: str, rename: Callable[[str], str]) -> dict[str, str]:
        """Old and new name of each row whose name changes."""
        names = [str(row[0]) for row in self._link.execute(query)]
        return {name: rename(name) for name in names if rename(name) != name}

    def _store_places(self, places: Mapping[str, int], now_ns: int) -> None:
        rows = [(name, seq, now_ns) for name, seq in places.items()]
        self._link.executemany("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?)", rows)

    @contextlib.contextmanager
    def _atomic(self) -> Iterator[None]:
        self._link.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._link.execute("COMMIT")
        except BaseException:
            if self._link.in_transaction:
                self._link.execute("ROLLBACK")
            raise

    def _read(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._link.execute(query, values).fetchall()
            except sqlite3.Error as error:
                logger.debug("%s: cannot be read: %s", self.path, error)
                return []


def open_database(folder: Path) -> Database:
    """The database of a locked folder; a new one if there is none, or if the one there is damaged and set aside.

    Raises InputError for a file of another program or of a newer release, Unavailable for a disk fault.
    """
    path = folder / FILE_NAME
    try:
        return Database(path)
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        set_aside(path, str(error))
    try:
        return Database(path)
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged database, so that a new one can be created in its place."""
    kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.damaged")
    logger.warning(
        "%s: the journal is damaged (%s); it was renamed to %s and a new one was created: the stream is read from "
        "where its source begins, and open events and undelivered lines are only in the renamed file",
        path,
        reason,
        kept.name,
    )
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(kept.with_name(kept.name + suffix))


class DatabaseReader:
    """Read-only view of a database that a run may be writing to, for `seisedge state show`."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError if there is no readable journal."""
        self.path = folder / FILE_NAME
        if not self.path.exists():
            raise InputError(
                f"{folder}: no journal there: {FILE_NAME} is missing; give the folder of `seisedge run --state`"
            )
        try:
            self._link = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", BUSY_S, uri=True)
            _check_version(self._link, self.path)
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: the journal cannot be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def stations(self) -> list[tuple[str, str, str, int, str, int]]:
        """(source, station, token, token_ns, back, updated_ns) of each station."""
        rows = self._link.execute(
            "SELECT source, station, token, token_ns, back, updated_ns FROM stations ORDER BY source, station"
        )
        return [(shown_url(source), *rest) for source, *rest in rows]

    def sinks(self) -> list[tuple[str, int, int]]:
        """(name, number of waiting lines, updated_ns) of each sink."""
        (newest,) = self._link.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
        rows = self._link.execute("SELECT name, seq, updated_ns FROM sinks ORDER BY name")
        return [(sink_key(name), max(newest - seq, 0), updated_ns) for name, seq, updated_ns in rows]

    def line_count(self) -> int:
        """Number of lines in the outbox."""
        return int(self._link.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def revision_count(self) -> int:
        """Number of revisions stored as emitted."""
        return int(self._link.execute("SELECT count(*) FROM emitted").fetchone()[0])


def sink_key(name: str) -> str:
    """The name of a sink, without the secrets of a webhook's URL; idempotent."""
    kind, space, url = name.partition(" ")
    return f"{kind} {url_key(url)}" if space and kind == "webhook" else name


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise Damaged(str(error)) from error


def _check_version(link: sqlite3.Connection, path: Path) -> None:
    if link.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InputError(f"{path}: not a journal of seisedge; give another --state")
    version = link.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: made by a newer seisedge (journal schema {version}, this release reads up to {SCHEMA_VERSION}); "
            "update seisedge or give another --state"
        )

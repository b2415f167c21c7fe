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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from seisedge.runtime.files import OWNER_ONLY, created_with
from seisedge.runtime.journal.folder_lock import Unavailable, identities
from seisedge.runtime.journal.line import Line
from seisedge.runtime.journal.revision_content import RevisionContent
from seisedge.runtime.journal.schema import (
    ADDED_COLUMNS,
    APPLICATION_ID,
    BUSY_S,
    COLUMNS,
    CONTENTS_TABLE,
    FILE_NAME,
    SCHEMA_VERSION,
    TABLES,
    check_columns,
    check_version,
    sink_key,
    text_of_column,
)
from seisedge.runtime.urls import shown_url

logger = logging.getLogger(__name__)

WAL_LIMIT_BYTES = 4 << 20
LATEST_NS = 7_000_000_000_000_000_000  # the year 2191; a later time is damaged, and near the largest that SQLite stores
LATEST_SEQ = 1 << 53  # a larger number of a line is damaged
MAX_SET_ASIDE = 5  # damaged databases that are kept, the newest ones


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
    stored_ns: storage clock, by which the age of lines and keys is counted. contents: of `events`.
    """

    source: str
    stations: Sequence[StationRow]
    lines: Sequence[Line]
    events: Sequence[tuple[str, int]]
    hops: Mapping[str, str]
    places: Mapping[str, int] | None
    now_ns: int
    stored_ns: int
    contents: Mapping[tuple[str, int], RevisionContent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contents:
    """What earlier runs have stored: rows of stations and hops of one source, places of sinks, the newest number."""

    stations: Sequence[StationRow]
    hops: Mapping[str, str]
    places: Mapping[str, int]
    seq: int


class Database:
    """An open database. All methods may be called from any thread; each is one transaction.

    Methods that read a line or a key return nothing where the disk cannot be read. The first such fault is logged as a
    WARNING.
    read_fault: why the last read failed; None if it succeeded. damaged: why a read found the file damaged, or None.
    """

    def __init__(self, path: Path, file_mode: int = OWNER_ONLY) -> None:
        """Open or create. file_mode: rights of a new file; those beside it get the same from SQLite.

        Raises InputError for a file of another program or of a newer release, sqlite3.Error.
        """
        self.path = path
        self.read_fault: str | None = None
        self.damaged: str | None = None
        self._lock = threading.RLock()
        _create(path, file_mode)
        self._link = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._link.text_factory = text_of_column
        try:
            self._link.execute("PRAGMA journal_mode = WAL")
            self._link.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            if not self._link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._link.executescript(
                    f"BEGIN; {TABLES} {CONTENTS_TABLE} PRAGMA application_id = {APPLICATION_ID}; "
                    f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
            check_version(self._link, path)
            if not self._link.execute("SELECT count(*) FROM sqlite_master WHERE name = 'contents'").fetchone()[0]:
                self._link.executescript(f"BEGIN; {CONTENTS_TABLE} COMMIT;")
            self._hide_secrets()
            check_columns(self._link, COLUMNS | ADDED_COLUMNS)
            verdict = self._link.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except BaseException:
            self._link.close()
            raise
        self._files = identities(_parts(path))

    def in_place(self) -> bool:
        """False if a file of the database was removed or replaced since it was opened."""
        return all(identity is None or identities([path])[path] == identity for path, identity in self._files.items())

    def names_other_file(self) -> bool:
        """True if the path of the database names another file than the one that is open."""
        return identities([self.path])[self.path] not in (None, self._files[self.path])

    def copy(self, path: Path, file_mode: int) -> None:
        """Write the content to a new file, also if the files of this database were removed.

        Raises Unavailable or Damaged.
        """
        with self._lock, _translated_errors():
            for old in _parts(path):
                old.unlink(missing_ok=True)
            _create(path, file_mode)
            with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as target:
                self._link.backup(target)

    def close(self) -> None:
        with self._lock:
            self._link.close()

    def contents(self, source: str) -> Contents:
        """Everything that a new run continues with, without damaged rows. Raises Unavailable or Damaged.

        A station without its row is read from where its source begins; a sink without its place receives every line of
        the outbox.
        """
        with self._lock, _translated_errors():
            stations = self._link.execute(
                "SELECT station, token, token_ns, front, back, settings FROM stations WHERE source = ?", (source,)
            ).fetchall()
            hops = self._link.execute("SELECT station, time FROM hops WHERE source = ?", (source,)).fetchall()
            places = self._places()
            (newest,) = self._link.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
        seq = max(newest, *places.values(), 0)
        if seq > LATEST_SEQ:
            raise Damaged(f"a line has the number {seq}")
        whole = [
            StationRow(*row)
            for row in stations
            if _has_types(row, str, str, int, str, str, str) and abs(row[2]) < LATEST_NS
        ]
        if len(whole) < len(stations):
            logger.warning("%s: %d damaged rows of stations are ignored", self.path, len(stations) - len(whole))
        return Contents(whole, dict(row for row in hops if _has_types(row, str, str)), places, seq)

    def write(self, transaction: Transaction) -> None:
        """Store everything or nothing; remove lines that every sink of `places` has. Raises Unavailable or Damaged."""
        now_ns, stored_ns, source = transaction.now_ns, transaction.stored_ns, transaction.source
        has_event = any(line.kind == "event" for line in transaction.lines)
        with self._lock, _translated_errors():
            self._link.execute(f"PRAGMA synchronous = {'FULL' if has_event else 'NORMAL'}")
            with self._atomic():
                self._link.executemany(
                    "INSERT OR IGNORE INTO emitted VALUES (?, ?, ?)", [(*key, stored_ns) for key in transaction.events]
                )
                self._link.executemany(
                    "INSERT OR IGNORE INTO contents VALUES (?, ?, ?, ?)",
                    [(*key, content.digest, content.last) for key, content in transaction.contents.items()],
                )
                self._link.executemany(
                    "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)",
                    [(line.seq, line.station, line.kind, line.body, stored_ns) for line in transaction.lines],
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
            earlier = self._places()
            delivered = min((earlier.get(name, newest) for name in places), default=newest)
            self._link.execute("DELETE FROM outbox WHERE seq <= ?", (delivered,))
            self._link.execute("UPDATE outbox SET seq = -seq")  # first to numbers that no line has
            self._link.execute("UPDATE outbox SET seq = -seq + ?", (seq - delivered,))
            self._store_places(places, now_ns)
            (newest,) = self._link.execute("SELECT coalesce(max(seq), ?) FROM outbox", (seq,)).fetchone()
        return int(newest)

    def prune(self, before_ns: int, max_lines: int) -> tuple[int, int]:
        """Remove keys stored before `before_ns` on the storage clock, and all lines but the newest `max_lines`.

        Returns the number of lines removed and the number of the newest of them, or 0. Raises Unavailable or Damaged.
        """
        with self._lock, _translated_errors(), self._atomic():
            self._link.execute("DELETE FROM emitted WHERE emitted_ns < ?", (before_ns,))
            self._link.execute(
                "DELETE FROM contents WHERE NOT EXISTS (SELECT 1 FROM emitted "
                "WHERE emitted.id = contents.id AND emitted.revision = contents.revision)"
            )
            row = self._link.execute(
                "SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1 OFFSET ?", (max_lines,)
            ).fetchone()
            if row is None:
                return 0, 0
            return self._link.execute("DELETE FROM outbox WHERE seq <= ?", row).rowcount, int(row[0])

    def numbers(self) -> list[int]:
        """The numbers of all lines, in order. Raises Unavailable or Damaged."""
        with self._lock, _translated_errors():
            return [seq for (seq,) in self._link.execute("SELECT seq FROM outbox ORDER BY seq")]

    def newest_ns(self) -> int | None:
        """The newest time of a line or key, on the storage clock, without those beyond `LATEST_NS`; None without any.

        Raises Unavailable or Damaged.
        """
        with self._lock, _translated_errors():
            (lines_ns,) = self._link.execute(
                "SELECT max(created_ns) FROM outbox WHERE created_ns < ?", (LATEST_NS,)
            ).fetchone()
            (keys_ns,) = self._link.execute(
                "SELECT max(emitted_ns) FROM emitted WHERE emitted_ns < ?", (LATEST_NS,)
            ).fetchone()
        return max((ns for ns in (lines_ns, keys_ns) if isinstance(ns, int)), default=None)

    def was_emitted(self, event_id: str, revision: int) -> bool:
        """True if this revision of an event is stored as emitted."""
        rows = self._read("SELECT 1 FROM emitted WHERE id = ? AND revision = ?", event_id, revision)
        return bool(rows)

    def contents_of(self, event_id: str) -> dict[int, RevisionContent | None]:
        """By emitted revision of an event, its content; None where an earlier release emitted it."""
        rows = self._read(
            "SELECT emitted.revision, digest, last FROM emitted LEFT JOIN contents USING (id, revision) WHERE id = ?",
            event_id,
        )
        return {
            row[0]: RevisionContent(row[1], bool(row[2])) if isinstance(row[1], bytes) else None
            for row in rows
            if isinstance(row[0], int)
        }

    def lines_after(self, seq: int, limit: int) -> list[Line]:
        """Up to `limit` lines with numbers above `seq`, in order."""
        rows = self._read("SELECT seq, station, kind, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
        return [_line(row) for row in rows]

    def oldest_created_ns(self, after_seq: int) -> int | None:
        """When the oldest line above `after_seq` was stored, on the storage clock; None if there is no such line."""
        rows = self._read("SELECT created_ns FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1", after_seq)
        return rows[0][0] if rows and _has_types(rows[0], int) else None

    def _places(self) -> dict[str, int]:
        """By sink, its stored place; 0 for a damaged one."""
        rows = self._link.execute("SELECT name, seq FROM sinks")
        return {str(name): seq if isinstance(seq, int) and seq >= 0 else 0 for name, seq in rows}

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
                rows = self._link.execute(query, values).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                level = logging.DEBUG if self.read_fault else logging.WARNING
                logger.log(level, "%s: cannot be read: %s", self.path, error)
                self.read_fault = str(error)
                if not isinstance(error, sqlite3.OperationalError | sqlite3.InterfaceError):
                    self.damaged = str(error)
                return []
            self.read_fault = None
            return rows


def open_database(folder: Path, file_mode: int = OWNER_ONLY) -> Database:
    """The database of a locked folder; a new one if there is none, or if the one there is damaged and set aside.

    file_mode: rights of a new one.
    Raises InputError for a file of another program or of a newer release, Unavailable for a disk fault.
    """
    path = folder / FILE_NAME
    try:
        return Database(path, file_mode)
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path}: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        set_aside(path, str(error))
    try:
        return Database(path, file_mode)
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged database, so that a new one can be created in its place. Raises Unavailable."""
    kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.damaged")
    try:
        _rename(path, kept)
        for old in sorted(path.parent.glob(f"{path.name}.*.damaged"))[:-MAX_SET_ASIDE]:
            for part in _parts(old):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(
            f"{path}: the journal is damaged ({reason}) and cannot be renamed: {error.strerror}"
        ) from error
    logger.warning(
        "%s: the journal is damaged (%s); it was renamed to %s and a new one was created: the stream is read from "
        "where its source begins, and open events and undelivered lines are only in the renamed file",
        path,
        reason,
        kept.name,
    )


def put_in_place(copy: Path, folder: Path, *, keep: bool) -> str | None:
    """Make a copy of a database the database of a folder.

    keep: whether the one that is there is renamed; then its new name is returned. Raises Unavailable.
    """
    path = folder / FILE_NAME
    kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.replaced")
    try:
        if keep:
            _rename(path, kept)
        for old in _parts(path):
            old.unlink(missing_ok=True)
        copy.replace(path)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
    return kept.name if keep else None


def _parts(path: Path) -> list[Path]:
    """The files of a database: itself, its write-ahead log, and the index of that log."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def _rename(path: Path, kept: Path) -> None:
    """Rename all files of a database."""
    for old, new in zip(_parts(path), _parts(kept), strict=True):
        if old.exists():
            old.replace(new)


def _create(path: Path, file_mode: int) -> None:
    """Create an empty file, which SQLite takes for a new database; SQLite itself would leave its rights to the umask.

    An existing file is left as it is, and errors are left to SQLite. It must not be opened here: closing it would
    release the locks of SQLite in this process.
    """
    if not path.exists():
        with contextlib.suppress(OSError), open(path, "xb", opener=created_with(file_mode)):
            pass


def _has_types(row: Sequence[Any], *types: type) -> bool:
    """False for a damaged row: SQLite accepts a value of any type in any column."""
    return all(isinstance(value, kind) for value, kind in zip(row, types, strict=True))


def _line(row: tuple[Any, ...]) -> Line:
    """A row of `outbox`; in a damaged one each column can have any type."""
    seq, station, kind, body = row
    return Line(seq, str(station), str(kind), body if isinstance(body, bytes) else str(body).encode())


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(str(error)) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: a message that quotes damaged bytes
        raise Damaged(str(error)) from error
    except OSError as error:
        raise Unavailable(error.strerror or str(error)) from error

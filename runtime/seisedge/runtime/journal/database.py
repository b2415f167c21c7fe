"""Database: the one SQLite file of a state folder, opened, locked, or set aside where it is damaged.

Write-ahead log. `synchronous` is FULL for a transaction that stores a line of an event: when a sink may have it, it
outlives a loss of power. It is NORMAL for those of every second in between, which so cost no flush of the disk (and
no wear of a memory card): a loss of power may take the last of them back, whole, and then the stream is read again
from a slightly older token and says the same. A killed process loses neither.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from seisedge.runtime.errors import InputError

logger = logging.getLogger(__name__)

FILE_NAME = "journal.sqlite"
LOCK_NAME = "lock"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x5E15ED6E
WAL_LIMIT_BYTES = 4 << 20
BUSY_MS = 5000  # `seisedge state show` may be reading

# A machine in trouble, which an unattended station must live through; all else is a wrong argument.
TROUBLE = {errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ENODEV, errno.ENXIO}

TABLES = """
CREATE TABLE stations (
    source TEXT NOT NULL, station TEXT NOT NULL,
    token TEXT NOT NULL,         -- the stream goes on after it
    token_ns INTEGER NOT NULL,   -- no sample up to the token is newer
    front TEXT NOT NULL,         -- timelines after the token's packet, without samples
    back TEXT NOT NULL,          -- what was made of all packets at the time of the transaction
    settings TEXT NOT NULL,      -- fingerprint of what both were made with
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


class Unusable(Exception):
    """The disk does not take a journal now; the reason is the message."""


class Locked:
    """A state folder that is ours alone while this lives."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError for a folder that cannot be or is in use, Unusable for a disk in trouble."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = (folder / LOCK_NAME).open("wb")
        except OSError as error:
            if error.errno in TROUBLE:
                raise Unusable(f"{folder}: {error.strerror}") from error
            reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
            raise InputError(f"{folder}: cannot be the state folder: {reason}; give another --state") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(f"{folder}: this state folder is in use by another run; one folder a process") from None

    def close(self) -> None:
        self._file.close()


def open_database(folder: Path) -> sqlite3.Connection:
    """The journal of a locked folder; a new one where there is none, or where what is there is damaged.

    Raises InputError where it was made by a newer release or is not ours, Unusable for a disk in trouble.
    """
    path = folder / FILE_NAME
    try:
        return _opened(path)
    except sqlite3.OperationalError as error:
        raise Unusable(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        set_aside(path, str(error))
    try:
        return _opened(path)
    except sqlite3.Error as error:
        raise Unusable(f"{path}: {error}") from error


def set_aside(path: Path, reason: str) -> None:
    """Keep a damaged journal under another name, so that a new one can be begun."""
    kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.damaged")
    logger.warning(
        "%s: the journal is damaged (%s); kept as %s, begun anew: the stream goes on from where its source begins, "
        "and what was open or not yet delivered is only in that file",
        path,
        reason,
        kept.name,
    )
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(kept.with_name(kept.name + suffix))


def read_database(folder: Path) -> sqlite3.Connection:
    """For looking only; raises InputError where there is no journal that can be read."""
    path = folder / FILE_NAME
    if not path.exists():
        raise InputError(f"{folder}: no journal there ({FILE_NAME}); give the folder that `seisedge run --state` has")
    try:
        link = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        link.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        _check(link, path)
    except sqlite3.Error as error:
        raise InputError(f"{path}: the journal cannot be read: {error}") from error
    return link


def make_room(link: sqlite3.Connection, places: Mapping[str, int], seq: int) -> tuple[int, int]:
    """Put what an earlier run has left for the sinks behind the `seq` lines of a run that began without the database.

    places: the last line that each sink of this run has. What one of them had not got from the earlier run comes to
    all of them, for they tell by (id, revision) what they have. Returns the newest number, and the count of lines.
    """
    link.execute("BEGIN IMMEDIATE")
    try:
        (newest,) = link.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
        before = dict(link.execute("SELECT name, seq FROM sinks"))
        given = min((before.get(name, newest) for name in places), default=newest)
        link.execute("DELETE FROM outbox WHERE seq <= ?", (given,))
        link.execute("UPDATE outbox SET seq = -seq")  # by way of numbers that none of them has
        link.execute("UPDATE outbox SET seq = -seq + ?", (seq - given,))
        now_ns = time.time_ns()
        rows = [(name, place, now_ns) for name, place in places.items()]
        link.executemany("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?)", rows)
        found: tuple[int, int] = link.execute("SELECT coalesce(max(seq), ?), count(*) FROM outbox", (seq,)).fetchone()
        link.execute("COMMIT")
    except BaseException:
        if link.in_transaction:
            link.execute("ROLLBACK")
        raise
    return found


def _opened(path: Path) -> sqlite3.Connection:
    link = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        link.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        link.execute("PRAGMA journal_mode = WAL")
        link.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        if not link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            link.executescript(
                f"BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        _check(link, path)
        verdict = link.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        link.close()
        raise
    return link


def _check(link: sqlite3.Connection, path: Path) -> None:
    if link.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InputError(f"{path}: not a journal of seisedge; give another --state")
    version = link.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: made by a newer seisedge (journal schema {version}, this one knows {SCHEMA_VERSION}); "
            "update seisedge or give another --state"
        )

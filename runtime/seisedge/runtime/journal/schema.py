"""Schema of the journal: the name of its file, its tables, and the checks that a file is a journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from seisedge.runtime.errors import InputError
from seisedge.runtime.urls import url_key

FILE_NAME = "journal.sqlite"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x5E15ED6E
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
# Added after the first release; earlier releases ignore it, so that a station can go back to them.
CONTENTS_TABLE = """
CREATE TABLE IF NOT EXISTS contents (
    id TEXT NOT NULL, revision INTEGER NOT NULL, -- of `emitted`
    digest BLOB NOT NULL, last INTEGER NOT NULL, -- see `RevisionContent`
    PRIMARY KEY (id, revision)
) WITHOUT ROWID;
"""
COLUMNS = {
    "stations": ["source", "station", "token", "token_ns", "front", "back", "settings", "updated_ns"],
    "emitted": ["id", "revision", "emitted_ns"],
    "hops": ["source", "station", "time"],
    "outbox": ["seq", "station", "kind", "body", "created_ns"],
    "sinks": ["name", "seq", "updated_ns"],
}
ADDED_COLUMNS = {"contents": ["id", "revision", "digest", "last"]}


def check_columns(link: sqlite3.Connection, tables: Mapping[str, list[str]] = COLUMNS) -> None:
    """Raises sqlite3.DatabaseError if a table is not that of `TABLES`: its definition is damaged."""
    for table, columns in tables.items():
        found = [row[1] for row in link.execute(f"PRAGMA table_info({table})")]
        if found != columns:
            raise sqlite3.DatabaseError(f"the table {table} must have the columns {', '.join(columns)}")


def check_version(link: sqlite3.Connection, path: Path) -> None:
    if link.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InputError(f"{path}: not a journal of seisedge; give another --state")
    version = link.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: made by a newer seisedge (journal schema {version}, this release reads up to {SCHEMA_VERSION}); "
            "update seisedge or give another --state"
        )


def text_of_column(data: bytes) -> str:
    """Text of a column: one damaged character must not make a row unreadable."""
    return data.decode("utf-8", "replace")


def sink_key(name: str) -> str:
    """The name of a sink, without the secrets of a webhook's URL; idempotent."""
    kind, space, url = name.partition(" ")
    return f"{kind} {url_key(url)}" if space and kind == "webhook" else name

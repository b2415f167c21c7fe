"""Reading a journal that a run may be writing to, for `seisedge state show`."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Self

from seisedge.runtime.errors import InputError
from seisedge.runtime.journal.schema import BUSY_S, FILE_NAME, check_version, sink_key, text_of_column
from seisedge.runtime.urls import shown_url


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
            self._link = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", timeout=BUSY_S, uri=True)
            self._link.text_factory = text_of_column
            check_version(self._link, self.path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: the journal cannot be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def stations(self) -> list[tuple[str, str, str, int, str, int]]:
        """(source, station, token, token_ns, back, updated_ns) of each station. Raises InputError, as all below."""
        rows = self._rows(
            "SELECT source, station, token, token_ns, back, updated_ns FROM stations ORDER BY source, station"
        )
        return [(shown_url(source), *rest) for source, *rest in rows]

    def sinks(self) -> list[tuple[str, int, int]]:
        """(name, number of waiting lines, updated_ns) of each sink."""
        rows = self._rows(
            "SELECT name, (SELECT count(*) FROM outbox WHERE outbox.seq > sinks.seq), updated_ns "
            "FROM sinks ORDER BY name"
        )
        return [(sink_key(name), waiting, updated_ns) for name, waiting, updated_ns in rows]

    def line_count(self) -> int:
        """Number of lines in the outbox."""
        return int(self._rows("SELECT count(*) FROM outbox")[0][0])

    def revision_count(self) -> int:
        """Number of revisions stored as emitted."""
        return int(self._rows("SELECT count(*) FROM emitted")[0][0])

    def _rows(self, query: str) -> list[Any]:
        try:
            return self._link.execute(query).fetchall()
        except sqlite3.ProgrammingError:  # closed
            raise
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: the journal cannot be read: {error}") from error

"""Store: the database of a state folder, through disk faults and their repair.

A state folder that cannot be used because of a wrong argument ends the run at its start. A disk fault does not, at
the start or later: the run continues, sinks receive lines that are not stored, and the store retries every `RETRY_S`.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from pathlib import Path

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import OWNER_ONLY
from seisedge.runtime.journal._base import JournalCounters
from seisedge.runtime.journal.database import (
    Contents,
    Damaged,
    Database,
    Transaction,
    open_database,
    put_in_place,
    set_aside,
)
from seisedge.runtime.journal.folder_lock import FolderLock, Unavailable
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.journal.revision_content import RevisionContent
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.journal.storage_clock import StorageClock

logger = logging.getLogger(__name__)

RETRY_S = 10.0


class StoreState(enum.Enum):
    """Whether transactions can be written.

    UNAVAILABLE → FAILING (`_opened_late`) → STORING (`_written`); STORING → FAILING (`_failed`);
    any → UNAVAILABLE (`_unavailable`), CLOSED (`close`).
    """

    STORING = "storing"  # the database is open and the last transaction succeeded
    FAILING = "failing"  # the database is open and no transaction has succeeded since a fault
    UNAVAILABLE = "unavailable"  # the database cannot be opened
    CLOSED = "closed"


class Store:
    """The state folder of one run. `outbox` reads stored lines from the database while there is one."""

    def __init__(
        self,
        folder: Path,
        source: str,
        outbox: Outbox,
        counters: JournalCounters,
        now_s: Callable[[], float],
        clock: StorageClock,
        file_mode: int = OWNER_ONLY,
    ) -> None:
        """clock: is set to continue from what is stored. file_mode: rights of created files.

        Raises InputError for a folder that cannot be used.
        """
        self.folder = folder
        self.contents = Contents([], {}, {}, 0)  # of earlier runs
        self._outbox = outbox
        self._counters = counters
        self._now_s = now_s
        self._clock = clock
        self._file_mode = file_mode
        self._displaced = ""  # why the database cannot be put where it belongs, as last logged
        self._lock: FolderLock | None = None
        self._reason = ""  # for UNAVAILABLE, as last logged
        self._retry_s = 0.0  # when to open the database again
        self._open(source)

    def _open(self, source: str) -> None:
        database: Database | None = None
        try:
            self._lock = FolderLock(self.folder, self._file_mode)
            database = open_database(self.folder, self._file_mode)
            try:
                contents, numbers = database.contents(source), database.numbers()
            except Damaged as error:
                database = self._new_database(database, error)
                contents, numbers = database.contents(source), database.numbers()
            self._clock.continue_from(database.newest_ns())
        except (Unavailable, Damaged) as error:
            if database is not None:
                database.close()
            self._unavailable(error)
        except InputError:
            if self._lock is not None:
                self._lock.close()
            raise
        else:
            self.contents = contents
            self._outbox.start(contents.seq, contents.places, numbers)
            self._enter(StoreState.STORING, database)

    def _new_database(self, damaged: Database, error: Damaged) -> Database:
        """A new database in place of one that turns out to be damaged. Raises Unavailable or InputError."""
        damaged.close()
        set_aside(damaged.path, str(error))
        return open_database(self.folder, self._file_mode)

    @property
    def state(self) -> StoreState:
        return self._state

    @property
    def failing(self) -> bool:
        if self._state in (StoreState.FAILING, StoreState.UNAVAILABLE):
            return True
        return bool(self._displaced) or (self._database is not None and self._database.read_fault is not None)

    def was_emitted(self, event_id: str, revision: int) -> bool:
        """True if this revision of an event is stored as emitted; False where that cannot be read."""
        return self._database is not None and self._database.was_emitted(event_id, revision)

    def contents_of(self, event_id: str) -> dict[int, RevisionContent | None]:
        """By emitted revision of an event, its content where that is stored; {} where it cannot be read."""
        return {} if self._database is None else self._database.contents_of(event_id)

    def reopen_if_due(self, now_ns: int) -> bool:
        """Open an unavailable database again if `RETRY_S` have passed; False if it was not tried.

        Its lines are put behind those of this run, and its stations are replaced by those of this run.
        """
        if self._state is not StoreState.UNAVAILABLE or self._now_s() < self._retry_s:
            return False
        database: Database | None = None
        try:
            if self._lock is None:
                self._lock = FolderLock(self.folder, self._file_mode)
            database = open_database(self.folder, self._file_mode)
            with self._outbox.lock:
                try:
                    newest = database.merge(self._outbox.places, self._outbox.seq, now_ns)
                except Damaged as error:
                    database = self._new_database(database, error)
                    newest = database.merge(self._outbox.places, self._outbox.seq, now_ns)
                numbers = database.numbers()
                self._clock.continue_from(database.newest_ns())
                self._outbox.renumber(newest, numbers)
                self._opened_late(database)
        except (Unavailable, Damaged, InputError) as error:
            if database is not None:
                database.close()
            self._unavailable(error)
        return True

    def keep_in_place(self) -> None:
        """Write the database again if the folder or a file in it was removed or replaced while this run uses it.

        Until that succeeds, the run continues with the removed files; it is retried every `RETRY_S`.
        """
        if self._database is None or self._lock is None:
            return
        folder_in_place = self._lock.in_place()
        if (folder_in_place and self._database.in_place()) or (self._displaced and self._now_s() < self._retry_s):
            return
        with self._outbox.lock:
            copy = self.folder / f"{FILE_NAME}.part"
            try:
                if not folder_in_place:
                    lock = FolderLock(self.folder, self._file_mode)
                    self._lock.close()
                    self._lock = lock
                self._database.copy(copy, self._file_mode)
            except (Unavailable, Damaged, InputError) as error:
                self._retry_s = self._now_s() + RETRY_S
                logger.log(
                    logging.DEBUG if str(error) == self._displaced else logging.WARNING,
                    "%s: the folder or a file in it was removed or replaced during the run, and the journal cannot be "
                    "written there again: %s; retry every %g s",
                    self.folder,
                    error,
                    RETRY_S,
                )
                self._displaced = str(error)
                return
            self._put(copy, self._database)

    def _put(self, copy: Path, before: Database) -> None:
        """Continue with a copy of the database at its place."""
        self._displaced = ""
        keep = before.names_other_file()
        before.close()
        try:
            other = put_in_place(copy, self.folder, keep=keep)
            database = open_database(self.folder, self._file_mode)
        except (Unavailable, InputError) as error:
            self._unavailable(error)
            return
        self._enter(self._state, database)
        logger.warning(
            "%s: the folder or a file in it was removed or replaced during the run; the journal was written there again"
            "%s; end the run before you change its state folder",
            self.folder,
            f", and the other file renamed to {other}" if other is not None else "",
        )

    def write(self, transaction: Transaction) -> bool:
        """Write a transaction; False if it failed. Call it with the outbox locked."""
        if self._database is None:
            return False
        try:
            if self._database.damaged is not None:  # found by a sink that read a line
                raise Damaged(self._database.damaged)
            self._database.write(transaction)
        except Unavailable as error:
            self._failed(error)
            return False
        except Damaged as error:
            self._failed(error)
            self._replace(error)
            return False
        self._written()
        return True

    def prune(self, before_ns: int, max_lines: int) -> int:
        """Remove what is older or beyond; returns the number of lines removed. Call it with the outbox locked."""
        if self._database is None:
            return 0
        try:
            removed, newest = self._database.prune(before_ns, max_lines)
            self._outbox.removed(newest)
            return removed
        except Unavailable as error:
            self._failed(error)
        except Damaged as error:
            self._failed(error)
            self._replace(error)
        return 0

    def close(self) -> None:
        """Close the database and unlock the folder."""
        with self._outbox.lock:
            if self._database is not None:
                self._database.close()
            self._enter(StoreState.CLOSED, None)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # transitions

    def _enter(self, state: StoreState, database: Database | None) -> None:
        self._state = state
        self._database = database
        self._outbox.connect(database, stored_only=state is StoreState.STORING)

    def _opened_late(self, database: Database) -> None:
        self._reason = ""
        self._enter(StoreState.FAILING, database)

    def _written(self) -> None:
        if self._state is StoreState.FAILING:
            logger.info("%s: the journal can be written again", self.folder)
            self._enter(StoreState.STORING, self._database)

    def _failed(self, error: Exception) -> None:
        self._counters.failures += 1
        logger.log(
            logging.DEBUG if self._state is StoreState.FAILING else logging.WARNING,
            "%s: the journal cannot be written: %s; lines go to the sinks without being stored, retry every %g s",
            self.folder,
            error,
            RETRY_S,
        )
        self._enter(StoreState.FAILING, self._database)

    def _unavailable(self, error: Exception) -> None:
        self._retry_s = self._now_s() + RETRY_S
        logger.log(
            logging.DEBUG if str(error) == self._reason else logging.WARNING,
            "%s; the run continues without a journal: until the disk is repaired, a restart begins where the source "
            "begins and loses lines that the sinks have not received; retry every %g s",
            error,
            RETRY_S,
        )
        self._reason = str(error)
        self._enter(StoreState.UNAVAILABLE, None)

    def _replace(self, error: Damaged) -> None:
        """Set the damaged file aside and continue with a new one."""
        if self._database is None:
            return
        self._database.close()
        try:
            set_aside(self._database.path, str(error))
            # these lines are in the renamed file only
            self._counters.dropped_lines += self._outbox.renumber(self._outbox.seq, [])
            self._enter(StoreState.FAILING, open_database(self.folder, self._file_mode))
        except Unavailable as trouble:
            self._unavailable(trouble)

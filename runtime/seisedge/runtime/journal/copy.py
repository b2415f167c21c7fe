"""A copy of a journal in one file: made while a run uses the journal, and put into an empty state folder."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import OWNER_ONLY, file_written_whole
from seisedge.runtime.journal.folder_lock import FolderLock, Unavailable
from seisedge.runtime.journal.schema import BUSY_S, FILE_NAME, check_columns, check_version

PAGES = 256  # copied at a time; a run can write between two steps


def export_journal(folder: Path, target: Path) -> int:
    """Copy the journal of a state folder to a file, which is written whole or not at all. Returns its size in bytes.

    The copy is consistent: it has everything up to one transaction. Raises InputError without a usable journal,
    FailedError if the copy cannot be made.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder}: no journal there: {FILE_NAME} is missing; give the folder of `seisedge run --state`"
        )
    with file_written_whole(target, OWNER_ONLY) as file:
        part = Path(file.name)
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro"
            with (
                contextlib.closing(sqlite3.connect(uri, timeout=BUSY_S, uri=True)) as source,
                contextlib.closing(sqlite3.connect(part)) as copy,
            ):
                check_version(source, path)
                source.backup(copy, pages=PAGES)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        except sqlite3.Error as error:
            raise FailedError(f"{path}: the journal cannot be copied: {error}") from error
    return target.stat().st_size


def import_journal(source: Path, folder: Path) -> None:
    """Put a copy into a state folder that has no journal yet.

    Raises InputError for a file that is no journal, is damaged or is of a newer version, for a folder that is in use or
    has a journal, and FailedError for a fault of the disk.
    """
    if not source.is_file():
        raise InputError(f"{source}: no such file; give a file made by `seisedge state export`")
    try:
        with contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as link:
            check_version(link, source)
            check_columns(link)
            verdict = link.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise InputError(f"{source}: this is no copy of a journal, or it is damaged: {error}") from error
    if verdict != "ok":
        raise InputError(f"{source}: the copy is damaged: {verdict}")
    try:
        lock = FolderLock(folder)
    except Unavailable as error:
        raise FailedError(str(error)) from error
    with contextlib.closing(lock):
        target = folder / FILE_NAME
        if target.exists():
            raise InputError(f"{folder}: there is a journal already; give a new folder, or move {FILE_NAME} away")
        with file_written_whole(target, OWNER_ONLY) as file, source.open("rb") as copy:
            shutil.copyfileobj(copy, file)

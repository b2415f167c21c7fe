"""A state folder is for one run, whatever is removed from it while the run uses it."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.runtime.journal.runs import Clock, event, state_of, waiting

from seisedge.runtime.errors import InputError
from seisedge.runtime.journal.folder_lock import LOCK_NAME, FolderLock
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.reader import DatabaseReader
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.journal.store import StoreState

IN_USE = "in use by another run"


def _remove(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def _rename_folder(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


def _replace_folder(folder: Path) -> None:
    _rename_folder(folder)
    folder.mkdir()


def _replace_database(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    with closing(sqlite3.connect(folder / FILE_NAME)) as link, link:
        link.execute("CREATE TABLE other (x)")


ATTACKS: dict[str, Callable[[Path], None]] = {
    "lock file removed": _remove(LOCK_NAME),
    "database removed": _remove(FILE_NAME),
    "write-ahead log removed": _remove(f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"),
    "all files removed": _remove(LOCK_NAME, FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"),
    "database replaced": _replace_database,
    "folder removed": shutil.rmtree,
    "folder renamed": _rename_folder,
    "folder replaced": _replace_folder,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_second_run_and_nothing_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture, attack: str) -> None:
    clock, folder = Clock(), tmp_path / "state"
    journal = Journal(folder, "list:", now_s=clock)
    journal.outbox.subscribe("sink", lambda: None)
    journal.add(event(0))
    journal.step()
    before = folder.stat().st_ino
    ATTACKS[attack](folder)
    if folder.exists() and folder.stat().st_ino == before:  # else a second run has a second to get another folder
        with pytest.raises(InputError, match=IN_USE):
            Journal(folder, "list:")
    clock.now_s += 1.0
    journal.add(event(1))
    journal.step()
    with pytest.raises(InputError, match=IN_USE):
        Journal(folder, "list:")
    assert state_of(journal) is StoreState.STORING and not journal.failing
    assert waiting(journal.outbox) == [("XX.STA-1", 0), ("XX.STA-1", 1)]
    with DatabaseReader(folder) as reader:
        assert (reader.line_count(), reader.revision_count()) == (2, 2)
    reported = [r.levelname for r in caplog.records if "was removed or replaced during the run" in r.message]
    assert reported == ([] if attack == "lock file removed" else ["WARNING"])
    assert "damaged" not in caplog.text
    assert len(list(folder.glob("*.replaced"))) == (attack == "database replaced")
    assert (folder / LOCK_NAME).exists() and not list(folder.glob("*.part*"))
    clock.now_s += 1.0
    journal.add(event(2))
    journal.step()
    assert len([r for r in caplog.records if "during the run" in r.message]) == len(reported)  # once
    journal.close()
    journal = Journal(folder, "list:")
    journal.outbox.subscribe("sink", lambda: None)
    assert waiting(journal.outbox) == [("XX.STA-1", revision) for revision in range(3)]
    assert not any(journal.add(event(revision)) for revision in range(3))
    journal.close()


def test_a_second_run_that_was_faster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It got a new folder before the first run looked: the first keeps its files, and says so."""
    clock, folder = Clock(), tmp_path / "state"
    journal = Journal(folder, "list:", now_s=clock)
    journal.outbox.subscribe("sink", lambda: None)
    journal.step()
    folder.rename(tmp_path / "moved")
    second = Journal(folder, "list:")
    for revision in range(3):
        clock.now_s += 4.0
        journal.add(event(revision))
        journal.step()
    assert journal.failing and IN_USE in caplog.text and "damaged" not in caplog.text
    assert len([r for r in caplog.records if "cannot be written there again" in r.message]) == 1
    assert len(waiting(journal.outbox)) == 3
    second.close()
    clock.now_s += 10.0
    journal.step()
    assert not journal.failing
    journal.close()
    with DatabaseReader(folder) as reader:
        assert reader.revision_count() == 3


def test_a_run_of_an_earlier_release_is_noticed(tmp_path: Path) -> None:
    """It locks the file only."""
    folder = tmp_path / "state"
    first = FolderLock(folder)
    os.close(first._descriptor)
    first._descriptor = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(InputError, match=IN_USE):
        FolderLock(folder)
    first.close()
    FolderLock(folder).close()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o600, 0o700), (0o640, 0o750), (0o660, 0o770)])
def test_rights_of_a_state_folder(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        lock = FolderLock(tmp_path / "one" / "state", file_mode)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "one").rglob("*")}
    assert modes == {tmp_path / "one" / "state": folder_mode, tmp_path / "one" / "state" / LOCK_NAME: file_mode}
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == folder_mode
    lock.close()

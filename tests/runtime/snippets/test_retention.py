"""Limits in days, bytes and free space: oldest first, snippets of events last, and the floor holds."""

import contextlib
import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.snippets import retention
from seisedge.runtime.snippets.names import DAY_S, day_path, snippet_path, with_suffix
from seisedge.runtime.snippets.retention import MB, Limits, Retention

DAY_0 = 18_000  # 2019-04-14
BLOCK = 4096
CHANNEL = SourceId("XX", "STA", "", "HHZ")


class Disk:
    """A disk of so many bytes, on which the files below a folder and other programs' files are."""

    def __init__(self, folder: Path, size: float) -> None:
        self.folder = folder
        self.size = size
        self.others = 0.0

    def free(self, _folder: Path) -> float:
        return self.size - self.others - self.used

    @property
    def used(self) -> int:
        """Bytes of the files. Files that another thread deletes meanwhile are left out."""
        used = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    used += Path(folder, name).stat().st_blocks * 512
        return used


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(tmp_path, 1000 * MB)
    monkeypatch.setattr(retention, "free_bytes", found.free)
    return found


def _archive(folder: Path, **changes: float) -> Limits:
    return Limits(folder / "sds", "archive", **{"keep_days": 3650.0, "max_mb": 1e6, "min_free_mb": 0.0} | changes)


def _snippets(folder: Path, **changes: float) -> Limits:
    return Limits(folder / "snippets", "snippets", **{"keep_days": 3650.0, "max_mb": 1e6, "min_free_mb": 0.0} | changes)


def _write(path: Path, size: int = BLOCK, written_day: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    if written_day is not None:
        os.utime(path, (written_day * DAY_S, written_day * DAY_S))
    return path


def _day(folder: Path, day: int, size: int = BLOCK) -> Path:
    return _write(day_path(folder / "sds", CHANNEL, day), size, day)


def _event(folder: Path, day: int, size: int = BLOCK, written_day: float | None = None) -> Path:
    date = f"2019-04-{day - DAY_0 + 14:02d}".replace("-", "")
    stem = snippet_path(folder / "snippets", f"XX.STA-{date}T120000.000")
    assert stem is not None
    for suffix in (".json", ".mseed"):
        _write(with_suffix(stem, suffix), size, day if written_day is None else written_day)
    return with_suffix(stem, ".mseed")


def _left(paths: list[Path]) -> list[int]:
    return [number for number, path in enumerate(paths) if path.exists()]


def _make_room(found: Retention, folder: Path, size: int = 1) -> None:
    with found.room(folder, size):
        pass


def test_age(tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    days, events = [_day(tmp_path, DAY_0 + n) for n in range(10)], [_event(tmp_path, DAY_0 + n) for n in range(10)]
    limits = [_archive(tmp_path, keep_days=3), _snippets(tmp_path, keep_days=5)]
    found = Retention(limits, lambda: (DAY_0 + 10.5) * DAY_S)
    with caplog.at_level(logging.INFO):
        found.enforce()
    assert _left(days) == [7, 8, 9] and _left(events) == [5, 6, 7, 8, 9]
    assert found.deleted[limits[0].folder].files == 7 and found.deleted[limits[1].folder].files == 10
    assert f"{tmp_path / 'sds'}: deleted 7 files, 0.0 MB: older than keep_days = 3" in caplog.text
    assert not (tmp_path / "snippets" / "XX.STA" / "2019-04-14").exists()  # nor an empty folder


def test_a_file_is_as_old_as_its_data_or_its_writing(tmp_path: Path, disk: Disk) -> None:
    """Old data that are read today stay; a clock that is years ahead deletes nothing while data of today arrive."""
    replayed = _event(tmp_path, DAY_0, written_day=DAY_0 + 5000)
    Retention([_snippets(tmp_path, keep_days=3)], lambda: (DAY_0 + 5001) * DAY_S).enforce()
    assert replayed.exists()
    days = [_day(tmp_path, DAY_0 + n) for n in range(3)]
    ahead = Retention([_archive(tmp_path, keep_days=3)], lambda: (DAY_0 + 9000) * DAY_S)
    ahead.note((DAY_0 + 2) * DAY_S * 10**9)
    ahead.enforce()
    assert _left(days) == [0, 1, 2]


def test_bytes(tmp_path: Path, disk: Disk) -> None:
    days = [_day(tmp_path, DAY_0 + n, 250_000) for n in range(8)]
    events = [_event(tmp_path, DAY_0 + n, 250_000) for n in range(8)]
    Retention([_archive(tmp_path, max_mb=1.1), _snippets(tmp_path, max_mb=1.1)]).enforce()
    assert _left(days) == [4, 5, 6, 7] and _left(events) == [6, 7]  # an event has two files


def test_free_space_snippets_last(tmp_path: Path, disk: Disk) -> None:
    days, events = (
        [_day(tmp_path, DAY_0 + n, MB) for n in range(4)],
        [_event(tmp_path, DAY_0 + n, MB) for n in range(4)],
    )
    found = Retention([_archive(tmp_path), _snippets(tmp_path, min_free_mb=100)])
    disk.others = 1000 * MB - disk.used - 98.5 * MB
    _make_room(found, tmp_path / "snippets")
    assert _left(days) == [2, 3] and _left(events) == [0, 1, 2, 3]
    disk.others += 5 * MB
    _make_room(found, tmp_path / "snippets")
    assert _left(days) == [] and _left(events) == [2, 3]
    disk.others += 50 * MB
    with pytest.raises(OSError, match="min_free_mb = 100") as caught:
        _make_room(found, tmp_path / "snippets")
    assert caught.value.errno == errno.ENOSPC and _left(events) == []


def test_the_last_block_of_a_file_counts(tmp_path: Path, disk: Disk) -> None:
    """A file of 4,100 bytes takes two blocks of the disk."""
    days = [_day(tmp_path, DAY_0 + n, MB) for n in range(2)]
    disk.others = 900 * MB - disk.used - 4200
    _make_room(Retention([_archive(tmp_path, min_free_mb=100)]), tmp_path / "sds", 4100)
    assert _left(days) == [1]


def test_an_archive_does_not_delete_snippets_nor_its_newest_day(tmp_path: Path, disk: Disk) -> None:
    days, event = [_day(tmp_path, DAY_0 + n, MB) for n in range(3)], _event(tmp_path, DAY_0, MB)
    found = Retention([_archive(tmp_path, min_free_mb=100), _snippets(tmp_path)])
    disk.others = 1000 * MB - disk.used - 50 * MB
    with pytest.raises(OSError, match="min_free_mb = 100"):
        _make_room(found, tmp_path / "sds")
    assert _left(days) == [2] and event.exists()


def test_the_log_is_bounded(tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """A message for the first file, and one for all others at the end."""
    found = Retention([_archive(tmp_path, max_mb=1)])
    with caplog.at_level(logging.INFO):
        for n in range(20):
            _day(tmp_path, DAY_0 + n, 900_000)
            found.enforce()
        found.close()
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "deleted 1 files, 0.9 MB: more than max_mb = 1",
        "deleted 18 files, 16.2 MB: more than max_mb = 1",
    ]


def test_files_of_others_stay(tmp_path: Path, disk: Disk) -> None:
    """Also on a disk that is too full, and whatever they are called but for the names of this program."""
    disk.others = disk.size
    for folder in ("sds", "snippets"):
        (tmp_path / folder).mkdir()
        _write(tmp_path / folder / "notes.txt")
        _write(tmp_path / folder / "2019" / "journal.sqlite")
    part = _write(tmp_path / "snippets" / ".XX.STA-20190414T120000.000.json.01ab23cd.part", written_day=DAY_0)
    Retention([_archive(tmp_path, min_free_mb=9), _snippets(tmp_path, min_free_mb=9)]).enforce()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "journal.sqlite", "journal.sqlite", "notes.txt", "notes.txt",
    ]  # fmt: skip
    assert not part.exists()  # what a killed run left


def test_a_file_that_cannot_be_deleted(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged once, and retried; nothing else is deleted in its place."""
    days, events = [_day(tmp_path, DAY_0 + n, MB) for n in range(3)], [_event(tmp_path, DAY_0, MB)]
    found = Retention([_archive(tmp_path, max_mb=1.5), _snippets(tmp_path)])
    unlink: Callable[..., None] = Path.unlink

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self == days[0]:
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patched, caplog.at_level(logging.INFO):
        patched.setattr(Path, "unlink", refused)
        found.enforce()
        found.enforce()
    assert _left(days) == [0, 1, 2] and _left(events) == [0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    found.enforce()
    assert _left(days) == [2]


def test_a_disk_that_does_not_answer_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: object) -> os.statvfs_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    days = [_day(tmp_path, DAY_0 + n) for n in range(3)]
    found = Retention([_archive(tmp_path, min_free_mb=100)])
    monkeypatch.setattr(os, "statvfs", broken)
    found.enforce()
    _make_room(found, tmp_path / "sds")
    assert _left(days) == [0, 1, 2] and retention.free_bytes(tmp_path) is None

"""Files that are replaced whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from seisedge.runtime.files import write_atomically


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"one")
    usual = tmp_path / "usual"
    usual.write_bytes(b"")
    assert path.read_bytes() == b"one" and path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "usual"]


def test_the_data_are_on_disk_before_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync of the file, then the new name, then fsync of the folder."""
    path, seen = tmp_path / "a.json", []
    path.write_bytes(b"old")
    real = os.fsync

    def recorded(handle: int) -> None:
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        seen.append(("folder" if folder else "file", os.fstat(handle).st_size if not folder else 0, path.read_bytes()))
        real(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    write_atomically(path, b"new content")
    assert seen == [("file", 11, b"old"), ("folder", 0, b"new content")]


def test_after_a_failure_the_old_file_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a.json", b"x")
    assert not any(tmp_path.iterdir())


def test_a_long_name_has_room_for_the_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    write_atomically(path, b"x")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

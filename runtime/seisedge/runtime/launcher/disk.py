"""Every change of the file system that an installation depends on, one method each.

Tests replace this class to stop after any operation, and to lose what was not synchronised when the power fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path


class Disk:
    """The real file system. Every method raises OSError."""

    def make_folder(self, path: Path) -> None:
        """Create a folder that only its owner can write; its parent must exist."""
        path.mkdir(mode=0o755)
        path.chmod(0o755)  # whatever the umask

    def write(self, path: Path, pieces: Iterable[bytes], mode: int = 0o644) -> None:
        """Create a file that only its owner can write. Its content is not synchronised."""
        with path.open("xb", buffering=0) as file:
            os.fchmod(file.fileno(), mode)
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[file.write(rest) :]

    def link(self, path: Path, target: str) -> None:
        """Create a symbolic link."""
        path.symlink_to(target)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or link another name in the same folder; an existing one is replaced."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Remove a file or link."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def sync_file(self, path: Path) -> None:
        """Write the content of a file to the device, not its name."""
        _synced(path, os.O_RDONLY)

    def sync_folder(self, path: Path) -> None:
        """Write the names in a folder to the device."""
        _synced(path, os.O_RDONLY | os.O_DIRECTORY)

    def sync_all(self, path: Path) -> None:
        """Write everything on the file system of a folder to the device, files and names.

        One call: a synchronisation of each of thousands of files takes minutes on an SD card.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):  # Python has no os.syncfs
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), str(path))
        finally:
            os.close(descriptor)

    # made of the operations above

    def remove_tree(self, path: Path) -> None:
        """Remove a folder with everything in it."""
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    self.remove_tree(Path(entry.path))
                else:
                    self.unlink(Path(entry.path))
        self.remove_folder(path)

    def replace_file(self, path: Path, pieces: Iterable[bytes], mode: int = 0o644) -> None:
        """Replace a file as a whole, durably: after a loss of power it is the old one or the new one."""
        part = path.with_name(f".{path.name}.part")
        if os.path.lexists(part):  # of a run that was killed
            self.unlink(part)
        try:
            self.write(part, pieces, mode)
            self.sync_file(part)
        except OSError:  # a full disk
            with contextlib.suppress(OSError):
                self.unlink(part)
            raise
        self.rename(part, path)
        self.sync_folder(path.parent)


def _synced(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

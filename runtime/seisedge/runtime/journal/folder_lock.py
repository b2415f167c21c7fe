"""Lock of a state folder: one run at a time may use it.

The folder itself is locked, so that no run gets in by the removal of a file in it. The file `lock` is locked as well:
earlier releases lock nothing else, and some network file systems lock no folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import IO

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import OWNER_ONLY, created_with, lock, make_folder

LOCK_NAME = "lock"

# Faults of a machine, which an unattended station must survive; any other error is a wrong argument.
DISK_FAULTS = {errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ENODEV, errno.ENXIO}


class Unavailable(Exception):
    """The disk cannot be read or written at present; the message gives the reason."""


class FolderLock:
    """An exclusive lock on a state folder, which is created if missing; released by `close`.

    file_mode: rights of the files of a folder that is created.
    """

    def __init__(self, folder: Path, file_mode: int = OWNER_ONLY) -> None:
        """Raises InputError for a folder that is in use or cannot be created, Unavailable for a disk fault."""
        self._folder = folder
        self._file_mode = file_mode
        with contextlib.ExitStack() as opened:
            try:
                make_folder(folder, file_mode)
                self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                opened.callback(os.close, self._descriptor)
                self._file = opened.enter_context(self._open_file())
            except OSError as error:
                if error.errno in DISK_FAULTS:
                    raise Unavailable(f"{folder}: {error.strerror}") from error
                reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
                raise InputError(f"{folder}: cannot be the state folder: {reason}; give another --state") from error
            try:
                lock(self._descriptor)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(
                    f"{folder}: this state folder is in use by another run; give each process its own --state"
                ) from None
            self._opened = opened.pop_all()

    def in_place(self) -> bool:
        """False if the folder was removed or replaced. A removed lock file is created again."""
        if _identity(self._folder) != _identity(self._descriptor):
            return False
        if _identity(self._folder / LOCK_NAME) != _identity(self._file.fileno()):
            with contextlib.suppress(OSError):  # the folder is still locked; the next call tries again
                file = self._opened.enter_context(self._open_file())
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._file.close()
                self._file = file
        return True

    def close(self) -> None:
        self._opened.close()

    def _open_file(self) -> IO[bytes]:
        return open(self._folder / LOCK_NAME, "wb", opener=created_with(self._file_mode))


def _identity(place: Path | int) -> tuple[int, int] | None:
    """Device and inode of a path or descriptor; None if there is nothing."""
    try:
        found = os.fstat(place) if isinstance(place, int) else place.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def identities(paths: list[Path]) -> dict[Path, tuple[int, int] | None]:
    """Which file each path names now; None: no file."""
    return {path: _identity(path) for path in paths}

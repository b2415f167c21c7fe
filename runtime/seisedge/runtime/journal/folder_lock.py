"""Lock of a state folder: one run at a time may use it."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

from seisedge.runtime.errors import InputError

LOCK_NAME = "lock"

# Faults of a machine, which an unattended station must survive; any other error is a wrong argument.
DISK_FAULTS = {errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ENODEV, errno.ENXIO}


class Unavailable(Exception):
    """The disk cannot be read or written at present; the message gives the reason."""


class FolderLock:
    """An exclusive lock on a state folder, which is created if missing; released by `close`."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError for a folder that is in use or cannot be created, Unavailable for a disk fault."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = (folder / LOCK_NAME).open("wb")
        except OSError as error:
            if error.errno in DISK_FAULTS:
                raise Unavailable(f"{folder}: {error.strerror}") from error
            reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
            raise InputError(f"{folder}: cannot be the state folder: {reason}; give another --state") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(
                f"{folder}: this state folder is in use by another run; give each process its own --state"
            ) from None

    def close(self) -> None:
        self._file.close()

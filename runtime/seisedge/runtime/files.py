"""Files that are replaced whole, files of limited size, and the rights with which files and folders are created.

A reader of a replaced file sees the old content or the new one, also after a loss of power.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

OWNER_ONLY = 0o600  # rights of a created file, unless a setting states others
MIB = 2**20


def read_up_to(path: Path, max_bytes: int) -> bytes:
    """The content of a file. Raises OSError (EFBIG) where it has more than `max_bytes`, without reading the rest."""
    parts, size = [], 0
    with path.open("rb") as file:
        while part := file.read(MIB):  # not at once: Python reserves as many bytes as it is to read
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise too_large(max_bytes)
    return b"".join(parts)


def too_large(max_bytes: int) -> OSError:
    """The error of a file that is larger than `max_bytes`; its `strerror` is a clause for a message."""
    size = f"{max_bytes // MIB} MiB" if max_bytes >= MIB else f"{max_bytes // 1024} KiB"
    return OSError(errno.EFBIG, f"it is larger than {size}")


def created_with(file_mode: int) -> Callable[[str, int], int]:
    """An `opener` for `open`: a new file has these rights, whatever the umask; an existing file keeps its own."""

    def opener(path: str, flags: int) -> int:
        if flags & os.O_CREAT:
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, flags | os.O_EXCL, file_mode)
                os.fchmod(descriptor, file_mode)
                return descriptor
        return os.open(path, flags, file_mode)

    return opener


def make_folder(folder: Path, file_mode: int) -> None:
    """Create a folder and its missing parents, accessible to those who may read a file of `file_mode`; no change to
    existing folders. Raises OSError.
    """
    folder_mode = file_mode | (file_mode & 0o444) >> 2
    for missing in [parent for parent in (folder, *folder.parents) if not parent.exists()][::-1]:
        missing.mkdir(mode=0o700, exist_ok=True)
        missing.chmod(folder_mode)  # whatever the umask
    folder.mkdir(exist_ok=True)  # raises FileExistsError for a file


def append_bounded(path: Path, data: bytes, max_bytes: int, file_mode: int = OWNER_ONLY) -> None:
    """Append to a file; above `max_bytes` it is renamed to `PATH.1` and replaces the older one.

    Raises OSError; then the file ends where it ended before.
    """
    with open(path, "ab", buffering=0, opener=created_with(file_mode)) as file:
        size = file.seek(0, os.SEEK_END)
        written = 0
        try:
            while written < len(data):
                written += file.write(data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise
    if size + len(data) > max_bytes:
        path.replace(path.with_name(f"{path.name}.1"))


def write_atomically(path: Path, data: bytes, file_mode: int | None = None) -> None:
    """Replace a file as a whole, see `file_written_whole`. Raises OSError."""
    with file_written_whole(path, file_mode) as file:
        file.write(data)


@contextlib.contextmanager
def file_written_whole(path: Path, file_mode: int | None = None) -> Iterator[BinaryIO]:
    """A new file beside `path`, which is flushed to disk and renamed onto `path` at the end of the block.

    The folder must exist. An existing file keeps its permissions. file_mode: rights of a new file; None: by the umask.
    Raises OSError with the name `path`; then, or if the block fails, `path` is as it was and nothing is left beside it.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=None if file_mode is None else created_with(file_mode)) as file:
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            error.filename = str(path)  # an error of writing has no name, and that of the part says nothing to a user
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is in the folder
    finally:
        os.close(folder)


def lock(descriptor: int) -> None:
    """Lock an open folder or file for this process. Raises BlockingIOError if another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system that cannot lock a folder
        return


@contextlib.contextmanager
def folder_written_whole(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, which is renamed to `out` at the end of the block; removed if the block fails.

    `out` must be missing or an empty folder. The remains of a process that was killed are removed. Raises OSError, and
    BlockingIOError if another process writes to `out`.
    """
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:100]}.partial")
    part.mkdir(exist_ok=True)
    descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock(descriptor)
        if not part.is_dir() or not os.path.samestat(part.stat(), os.fstat(descriptor)):
            raise BlockingIOError(errno.EAGAIN, "another process has just written it", str(out))
        try:
            for left in part.iterdir():
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            yield part
            part.replace(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)

"""Files that are replaced whole, and files that are read up to a stated size.

A reader of a replaced file sees the old content or the new one, also after a loss of power.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

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


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside `path`, flush it to disk and rename it onto `path`; the folder must exist.

    An existing file keeps its permissions. Raises OSError; then `path` is as it was, and nothing is left beside it.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is in the folder
    finally:
        os.close(folder)

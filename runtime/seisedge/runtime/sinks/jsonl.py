"""JSON lines: one line per revision; a line is written completely or not at all."""

from __future__ import annotations

import contextlib
import os
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.files import OWNER_ONLY, created_with, make_folder
from seisedge.runtime.journal.revision_content import content_of_revision
from seisedge.runtime.sinks._base import FILE_RETRY_S, Refused, Sink

MEMORY_BYTES = 4 << 20  # read from the end of the file to find lines that are already there
MAX_MB, KEEP_FILES = 64.0, 8


class JsonLinesSink(Sink):
    """Writes to an open stream and flushes each line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: Event | Hop) -> None:
        self._stream.write(msgspec.json.encode(line) + b"\n")
        self._stream.flush()

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()


class EventsFile(Sink):
    """A file that is emptied first, for `--events` without a state folder; a device or pipe is written as it is.

    file_mode: rights of a new file. A missing folder is created. Raises InputError if the file cannot be written.
    """

    retry_max_s = FILE_RETRY_S

    def __init__(self, path: Path, *, file_mode: int = OWNER_ONLY) -> None:
        try:
            self._file = _opened(path, file_mode, os.O_TRUNC)
        except OSError as error:
            raise InputError(f"{path}: events cannot be written to this file: {error.strerror}") from error
        self._size = 0

    def write(self, line: Event | Hop) -> None:
        body = msgspec.json.encode(line) + b"\n"
        _write_whole(self._file, body, self._size)
        self._size += len(body)

    def close(self) -> None:
        self._file.close()


class JsonLinesFile(Sink):
    """Appends to a file. At `max_mb` it is renamed to `PATH.1`, that one to `PATH.2`, up to `keep_files` of them.

    A line that is already in the last `MEMORY_BYTES` of the file or of `PATH.1` at the start is not written again; a
    revision that is there with another content, of another version after the journal was lost, is refused. An
    incomplete last line, left by a loss of power or a full disk, is removed. An event is flushed to the disk when
    `write` returns; a hop is flushed with the next event.

    file_mode: rights of new files. A missing folder is created. Raises InputError if the file cannot be written.
    """

    retry_max_s = FILE_RETRY_S

    def __init__(
        self, path: Path, *, max_mb: float = MAX_MB, keep_files: int = KEEP_FILES, file_mode: int = OWNER_ONLY
    ) -> None:
        self._path = path
        self._file_mode = file_mode
        self._max_bytes = round(max_mb * 1e6)
        self._keep_files = keep_files
        try:
            self._file = _opened(self._path, self._file_mode)
            self._size = self._whole_lines()
            self._present = _present(self._rotated(1)) | _present(path)
        except OSError as error:
            raise InputError(f"{path}: events cannot be written to this file: {error.strerror}") from error

    def write(self, line: Event | Hop) -> None:
        if self._present and (key := _key(line)) in self._present:
            content = self._present[key]
            if content is not None and isinstance(line, Event) and content_of_revision(line).digest != content:
                raise Refused(f"revision {line.revision} of {line.id} is in {self._path} with another content")
            return
        body = msgspec.json.encode(line) + b"\n"
        if self._size and self._size + len(body) > self._max_bytes:
            self._rotate()
        _write_whole(
            self._file, body, self._size
        )  # the next start removes an incomplete line that could not be removed
        self._size += len(body)
        if isinstance(line, Event):
            os.fdatasync(self._file.fileno())  # the journal will record it as delivered

    def close(self) -> None:
        self._file.close()

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _rotate(self) -> None:
        if self._path.exists():  # else an earlier attempt failed after the renaming
            for number in range(self._keep_files - 1, 0, -1):
                if self._rotated(number).exists():
                    self._rotated(number).replace(self._rotated(number + 1))
            if self._keep_files:
                self._path.replace(self._rotated(1))
            else:
                self._path.unlink()
        fresh = _opened(self._path, self._file_mode)
        self._file.close()
        self._file, self._size = fresh, 0

    def _whole_lines(self) -> int:
        """Remove an incomplete last line; returns the length of the file in bytes."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end:
                begin = max(0, end - 65536)
                file.seek(begin)
                newline = file.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    end = begin + newline + 1
                    break
                end = begin
        if end < size:
            self._file.truncate(end)
        return end


def _opened(path: Path, file_mode: int, more_flags: int = 0) -> FileIO:
    """Open a file to append to it; a missing folder is created. Raises OSError."""
    if not path.parent.exists():
        make_folder(path.parent, file_mode)
    create = created_with(file_mode)
    return open(path, "ab", buffering=0, opener=lambda name, flags: create(name, flags | more_flags))


def _write_whole(file: FileIO, body: bytes, size: int) -> None:
    """Append all of `body` to a file of `size` bytes. Raises OSError; then the file has its old size, if possible."""
    written = 0
    try:
        while written < len(body):
            written += file.write(body[written:])
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(size)
        raise


class _Head(msgspec.Struct):
    """The fields that identify a line: id and revision of an event; station, time and content of a hop.

    Station and time are not enough for a hop: after a clock was set back, different hops have the same time.
    """

    station: str = ""
    id: str = ""
    revision: int = 0
    time: str = ""
    coverage: float = 0.0
    probabilities: dict[str, float] | None = None


def _key(line: Event | Hop | _Head) -> tuple[str, int]:
    if isinstance(line, Event) or (isinstance(line, _Head) and line.id):
        return line.id, line.revision
    return f"{line.station} {line.time} {line.coverage} {line.probabilities}", -1


def _present(path: Path) -> dict[tuple[str, int], bytes | None]:
    """Keys of the lines at the end of a file, and what an event contains; lines of other programs are skipped."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MEMORY_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[tuple[str, int], bytes | None] = {}
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            key = _key(msgspec.json.decode(line, type=_Head))
            found[key] = None
            found[key] = content_of_revision(msgspec.json.decode(line, type=Event)).digest
    return found

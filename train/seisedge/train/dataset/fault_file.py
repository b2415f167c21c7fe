"""A file for HDF5 that reports no error to it: HDF5 cannot close a file after an error of the disk, and crashes."""

from __future__ import annotations

import io
from pathlib import Path

from seisedge.runtime.errors import FailedError


class FaultFile(io.RawIOBase):
    """A new file for reading and writing. After an error of the disk, what is written is kept in memory.

    `check` raises the error. Call it after each operation of HDF5, so that the memory holds that of one operation.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._file = path.open("x+b", buffering=0)
        self._place = self._size = 0
        self._error: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []  # place and content of writes after the error

    def check(self) -> None:
        """Raises FailedError if a write has failed."""
        if self._error is not None:
            reason = self._error.strerror
            raise FailedError(f"{self.path.parent.parent}: the data set cannot be written: {reason}") from self._error

    def close(self) -> None:
        self._file.close()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def truncate(self, size: int | None = None) -> int:
        self._size = self._place if size is None else size
        if self._error is None:
            try:
                self._file.truncate(self._size)
            except OSError as error:
                self._error = error
        return self._size

    def write(self, data: object) -> int:
        content = bytes(data)  # type: ignore[call-overload]  # a buffer of h5py
        written = 0
        if self._error is None:
            try:
                self._file.seek(self._place)
                while written < len(content):
                    written += self._file.write(content[written:])
            except OSError as error:
                self._error = error
        if written < len(content):
            self._kept.append((self._place + written, content[written:]))
        self._place += len(content)
        self._size = max(self._size, self._place)
        return len(content)

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # a buffer of h5py
        begin, end = self._place, min(self._place + len(view), self._size)
        content = bytearray(max(end - begin, 0))
        self._file.seek(begin)
        found = self._file.read(len(content)) or b""
        content[: len(found)] = found
        for place, kept in self._kept:
            low, high = max(place, begin), min(place + len(kept), end)
            if low < high:
                content[low - begin : high - begin] = kept[low - place : high - place]
        view[: len(content)] = content
        self._place += len(content)
        return len(content)

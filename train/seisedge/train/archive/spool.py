"""The samples of the records of an archive: in memory up to a limit, in temporary files beyond it.

Files are in the folder of TMPDIR, else in /var/tmp, which is on a disk where /tmp may be in memory. They have no name,
so that nothing is left behind, however the process ends. Arrays in a file are memory maps: the system reads what is
used, and takes the memory back when it is needed.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.machine import memory_limit_mib

Parts = dict[int, tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]  # row (Z, N, E) → samples and mask
Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]
Stored = list[tuple[int, int, int]]  # row, offset in the file and number of samples

BYTES_A_SAMPLE = 5  # float32 and a mask
SHARE_OF_MEMORY = 0.5  # by default
ON_DISK = "/var/tmp"


def default_limit_bytes() -> int | None:
    """Memory for the samples; None where the memory of the machine is unknown."""
    limit_mib = memory_limit_mib()
    return None if limit_mib is None else round(SHARE_OF_MEMORY * limit_mib * MIB)


def scratch_folder() -> Path:
    """The folder of the temporary files."""
    named = os.environ.get("TMPDIR")
    if named:
        return Path(named)
    return Path(ON_DISK if Path(ON_DISK).is_dir() else tempfile.gettempdir())


def size_of_arrays(records: int, longest: int) -> int:
    """Bytes of the arrays of `Spool.arrays`."""
    return records * 3 * longest * BYTES_A_SAMPLE


class Spool:
    """Collects the samples of records. limit_bytes: largest number of bytes in memory; None: no limit."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._records: list[Parts | Stored] = []
        self._in_memory: list[int] = []  # records
        self._bytes_in_memory = 0
        self._file: IO[bytes] | None = None

    def add(self, parts: Parts) -> None:
        """Add the next record. Raises InputError if the disk is full."""
        self._in_memory.append(len(self._records))
        self._records.append(parts)
        self._bytes_in_memory += sum(x.nbytes + mask.nbytes for x, mask in parts.values())
        if self._limit_bytes is not None and self._bytes_in_memory > self._limit_bytes:
            self._store()

    def arrays(self, chosen: Sequence[int], longest: int) -> Arrays:
        """Samples and mask (chosen, 3, longest) of the chosen records, 0 after the end of each. Empties the spool.

        Memory maps if they exceed the limit. Raises InputError if the disk is full.
        """
        shape = (len(chosen), 3, longest)
        in_memory = self._limit_bytes is None or size_of_arrays(len(chosen), longest) <= self._limit_bytes
        with self._file or contextlib.nullcontext():
            try:
                return self._in_arrays(chosen, shape) if in_memory else self._in_files(chosen, shape)
            except OSError as error:
                raise _full(error) from error

    def _in_arrays(self, chosen: Sequence[int], shape: tuple[int, int, int]) -> Arrays:
        waveform, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
        for k, i in enumerate(chosen):
            for row, (x, mask) in self._take(i).items():
                waveform[k, row, : len(x)] = x
                valid[k, row, : len(x)] = mask
        return waveform, valid

    def _in_files(self, chosen: Sequence[int], shape: tuple[int, int, int]) -> Arrays:
        """Written as files and not through the maps: a full disk is then an error, not a signal."""
        n, longest = math.prod(shape), shape[2]
        with _new_file() as samples, _new_file() as masks:
            samples.truncate(4 * n)
            masks.truncate(n)
            for k, i in enumerate(chosen):
                for row, (x, mask) in self._take(i).items():
                    samples.seek(4 * (3 * k + row) * longest)
                    samples.write(x.data)
                    masks.seek((3 * k + row) * longest)
                    masks.write(mask.data)
            samples.flush()
            masks.flush()
            return np.memmap(samples, np.float32, "r+", shape=shape), np.memmap(masks, np.bool_, "r+", shape=shape)

    def _store(self) -> None:
        """Move all records from memory to the file."""
        self._file = self._file or _new_file()
        try:
            self._file.seek(0, os.SEEK_END)
            for i in self._in_memory:
                parts, stored = self._records[i], []
                assert isinstance(parts, dict)
                for row, (x, mask) in parts.items():
                    stored.append((row, self._file.tell(), len(x)))
                    self._file.write(x.data)
                    self._file.write(mask.data)
                self._records[i] = stored
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it would write the rest
                self._file.close()
            raise _full(error) from error
        self._in_memory, self._bytes_in_memory = [], 0

    def _take(self, i: int) -> Parts:
        """The samples of a record, which is removed. Raises OSError."""
        record, self._records[i] = self._records[i], {}
        if isinstance(record, dict):
            return record
        assert self._file is not None
        out: Parts = {}
        for row, offset, n in record:
            self._file.seek(offset)
            x = np.frombuffer(self._file.read(4 * n), np.float32)
            out[row] = x, np.frombuffer(self._file.read(n), np.bool_)
        return out


def _new_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=scratch_folder())
    except OSError as error:
        raise _full(error) from error


def _full(error: OSError) -> InputError:
    return InputError(
        f"{scratch_folder()}: the records do not fit into the memory, and a temporary file for them cannot be written: "
        f"{error.strerror}; set TMPDIR to a folder with more space, or use fewer records (--limit)"
    )

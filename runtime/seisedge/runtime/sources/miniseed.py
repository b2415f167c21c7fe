"""miniSEED from files, folders or standard input.

Files are indexed by their headers first and then decoded record by record, all channels merged in order of the
records' last samples (ties by source id): the order in which a digitizer would have sent them.
"""

from __future__ import annotations

import itertools
import logging
import mmap
import os
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.records.miniseed import HEADER_BYTES, BadRecord, Scanner, is_header, record_length
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources._base import MAX_REASONS, Source
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._uniform import UniformRecords, uniform_records
from seisedge.runtime.sources.batch import Batch, batch_size, read_batch

logger = logging.getLogger(__name__)

STDIN = "-"
NO_RECORD = "no usable record"
CHUNK_BYTES = 1 << 20
MAX_OPEN_FILES = 64

Places = npt.NDArray[Any]


class MiniSeedSource(Source):
    """Recorded miniSEED, in the order of a digitizer; from standard input in order of arrival.

    paths: files, folders (searched recursively, other files skipped), or `-` alone for standard input.

    `open` reads all headers: 36 bytes of memory per record, no samples. Raises InputError for a path that does not
    exist, DataError for a named file without a usable record. Truncated, damaged and unusable records among good ones
    are counted and logged.
    """

    def __init__(self, paths: Sequence[str | Path], url: str | None = None) -> None:
        super().__init__(url if url is not None else ",".join(str(path) for path in paths))
        self._paths = [str(path) for path in paths]
        if not self._paths:
            raise InputError("no data given; name miniSEED files, folders or '-' for standard input")
        if STDIN in self._paths and len(self._paths) > 1:
            raise InputError("standard input ('-') cannot be combined with files; give either")
        self._files: list[Path] = []
        self._indexes: Iterator[RecordIndex] | None = None
        self._closed = False

    def open(self) -> None:
        """Index the files, or as many of them as the first packets need."""
        if self._paths == [STDIN] or self._indexes is not None:
            return
        indexes = self._index_in_parts()
        self._indexes = itertools.chain([next(indexes)], indexes)

    def _index_in_parts(self) -> Iterator[RecordIndex]:
        """Sorted indexes; all records of one come before those of the next. Here: one index of all files."""
        index = RecordIndex()
        for path in self._paths:
            self._add(Path(path), index)
        index.sort()
        yield index

    def packets(self) -> Iterator[Packet | None]:
        """All packets, in order of their last samples."""
        for _record, packet in self.records():
            yield packet

    def batches(self) -> Iterator[Packet | Batch | None]:
        """As `packets`; records that are alike come together."""
        if self._paths == [STDIN]:
            yield from self.packets()
            return
        for files, file, offset, length in self._pieces():
            batch = read_batch(files.read, file, offset, length, self._decoder)
            if batch is None:
                for _record, packet in self._decoded(files, file, offset, length):
                    yield packet
                continue
            self.counters.records += len(batch)
            self.counters.bytes += batch.table.size
            yield batch

    def records(self) -> Iterator[tuple[bytes, Packet]]:
        """As `packets`, each with its record."""
        if self._paths == [STDIN]:
            yield from self._from_stream(sys.stdin.buffer)
            return
        for files, file, offset, length in self._pieces():
            yield from self._decoded(files, file, offset, length)

    def _pieces(self) -> Iterator[tuple[OpenFiles, Places, Places, Places]]:
        """File number, offset and length of all records, in order, some at a time."""
        self.open()
        assert self._indexes is not None
        indexes, self._indexes = self._indexes, None
        with OpenFiles(self._files) as files:
            for piece in (piece for index in indexes for piece in index.pieces()):
                if self._closed:
                    return
                yield files, *piece

    def _decoded(
        self, files: OpenFiles, file: Places, offset: Places, length: Places
    ) -> Iterator[tuple[bytes, Packet]]:
        """The records at these places one by one, each with its packet."""
        for number, begin, size in zip(file.tolist(), offset.tolist(), length.tolist(), strict=True):
            if self._closed:
                return
            record = files.read(number, begin, size)
            packet = self._decoder.packet(record, time.monotonic_ns())
            if isinstance(packet, BadRecord):
                self.set_aside(packet, f"{self._files[number]}, byte {begin}")
                continue
            self.counters.records += 1
            self.counters.bytes += size
            yield record, packet

    def close(self) -> None:
        """End `packets` after the current packet."""
        self._closed = True

    def _add(self, path: Path, index: RecordIndex) -> None:
        if path.is_dir():
            before, passed_over, unusable = len(index), [], ""
            for file in sorted(path.rglob("*")):
                fault = self._index_file(file, index) if file.is_file() else None
                if fault is not None:
                    passed_over.append(file)
                    unusable = unusable or (f"{file}: {fault}" if fault.startswith(NO_RECORD) else "")
            if len(index) == before and unusable:
                raise DataError(f"{path}: no usable record in this folder ({len(passed_over)} files); {unusable}")
            if len(index) == before:
                raise DataError(f"{path}: no miniSEED in this folder ({len(passed_over)} files looked at)")
            if passed_over:
                logger.info(
                    "%s: %d files without miniSEED passed over, the first %s",
                    path,
                    len(passed_over),
                    passed_over[0],
                )
            return
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        fault = self._index_file(path, index)
        if fault is not None:
            raise DataError(f"{path}: {fault}")

    def _index_file(self, path: Path, index: RecordIndex) -> str | None:
        """Add the records of a file. Returns the reason if it has no usable record, else None."""
        scanner, file_number, found = Scanner(), len(self._files), 0
        first_bytes, why = b"", Counter[str]()
        try:
            with path.open("rb") as file:
                self._files.append(path)
                if self._index_table(file, file_number, index):
                    return None
                for offset, record in _scan(file, scanner):
                    header = self._decoder.header(record)
                    if isinstance(header, BadRecord):
                        why[header.reason] += 1
                        self.set_aside(header, f"{path}, byte {offset}")
                        continue
                    found += 1
                    index.add(header.last_sample_ns, header.source_id, file_number, offset, len(record))
                file.seek(0)
                first_bytes = file.read(24)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        if not first_bytes:
            return "the file is empty"
        if not found and not why:
            if scanner.truncated_bytes:
                return f"{NO_RECORD}: the only one is cut off"
            return f"is not miniSEED: it starts with {_readable(first_bytes)}"
        self._report(path, scanner)
        if not found:
            return f"{NO_RECORD}: {_counted(why)}"
        return None

    def _index_table(self, file: BinaryIO, file_number: int, index: RecordIndex) -> bool:
        """Add the records of a uniform file all at once; returns False, and adds nothing, for any other file."""
        head = file.read(HEADER_BYTES)
        file.seek(0)
        if len(head) < HEADER_BYTES or not is_header(head, 0):
            return False
        # not closed but released with its last view: a profiler in another thread may still hold one, as Dask's does
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = uniform_records(data, record_length(head, 0) or 0)
        del data
        if found is None:
            return False
        channels = {}
        for name in np.unique(found.ids).tolist():
            k = int(np.flatnonzero(found.ids == name)[0])
            file.seek(k * found.length)
            header = self._decoder.header(file.read(found.length))
            if isinstance(header, BadRecord) or header.last_sample_ns != found.last_sample_ns[k]:
                file.seek(0)
                return False
            channels[name] = header.source_id
        index.add_many(found, channels, file_number)
        return True

    def _report(self, path: Path | str, scanner: Scanner) -> None:
        self.counters.skipped_bytes += scanner.skipped_bytes
        if scanner.skipped_bytes:
            logger.warning("%s: %d bytes are not miniSEED and were skipped", path, scanner.skipped_bytes)
        if scanner.truncated_bytes:
            self.counters.truncated += 1
            logger.warning("%s: the last record is truncated after %d bytes", path, scanner.truncated_bytes)

    def _from_stream(self, stream: BinaryIO) -> Iterator[tuple[bytes, Packet]]:
        scanner, first_bytes = Scanner(), b""
        read = getattr(stream, "read1", stream.read)  # the available bytes, without waiting for a full chunk
        more = True
        while more and not self._closed:
            data = read(CHUNK_BYTES)
            arrival_ns = time.monotonic_ns()
            first_bytes = first_bytes or data[:24]
            more = bool(data)
            for offset, record in scanner.feed(data) if more else scanner.finish():
                packet = self._decoder.packet(record, arrival_ns)
                if isinstance(packet, BadRecord):
                    self.set_aside(packet, f"byte {offset}")
                    continue
                self.counters.records += 1
                self.counters.bytes += len(record)
                yield record, packet
        if not first_bytes:
            raise DataError("standard input is empty; pipe miniSEED into it")
        if not self.counters.records and not self._closed:
            if self.reasons:
                raise DataError(f"standard input: {NO_RECORD}: {_counted(self.reasons)}")
            raise DataError(f"standard input is not miniSEED: it starts with {_readable(first_bytes)}")
        self._report("standard input", scanner)


class RecordColumns(NamedTuple):
    """Records: time of the last sample, number of the channel in `channels`, place and length in the file in bytes."""

    last_ns: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int32]
    channels: tuple[SourceId, ...]


class RecordIndex:
    """Positions of records in packed columns, so that an archive of millions of records fits into memory."""

    def __init__(self) -> None:
        self._last_ns = array("q")
        self._offset = array("q")
        self._length = array("i")
        self._file = array("i")
        self._channel = array("i")
        self._channels: dict[SourceId, int] = {}
        self._order: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def __len__(self) -> int:
        return len(self._last_ns)

    def add(self, last_ns: int, source_id: SourceId, file: int, offset: int, length: int) -> None:
        self._last_ns.append(last_ns)
        self._channel.append(self._channels.setdefault(source_id, len(self._channels)))
        self._file.append(file)
        self._offset.append(offset)
        self._length.append(length)

    def add_many(self, found: UniformRecords, channels: Mapping[bytes, SourceId], file: int) -> None:
        """Add all records of a uniform file."""
        n = len(found.last_sample_ns)
        number = np.zeros(n, dtype=np.int32)
        for name, source_id in channels.items():
            number[found.ids == name] = self._channels.setdefault(source_id, len(self._channels))
        self._last_ns.frombytes(found.last_sample_ns.tobytes())
        self._channel.frombytes(number.tobytes())
        self._file.frombytes(np.full(n, file, dtype=np.int32).tobytes())
        self._offset.frombytes((np.arange(n, dtype=np.int64) * found.length).tobytes())
        self._length.frombytes(np.full(n, found.length, dtype=np.int32).tobytes())

    def columns(self) -> RecordColumns:
        """All records in file order, as views of this index."""
        return RecordColumns(
            np.frombuffer(self._last_ns, dtype=np.int64),
            np.frombuffer(self._channel, dtype=np.int32),
            np.frombuffer(self._offset, dtype=np.int64),
            np.frombuffer(self._length, dtype=np.int32),
            tuple(self._channels),
        )

    def sort(self) -> None:
        """Sort by last sample, then source id, then order in the files (a stable sort)."""
        rank = np.zeros(len(self._channels), dtype=np.int32)
        for place, source_id in enumerate(sorted(self._channels)):
            rank[self._channels[source_id]] = place
        channel = rank[np.frombuffer(self._channel, dtype=np.int32)] if len(self) else rank
        self._order = np.lexsort((channel, np.frombuffer(self._last_ns, dtype=np.int64)))

    def split(self, limit_ns: int) -> tuple[RecordIndex, RecordIndex]:
        """The records whose last sample is before `limit_ns`, sorted; and the others, unsorted."""
        before, others = RecordIndex(), RecordIndex()
        names = {number: source_id for source_id, number in self._channels.items()}
        for k in range(len(self)):
            part = before if self._last_ns[k] < limit_ns else others
            part.add(self._last_ns[k], names[self._channel[k]], self._file[k], self._offset[k], self._length[k])
        before.sort()
        return before, others

    def pieces(self) -> Iterator[tuple[Places, Places, Places]]:
        """File number, offset and length of each record, in order, `batch_size` records at a time."""
        if not len(self._order):
            return
        columns = [np.frombuffer(column, dtype=column.typecode) for column in (self._file, self._offset, self._length)]
        first = 0
        while first < len(self._order):
            size = batch_size(self._length[self._order[first]])
            here = self._order[first : first + size]
            yield columns[0][here], columns[1][here], columns[2][here]
            first += size


class OpenFiles:
    """Open files, at most MAX_OPEN_FILES; the least recently used is closed first."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._open: dict[int, BinaryIO] = {}

    def __enter__(self) -> OpenFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of file `number`; fewer if the file has shrunk since it was indexed."""
        file = self._open.pop(number, None)
        if file is None:
            if len(self._open) >= MAX_OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            file = self._files[number].open("rb", buffering=0)
        self._open[number] = file  # moved to the end: the dict is in order of use
        return os.pread(file.fileno(), length, offset)


def _counted(reasons: Mapping[str, int]) -> str:
    """Reasons and their number of records, the commonest first, as a clause."""
    return "; ".join(f"{n} left out: {why}" for why, n in Counter(reasons).most_common(MAX_REASONS))


def _scan(file: BinaryIO, scanner: Scanner) -> Iterator[tuple[int, bytes]]:
    while data := file.read(CHUNK_BYTES):
        yield from scanner.feed(data)
    yield from scanner.finish()


def _readable(data: bytes) -> str:
    """The first bytes of a file for a message: as text if they are text, else in hexadecimal."""
    text = data.decode("ascii", errors="replace")
    if all(character.isprintable() or character in "\r\n\t" for character in text) and "\ufffd" not in text:
        return repr(text)
    return data[:8].hex(" ")


@register_source("file")
def _file_source(url: str, options: SourceOptions) -> Source:
    """`file:PATH`, or `file:PATH?follow=true` for a growing file"""
    path, values = path_from_url(url)
    for key, value in values.items():
        if key != "follow" or value not in ("true", "false"):
            raise InputError(f"{url}: '{key}={value}' is invalid; the only key of file: is follow=true or follow=false")
    if values.get("follow") == "true":
        from seisedge.runtime.sources.follow import FollowSource

        return FollowSource(path, url, options)
    return MiniSeedSource([path], url)


def path_from_url(url: str) -> tuple[str, dict[str, str]]:
    """Path and keys of `file:PATH`, `file:///PATH` and `sds:DIR`, with or without `?key=value`."""
    rest = url.partition(":")[2]
    if rest.startswith("//"):  # the host of the URL, empty for this machine
        rest = rest[2:]
    path, mark, query = rest.rpartition("?")
    if not mark or "=" not in query or Path(rest).exists():  # a question mark may be part of a name
        path, query = rest, ""
    if not path:
        raise InputError(f"{url}: a path must follow the colon")
    return path, dict(parse_qsl(query, keep_blank_values=True))

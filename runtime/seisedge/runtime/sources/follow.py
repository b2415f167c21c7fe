"""A growing miniSEED file: its records, then those that are appended."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seisedge.runtime.errors import ConnectError, InputError
from seisedge.runtime.records.miniseed import BadRecord, Scanner
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources._base import TICK_S, Source
from seisedge.runtime.sources._registry import SourceOptions

logger = logging.getLogger(__name__)

POLL_S = 0.1
CHUNK_BYTES = 1 << 18

_TOKEN = re.compile(r"at:([0-9]+)@([0-9]+)")


class FollowSource(Source):
    """Records of `path` from its start, then records as they are appended, without end.

    An incomplete last record is read once it is complete. If the file is replaced (another file under its name), it is
    read to its end first, then the new one from its start. If it is truncated, it is read again from its start. If it
    does not exist yet, the source waits: without limit, or for `connect_timeout_s` (then ConnectError).

    The token of a packet is `at:OFFSET@INODE`, the position behind its record. With several tokens the source starts
    at the smallest offset and drops the records that a station already received. If a token is of another file, or is
    beyond the end of this one, the source starts at the beginning; the journal then recognises repetitions.
    """

    live = True
    back_pressure = True  # the file keeps what was not read yet

    def __init__(self, path: str | Path, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError for a folder, and for `until_end`."""
        super().__init__(url)
        self.options = options if options is not None else SourceOptions()
        self._path = Path(path)
        if self.options.until_end:
            raise InputError(f"{url}: --until-end and follow=true exclude each other; omit follow=true to read once")
        if self._path.is_dir():
            raise InputError(f"{url}: {path} is a folder; follow=true needs a file")
        self._positions: list[tuple[int, int]] = []  # offset, inode
        self._delivered: dict[str, int] = {}  # per station, offset up to which it received the records of this file
        for station_id, token in self.options.resume.items():
            match = _TOKEN.fullmatch(token)
            if match is None:
                logger.warning("%s: %s: '%s' is not a token of a file; ignored", url, station_id, token)
            else:
                self._positions.append((int(match[1]), int(match[2])))
                self._delivered[station_id] = int(match[1])
        self._closed = threading.Event()
        self._file: BinaryIO | None = None
        self._inode = 0
        self._reported_missing = False
        self._begin = 0  # offset of the first byte given to the scanner
        self._scanner = Scanner()

    def close(self) -> None:
        """End `packets`."""
        self._closed.set()

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they are appended; None at least every TICK_S while none is."""
        began = ticked = time.monotonic()
        grew, silent = began, False
        try:
            while not self._closed.is_set():
                data = self._more()
                now = time.monotonic()
                if data:
                    grew = ticked = now
                    if silent:
                        logger.info("%s: the file is growing again", self.url)
                    silent = False
                    yield from self._packets_of(self._scanner.feed(data), time.monotonic_ns())
                    continue
                if self._file is None:
                    self._note_missing(now - began)
                elif now - grew > self.options.data_timeout_s and not silent:
                    logger.warning("%s: nothing appended for %.0f s", self.url, now - grew)
                    silent = True
                if self._is_finished():
                    yield from self._packets_of(self._scanner.finish(), time.monotonic_ns())
                    self._close_file()
                    continue
                if now - ticked >= TICK_S:
                    ticked = now
                    yield None
                time.sleep(POLL_S)  # not `wait`: a signal handler that calls `close` must not wait for its lock
        finally:
            self._close_file()

    def _note_missing(self, waited_s: float) -> None:
        if not self._reported_missing:
            self._reported_missing = True
            logger.warning("%s: %s does not exist; waiting for it", self.url, self._path)
        limit_s = self.options.connect_timeout_s
        if limit_s is not None and waited_s > limit_s and not self.counters.records:
            raise ConnectError(f"{self.url}: {self._path} does not exist after {limit_s:g} s")

    def _more(self) -> bytes:
        """The bytes appended since the last call; opens the file if it is not open."""
        if self._file is None and not self._open():
            return b""
        assert self._file is not None
        return self._file.read(CHUNK_BYTES)

    def _open(self) -> bool:
        try:
            file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise InputError(f"{self.url}: {self._path} cannot be read: {error.strerror}") from error
        status = os.fstat(file.fileno())
        offsets = [offset for offset, inode in self._positions if inode == status.st_ino and offset <= status.st_size]
        if self._positions and len(offsets) < len(self._positions):
            logger.warning("%s: this is not the file that was read before; reading from its start", self.url)
            offsets = []
        if not offsets:
            self._delivered.clear()
        self._positions = []
        self._begin = min(offsets, default=0)
        file.seek(self._begin)
        self._file, self._inode, self._scanner = file, status.st_ino, Scanner()
        self._reported_missing = False
        logger.info("%s: reading from byte %d", self.url, self._begin)
        return True

    def _is_finished(self) -> bool:
        """True if the open file was replaced and read to its end, or was truncated."""
        if self._file is None:
            return False
        position, size = self._file.tell(), os.fstat(self._file.fileno()).st_size
        if size < position:
            logger.warning("%s: truncated from %d to %d bytes; reading from its start", self.url, position, size)
            return True
        if size > position:
            return False
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return False  # moved away: the new file does not exist yet, and this one may still grow
        if inode != self._inode:
            logger.info("%s: the file was replaced", self.url)
            return True
        return False

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._delivered.clear()
            self.counters.skipped_bytes += self._scanner.skipped_bytes
            self.counters.truncated += bool(self._scanner.truncated_bytes)

    def _packets_of(self, records: Iterator[tuple[int, bytes]], arrival_ns: int) -> Iterator[Packet]:
        for offset, record in records:
            end = self._begin + offset + len(record)
            packet = self._decoder.packet(record, arrival_ns, f"at:{end}@{self._inode}")
            self.counters.bytes += len(record)
            if isinstance(packet, BadRecord):
                self.set_aside(packet, f"byte {self._begin + offset}")
                continue
            station_id = packet.source_id.station_id
            if end <= self._delivered.get(station_id, 0):
                self.counters.duplicates += 1
                continue
            self.counters.records += 1
            yield packet

"""A miniSEED file that grows: what is there, then what is appended."""

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
from seisedge.runtime.records.miniseed import BadRecord, Decoder, Scanner
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources._base import TICK_S, Source
from seisedge.runtime.sources._registry import SourceOptions

logger = logging.getLogger(__name__)

POLL_S = 0.1
CHUNK_BYTES = 1 << 18

_TOKEN = re.compile(r"at:([0-9]+)@([0-9]+)")


class FollowSource(Source):
    """Records of `path` from its beginning on, and as they are appended; for ever.

    A last record that is not complete is waited for. A file that is replaced (another one under its name) is read to
    its end first, then the new one from its beginning; one that is cut short is read again from its beginning. A file
    that is not there yet is waited for, for ever or for `connect_timeout_s` (then ConnectError).

    Packets carry `at:OFFSET@INODE`, the place behind their record, as token; of several the earliest counts, and what a
    station was given up to its own it is not given again. A token of another file, or beyond the end of this one,
    begins at its beginning: what comes twice is the journal's business.
    """

    live = True
    back_pressure = True  # the file holds what was not yet read

    def __init__(self, path: str | Path, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError for a folder, and for `until_end`."""
        super().__init__(url)
        self.options = options if options is not None else SourceOptions()
        self._path = Path(path)
        if self.options.until_end:
            raise InputError(f"{url}: a file that is followed has no end; leave follow=true out to read it once")
        if self._path.is_dir():
            raise InputError(f"{url}: {path} is a folder; follow=true needs a file")
        self._places: list[tuple[int, int]] = []  # offset, inode
        self._given: dict[str, int] = {}  # offset up to which a station has the records of this file
        for station_id, token in self.options.resume.items():
            match = _TOKEN.fullmatch(token)
            if match is None:
                logger.warning("%s: %s: '%s' is no place in a file; ignored", url, station_id, token)
            else:
                self._places.append((int(match[1]), int(match[2])))
                self._given[station_id] = int(match[1])
        self._closed = threading.Event()
        self._decoder = Decoder()
        self._file: BinaryIO | None = None
        self._inode = 0
        self._missed = False  # it is not there, and that was told
        self._begin = 0  # offset of the first byte that went into the scanner
        self._scanner = Scanner()

    def close(self) -> None:
        """End `packets`."""
        self._closed.set()

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they are appended; None at least every TICK_S while nothing is."""
        began = ticked = time.monotonic()
        heard, silent = began, False
        try:
            while not self._closed.is_set():
                data = self._more()
                now = time.monotonic()
                if data:
                    heard = ticked = now
                    if silent:
                        logger.info("%s: it grows again", self.url)
                    silent = False
                    yield from self._packets_of(self._scanner.feed(data), time.monotonic_ns())
                    continue
                if self._file is None:
                    self._note_missing(now - began)
                elif now - heard > self.options.data_timeout_s and not silent:
                    logger.warning("%s: nothing appended for %.0f s", self.url, now - heard)
                    silent = True
                if self._ended_file():
                    yield from self._packets_of(self._scanner.finish(), time.monotonic_ns())
                    self._leave()
                    continue
                if now - ticked >= TICK_S:
                    ticked = now
                    yield None
                self._closed.wait(POLL_S)
        finally:
            self._leave()

    def _note_missing(self, waited_s: float) -> None:
        if not self._missed:
            self._missed = True
            logger.warning("%s: %s is not there; it is waited for", self.url, self._path)
        allowed_s = self.options.connect_timeout_s
        if allowed_s is not None and waited_s > allowed_s and not self.counters.records:
            raise ConnectError(f"{self.url}: {self._path} is not there after {allowed_s:g} s")

    def _more(self) -> bytes:
        """What was appended since; opens the file where it is not open."""
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
        places = [offset for offset, inode in self._places if inode == status.st_ino and offset <= status.st_size]
        if self._places and len(places) < len(self._places):
            logger.warning("%s: it is not the file that was read before; beginning at its beginning", self.url)
            places = []
        if not places:
            self._given.clear()
        self._places = []
        self._begin = min(places, default=0)
        file.seek(self._begin)
        self._file, self._inode, self._scanner = file, status.st_ino, Scanner()
        self._missed = False
        logger.info("%s: reading from byte %d on", self.url, self._begin)
        return True

    def _ended_file(self) -> bool:
        """True where the open file was replaced or cut short, and all of it was read."""
        if self._file is None:
            return False
        position, size = self._file.tell(), os.fstat(self._file.fileno()).st_size
        if size < position:
            logger.warning("%s: it was cut short from %d to %d bytes; reading it anew", self.url, position, size)
            return True
        if size > position:
            return False
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return False  # moved away; the new one is not there yet, and this one may still be written to
        if inode != self._inode:
            logger.info("%s: it was replaced by another file", self.url)
            return True
        return False

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._given.clear()
            self.counters.skipped_bytes += self._scanner.skipped_bytes
            self.counters.truncated += bool(self._scanner.truncated_bytes)

    def _packets_of(self, records: Iterator[tuple[int, bytes]], arrival_ns: int) -> Iterator[Packet]:
        for offset, record in records:
            place = self._begin + offset + len(record)
            packet = self._decoder.packet(record, arrival_ns, f"at:{place}@{self._inode}")
            self.counters.bytes += len(record)
            if isinstance(packet, BadRecord):
                self.set_aside(packet, f"byte {self._begin + offset}")
                continue
            station_id = packet.source_id.station_id
            if place <= self._given.get(station_id, 0):
                self.counters.duplicates += 1
                continue
            self.counters.records += 1
            yield packet

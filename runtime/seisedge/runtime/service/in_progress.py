"""InProgress: which record a run was handling when its process ended, so that no record can end every run.

Exceptions are caught in the loop. A process that is killed while it handles a record, because the record needs more
memory than the machine has or makes a library crash, can only be recognised by the next one: the state folder holds a
digest of the record in hand, written before the record is parsed and removed when everything that follows from it is
done. A record that was in hand at the end of `MAX_ENDS` runs is set aside by all later runs.

The file has the digest of the record in hand, or spaces, and then one line for each record that has ended a run: its
digest and the number of runs. It is written without flushing the disk: what matters here is the end of the process,
not a loss of power.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from seisedge.runtime.files import OWNER_ONLY, write_atomically
from seisedge.runtime.sources._base import RecordWatch

logger = logging.getLogger(__name__)

FILE_NAME = "in-progress"
MAX_ENDS = 3  # not 2: among 67 ends by `kill -9` at random moments, two met the same record
MAX_DIGESTS = 64  # the oldest are forgotten
DIGEST_BYTES = 16

_NOTHING = b" " * (2 * DIGEST_BYTES)
_MARK = re.compile(rb"[0-9a-f]{32}")
_LINE = re.compile(rb"([0-9a-f]{32}) ([0-9]{1,6})")


class InProgress(RecordWatch):
    """The watch of one run. folder: the state folder; the run must hold its lock.

    A disk fault is logged once; the watch is then without effect.
    """

    notes = True

    def __init__(self, folder: Path, file_mode: int = OWNER_ONLY) -> None:
        self._file_mode = file_mode
        self._path = folder / FILE_NAME
        self._ends: dict[bytes, int] = {}  # number of runs that ended with this record in hand, oldest first
        self._in_hand = _NOTHING
        self._logged: set[bytes] = set()
        self._file: int | None = None
        try:
            self._read()
            self._write()
        except OSError as error:
            self._fail(error)

    @property
    def suspicious(self) -> bool:
        return any(count < MAX_ENDS for count in self._ends.values())

    def begin(self, record: bytes) -> str | None:
        if self._file is None:
            return None
        digest = hashlib.blake2b(record, digest_size=DIGEST_BYTES).hexdigest().encode()
        if self._ends.get(digest, 0) >= MAX_ENDS:
            self.end()
            if digest not in self._logged:
                self._logged.add(digest)
                logger.warning(
                    "%s: a record is set aside because %d runs ended while they handled it", self._path, MAX_ENDS
                )
            return f"{MAX_ENDS} earlier runs ended while they handled it"
        self._put(digest)
        return None

    def end(self) -> None:
        if self._in_hand is _NOTHING or self._file is None:
            return
        survived = self._ends.pop(self._in_hand, None) is not None
        self._put(_NOTHING)
        if survived:
            try:
                self._write()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """The run ends as it should: no record is in hand."""
        self._put(_NOTHING)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _put(self, digest: bytes) -> None:
        if self._file is None:
            return
        try:
            os.pwrite(self._file, digest, 0)
        except OSError as error:
            self._fail(error)
        self._in_hand = digest

    def _read(self) -> None:
        try:
            mark, *lines = self._path.read_bytes()[: 64 * MAX_DIGESTS].split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            match = _LINE.fullmatch(line)
            if match is not None:
                self._ends[match[1]] = int(match[2])
        if _MARK.fullmatch(mark) is None:
            return
        count = self._ends.pop(mark, 0) + 1
        self._ends[mark] = count  # the newest is last
        for digest in list(self._ends)[:-MAX_DIGESTS]:
            del self._ends[digest]
        logger.warning(
            "%s: the last run ended while it handled a record; %s",
            self._path,
            "the record will be set aside"
            if count >= MAX_ENDS
            else f"it is handled again, and set aside after {MAX_ENDS} such ends",
        )

    def _write(self) -> None:
        """Replace the file by one without a record in hand, and open that."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        lines = [digest + b" %d" % count for digest, count in self._ends.items()]
        write_atomically(self._path, b"\n".join([_NOTHING, *lines, b""]), self._file_mode)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        self._in_hand = _NOTHING

    def _fail(self, error: OSError) -> None:
        logger.warning(
            "%s: cannot be used: %s; a record that ends the run will not be recognised", self._path, error.strerror
        )
        if self._file is not None:
            os.close(self._file)
            self._file = None

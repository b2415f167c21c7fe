"""Dead letters: unusable records, stored for later diagnosis.

A file of JSON lines: time, source, reason, and the record in base64. A file that exceeds `MAX_BYTES` replaces the one
before it; at most `MAX_PER_S` records per second are stored, the others are only counted, here and by the source.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.files import OWNER_ONLY, append_bounded
from seisedge.runtime.records.miniseed import BadRecord

logger = logging.getLogger(__name__)

FILE_NAME = "dead-letters.jsonl"
MAX_BYTES = 4 << 20
MAX_RECORD_BYTES = 4096  # stored of a record; its header is what matters
MAX_PER_S = 20


class DeadLetters:
    """For `Source.on_bad_record`. folder: the state folder. source: URL. file_mode: rights of new files.

    kept, left_out: numbers of records that were stored and not stored.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        *,
        file_mode: int = OWNER_ONLY,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kept = 0
        self.left_out = 0
        self._path = folder / FILE_NAME
        self._source = source
        self._file_mode = file_mode
        self._now_s = now_s
        self._second_began_s = -1.0
        self._in_this_second = 0
        self._failing = False

    def __call__(self, bad: BadRecord) -> None:
        now_s = self._now_s()
        if now_s - self._second_began_s >= 1.0:
            self._second_began_s, self._in_this_second = now_s, 0
        self._in_this_second += 1
        if self._in_this_second > MAX_PER_S:
            self.left_out += 1
            return
        letter = {
            "time": iso_from_ns(time.time_ns()),
            "source": self._source,
            "reason": bad.reason,
            "bytes": len(bad.record),
            "record": base64.b64encode(bad.record[:MAX_RECORD_BYTES]).decode(),
        }
        try:
            self._write(json.dumps(letter) + "\n")
        except OSError as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            logger.log(level, "%s: unusable records cannot be stored: %s", self._path, error)
            self._failing = True
            self.left_out += 1
        else:
            self._failing = False
            self.kept += 1

    def _write(self, line: str) -> None:
        append_bounded(self._path, line.encode(), MAX_BYTES, self._file_mode)

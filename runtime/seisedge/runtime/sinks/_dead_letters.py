"""Dead letters of the sinks: lines that a sink refused for good, and lines of the outbox that cannot be decoded.

A file of JSON lines in the state folder: time, sink, number in the outbox, station, id and revision, reason; of a
refusal also the status and the beginning of the answer. `line` is the event or hop as it was sent; a damaged line is in
`base64`. A file that exceeds `MAX_BYTES` replaces the one before it.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.files import OWNER_ONLY, append_bounded
from seisedge.runtime.journal.line import Line
from seisedge.runtime.sinks._base import Refused

logger = logging.getLogger(__name__)

FILE_NAME = "sink-dead-letters.jsonl"
MAX_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 10  # a longer line is cut off


class SinkDeadLetters:
    """The file of all sinks of a run. All methods may be called from any thread.

    folder: the state folder. file_mode: rights of the file if it is created.
    """

    def __init__(self, folder: Path, *, file_mode: int = OWNER_ONLY) -> None:
        self.path = folder / FILE_NAME
        self._file_mode = file_mode
        self._lock = threading.Lock()
        self._failing = False

    def add(self, sink: str, line: Line, refusal: Refused) -> bool:
        """Store a line; False if the disk cannot be written, which is logged."""
        letter = msgspec.json.encode(_letter(sink, line, refusal)) + b"\n"
        with self._lock:
            try:
                append_bounded(self.path, letter, MAX_BYTES, self._file_mode)
            except OSError as error:
                level = logging.DEBUG if self._failing else logging.WARNING
                logger.log(level, "%s: dead letters of sinks cannot be stored: %s", self.path, error.strerror)
                self._failing = True
                return False
            self._failing = False
        return True


def _letter(sink: str, line: Line, refusal: Refused) -> dict[str, Any]:
    letter: dict[str, Any] = {
        "time": iso_from_ns(time.time_ns()),
        "sink": sink,
        "seq": line.seq,
        "station": line.station[:100],
        "reason": str(refusal),
    }
    if line.event_id is not None:
        letter["id"], letter["revision"] = line.event_id
    if refusal.status is not None:
        letter |= {"status": refusal.status, "answer": refusal.answer}
    whole = None
    if len(line.body) <= MAX_LINE_BYTES and b"\n" not in line.body:
        with contextlib.suppress(Exception):  # whatever the parser raises, the bytes go to base64
            msgspec.json.decode(line.body)
            whole = msgspec.Raw(line.body)
    if whole is not None:
        letter["line"] = whole
    else:
        letter |= {"bytes": len(line.body), "base64": base64.b64encode(line.body[:MAX_LINE_BYTES]).decode()}
    return letter

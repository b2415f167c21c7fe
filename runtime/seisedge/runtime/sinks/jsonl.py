"""JSON lines: one line a revision, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks._base import Sink


class JsonLinesSink(Sink):
    """Writes to a stream it is given; each line is flushed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    @classmethod
    def to_file(cls, path: Path) -> JsonLinesSink:
        """A new file; one that is there is emptied. Raises InputError where it cannot be written."""
        try:
            return cls(path.open("wb"))
        except OSError as error:
            raise InputError(f"{path}: events cannot be written there: {error.strerror}") from error

    def write(self, line: Event | Hop) -> None:
        self._stream.write(msgspec.json.encode(line) + b"\n")
        self._stream.flush()

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()

"""Cutter: what every protocol needs that cuts its messages out of a stream of bytes."""

from __future__ import annotations


class Cutter:
    """Received bytes, and the place in them behind the last message. A subclass has `next`.

    skipped_bytes: those between messages, passed over while looking for one that can be read.
    """

    def __init__(self) -> None:
        self.skipped_bytes = 0
        self._data = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Append what was received."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def _skip_to(self, place: int, found: bool) -> bool:
        """Pass over the bytes before `place`; returns `found`: whether a message can be read there."""
        self.skipped_bytes += place - self._at
        self._at = place
        return found

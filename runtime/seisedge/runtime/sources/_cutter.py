"""Cutter: the receive buffer of every protocol whose messages are cut out of a stream of bytes. Texts of a peer."""

from __future__ import annotations

import abc
from typing import Generic, TypeVar

T = TypeVar("T")

MIN_BYTES = 3  # no message is shorter
MAX_TEXT_CHARACTERS = 200


def printable(text: str) -> str:
    """A text of a peer as part of a message: control characters are replaced, and it is cut at MAX_TEXT_CHARACTERS."""
    cut = text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]}…"
    return "".join(character if character.isprintable() else " " for character in cut)


class Cutter(abc.ABC, Generic[T]):
    """Received bytes, and the position behind the last message.

    skipped_bytes: bytes between messages that were skipped to find the next readable message.
    """

    def __init__(self) -> None:
        self.skipped_bytes = 0
        self._data = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def next(self) -> T | None:
        """The next message; None if more bytes are needed."""
        while len(self._data) - self._at >= MIN_BYTES:
            at = self._at
            message = self._read(at)
            if message is not None or self._at == at:
                return message
        return None

    @abc.abstractmethod
    def _read(self, at: int) -> T | None:
        """The message at `at`, with the position set behind it.

        None if more bytes are needed, or if there is no message at `at`; then the position is set to the next place
        where a message may begin.
        """

    def _skip_to(self, place: int) -> None:
        """Set the position to `place`, and count the bytes between."""
        self.skipped_bytes += place - self._at
        self._at = place

"""Stream: bytes for one client that stays connected, with a bounded buffer."""

from __future__ import annotations

MAX_BUFFER_BYTES = 64 * 1024


class Stream:
    """What one client has not received yet. A client that falls behind by more than the buffer is disconnected.

    `put` and the server run in the same thread.
    """

    def __init__(self, topic: str = "", max_bytes: int = MAX_BUFFER_BYTES) -> None:
        """topic: what the client has subscribed to."""
        self.topic = topic
        self.pending = bytearray()
        self.ended = False
        self._max_bytes = max_bytes

    def put(self, data: bytes) -> None:
        """Send data; ends the stream where the buffer has no room for them."""
        if self.ended:
            return
        if len(self.pending) + len(data) > self._max_bytes:
            self.end()
        else:
            self.pending += data

    def end(self) -> None:
        """Disconnect the client, and free the buffer."""
        self.ended = True
        self.pending = bytearray()

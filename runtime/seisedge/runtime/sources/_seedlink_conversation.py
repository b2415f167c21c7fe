"""SeedLink commands and replies over one socket, as generators that yield ticks while they wait."""

from __future__ import annotations

import socket
from collections.abc import Generator

from seisedge.runtime.sources._cutter import Cutter
from seisedge.runtime.sources._link import NEGOTIATION_TIMEOUT_S, Lost, Receiver
from seisedge.runtime.sources._seedlink_wire import Frame, FrameCutter, error_text

MAX_LINE_BYTES = 1 << 14
MAX_INFO_BYTES = 1 << 24  # of one reply; ten thousand stations take about 2 MB


class Conversation(Receiver):
    """Commands, replies and packets. `link` must have a timeout of TICK_S: after each timeout a tick is yielded."""

    def __init__(self, link: socket.socket, limit_s: float = NEGOTIATION_TIMEOUT_S) -> None:
        super().__init__(link, limit_s)
        self.cutter: Cutter[Frame] = FrameCutter()
        self._text = bytearray()

    def send(self, command: str) -> None:
        """Send a command, as one line."""
        self.link.sendall(f"{command}\r\n".encode("ascii"))

    def take(self) -> bytes:
        """Receive bytes into the cutter; returns them, b'' if none arrive within TICK_S."""
        data = self.receive()
        if self._text:  # received together with the last line of text
            self.cutter.feed(bytes(self._text))
            self._text.clear()
        self.cutter.feed(data)
        return data

    def line(self, command: str) -> Generator[None, None, str]:
        """One line of text, the reply to `command`. Raises Lost after REPLY_TIMEOUT_S and MAX_LINE_BYTES."""
        self.await_reply(command)
        while (end := self._text.find(b"\n")) < 0:
            if len(self._text) > MAX_LINE_BYTES:
                raise Lost(f"the reply to {command} is a line of more than {MAX_LINE_BYTES} bytes")
            data = self.receive()
            self._text += data
            if self.is_tick(data):
                yield None
        self.replied()
        text = self._text[:end].decode("ascii", errors="replace").strip()
        del self._text[: end + 1]
        return text

    def ask(self, command: str) -> Generator[None, None, str]:
        """Send a command whose reply is OK or ERROR. Returns '' for OK, else the server's message."""
        self.send(command)
        line = yield from self.line(command)
        return "" if line.startswith("OK") else error_text(line)

    def info(self, item: str) -> Generator[None, None, list[bytes] | None]:
        """The parts of an INFO reply as sent: text records in version 3, JSON in version 4; None for ERROR.

        Raises Lost for another or no reply, and after MAX_INFO_BYTES.
        """
        command = f"INFO {item}"
        self.send(command)
        self.cutter.feed(bytes(self._text))
        self._text.clear()
        self.await_reply(command)
        parts: list[bytes] = []
        n_bytes = 0
        while True:
            frame = self.cutter.next()
            if frame is None:
                if self.is_tick(self.take()):
                    yield None
            elif frame.kind == "info":
                parts.append(frame.record)
                if frame.last:
                    self.replied()
                    return parts
                n_bytes += len(frame.record)
                if n_bytes > MAX_INFO_BYTES:
                    raise Lost(f"the reply to {command} has more than {MAX_INFO_BYTES} bytes")
            elif frame.kind == "error":
                self.replied()
                return None
            else:
                raise Lost(f"the server does not reply to {command}")

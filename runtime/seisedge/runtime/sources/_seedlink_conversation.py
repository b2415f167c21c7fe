"""SeedLink commands and replies over one socket, as generators that yield ticks while they wait."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator

from seisedge.runtime.sources._cutter import Cutter
from seisedge.runtime.sources._link import REPLY_TIMEOUT_S, Lost, Receiver
from seisedge.runtime.sources._seedlink_wire import Frame, FrameCutter, error_text


class Conversation(Receiver):
    """Commands, replies and packets. `link` must have a timeout of TICK_S: after each timeout a tick is yielded."""

    def __init__(self, link: socket.socket) -> None:
        super().__init__(link)
        self.cutter: Cutter[Frame] = FrameCutter()
        self._text = bytearray()

    def send(self, command: str) -> None:
        """Send a command, as one line."""
        self.link.sendall(f"{command}\r\n".encode("ascii"))

    def take(self) -> bool:
        """Receive bytes into the cutter; False if none arrive within TICK_S."""
        data = self.receive()
        if self._text:  # received together with the last line of text
            self.cutter.feed(bytes(self._text))
            self._text.clear()
        self.cutter.feed(data)
        return bool(data)

    def line(self) -> Generator[None, None, str]:
        """One line of text from the server. Raises Lost after REPLY_TIMEOUT_S."""
        until = time.monotonic() + REPLY_TIMEOUT_S
        while (end := self._text.find(b"\n")) < 0:
            data = self.receive()
            self._text += data
            if not data:
                if time.monotonic() > until:
                    raise Lost(f"no reply within {REPLY_TIMEOUT_S:.0f} s")
                yield None
        text = self._text[:end].decode("ascii", errors="replace").strip()
        del self._text[: end + 1]
        return text

    def ask(self, command: str) -> Generator[None, None, str]:
        """Send a command whose reply is OK or ERROR. Returns '' for OK, else the server's message."""
        self.send(command)
        line = yield from self.line()
        return "" if line.startswith("OK") else error_text(line)

    def info(self, item: str) -> Generator[None, None, list[bytes]]:
        """The parts of an INFO reply as sent: text records in version 3, JSON in version 4. Raises Lost."""
        self.send(f"INFO {item}")
        self.cutter.feed(bytes(self._text))
        self._text.clear()
        until = time.monotonic() + REPLY_TIMEOUT_S
        parts: list[bytes] = []
        while True:
            frame = self.cutter.next()
            if frame is None:
                if not self.take():
                    if time.monotonic() > until:
                        raise Lost(f"no reply to INFO {item} within {REPLY_TIMEOUT_S:.0f} s")
                    yield None
            elif frame.kind == "info":
                parts.append(frame.record)
                if frame.last:
                    return parts
            else:
                raise Lost(f"the server does not reply to INFO {item}")

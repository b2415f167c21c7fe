"""The SeedLink conversation over one socket, as generators that tick while they wait."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator

from seisedge.runtime.miniseed import text_from_record
from seisedge.runtime.sources._seedlink_wire import FrameCutter

REPLY_TIMEOUT_S = 20.0  # for the answer to a command; busy servers take seconds
RECEIVE_BYTES = 1 << 16


class Lost(Exception):
    """The connection is of no more use; the reason, for the log."""


class Conversation:
    """Commands, answers and packets; `link` must time out after TICK_S, for every wait then yields a tick."""

    def __init__(self, link: socket.socket) -> None:
        self.cutter = FrameCutter()
        self.received_ns = time.monotonic_ns()
        self._link = link
        self._text = bytearray()

    def send(self, command: str) -> None:
        self._link.sendall(f"{command}\r\n".encode("ascii"))

    def receive(self) -> bool:
        """Take what is there into the cutter; False after TICK_S without anything."""
        data = self._receive()
        self.cutter.feed(data)
        return bool(data)

    def _receive(self) -> bytes:
        try:
            data = self._link.recv(RECEIVE_BYTES)
        except TimeoutError:
            return b""
        self.received_ns = time.monotonic_ns()
        if not data:
            raise Lost("the server closed the connection")
        return data

    def line(self) -> Generator[None, None, str]:
        """One line of text from the server."""
        until = time.monotonic() + REPLY_TIMEOUT_S
        while (end := self._text.find(b"\n")) < 0:
            data = self._receive()
            self._text += data
            if not data:
                if time.monotonic() > until:
                    raise Lost(f"no answer in {REPLY_TIMEOUT_S:.0f} s")
                yield None
        text = self._text[:end].decode("ascii", errors="replace").strip()
        del self._text[: end + 1]
        return text

    def ask(self, command: str) -> Generator[None, None, bool]:
        """Send a command that is answered with OK or ERROR."""
        self.send(command)
        return (yield from self.line()).startswith("OK")

    def info(self, item: str) -> Generator[None, None, str]:
        """The text of an INFO answer."""
        self.send(f"INFO {item}")
        self.cutter.feed(bytes(self._text))
        self._text.clear()
        until = time.monotonic() + REPLY_TIMEOUT_S
        text: list[str] = []
        while True:
            frame = self.cutter.next()
            if frame is None:
                if not self.receive():
                    if time.monotonic() > until:
                        raise Lost(f"no answer to INFO {item} in {REPLY_TIMEOUT_S:.0f} s")
                    yield None
            elif frame.kind == "info":
                text.append(text_from_record(frame.record))
                if frame.last:
                    return "".join(text)
            else:
                raise Lost(f"the server does not answer INFO {item}")

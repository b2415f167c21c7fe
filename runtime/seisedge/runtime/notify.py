"""Notify: messages to systemd over the socket that it names; without that socket nothing is sent.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from time import monotonic

logger = logging.getLogger(__name__)

MAX_STATUS = 500  # characters


class Notifier:
    """Sends `READY=1` once and `WATCHDOG=1` regularly, from the thread that does the work."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._socket: socket.socket | None = None
        address = environment.get("NOTIFY_SOCKET", "")
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # a supervisor that does not read must not hold up a station
            self._address = "\0" + address[1:] if address.startswith("@") else address
        # half of the time after which systemd restarts the service; 0: no watchdog
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = environment.get("WATCHDOG_USEC", "")
        self._every_s = int(micros) / 2e6 if micros.isdigit() and ours else 0.0
        self._next_s = 0.0
        self._status = ""

    def ready(self, status: str) -> None:
        self._status = _line(status)
        self._send(f"READY=1\nSTATUS={self._status}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; sent only if it has changed."""
        text = _line(text)
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def ping(self) -> None:
        """Report that the run works; call it as often as you like, it sends no more messages than systemd needs."""
        if self._every_s and monotonic() >= self._next_s:
            self._next_s = monotonic() + self._every_s / 2
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            logger.debug("the message '%s' to systemd failed: %s", text.partition("\n")[0], error)


def _line(text: str) -> str:
    """One line: a further one would be a command to systemd."""
    return " ".join(text.split())[:MAX_STATUS]

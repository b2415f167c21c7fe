"""A scripted SeedLink server: sends what a test specifies and stores the commands it received."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest


class ScriptedServer:
    """`scripts`: per connection, the bytes sent after the request for data; then the connection is closed.

    None in a script keeps the connection open until the client goes. refuse: commands answered with ERROR. info: reply
    to INFO, which is not stored in `commands`; by default ERROR.
    """

    def __init__(self, scripts: list[list[bytes | None]], refuse: tuple[str, ...] = ()) -> None:
        self.commands: list[list[str]] = []
        self.hello = b"SeedLink v3.1 (scripted)"
        self.info = b"ERROR\r\n"
        self.missing_at_first = False  # whether the first connection refuses every station
        self._scripts = scripts
        self._refuse = refuse
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"seedlink://127.0.0.1:{self.port}"

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed with its last script
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(2)

    def _run(self) -> None:
        for script in self._scripts:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                try:
                    self._serve(link, script)
                except OSError:
                    continue  # the client disconnected

    def _serve(self, link: socket.socket, script: list[bytes | None]) -> None:
        commands: list[str] = []
        self.commands.append(commands)
        lines = link.makefile("rb")
        for line in lines:
            command = line.decode().strip()
            word = command.split()[0]
            if word == "INFO":
                link.sendall(self.info)
                continue
            commands.append(command)
            missing = self.missing_at_first and word == "STATION" and len(self.commands) == 1
            if missing or word in self._refuse:
                link.sendall(b"ERROR\r\n")
                if word.startswith("END"):
                    return
            elif word == "HELLO":
                link.sendall(self.hello + b"\r\nnobody\r\n")
            elif word in ("END", "ENDFETCH"):
                break
            else:
                link.sendall(b"OK\r\n")
        for piece in script:
            if piece is None:
                link.recv(1)
                return
            link.sendall(piece)


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def make(*scripts: list[bytes | None], refuse: tuple[str, ...] = ()) -> ScriptedServer:
        servers.append(ScriptedServer(list(scripts), refuse))
        return servers[-1]

    yield make
    for server in servers:
        server.close()

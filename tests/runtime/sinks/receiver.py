"""Servers for the webhook: one that answers with given status codes, and one whose every byte a test decides."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with `codes` one by one, then with 200; keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.codes: list[int] = []
        self.body = b""  # of each answer
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/events"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        code = self.server.codes.pop(0) if self.server.codes else 200
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not printed."""


@contextmanager
def serving(server: Receiver) -> Iterator[Receiver]:
    """The server at work in a thread of its own."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


DRIP_S, DRIP_BYTES = 0.05, 20  # a byte every 50 ms, for one second


@contextmanager
def answering(
    parts: Callable[[], Iterable[bytes]], wrap: Callable[[socket.socket], socket.socket] | None = None
) -> Iterator[int]:
    """A port of this machine where each connection receives `parts`, one every DRIP_S, and is then closed.

    wrap: of a new connection, such as its TLS handshake.
    """
    ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                link, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), (wrap or (lambda plain: plain))(link) as client:
                for part in parts():
                    client.sendall(part)
                    if ended.wait(DRIP_S):
                        break

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def dripping(first: bytes, last: bytes = b"") -> Callable[[], Iterable[bytes]]:
    """`first` at once, then a byte at a time, then `last`."""
    return lambda: [first, *[b"x"] * DRIP_BYTES, last]

"""Safe mode of the launcher: no version of the software can be started, so a small server says why.

It answers on the address of the station's health endpoint and needs no package of a slot.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

PING_S = 10.0


def serve(address: tuple[str, int], station: str, reason: str) -> int:
    """Answer `/healthz` and `/metrics` until a signal arrives; returns the exit status."""
    document = {
        "status": "outage",
        "reasons": [f"safe mode: {reason}"],
        "stations": {},
        "engines": {},
        "safe_mode": True,
        "slot": "",
    }
    ended = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{station}: safe mode, no data are analysed: {reason}", file=sys.stderr, flush=True)
    server = _server(address, json.dumps(document).encode())
    notify(f"READY=1\nSTATUS=safe mode: {reason}")
    while not ended.wait(PING_S):
        notify("WATCHDOG=1")
    notify("STOPPING=1")
    if server is not None:
        server.shutdown()
        server.server_close()
    return 0


def notify(text: str) -> None:
    """Send a message to systemd, where it started this process (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)
    except OSError as error:
        print(f"cannot notify systemd: {error}", file=sys.stderr)


def _server(address: tuple[str, int], document: bytes) -> ThreadingHTTPServer | None:
    """A server in a thread; None where the address cannot be used: the log has the reason of the safe mode then."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                body, kind, status = b"# TYPE seisedge_up gauge\nseisedge_up 0\n", "text/plain; version=0.0.4", 200
            elif self.path == "/healthz":
                body, kind, status = document, "application/json", 503
            else:
                body, kind, status = b"not found\n", "text/plain", 404
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    try:
        server = ThreadingHTTPServer(address, Handler)
    except OSError as error:
        print(f"cannot serve /healthz on {address[0]}:{address[1]}: {error}", file=sys.stderr)
        return None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

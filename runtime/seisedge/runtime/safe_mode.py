"""Safe mode: the health endpoint of a station that cannot be started, with the reason, until it is worth another try.

Standard library only: it also runs where a package of the station is broken. `/healthz` answers 503 with the document
of an outage and `safe_mode: true`; `/metrics` has `seisedge_safe_mode 1` and `seisedge_up 0`. systemd is notified as by
a station: the service counts as running, and `systemctl status` shows the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Literal

from seisedge.runtime.addresses import listen_fault
from seisedge.runtime.files import read_up_to
from seisedge.runtime.notify import Notifier
from seisedge.runtime.output import print_error
from seisedge.runtime.text import shortened
from seisedge.runtime.tomlfile import MAX_BYTES

ADDRESS = ("127.0.0.1", 9108)  # where no station file names another one
RETRY_S = 300.0
EXIT_RETRY = 75  # EX_TEMPFAIL of sysexits.h: start the station again
STEP_S = 1.0
REQUEST_S = 2.0  # for one request; requests are answered one after the other
MAX_REASON = 500  # characters
METRICS = """\
# HELP seisedge_up 1 if data are analysed, 0 in an outage.
# TYPE seisedge_up gauge
seisedge_up 0
# HELP seisedge_safe_mode 1 if the station could not start and only reports why. If 1: /healthz has the reason.
# TYPE seisedge_safe_mode gauge
seisedge_safe_mode 1
"""

_ADDRESS = re.compile(r"^[ \t]*metrics[ \t]*=[ \t]*([\"'])([^\"'\n]*)\1", re.MULTILINE)
_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)

Ended = Literal["stopped", "reload", "changed", "time"]


def serve(
    reasons: Sequence[str], address: tuple[str, int], watched: Sequence[Path] = (), retry_s: float = RETRY_S
) -> Ended:
    """Report the reasons until a signal arrives, a watched file changes, or `retry_s` have passed; returns which.

    SIGTERM and SIGINT are `stopped`, SIGHUP is `reload`. An address that cannot be used is tried again.
    """
    shown = [shortened(reason, MAX_REASON) for reason in reasons] or ["unknown reason"]
    for line in (f"safe mode, no data are analysed: {shown[0]}", *(f"  {reason}" for reason in shown[1:])):
        print_error(f"WARNING {line}")
    ended: list[Ended] = []
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # an Event has a lock, which its own waiter may hold

    def end(number: int, _frame: FrameType | None) -> None:
        ended.append("reload" if number == signal.SIGHUP else "stopped")
        with contextlib.suppress(BlockingIOError):
            os.write(wake, b"\0")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    before, until_s = _signatures(watched), monotonic() + retry_s
    notifier = Notifier()
    with _Endpoint(address, shown) as endpoint:
        endpoint.open()
        notifier.ready(f"safe mode: {shown[0]}")
        while not ended:
            notifier.ping()
            endpoint.open()
            select.select([woken], [], [], STEP_S)
            if not ended and _signatures(watched) != before:
                ended.append("changed")
            elif not ended and monotonic() >= until_s:
                ended.append("time")
    how = "stopped" if "stopped" in ended else ended[0]
    if how == "stopped":
        notifier.stopping()
    notifier.close()
    return how


def address_in(station_file: Path) -> tuple[str, int] | None:
    """The address of `metrics` in a station file, which may be no valid TOML; None without a usable one."""
    try:
        text = read_up_to(station_file, MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    table = _TABLE.search(text)
    found = _ADDRESS.search(text[: table.start()] if table else text)
    return None if found is None else address_from(found[2])


def address_from(text: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT` or `:PORT`; None if it is no address."""
    if listen_fault(text):
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]") or ADDRESS[0], int(port)


class _Endpoint:
    """The HTTP server, in a thread, as soon as its address can be used."""

    def __init__(self, address: tuple[str, int], reasons: list[str]) -> None:
        self._address = address
        self._server: HTTPServer | None = None
        self._failed = False
        first, *more = reasons
        document = {
            "status": "outage", "safe_mode": True, "reasons": [f"safe mode: {first}", *more], "stations": {},
            "engines": {}, "slot": os.environ.get("SEISEDGE_SLOT"),
        }  # fmt: skip
        self._answers = {
            "/healthz": (503, "application/json", json.dumps(document).encode()),
            "/metrics": (200, "text/plain; version=0.0.4; charset=utf-8", METRICS.encode()),
        }

    def open(self) -> None:
        if self._server is not None:
            return
        answers = self._answers

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_S

            def do_GET(self) -> None:
                status, kind, body = answers.get(self.path.partition("?")[0], (404, "text/plain", b"not found\n"))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not logged."""

        class Server(HTTPServer):
            address_family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET

            def server_bind(self) -> None:  # that of HTTPServer looks the name of the host up
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(self.server_address)

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that has gone is no fault."""

        try:
            self._server = Server(self._address, Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            if not self._failed:
                print_error(f"WARNING {self._address[0]}:{self._address[1]}: cannot serve /healthz yet: {error}")
            self._failed = True
            return
        threading.Thread(target=self._server.serve_forever, name="safe mode", daemon=True).start()

    def __enter__(self) -> _Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _signatures(paths: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What changes when a file is written, replaced, removed or created."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        found.append(None)
        with contextlib.suppress(OSError):
            status = path.stat()
            found[-1] = status.st_mtime_ns, status.st_size, status.st_ino
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Report the reasons; then replace this process by COMMAND, or return `EXIT_RETRY`. 0 after SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m seisedge.runtime.safe_mode", description=main.__doc__)
    parser.add_argument("--reason", action="append", required=True, help="may be repeated")
    parser.add_argument("--station-file", type=Path, help="names the address; it is watched")
    parser.add_argument("--metrics", default="", metavar="HOST:PORT", help="takes precedence over the station file")
    parser.add_argument("--watch", action="append", type=Path, default=[], metavar="FILE", help="may be repeated")
    parser.add_argument("--retry-s", type=float, default=RETRY_S, metavar="S")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="after --: the command of the station")
    given = parser.parse_args(arguments)
    watched = [*given.watch, *([given.station_file] if given.station_file else [])]
    address = address_from(given.metrics) or (address_in(given.station_file) if given.station_file else None)
    ended = serve(given.reason, address or ADDRESS, watched, given.retry_s)
    if ended == "stopped":
        return 0
    why = {"reload": "SIGHUP was received", "changed": "a file has changed", "time": f"{given.retry_s:g} s have passed"}
    print_error(f"WARNING safe mode ends, the station is started again: {why[ended]}")
    if not given.command:
        return EXIT_RETRY
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # kept by the new program until it sets its own handler
    return os.execvp(given.command[0], given.command)


if __name__ == "__main__":
    sys.exit(main())

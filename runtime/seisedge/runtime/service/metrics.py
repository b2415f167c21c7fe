"""Metrics: `/healthz` and `/metrics` over HTTP, served by a thread.

`/healthz`: JSON, with status 200, or 503 in an outage. `/metrics`: Prometheus text format 0.0.4.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Sequence
from http import HTTPStatus

from seisedge.runtime.addresses import listen_fault
from seisedge.runtime.counters import Histogram
from seisedge.runtime.errors import InputError
from seisedge.runtime.listening import cannot_listen
from seisedge.runtime.service.health import Health, Sample
from seisedge.runtime.text import shortened

PREFIX = "seisedge_"
LOOPBACK = "127.0.0.1"


def address_from_text(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; `:PORT` is the loopback interface. Raises InputError."""
    if fault := listen_fault(text):
        raise InputError(f"--metrics {shortened(text)}: {fault}")
    host, _, port = text.rpartition(":")
    return host.strip("[]") or LOOPBACK, int(port)


class MetricsServer:
    """Serves until `close`. Raises InputError for an unknown host, FailedError if the port cannot be opened."""

    def __init__(self, health: Health, address: tuple[str, int]) -> None:
        try:
            self._server = _Server(address, health)
        except (OSError, OverflowError, UnicodeError) as error:
            raise cannot_listen("metrics", *address, error) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], health: Health) -> None:
        self.health = health
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0  # a client that sends nothing is disconnected

    def do_GET(self) -> None:
        health = self.server.health
        if self.path == "/healthz":
            document = health.document()
            code = HTTPStatus.SERVICE_UNAVAILABLE if document["status"] == "outage" else HTTPStatus.OK
            self._answer(code, "application/json", json.dumps(document) + "\n")
        elif self.path == "/metrics":
            self._answer(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text_from_health(health))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "/healthz or /metrics\n")

    def _answer(self, code: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def text_from_health(health: Health) -> str:
    """All metrics as Prometheus text."""
    by_name: dict[str, list[Sample]] = {}
    for sample in health.samples():
        by_name.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for name, samples in by_name.items():
        lines.append(f"# HELP {PREFIX}{name} {samples[0].help}")
        lines.append(f"# TYPE {PREFIX}{name} {samples[0].kind}")
        lines += [f"{PREFIX}{name}{_labels(sample.labels)} {sample.value:.15g}" for sample in samples]
    engines = health.models.engines if health.models is not None else []
    of_models = [({"model": engine.card.name}, engine.inference_ms) for engine in engines]
    lines += _histogram(
        "inference_milliseconds", "Duration of an inference, whether or not it led to a line.", of_models
    )
    lines += _histogram(
        "work_milliseconds",
        "Duration from the start of the work on a packet to the finished line.",
        [({}, health.work_ms)],
    )
    if health.journal.folder is not None or health.drains:
        lines += _histogram("commit_milliseconds", "Duration of a transaction.", [({}, health.journal.commit_ms)])
    return "\n".join(lines) + "\n"


def _histogram(name: str, text: str, found: Sequence[tuple[dict[str, str], Histogram]]) -> list[str]:
    lines = [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} histogram"] if found else []
    for labels, histogram in found:
        below = 0
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            below += count
            edge = {"le": "+Inf" if bound == float("inf") else f"{bound:g}"}
            lines.append(f"{PREFIX}{name}_bucket{_labels(labels | edge)} {below}")
        lines.append(f"{PREFIX}{name}_sum{_labels(labels)} {histogram.total:.10g}")
        lines.append(f"{PREFIX}{name}_count{_labels(labels)} {below}")
    return lines


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    parts = (f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{','.join(parts)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

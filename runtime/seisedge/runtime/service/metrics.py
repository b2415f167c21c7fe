"""Metrics: `/healthz` and `/metrics` over HTTP, served by one thread.

`/healthz`: JSON, with status 200, or 503 in an outage. `/metrics`: Prometheus text format 0.0.4.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from seisedge.runtime.addresses import listen_fault
from seisedge.runtime.counters import Histogram
from seisedge.runtime.errors import InputError
from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.http_server.server import Server
from seisedge.runtime.service.health import Health, Sample
from seisedge.runtime.service.metric_help import HELP
from seisedge.runtime.text import shortened

NAME = "metrics"  # of the thread and in the log
PREFIX = "seisedge_"
LOOPBACK = "127.0.0.1"


def address_from_text(text: str, option: str = "--metrics") -> tuple[str, int]:
    """Host and port of `HOST:PORT`; `:PORT` is the loopback interface. Raises InputError."""
    if fault := listen_fault(text):
        raise InputError(f"{option} {shortened(text)}: {fault}")
    host, _, port = text.rpartition(":")
    return host.strip("[]") or LOOPBACK, int(port)


class MetricsServer:
    """Serves until `close`. Raises InputError for an unknown host, FailedError if the port cannot be opened."""

    def __init__(self, health: Health, address: tuple[str, int]) -> None:
        self._health = health
        self.server = Server(NAME, self, address)

    @property
    def port(self) -> int:
        return self.server.port

    def close(self) -> None:
        """Stop serving and close all connections."""
        self.server.close()

    def work(self) -> None:
        """The server only answers."""

    def refusal(self, status: HTTPStatus, sentence: str) -> Response:
        return Response(status, "text/plain", f"{sentence}\n".encode())

    def answer(self, request: Request) -> Response:
        """`/healthz` or `/metrics`."""
        if request.method not in ("GET", "HEAD"):
            return self.refusal(HTTPStatus.METHOD_NOT_ALLOWED, "GET /healthz or /metrics")
        if request.path == "/metrics":
            return metrics_response(self._health)
        if request.path == "/healthz":
            return healthz_response(self._health.document())
        return self.refusal(HTTPStatus.NOT_FOUND, "/healthz or /metrics")


def healthz_response(document: dict[str, Any]) -> Response:
    """The response to `/healthz` with this document."""
    outage = document["status"] == "outage"
    status = HTTPStatus.SERVICE_UNAVAILABLE if outage else HTTPStatus.OK
    return Response(status, "application/json", f"{json.dumps(document)}\n".encode())


def metrics_response(health: Health) -> Response:
    """The response to `/metrics`."""
    text = text_from_health(health)
    return Response(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text.encode())


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
    lines += _histogram("inference_seconds", of_models)
    lines += _histogram("work_seconds", [({}, health.work_ms)])
    if health.journal.folder is not None or health.drains:
        lines += _histogram("commit_seconds", [({}, health.journal.commit_ms)])
    return "\n".join(lines) + "\n"


def _histogram(name: str, found: Sequence[tuple[dict[str, str], Histogram]]) -> list[str]:
    """A histogram in seconds, the base unit of Prometheus; those of the run are in milliseconds."""
    lines = [f"# HELP {PREFIX}{name} {HELP[name]}", f"# TYPE {PREFIX}{name} histogram"] if found else []
    for labels, histogram in found:
        below = 0
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            below += count
            edge = {"le": "+Inf" if bound == float("inf") else f"{bound / 1e3:g}"}
            lines.append(f"{PREFIX}{name}_bucket{_labels(labels | edge)} {below}")
        lines.append(f"{PREFIX}{name}_sum{_labels(labels)} {histogram.total / 1e3:.10g}")
        lines.append(f"{PREFIX}{name}_count{_labels(labels)} {below}")
    return lines


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    parts = (f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{','.join(parts)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

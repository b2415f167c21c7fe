"""Answers: the addresses of the page that only read: events, curves, waveforms."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic, time_ns

import numpy as np

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.page.access import PageError
from seisedge.runtime.page.curves import HELICORDER_COLUMNS, LIVE_S, PROBABILITY_COLUMNS, Component, Curves
from seisedge.runtime.page.events import EventBook
from seisedge.runtime.page.query import MAX_MS, Query
from seisedge.runtime.page.rings import HOP_NS, PROBABILITY_STEPS, envelope, joined
from seisedge.runtime.page.snippets import Snippets
from seisedge.runtime.page.spectra import spectrogram
from seisedge.runtime.page.waveform import MAX_FILE_BYTES, waveform_answer
from seisedge.runtime.page.wire import Kind, encoded
from seisedge.runtime.records.channelcode import COMPONENTS
from seisedge.runtime.text import quoted

NS_PER_MS = 1_000_000
MAX_EVENTS = 200  # in one answer
MAX_COLUMNS = 6000
MAX_DAYS = 3650
AVAILABILITY_S = 0.3  # for one answer; the client asks again for what is before it
DAY_NS = 86_400 * NS_PER_S
BINARY = "application/octet-stream"
JSON = "application/json"


class Answers:
    """The routes of the page by their path."""

    def __init__(
        self,
        curves: dict[str, Curves],
        events: EventBook,
        snippets: Snippets | None,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._curves, self._events, self._snippets, self._now_s = curves, events, snippets, now_s
        self.routes: dict[str, Callable[[Query, Request], Response]] = {
            "/api/events": self._events_page,
            "/api/envelope": self._envelope,
            "/api/helicorder": self._helicorder,
            "/api/probabilities": self._probabilities,
            "/api/spectrogram": self._spectrogram,
            "/api/waveform": self._waveform,
            "/api/waveform.mseed": self._miniseed,
            "/api/availability": self._availability,
        }

    def event_json(self, event_id: str) -> bytes:
        """One event with whether its waveform is stored."""
        shown = self._events.get(event_id)
        assert shown is not None
        has_snippet = self._snippets is not None and self._snippets.find(event_id) is not None
        return shown.json[:-1] + (b',"snippet":true}' if has_snippet else b',"snippet":false}')

    def _events_page(self, query: Query, _request: Request) -> Response:
        query.end("station", "limit", "before")
        limit = query.whole("limit", 1, MAX_EVENTS, 50)
        before_ms = query.whole("before", 0, MAX_MS, MAX_MS)
        before_ns = None if before_ms == MAX_MS else before_ms * NS_PER_MS
        found, more = self._events.page(query.text("station") or None, before_ns, limit)
        events = b",".join(self.event_json(key) for key, _ in found)
        return Response(HTTPStatus.OK, JSON, b'{"events":[' + events + b'],"more":' + json.dumps(more).encode() + b"}")

    def _envelope(self, query: Query, _request: Request) -> Response:
        query.end("station", "component", "from", "to", "columns")
        names = query.letters("component", COMPONENTS, len(COMPONENTS))
        components = [self._of_station(query).components.get(name) for name in names]
        known = [component for component in components if component is not None]
        if not known:
            raise PageError(HTTPStatus.NOT_FOUND, f"no data of the component {names} have arrived")
        from_ms, to_ms = query.span_ms(2 * LIVE_S * 1000)
        columns = query.whole("columns", 1, MAX_COLUMNS, 1000)
        span_s = (to_ms - from_ms) / 1000
        columns = max(min(columns, int(span_s * min(component.rate_hz for component in known))), 1)
        values = np.full((columns, len(names), 2), np.nan, dtype=np.float32)
        for row, component in enumerate(components):
            if component is not None:
                values[:, row] = envelope(component.samples, from_ms * NS_PER_MS, to_ms * NS_PER_MS, columns)
        return _binary(encoded(Kind.MIN_MAX, values, from_ms, span_s * 1e3 / columns))

    def _helicorder(self, query: Query, _request: Request) -> Response:
        query.end("station", "component", "from", "to", "columns")
        component = self._component(query)
        from_ms, to_ms = query.span_ms(HELICORDER_COLUMNS * 1000)
        first, end = from_ms // 1000, -(-to_ms // 1000)
        step_s = -(-(end - first) // query.whole("columns", 1, HELICORDER_COLUMNS, HELICORDER_COLUMNS))
        first, end = first // step_s * step_s, -(-end // step_s) * step_s  # the same columns in each answer
        values = joined(component.helicorder.values(first, end), step_s)
        return _binary(encoded(Kind.MIN_MAX, values[:, None, :], first * 1000, step_s * 1000.0))

    def _probabilities(self, query: Query, _request: Request) -> Response:
        query.end("station", "from", "to")
        curves = self._of_station(query)
        from_ms, to_ms = query.span_ms(PROBABILITY_COLUMNS * 100)
        first, end = from_ms * NS_PER_MS // HOP_NS, -(-to_ms * NS_PER_MS // HOP_NS)
        values = curves.probabilities.values(first, end)
        return _binary(encoded(Kind.VALUES, values, first * HOP_NS // NS_PER_MS, 100.0, 2 / PROBABILITY_STEPS))

    def _spectrogram(self, query: Query, _request: Request) -> Response:
        query.end("station", "component", "from", "to")
        component = self._component(query)
        from_ms, to_ms = query.span_ms(2 * LIVE_S * 1000)
        ring = component.samples
        first, end = ring.index(from_ms * NS_PER_MS), ring.index(to_ms * NS_PER_MS)
        levels, step_s, row_hz = spectrogram(ring.values(first, end), ring.rate_hz)
        answer = _binary(encoded(Kind.SPECTROGRAM, levels, from_ms, step_s * 1e3, 0.01))
        return Response(answer.status, answer.kind, answer.body, (("Seisedge-Row-Hz", f"{row_hz:.6g}"),))

    def _waveform(self, query: Query, _request: Request) -> Response:
        query.end("event", "columns")
        columns = query.whole("columns", 1, MAX_COLUMNS, 1000)
        return _binary(waveform_answer(self._snippet(query), columns))

    def _miniseed(self, query: Query, _request: Request) -> Response:
        query.end("event")
        data = self._snippet(query)
        name = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in query.text("event"))
        headers = (("Content-Disposition", f'attachment; filename="{name}.mseed"'),)
        return Response(HTTPStatus.OK, "application/vnd.fdsn.mseed", data, headers)

    def _availability(self, query: Query, _request: Request) -> Response:
        """The days before `to`, newest first, until `AVAILABILITY_S` is over: the disk may be slow."""
        query.end("station", "days", "to")
        days, station_id = query.whole("days", 1, MAX_DAYS, 30), query.text("station", None)
        to_ns = query.whole("to", 0, MAX_MS, time_ns() // NS_PER_MS) * NS_PER_MS
        until_s = self._now_s() + AVAILABILITY_S
        spans: list[list[int]] = []
        done = 0
        while self._snippets is not None and done < days and (self._now_s() < until_s or not done):
            from_ns = to_ns - DAY_NS
            found = self._snippets.availability(station_id, from_ns, to_ns)
            spans = [[start // NS_PER_MS, end // NS_PER_MS] for start, end in found] + spans
            done, to_ns = done + 1, from_ns
        complete = self._snippets is None or done == days
        document = {"spans": _joined(spans), "from_ms": to_ns // NS_PER_MS, "complete": complete}
        return Response(HTTPStatus.OK, JSON, json.dumps(document).encode())

    def _snippet(self, query: Query) -> bytes:
        """The stored waveform of an event that the page has shown. Raises PageError without one."""
        event_id = query.text("event", None)
        path = None
        if self._snippets is not None and self._events.get(event_id) is not None:
            path = self._snippets.find(event_id)
        if path is None:
            raise PageError(HTTPStatus.NOT_FOUND, f"no waveform is stored for the event {quoted(event_id)}")
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            sentence = f"the stored waveform of this event cannot be read: {error.strerror}"
            raise PageError(HTTPStatus.NOT_FOUND, sentence) from error
        if len(data) > MAX_FILE_BYTES:
            sentence = f"the stored waveform of this event is larger than {MAX_FILE_BYTES} bytes"
            raise PageError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
        return data

    def _of_station(self, query: Query) -> Curves:
        station_id = query.text("station") or next(iter(self._curves), "")
        curves = self._curves.get(station_id)
        if curves is None:
            what = f"the station {quoted(station_id)} has no curves" if station_id else "no data have arrived yet"
            raise PageError(HTTPStatus.NOT_FOUND, what)
        return curves

    def _component(self, query: Query) -> Component:
        name = query.letters("component", COMPONENTS)
        component = self._of_station(query).components.get(name)
        if component is None:
            raise PageError(HTTPStatus.NOT_FOUND, f"no data of the component {name} have arrived")
        return component


def _binary(data: bytes) -> Response:
    return Response(HTTPStatus.OK, BINARY, data)


def _joined(spans: list[list[int]]) -> list[list[int]]:
    """Spans in order, those that touch as one."""
    found: list[list[int]] = []
    for start, end in spans:
        if found and start <= found[-1][1] + 1:
            found[-1][1] = max(end, found[-1][1])
        else:
            found.append([start, end])
    return found

"""Page: the server of a station's page. It only reads: GET and HEAD, from rings that the loop fills through a feed.

Everything here runs in the thread of the server, except for the feed.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

import msgspec

from seisedge.runtime.config import StationConfig
from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.http_server.server import Limits, Rate, Server
from seisedge.runtime.http_server.stream import Stream
from seisedge.runtime.page.access import SECURITY_HEADERS, Access, PageError
from seisedge.runtime.page.answers import Answers
from seisedge.runtime.page.assets import INDEX, Assets, accepts_gzip
from seisedge.runtime.page.curves import Curves
from seisedge.runtime.page.events import EventBook
from seisedge.runtime.page.feed import Feed
from seisedge.runtime.page.history import events_in
from seisedge.runtime.page.privacy import Privacy, shown_sinks
from seisedge.runtime.page.query import Query
from seisedge.runtime.page.recent import Recent
from seisedge.runtime.page.snippets import Snippets
from seisedge.runtime.page.state import StateDocument
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.health import Health

logger = logging.getLogger(__name__)

NAME = "page"  # of the thread and in the log
MAX_STATIONS = 16  # with curves: about 2.2 MB each with three components at 100 Hz
MAX_STREAMS = 12
MAX_CONNECTIONS = 64
MAX_ANSWERS_PER_S = 250  # most of them files: eight browsers load the page at once after a restart of the station
MAX_DATA_PER_S = 80  # answers that need work
SEND_S = 60.0  # for a client to receive an answer
ITEMS = 100  # of the feed at a time, before the connections are served again
EVENTS = 10  # of the feed at a time: the buffers of the clients hold more
TICK_S = 1.0
STATE_S = 2.0
LOW_RATE_S = 60.0  # instead of these two, on a metered link
IDLE_S = 1.0  # interval at which the feed is read
ERROR_S = 60.0  # between two messages about items of the feed that cannot be shown
MIN_COMPRESSED = 1000  # bytes of an answer
MAX_STATE_BYTES = 16 * 1024  # in the stream; a longer one is only of the station that the client shows
RETRY_S = 10
SNIPPET_S = 300.0  # after the last revision of an event, in which its waveform is stored
MAX_AWAITED = 64
JSON = "application/json"
METRICS = ("/healthz", "/metrics")  # without a token, as on a port of their own: other programs read them
# Addresses whose answer several clients ask for at the same time
CURVES = {"/api/envelope", "/api/helicorder", "/api/probabilities", "/api/spectrogram", "/api/waveform"}


@dataclass(frozen=True, slots=True)
class PageSettings:
    """low_rate: updates once a minute. snippets, archive: waveforms of events, and everything, are stored.

    metrics: the page also answers `/healthz` and `/metrics`.
    """

    low_rate: bool = False
    snippets: bool = True
    archive: bool = False
    metrics: bool = False


class Page:
    """The page. `feed` is the observer of the loop; `start` opens the port; `close` ends it."""

    def __init__(
        self,
        health: Health,
        configs: Iterable[StationConfig] = (),
        access: Access | None = None,
        settings: PageSettings | None = None,
        snippets: Snippets | None = None,
        earlier: Sequence[Path] = (),
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        """earlier: files of JSON lines with the events of earlier runs."""
        self.feed = Feed()
        self.events = EventBook()
        self.curves: dict[str, Curves] = {}
        self._health = health
        self.settings = settings or PageSettings()
        self._access = access or Access()
        self._snippets = snippets
        self._earlier = list(earlier)
        self._now_s = now_s
        self._privacy = Privacy(configs)
        self._state = StateDocument(health, self.events, self.curves, self._privacy)
        self._answers = Answers(self.curves, self.events, snippets, now_s)
        self._assets = Assets()
        self._recent = Recent()
        self._rate = Rate(MAX_DATA_PER_S, now_s)
        self._streams: list[Stream] = []
        self._awaited: dict[str, tuple[str, float]] = {}  # events without a waveform: station, until when to look
        self._next_tick_s = self._next_state_s = 0.0
        self._next_error_s = 0.0
        self._cached: tuple[float, bytes] = (0.0, b"")  # until when the state is used again
        self.server: Server | None = None
        self._routes: dict[str, Callable[[Query, Request], Response]] = {
            "/api/state": lambda _query, _request: Response(HTTPStatus.OK, JSON, self._state_json()),
            "/api/updates": self._updates,
            **self._answers.routes,
        }

    def start(self, address: tuple[str, int]) -> None:
        """Serve from now on, or as soon as the port can be opened. Raises InputError for an unknown host."""
        limits = Limits(MAX_CONNECTIONS, MAX_ANSWERS_PER_S, SEND_S, HTTPStatus.SERVICE_UNAVAILABLE)
        self.server = Server(NAME, self, address, limits, self._now_s, required=False)

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    def log_address(self) -> None:
        """Log the address for a browser; for a port that is taken, the server has logged a warning."""
        if self.server is not None and self.server.listening:
            logger.info("%s: http://%s", NAME, self.server.address_text)

    def faults(self) -> list[str]:
        """Why the page cannot be opened now; empty while it is served."""
        return [self.server.failure] if self.server is not None and self.server.failure is not None else []

    def close(self) -> None:
        if self.server is not None:
            self.server.close()

    # The handler of the server

    def answer(self, request: Request) -> Response:
        try:
            cookie = self._access.check(request, public=self.settings.metrics and request.path in METRICS)
            if cookie is not None:
                headers = (("Location", "/"), ("Set-Cookie", cookie), ("Cache-Control", "no-store"), *SECURITY_HEADERS)
                return Response(HTTPStatus.SEE_OTHER, "text/plain; charset=utf-8", b"", headers)
            return self._secured(self._route(request), request)
        except PageError as error:
            return self._error(error, readable=request.path == "/")

    def refusal(self, status: HTTPStatus, sentence: str) -> Response:
        busy = (("Retry-After", str(RETRY_S)),) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()
        return self._error(PageError(status, sentence, busy))

    def work(self) -> float:
        """Take what the loop has passed on, and send what is due to the streams."""
        now_s = self._now_s()
        for item in self.feed.take(ITEMS):
            try:
                self._show(item)
            except Exception as error:
                self._note_error(error, now_s)
        while self._earlier:
            for event in events_in(self._earlier.pop(0)):
                self.events.add(event)
        for event in self.feed.take_events(EVENTS):
            if self.events.add(event):
                self._send_event(event.id, event.station)
                if self._snippets is not None and event.status != "retracted":
                    self._awaited[event.id] = (event.station, now_s + SNIPPET_S)
        while len(self._awaited) > MAX_AWAITED:
            del self._awaited[next(iter(self._awaited))]
        self._state.note_gaps(now_s)
        self._streams = [stream for stream in self._streams if not stream.ended]
        every_tick_s, every_state_s = (LOW_RATE_S, LOW_RATE_S) if self.settings.low_rate else (TICK_S, STATE_S)
        if self._streams and now_s >= self._next_tick_s:
            self._next_tick_s = now_s + every_tick_s
            self._send_ticks()
            self._send_stored(now_s)
        if self._streams and now_s >= self._next_state_s:
            self._next_state_s = now_s + every_state_s
            self._send_state()
        return 0.0 if self.feed.waiting or self.feed.waiting_events else IDLE_S / 2 if self._streams else IDLE_S

    def _show(self, item: Packet | tuple[str, int, Any]) -> None:
        """Add a packet or a block of probabilities to the curves of its station."""
        station_id = item.source_id.station_id if isinstance(item, Packet) else item[0]
        curves = self.curves.get(station_id)
        if curves is None:
            if len(self.curves) >= MAX_STATIONS:
                return
            curves = self.curves[station_id] = Curves()
            if len(self.curves) == MAX_STATIONS:
                self.feed.stations = frozenset(self.curves)
        if isinstance(item, Packet):
            curves.add(item)
        else:
            curves.probabilities.put(item[1], item[2])

    def _note_error(self, error: Exception, now_s: float) -> None:
        level = logging.WARNING if now_s >= self._next_error_s else logging.DEBUG
        if level == logging.WARNING:
            self._next_error_s = now_s + ERROR_S
        logger.log(level, "%s: a packet is not shown: %s", NAME, error, exc_info=error)

    # Streams

    def _updates(self, query: Query, request: Request) -> Response:
        """The stream of server-sent events."""
        query.end("station")
        headers = (("Cache-Control", "no-store"),)
        kind = "text/event-stream; charset=utf-8"
        if request.method == "HEAD":
            return Response(HTTPStatus.OK, kind, b"", headers)
        if sum(not stream.ended for stream in self._streams) >= MAX_STREAMS:
            sentence = f"all {MAX_STREAMS} places for live updates are taken: ask for /api/state every 10 s instead"
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence, (("Retry-After", str(RETRY_S)),))
        stream = Stream(query.text("station"))
        self._streams.append(stream)
        self._next_tick_s = self._next_state_s = 0.0  # the first ones follow at once
        return Response(HTTPStatus.OK, kind, b"retry: 3000\n\n", headers, stream)

    def _send(self, event: str, data: bytes, station_id: str) -> None:
        """Send to the streams of a station and to those of all stations."""
        message = _message(event, data)
        for stream in self._streams:
            if stream.topic in ("", station_id):
                stream.put(message)

    def _send_event(self, event_id: str, station_id: str) -> None:
        self._send("event", self._answers.event_json(event_id), station_id)

    def _send_stored(self, now_s: float) -> None:
        """Send events again whose waveform has been stored since."""
        for event_id, (station_id, until_s) in list(self._awaited.items()):
            stored = self._snippets is not None and self._snippets.find(event_id) is not None
            if stored or now_s >= until_s:
                del self._awaited[event_id]
            if stored and self.events.get(event_id) is not None:
                self._send_event(event_id, station_id)

    def _send_ticks(self) -> None:
        now_ms = time_ns() // 1_000_000
        made: dict[str, bytes] = {}
        for stream in self._streams:
            if stream.topic not in made:
                curves = self.curves.get(stream.topic or next(iter(self.curves), ""))
                newest_ms = curves.newest_ms if curves is not None else {}
                tick = {"now_ms": now_ms, "newest_ms": newest_ms}
                made[stream.topic] = _message("tick", json.dumps(tick).encode())
            stream.put(made[stream.topic])

    def _send_state(self) -> None:
        whole = self._state_json()
        document = json.loads(whole) if len(whole) > MAX_STATE_BYTES else None
        for stream in self._streams:
            data = whole
            if document is not None:
                shown = [one for one in document["stations"] if one["station"] == stream.topic]
                left_out = document["stations_left_out"] + len(document["stations"]) - len(shown)
                data = json.dumps(document | {"stations": shown, "stations_left_out": left_out}).encode()
            stream.put(_message("state", data))

    def _state_json(self) -> bytes:
        """The state, at most a second old: all clients receive the same one."""
        now_s = self._now_s()
        if now_s >= self._cached[0]:
            settings = {
                "low_rate": self.settings.low_rate,
                "snippets": self._snippets is not None and self.settings.snippets,
                "archive": self._snippets is not None and self.settings.archive,
            }
            self._cached = (now_s + 1.0, msgspec.json.encode(self._state.document() | settings))
        return self._cached[1]

    # Responses

    def _route(self, request: Request) -> Response:
        path = request.path
        if path == "/":
            return self._assets.response(INDEX, request)
        if path.startswith("/assets/"):
            return self._assets.response(path.removeprefix("/assets/"), request)
        if self.settings.metrics and path in METRICS:
            return self._of_metrics(path)
        route = self._routes.get(path)
        if route is None:
            raise PageError(HTTPStatus.NOT_FOUND, "there is no such address on this page")
        if not self._rate.available:
            sentence = f"more than {MAX_DATA_PER_S} requests for data per second; try again later"
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence, (("Retry-After", str(RETRY_S)),))
        self._rate.take()
        if path not in CURVES:
            return route(Query(request.query), request)
        now_s, key = self._now_s(), (path, tuple(sorted(request.query.items())), accepts_gzip(request))
        response = self._recent.get(key, now_s)
        if response is None:
            response = _compressed(route(Query(request.query), request), request)
            self._recent.put(key, response, now_s)
        return response

    def _of_metrics(self, path: str) -> Response:
        from seisedge.runtime.service.metrics import healthz_response, metrics_response

        sinks = shown_sinks(drain.name for drain in list(self._health.drains))
        if path == "/metrics":
            response = metrics_response(self._health)
            body = self._privacy.shown_metrics(response.body.decode(), sinks).encode()
            return Response(response.status, response.kind, body)
        return healthz_response(self._privacy.shown_in(self._health.document(), sinks))

    def _secured(self, response: Response, request: Request) -> Response:
        """The response with the headers of all answers, compressed where that is worth it."""
        response = _compressed(response, request)
        headers = response.headers + SECURITY_HEADERS
        if all(name != "Cache-Control" for name, _ in headers):
            headers = (("Cache-Control", "no-store"), *headers)
        return Response(response.status, response.kind, response.body, headers, response.stream)

    def _error(self, error: PageError, *, readable: bool = False) -> Response:
        """The response to a request that is refused. readable: for a person, who has opened the page."""
        headers = (("Cache-Control", "no-store"), *error.headers, *SECURITY_HEADERS)
        if readable:
            return Response(error.status, "text/plain; charset=utf-8", f"{error.sentence}\n".encode(), headers)
        body = json.dumps({"error": error.sentence}).encode()
        return Response(error.status, JSON, body, headers)


def _compressed(response: Response, request: Request) -> Response:
    """The response compressed, where the client accepts it and that is worth it."""
    done = response.stream is not None or any(name == "Content-Encoding" for name, _ in response.headers)
    if done or len(response.body) < MIN_COMPRESSED or not accepts_gzip(request):
        return response
    headers = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"), *response.headers)
    return Response(response.status, response.kind, gzip.compress(response.body, 1, mtime=0), headers)


def _message(event: str, data: bytes) -> bytes:
    """One server-sent event; JSON has no line break."""
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"

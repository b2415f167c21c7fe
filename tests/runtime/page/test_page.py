"""The page: what its addresses answer, its streams, and its limits."""

import gzip
import json
import logging
import random
from http import HTTPStatus
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.fakes import T0_NS, ListSource, burst, classic_config, fake_detector, fake_models, packet, packets_of
from tests.paths import RECORDING
from tests.runtime.page.curve import Curve, curve_from

from seisedge.runtime.config import StationConfig
from seisedge.runtime.event import Event
from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.http_server.server import MAX_WAITING_BYTES, Rate
from seisedge.runtime.http_server.stream import MAX_BUFFER_BYTES, Stream
from seisedge.runtime.page import feed, page, recent
from seisedge.runtime.page.curves import HELICORDER_COLUMNS, LIVE_S, PROBABILITY_COLUMNS
from seisedge.runtime.page.events import MAX_EVENTS, EventBook
from seisedge.runtime.page.history import events_in
from seisedge.runtime.page.page import MAX_STATIONS, MAX_STREAMS, Page, PageSettings
from seisedge.runtime.page.snippets import Snippets
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop

T0_MS = T0_NS // 10**6
TRACES = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Stored:
    """Snippets in one folder: `EVENT.mseed`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, event_id: str) -> Path | None:
        path = self.folder / f"{event_id}.mseed"
        return path if path.exists() else None

    def availability(self, station_id: str, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        self.on_read()
        return [(from_ns, to_ns)] if station_id == "XX.STA" else []

    def on_read(self) -> None:
        """A day was read."""


def run_page(snippets: Snippets | None = None, clock: Clock | None = None, *, low_rate: bool = False) -> Page:
    """A page after a run over one event."""
    settings = PageSettings(low_rate=low_rate)
    health = Health()
    made = Page(health, settings=settings, snippets=snippets, now_s=clock or Clock())
    loop = Loop(fake_models(), [], {}, default=classic_config(), health=health, observer=made.feed)
    health.report = loop.report
    loop.run(ListSource(list(packets_of(TRACES)), live=True))
    while made.work() == 0.0:
        pass
    return made


@pytest.fixture(scope="module")
def shared() -> Page:
    """A page for tests that change nothing in it."""
    return run_page()


def get(made: Page, target: str, **headers: str) -> Response:
    path, _, query = target.partition("?")
    fields = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
    return made.answer(Request("GET", path, fields, {"host": "localhost"} | headers))


def curve(made: Page, target: str) -> Curve:
    response = get(made, target)
    assert response.status == HTTPStatus.OK, response.body
    return curve_from(response.body)


def error(made: Page, target: str) -> tuple[int, str]:
    response = get(made, target)
    document = json.loads(response.body)
    assert list(document) == ["error"]
    return response.status.value, document["error"]


def test_the_curves_of_a_run() -> None:
    made = run_page()
    of = f"from={T0_MS}&to={T0_MS + 100_000}"
    live = curve(made, f"/api/envelope?component=ZNE&{of}&columns=100")
    assert (live.kind, live.channels, live.start_ms, live.step_ms, live.values.shape) == (1, 3, T0_MS, 1000.0, (100, 6))
    for row, trace in enumerate(TRACES.values()):
        seconds = trace.reshape(100, 100)
        assert live.values[:, 2 * row] == pytest.approx(seconds.min(axis=1), abs=1)
        assert live.values[:, 2 * row + 1] == pytest.approx(seconds.max(axis=1), abs=1)
    north = curve(made, f"/api/envelope?component=N&{of}&columns=100")
    assert north.values == pytest.approx(live.values[:, 2:4], abs=1)
    fine = curve(made, f"/api/envelope?from={T0_MS}&to={T0_MS + 1000}&columns=5000")
    assert fine.step_ms == 10.0 and fine.values[:, 0] == pytest.approx(TRACES["HHZ"][:100], abs=1)
    day = curve(made, f"/api/helicorder?station=XX.STA&component=E&{of}")
    assert (day.start_ms, day.step_ms, len(day.values)) == (T0_MS // 1000 * 1000, 1000.0, 100)
    assert np.nanargmax(day.values[:, 1]) == 40 and np.isnan(day.values[99:]).all()  # the filter lags by 1.65 s
    spectra = get(made, f"/api/spectrogram?{of}")
    levels = curve_from(spectra.body)
    row_hz = float(dict(spectra.headers)["Seisedge-Row-Hz"])
    assert (levels.kind, levels.step_ms) == (3, 1000.0) and levels.channels * row_hz == pytest.approx(50, abs=1)
    assert np.nanargmax(levels.values[40]) * row_hz == pytest.approx(6.0, abs=1.0)  # the burst has 6 Hz


@pytest.mark.parametrize("mode", ["triggered", "continuous"])
def test_the_probabilities_of_both_modes(mode: str) -> None:
    made = Page(Health(), now_s=Clock())
    models = fake_models(onset=fake_detector())
    loop = Loop(models, [], {}, default=StationConfig(), mode=mode, observer=made.feed)  # type: ignore[arg-type]
    loop.run(ListSource(list(packets_of(TRACES)), live=True))
    while made.work() == 0.0:
        pass
    found = curve(made, f"/api/probabilities?from={T0_MS}&to={T0_MS + 100_000}")
    assert (found.kind, found.channels, found.step_ms, found.values.shape) == (2, 5, 100.0, (1000, 5))
    assert np.nanargmax(found.values[:, 0]) == pytest.approx(400, abs=2)  # the onset at 40 s
    assert np.nanmax(found.values[:, 0]) == pytest.approx(0.9, abs=0.01)


def test_no_data_yet() -> None:
    made = Page(Health())
    state = json.loads(get(made, "/api/state").body)
    assert (state["sentence"], state["stations"]) == ("ok: no data yet", [])
    assert json.loads(get(made, "/api/events").body) == {"events": [], "more": False}
    for name in ("envelope", "helicorder", "probabilities", "spectrogram"):
        assert error(made, f"/api/{name}?from=0&to=1000") == (404, "no data have arrived yet")
        assert error(made, f"/api/{name}?from=0&to=1000&station=XX.A") == (404, "the station 'XX.A' has no curves")
    assert error(made, "/api/waveform?event=x")[0] == 404
    assert json.loads(get(made, "/api/availability?station=XX.A").body)["spans"] == []


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/api/envelope", "the parameter from is missing"),
        ("/api/envelope?from=0", "the parameter to is missing"),
        ("/api/envelope?from=5&to=5", "to must be after from, by at most 1200000 ms"),
        ("/api/helicorder?from=0&to=90000001", "to must be after from, by at most 90000000 ms"),
        ("/api/envelope?from=0&to=1e3", "to must be a whole number from 0 to 9000000000000; got '1e3'"),
        ("/api/envelope?from=-1&to=5", "from must be a whole number from 0 to 9000000000000; got '-1'"),
        ("/api/envelope?from=0&to=5&columns=6001", "columns must be a whole number from 1 to 6000; got '6001'"),
        ("/api/envelope?from=0&to=5&component=ZZ", "component must be one of Z, N, E or several of them; got 'ZZ'"),
        ("/api/helicorder?from=0&to=5&component=ZN", "component must be one of Z, N, E; got 'ZN'"),
        ("/api/helicorder?from=0&to=5&component=", "component must be one of Z, N, E; got ''"),
        ("/api/events?limit=0", "limit must be a whole number from 1 to 200; got '0'"),
        ("/api/events?limt=5", "unknown parameter 'limt'; this address has station, limit, before"),
        ("/api/availability", "the parameter station is missing"),
        (f"/api/events?station={'x' * 129}", "the parameter station is longer than 128 characters"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(target: str, sentence: str, shared: Page) -> None:
    assert error(shared, target) == (400, sentence)


def test_no_query_makes_an_answer_fail(shared: Page) -> None:
    rng = random.Random(0)
    names = ["station", "component", "from", "to", "columns", "limit", "before", "event", "days", "x"]
    values = ["", "Z", "XX.STA", "0", "1", "-1", "9000000000000", "8999999999000", str(T0_MS), str(T0_MS + 5000), "٣",
              "1.5", "NaN", "../../etc/passwd", "<script>", "x" * 200, "Ü", "0x10", str(10**30)]  # fmt: skip
    paths = [path for path in shared._routes if path != "/api/updates"]
    statuses = set()
    shared._rate = Rate(10_000, Clock())
    for _ in range(3000):
        query = {name: rng.choice(values) for name in rng.sample(names, rng.randrange(6))}
        response = shared.answer(Request("GET", rng.choice(paths), query, {"host": "localhost"}))
        statuses.add(response.status.value)
        if response.status != HTTPStatus.OK:
            assert len(response.body) < 300 and b"Traceback" not in response.body and b"<" not in response.body[:1]
    assert statuses == {200, 400, 404}


@pytest.fixture(scope="module")
def event(shared: Page) -> Event:
    """The final revision of the event of the run."""
    (key, shown), *_ = shared.events.page(None, None, 1)[0]
    assert shown.revision == 2 and key == "XX.STA-20200913T122719.800"
    plain = msgspec.json.decode(shown.json) | {"source": "list:"}
    return msgspec.convert(plain, Event)


def _other(event: Event, number: int, **changes: object) -> Event:
    """An event `number` seconds later."""
    onset = np.datetime64(event.onset.removesuffix("Z")) + np.timedelta64(number, "s")
    return msgspec.structs.replace(event, id=f"XX.STA-{number}", onset=f"{onset}Z", **changes)


def test_the_newest_revision_of_each_event_newest_first(event: Event) -> None:
    made = Page(Health())
    for number, revision in ((1, 0), (3, 0), (2, 0), (3, 2), (3, 1), (1, 1)):
        made.feed.note_line(_other(event, number, revision=revision))
    made.feed.note_line(_other(event, 4, station="XX.B"))
    made.work()

    def ids(query: str) -> tuple[list[str], bool]:
        document = json.loads(get(made, f"/api/events{query}").body)
        return [f"{one['id'][7:]}r{one['revision']}" for one in document["events"]], document["more"]

    assert ids("") == (["4r2", "3r2", "2r0", "1r1"], False)
    assert ids("?station=XX.STA&limit=2") == (["3r2", "2r0"], True)
    onset_ms = T0_MS + 39_800
    assert ids(f"?before={onset_ms + 2500}") == (["2r0", "1r1"], False)
    assert ids("?station=XX.B") == (["4r2"], False) and ids("?station=XX.C") == ([], False)


def test_the_number_of_events_is_bounded_and_retracted_ones_do_not_count(event: Event) -> None:
    book = EventBook()
    for number in range(MAX_EVENTS + 5):
        assert book.add(_other(event, number, status="retracted" if number % 2 else "final"))
    assert book.truncated and book.get("XX.STA-4") is None and book.get("XX.STA-5") is not None
    assert len(book.page(None, None, 10_000)[0]) == MAX_EVENTS
    newest_ns = book.newest_ns("XX.STA")
    assert newest_ns is not None and book.count_since("XX.STA", newest_ns - 9 * 10**9) == 5
    assert not book.add(_other(event, 400, revision=0))


def _stream(made: Page, query: str = "") -> Stream:
    response = get(made, f"/api/updates{query}")
    assert response.status == HTTPStatus.OK and response.kind.startswith("text/event-stream")
    assert response.stream is not None
    return response.stream


def _received(stream: Stream) -> list[tuple[str, dict[str, object]]]:
    """The messages in a stream, which is empty afterwards."""
    blocks = bytes(stream.pending).decode().split("\n\n")[:-1]
    stream.pending.clear()
    found = []
    for block in blocks:
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_stream_has_events_at_once_ticks_each_second_and_the_state_every_two(event: Event) -> None:
    clock = Clock()
    made = run_page(clock=clock)
    one, other = _stream(made, "?station=XX.STA"), _stream(made, "?station=XX.B")
    assert 0 < made.work() < 1.0
    assert [name for name, _ in _received(one)] == ["tick", "state"]
    made.feed.note_line(_other(event, 7))
    clock.now_s += 0.4
    made.work()
    ((name, data),) = _received(one)
    assert (name, data["id"], data["snippet"]) == ("event", "XX.STA-7", False)
    names: list[str] = []
    for _ in range(8):
        clock.now_s += 0.5
        made.work()
        messages = _received(one)
        names += [name for name, _ in messages]
    assert names.count("tick") == 4 and names.count("state") == 2
    ticks = [data for name, data in messages if name == "tick"]
    assert ticks[0]["newest_ms"] == dict.fromkeys("ZNE", T0_MS + 100000)
    assert {name for name, _ in _received(other)} == {"tick", "state"}  # no event of the other station


def test_a_low_rate_page_sends_once_a_minute(event: Event) -> None:
    clock = Clock()
    made = run_page(clock=clock, low_rate=True)
    assert json.loads(get(made, "/api/state").body)["low_rate"] is True
    stream = _stream(made)
    made.work()
    _received(stream)
    names: list[str] = []
    for _ in range(120):
        clock.now_s += 1.0
        made.work()
        names += [name for name, _ in _received(stream)]
    assert names.count("tick") == names.count("state") == 2
    made.feed.note_line(_other(event, 7))
    made.work()
    assert [name for name, _ in _received(stream)] == ["event"]


def test_places_for_streams_are_bounded_and_free_again() -> None:
    made = Page(Health())
    streams = [_stream(made) for _ in range(MAX_STREAMS)]
    response = get(made, "/api/updates")
    assert response.status == HTTPStatus.SERVICE_UNAVAILABLE and ("Retry-After", "10") in response.headers
    assert "ask for /api/state every 10 s instead" in json.loads(response.body)["error"]
    head = made.answer(Request("HEAD", "/api/updates", {}, {"host": "localhost"}))
    assert head.status == HTTPStatus.OK and head.stream is None
    streams[3].end()
    _stream(made)


def test_files_are_still_answered_where_there_are_too_many_requests_for_data() -> None:
    clock = Clock()
    made = run_page(clock=clock)
    statuses = [get(made, "/api/events").status.value for _ in range(page.MAX_DATA_PER_S + 2)]
    assert statuses == [200] * page.MAX_DATA_PER_S + [503] * 2
    assert error(made, "/assets/nothing.js")[0] == 404
    clock.now_s += 1.0
    assert get(made, "/api/events").status == HTTPStatus.OK


def test_the_state_of_many_stations_fits_into_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    made = run_page()
    monkeypatch.setattr(page, "MAX_STATE_BYTES", 500)
    stream, all_of_them = _stream(made, "?station=XX.STA"), _stream(made)
    made.work()
    states = [dict(_received(one))["state"] for one in (stream, all_of_them)]
    assert [len(state["stations"]) for state in states] == [1, 0]  # type: ignore[arg-type]
    assert [state["stations_left_out"] for state in states] == [0, 1]


def test_the_waveform_of_an_event(event: Event, tmp_path: Path) -> None:
    made = run_page(Stored(tmp_path))
    records = [RECORDING.read_bytes()[at : at + 512] for at in range(0, 512 * 120, 512)]
    data = b"".join(record for record in records if record[8:12] == b"B918")
    (tmp_path / f"{event.id}.mseed").write_bytes(data)
    listed = json.loads(get(made, "/api/events").body)["events"]
    assert [one["snippet"] for one in listed] == [True]
    response = get(made, f"/api/waveform.mseed?event={event.id}")
    assert response.body == data and response.kind == "application/vnd.fdsn.mseed"
    assert ("Content-Disposition", f'attachment; filename="{event.id}.mseed"') in response.headers
    line, rest = get(made, f"/api/waveform?event={event.id}&columns=50").body.split(b"\n", 1)
    heads = json.loads(line)["curves"]
    assert [f"{one['component']} {one['channel']} {one['sensor']}" for one in heads] == [
        "Z EHZ velocity",
        "N EH1 velocity",
        "E EH2 velocity",
    ]
    curves = []
    for head in heads:
        curves.append(curve_from(rest[: head["bytes"]]))
        rest = rest[head["bytes"] :]
    assert rest == b"" and len({(one.start_ms, one.step_ms, len(one.values)) for one in curves}) == 1
    assert np.nanmax(np.abs(curves[0].values)) > 10
    state = json.loads(get(made, "/api/state").body)
    assert state["snippets"] is True


def test_a_waveform_that_cannot_be_read_is_one_sentence(
    event: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run_page(Stored(tmp_path))
    path = tmp_path / f"{event.id}.mseed"
    target = f"/api/waveform?event={event.id}"
    assert error(made, target) == (404, f"no waveform is stored for the event '{event.id}'")
    path.mkdir()
    assert error(made, target) == (404, "the stored waveform of this event cannot be read: Is a directory")
    path.rmdir()
    path.write_bytes(b"no miniSEED at all" * 100)
    assert get(made, f"{target}&columns=7").body == b'{"curves": []}\n'
    monkeypatch.setattr("seisedge.runtime.page.answers.MAX_FILE_BYTES", 10)
    assert error(made, f"{target}&columns=8") == (413, "the stored waveform of this event is larger than 10 bytes")
    (tmp_path.parent / "outside.mseed").write_bytes(b"x")
    for name in ("../outside", "%2e%2e/outside", "/etc/passwd"):  # only events that the page has shown
        assert error(made, f"/api/waveform.mseed?event={name}")[0] == 404


def test_answers_are_compressed_where_that_is_accepted_and_kept_for_a_second() -> None:
    clock = Clock()
    made = run_page(clock=clock)
    target = f"/api/helicorder?from={T0_MS}&to={T0_MS + 3_600_000}"
    plain, small = get(made, target), get(made, target, **{"accept-encoding": "br, gzip"})
    assert ("Content-Encoding", "gzip") in small.headers and gzip.decompress(small.body) == plain.body
    assert ("Cache-Control", "no-store") in small.headers
    for refused in ("br", "gzip;q=0"):
        assert get(made, target, **{"accept-encoding": refused}).body == plain.body
    made.feed.note_packet(packet(TRACES["HHZ"], 100.0))
    made.work()
    assert get(made, target).body == plain.body
    clock.now_s += 1.0
    assert get(made, target).body != plain.body


def test_stations_with_curves_are_bounded_and_the_others_keep_their_events(event: Event) -> None:
    made = Page(Health())
    for number in range(MAX_STATIONS + 3):
        made.feed.note_packet(packet(TRACES["HHZ"][:100], station=f"S{number}"))
    made.feed.note_line(_other(event, 1, station="XX.S18"))
    made.work()
    assert len(made.curves) == MAX_STATIONS
    for number in range(MAX_STATIONS + 3):
        made.feed.note_packet(packet(TRACES["HHZ"][:100], 1.0, station=f"S{number}"))
        made.feed.note_block(f"XX.S{number}", T0_NS, np.zeros((10, 5), dtype=np.float32))
    assert made.feed.waiting == 2 * MAX_STATIONS
    assert error(made, "/api/envelope?station=XX.S18&from=0&to=5")[0] == 404
    assert len(json.loads(get(made, "/api/events?station=XX.S18").body)["events"]) == 1


def test_the_feed_is_bounded_where_the_page_does_not_take() -> None:
    made = feed.Feed()
    one = packet(TRACES["HHZ"][:1000])
    for _ in range(1000):
        made.note_packet(one)
    assert made.waiting == feed.MAX_SAMPLES // 1000 and made.dropped == 600
    assert len(list(made.take(100))) == 100
    for _ in range(200):
        made.note_packet(one)
    assert made.waiting == feed.MAX_SAMPLES // 1000 and made.dropped == 700
    for _ in range(2 * feed.MAX_ITEMS):
        made.note_block("XX.STA", 0, np.zeros((10, 5), dtype=np.float32))
    assert made.waiting == feed.MAX_ITEMS


def test_a_packet_that_cannot_be_shown_is_logged_once_and_the_next_one_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Page(Health(), now_s=Clock())
    good = packet(TRACES["HHZ"][:400])
    broken = packet(np.array([["text"]]))
    for one in (broken, broken, good, broken):
        made.feed.note_packet(one)
    with caplog.at_level(logging.WARNING):
        made.work()
    assert [record.message[:26] for record in caplog.records] == ["page: a packet is not show"]
    lowest = curve(made, f"/api/envelope?from={T0_MS}&to={T0_MS + 4000}&columns=1").values[0, 0]
    assert lowest == pytest.approx(TRACES["HHZ"][:400].min(), abs=0.01)


def test_events_of_earlier_runs_come_from_the_file_of_event_lines(event: Event, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [msgspec.json.encode(_other(event, number)) for number in range(3)]
    path.write_bytes(b"\n".join([lines[0], b'{"schema":"seisedge.hop/1"}', b"\xff\xfe", lines[1][:100], lines[2]]))
    assert [one.id for one in events_in(path)] == ["XX.STA-0", "XX.STA-2"]
    made = Page(Health(), earlier=[path, tmp_path / "missing.jsonl", tmp_path])
    made.work()
    assert [one["id"] for one in json.loads(get(made, "/api/events").body)["events"]] == ["XX.STA-2", "XX.STA-0"]


def test_the_availability_of_a_slow_disk_is_answered_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stored = Clock(), Stored(tmp_path)
    made = Page(Health(), snippets=stored, now_s=clock)
    document = json.loads(get(made, "/api/availability?station=XX.STA&days=5").body)
    ((start, end),) = document["spans"]  # days that touch are one span
    assert end - start == 5 * 86_400_000 and document["complete"] and document["from_ms"] == start

    def slow() -> None:
        clock.now_s += 0.11

    monkeypatch.setattr(stored, "on_read", slow)
    document = json.loads(get(made, "/api/availability?station=XX.STA&days=5").body)
    ((start, end),) = document["spans"]
    assert end - start == 3 * 86_400_000 and not document["complete"] and document["from_ms"] == start
    before_ms = start
    document = json.loads(get(made, f"/api/availability?station=XX.STA&days=2&to={before_ms}").body)
    assert document["complete"] and document["spans"] == [[before_ms - 2 * 86_400_000, before_ms]]
    assert json.loads(get(made, "/api/availability?station=XX.B").body)["spans"] == []


def test_an_event_is_sent_again_when_its_waveform_is_stored(event: Event, tmp_path: Path) -> None:
    clock = Clock()
    made = run_page(Stored(tmp_path), clock)
    stream = _stream(made)
    made.feed.note_line(_other(event, 7))
    made.work()
    assert [data["snippet"] for name, data in _received(stream) if name == "event"] == [False]
    clock.now_s += 1.0
    made.work()
    assert "event" not in dict(_received(stream))
    (tmp_path / "XX.STA-7.mseed").write_bytes(b"x")
    for expected in ([True], []):
        clock.now_s += 1.0
        made.work()
        assert [data["snippet"] for name, data in _received(stream) if name == "event"] == expected
    for number in range(page.MAX_AWAITED + 9):
        made.feed.note_line(_other(event, 20 + number))
    sent = []
    while made.work() == 0.0:  # a client that reads receives all of them
        sent += [data["id"] for name, data in _received(stream) if name == "event"]
    assert not stream.ended and len(sent) >= page.MAX_AWAITED
    assert len(made._awaited) == page.MAX_AWAITED
    clock.now_s += page.SNIPPET_S
    made.work()
    assert made._awaited == {}


def test_the_bounds_together_are_below_ten_megabytes() -> None:
    """One station of three components at 100 Hz, with as many clients as there are places, none of which reads."""
    station = 3 * (HELICORDER_COLUMNS * 4 + LIVE_S * 100 * 4) + PROBABILITY_COLUMNS * 10
    streams = MAX_STREAMS * MAX_BUFFER_BYTES
    waiting = feed.MAX_SAMPLES * 4 + MAX_EVENTS * 2200
    assert station + streams + waiting + MAX_WAITING_BYTES + recent.MAX_BYTES < 10e6

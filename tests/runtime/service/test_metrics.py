"""`/healthz` and `/metrics` of a run, and when the watchdog is notified."""

import contextlib
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.fakes import NOISE, ListSource, burst, classic_config, fake_models, packet, packets_of
from tests.waiting import wait_until

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.http_server.server import MAX_CONNECTIONS, max_connections
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.notify import Notifier
from seisedge.runtime.service.arrivals import SILENT_S
from seisedge.runtime.service.health import STUCK_S, UNDELIVERED_S, Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import MetricsServer, address_from_text, text_from_health
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._base import Refused
from seisedge.runtime.sinks._drain import Drain, DrainCounters
from seisedge.runtime.sinks.terminal import TerminalSink
from seisedge.runtime.sources import LinkState
from seisedge.runtime.station.station import Station

TRACES = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}
LINE = re.compile(r'[a-z_]+(\{([a-z0-9]+="[^"\n]*",?)+\})? (-?[0-9.e+-]+|\+Inf)')


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Pings(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.count = 0
        self.readiness: list[str] = []

    def ready(self, status: str) -> None:
        self.readiness.append(status)

    def ping(self) -> None:
        self.count += 1


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in text.splitlines() if x[0] != "#")}


def test_a_run_as_prometheus_sees_it(tmp_path: Path) -> None:
    health = Health()
    source = ListSource(list(packets_of(TRACES)), live=True)
    journal = Journal(tmp_path, source.url)
    drain = Drain(TerminalSink(lambda _line: None), 'a "quoted" sink', journal.outbox)
    drain.start()
    models = health.models = fake_models()
    loop = Loop(models, [], {}, default=classic_config(), journal=journal, health=health)
    health.report, health.source, health.journal, health.drains = loop.report, source, journal, [drain]
    loop.run(source)
    assert drain.close(5) == 0
    server = MetricsServer(health, ("127.0.0.1", 0))
    try:
        code, text = _get(server.port, "/metrics")
        assert code == 200
        assert [
            line for line in text.splitlines() if line[0] != "#" and not LINE.fullmatch(line.replace('\\"', ""))
        ] == []
        values = _values(text)
        assert values['seisedge_events_total{station="XX.STA"}'] == 1
        assert values['seisedge_packets_total{station="XX.STA"}'] == 75
        assert values['seisedge_component_samples_total{station="XX.STA",component="Z"}'] == 10000
        assert values['seisedge_data_age_seconds{station="XX.STA"}'] > 1e7
        assert 0 <= values['seisedge_arrival_age_seconds{station="XX.STA"}'] < 60
        for model in ("fake-event_type", "fake-magnitude"):
            assert values[f'seisedge_inference_seconds_count{{model="{model}"}}'] == 3
            assert values[f'seisedge_inference_seconds_bucket{{model="{model}",le="+Inf"}}'] == 3
        assert values["seisedge_commit_seconds_count"] == journal.counters.commits > 3
        assert values["seisedge_work_seconds_count"] == 3
        assert values["seisedge_journal_up"] == 1 and values["seisedge_disk_free_bytes"] > 0
        assert values['seisedge_sink_delivered_total{sink="a \\"quoted\\" sink"}'] == 3
        of = '{sink="a \\"quoted\\" sink"}'
        assert values[f"seisedge_sink_alive{of}"] == 0 and 0 <= values[f"seisedge_sink_last_delivery_seconds{of}"] < 60
        for name in ("refused_total", "undecodable_total", "dead_lettered_total", "restarts_total", "waiting_lines"):
            assert values[f"seisedge_sink_{name}{of}"] == 0
        assert values["seisedge_source_reconnects_total"] == 0 and values["seisedge_up"] == 1
        assert values["seisedge_real_time_factor"] > 10
        for name in {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}:
            assert f"# HELP {name} " in text
        code, text = _get(server.port, "/healthz")
        document = json.loads(text)
        assert (code, document["status"], document["reasons"]) == (200, "ok", [])
        assert document["stations"]["XX.STA"]["events"] == 1
        assert _get(server.port, "/elsewhere")[0] == 404
        with pytest.raises(FailedError, match=f"cannot listen on 127.0.0.1 port {server.port}"):
            MetricsServer(health, ("127.0.0.1", server.port))
    finally:
        server.close()
    with pytest.raises(InputError, match=r"metrics: the host 'no-such-host.invalid' is unknown; give an address"):
        MetricsServer(health, ("no-such-host.invalid", 9108))


def test_an_address_of_ipv6() -> None:
    try:
        server = MetricsServer(Health(), address_from_text("[::1]:0"))
    except FailedError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with urllib.request.urlopen(f"http://[::1]:{server.port}/healthz", timeout=5) as answer:
        assert json.load(answer)["status"] == "ok"
    server.close()


def test_metrics_of_a_sink_that_receives_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:")
    health = Health()
    health.journal, health.drains = journal, [Drain(TerminalSink(lambda _line: None), "never started", journal.outbox)]
    Loop(fake_models(), [], {}, default=classic_config(), journal=journal).run(
        ListSource(list(packets_of(TRACES)), live=True)
    )
    values = _values(text_from_health(health))
    assert values['seisedge_sink_waiting_lines{sink="never started"}'] == 3
    assert 0 < values['seisedge_sink_oldest_waiting_seconds{sink="never started"}'] < 60
    journal.outbox.delivered("never started", 3)
    assert _values(text_from_health(health))['seisedge_sink_oldest_waiting_seconds{sink="never started"}'] < 0.01


def test_addresses() -> None:
    assert address_from_text("0.0.0.0:9108") == ("0.0.0.0", 9108)
    assert address_from_text(":9108") == ("127.0.0.1", 9108)
    assert address_from_text("[::1]:9108") == ("::1", 9108)
    for wrong in ("9108", "host:", "host:metrics", "host:99999"):
        with pytest.raises(InputError, match="expected HOST:PORT, such as 127"):
            address_from_text(wrong)


class RetriedSource(ListSource):
    in_retry = False

    @property
    def retrying(self) -> bool:
        return self.in_retry


def _source(state: LinkState) -> ListSource:
    source = ListSource([], live=True)
    source.state = state
    return source


def test_the_watchdog_is_notified_of_packets_and_of_explained_silence_only() -> None:
    clock, pings = Clock(), Pings()
    health = Health(pings, clock)
    health.source = source = _source(LinkState.CONNECTING)

    def notified(*arrived: bool) -> int:
        before = pings.count
        for one in arrived:
            health.record_item(one)
        return pings.count - before

    assert notified(False, False) == 2  # before the first packet
    source.state = LinkState.STREAMING
    assert notified(True, False) == 2
    clock.now_s += SILENT_S + 1
    assert notified(False, False) == 0  # connected, and without data for too long
    source.state = LinkState.WAITING
    assert notified(False) == 1
    source.state = LinkState.STREAMING
    assert notified(True, False) == 2


@dataclass
class Attempt:
    """A state of the source, and what systemd is told in it; '': nothing."""

    state: LinkState
    retrying: bool = False
    after_s: float = 0.0  # the clock of the test
    status: str = ""


@pytest.mark.parametrize(
    "attempts",
    [
        [Attempt(LinkState.STREAMING, status="reading list:")],  # a file, a folder, standard input
        [
            Attempt(LinkState.CONNECTING),
            Attempt(LinkState.NEGOTIATING, after_s=29.0),
            Attempt(LinkState.STREAMING, status="reading list:"),
            Attempt(LinkState.WAITING, retrying=True),  # once only
        ],
        [
            Attempt(LinkState.CONNECTING),
            Attempt(LinkState.WAITING, retrying=True, status="list:: waiting; retrying"),
            Attempt(LinkState.STREAMING),
        ],
        [
            Attempt(LinkState.CONNECTING),
            Attempt(LinkState.NEGOTIATING, after_s=30.0, status="list:: negotiating, no answer for 30 s"),
        ],
    ],
    ids=["no connection", "connected", "refused", "hangs"],
)
def test_ready_follows_the_end_of_the_first_attempt(attempts: list[Attempt]) -> None:
    clock, notifier = Clock(), Pings()
    health = Health(notifier, clock)
    health.source = source = RetriedSource([], live=True)
    health.record_item(False)
    assert not notifier.readiness  # not before the source is open
    expected: list[str] = []
    for number, attempt in enumerate(attempts):
        source.state, source.in_retry = attempt.state, attempt.retrying
        clock.now_s += attempt.after_s
        if number == 0:
            health.note_opened()
        health.record_item(False)
        expected += [attempt.status] if attempt.status else []
        assert notifier.readiness == expected


def test_conditions_and_their_reasons(tmp_path: Path) -> None:
    clock = Clock()
    health = Health(None, clock)
    health.source = source = _source(LinkState.CONNECTING)
    assert health.condition() == ("outage", ["the source is connecting"])
    source.state = LinkState.STREAMING
    stations = {key: Station(key, classic_config(), fake_models(), "triggered") for key in ("XX.A", "XX.B")}

    def arrive(*keys: str) -> None:
        for key in keys:
            health.record_item(True)
            one = packet(np.zeros(100, dtype=np.int32), clock.now_s, station=key.removeprefix("XX."))
            health.arrivals.note(one, stations[key], stations[key].add(one))

    arrive("XX.A", "XX.B")
    assert health.condition() == ("ok", [])
    source.state = LinkState.WAITING
    assert health.condition() == ("degraded", ["the source is waiting"])
    source.state = LinkState.STREAMING
    clock.now_s += SILENT_S + 3  # a packet of 1 s extends the limit by 2 s
    arrive("XX.B")
    assert health.condition() == ("degraded", [f"XX.A: no packet for {SILENT_S + 3:.0f} s"])
    clock.now_s += SILENT_S + 3
    health.record_item(False)
    condition, reasons = health.condition()
    assert condition == "outage" and len(reasons) == 2
    arrive("XX.A", "XX.B")
    clock.now_s += STUCK_S + 1
    assert health.condition() == ("outage", [f"the loop has been stuck for {STUCK_S + 1:.0f} s"])
    arrive("XX.A")
    (tmp_path / FILE_NAME).mkdir()  # no database can be opened there
    health.journal = Journal(tmp_path, "x")
    assert health.condition() == ("degraded", ["the journal cannot be written"])


def test_an_outage_is_503() -> None:
    server = MetricsServer(Health(), ("127.0.0.1", 0))
    server._health.source = _source(LinkState.CONNECTING)
    try:
        code, text = _get(server.port, "/healthz")
    finally:
        server.close()
    assert code == 503 and json.loads(text)["status"] == "outage"


def test_inferences_without_a_line_are_counted() -> None:
    health = Health()
    health.models = models = fake_models(lambda _waveform, _valid: NOISE)
    lines: list[str] = []
    loop = Loop(models, [TerminalSink(lines.append)], {}, default=classic_config(), health=health)
    report = loop.run(ListSource(list(packets_of(TRACES))))
    values = _values(text_from_health(health))
    assert lines == [] and report.inferences == 3
    assert values['seisedge_inference_seconds_count{model="fake-event_type"}'] == 3
    assert values['seisedge_inference_seconds_count{model="fake-magnitude"}'] == 0


def test_an_empty_histogram_has_all_its_buckets() -> None:
    assert 'seisedge_work_seconds_bucket{le="0.0005"} 0' in text_from_health(Health())


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    made = MetricsServer(Health(), ("127.0.0.1", 0))
    yield made
    made.close()


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_half_open_connections_take_neither_descriptors_nor_threads(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that connect and send nothing, or half a request: the newest request is answered nevertheless."""
    monkeypatch.setattr("seisedge.runtime.http_server.server.MAX_ACCEPTS_PER_S", 10_000)
    server.server._accepted._limit = 10_000
    assert _get(server.port, "/healthz")[0] == 200  # the thread runs
    before, threads = _descriptors(), threading.active_count()
    with contextlib.ExitStack() as opened:
        for k in range(200):
            client = opened.enter_context(_connected(server.port))
            if k % 2:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert _get(server.port, "/healthz")[0] == 200
        assert _descriptors() - before <= 200 + MAX_CONNECTIONS
        assert threading.active_count() == threads
        assert len(server.server._connections) <= MAX_CONNECTIONS
    assert _get(server.port, "/healthz")[0] == 200


def test_a_connection_ends_at_its_age(server: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.http_server.server.MAX_AGE_S", 0.05)
    with _connected(server.port) as drips, _connected(server.port) as deaf:
        drips.sendall(b"GET /healthz HTTP/1.1\r\n")
        deaf.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert drips.recv(100) == b""
        received = b""
        while data := deaf.recv(1000):
            received += data
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    # the client reads the end before the server drops the connection
    wait_until(lambda: server.server._connections == {})


@pytest.mark.parametrize("data", [b"x" * 100_000, b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 10_000])
def test_a_request_without_an_end_is_cut_off(server: MetricsServer, data: bytes) -> None:
    with _connected(server.port) as client:
        with contextlib.suppress(OSError):  # the server closes before it has read all
            client.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert _get(server.port, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"HEAD /healthz HTTP/1.1", b"200 OK"),
        (b"GET /healthz?x=1 HTTP/1.0", b"200 OK"),
        (b"POST /healthz HTTP/1.1", b"405 Method Not Allowed"),
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"\x00\xff", b"400 Bad Request"),
    ],
)
def test_requests(server: MetricsServer, request_line: bytes, answer: bytes) -> None:
    with _connected(server.port) as client:
        client.sendall(request_line + b"\r\nHost: x\r\n\r\n")
        received = b""
        while data := client.recv(1000):
            received += data
    assert received.startswith(b"HTTP/1.1 " + answer + b"\r\n")
    assert received.endswith(b"\r\n\r\n") == request_line.startswith(b"HEAD")


def test_answers_are_limited_in_rate(server: MetricsServer) -> None:
    server.server._answered._limit = 3
    server.server._answered.next_s = float("inf")
    codes = [_get(server.port, "/metrics")[0] for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]


def test_an_answer_that_fails_is_500_and_the_next_one_is_given(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._health, "document", lambda: 1 / 0)
    assert _get(server.port, "/healthz")[0] == 500
    assert _get(server.port, "/metrics")[0] == 200


@pytest.mark.parametrize(("limit", "connections"), [(64, 4), (256, 16), (1024, MAX_CONNECTIONS), (-1, MAX_CONNECTIONS)])
def test_connections_follow_the_limit_of_files(limit: int, connections: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (limit, limit))
    assert max_connections() == connections


class Scripted(Sink):
    """Does what `answer` says with each line."""

    def __init__(self) -> None:
        self.answer: Callable[[], None] = lambda: None

    def write(self, line: Event | Hop) -> None:
        self.answer()


def _refuse() -> None:
    raise Refused("400")


def test_a_sink_is_judged_by_its_progress(tmp_path: Path) -> None:
    """A sink that hangs, fails and refuses; its own report of itself does not count."""
    clock, sink, hangs = Clock(), Scripted(), threading.Event()
    health = Health(None, clock)
    journal = Journal(tmp_path, "list:")
    drain = Drain(sink, "hook", journal.outbox, backoff_first_s=0.01)
    health.journal, health.drains = journal, [drain]
    assert health.condition() == ("degraded", ["hook: its thread has failed: not started, 0 lines waiting"])
    drain.start()
    sink.answer = lambda: _wait(hangs)
    loop = Loop(fake_models(), [], {}, default=classic_config(), journal=journal)
    loop.run(ListSource(list(packets_of(TRACES)), live=True))
    health.record_item(False)
    assert health.condition() == ("ok", [])
    clock.now_s += UNDELIVERED_S + 1
    health.record_item(False)
    assert health.condition() == (
        "degraded",
        [f"hook: nothing delivered for {UNDELIVERED_S + 1:.0f} s, 3 lines waiting"],
    )
    sink.answer = _refuse
    hangs.set()
    while drain.waiting:
        hangs.wait(0.001)
    assert health.condition() == ("degraded", ["hook: 67 % of its last lines were refused, 2 in all"])
    values = _values(text_from_health(health))
    assert values['seisedge_thread_up{thread="sink hook"}'] == 1
    assert drain.close(5) == 0


def test_a_sink_that_is_down_is_reported_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.service.health.monotonic", lambda: 128.0)
    drain = SimpleNamespace(
        name="hook", waiting=54, counters=DrainCounters(), refused=0, refused_share=0.0, alive=True, down_since_s=100.0,
        down_reason="connection refused",
    )  # fmt: skip
    health = Health(None, Clock())
    health.drains = [drain]  # type: ignore[list-item]
    assert health.condition()[1] == ["hook: down for 28 s: connection refused; 54 lines waiting"]


def _wait(event: threading.Event) -> None:
    event.wait(60)


def test_a_transaction_that_hangs_does_not_hold_up_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that hangs, the journal holds the lock of the outbox."""
    monkeypatch.setattr("seisedge.runtime.service.health.LOCK_WAIT_S", 0.01)
    health = Health()
    health.journal = Journal(tmp_path, "list:")
    health.drains = [Drain(Scripted(), "hook", health.journal.outbox)]
    locked, ending = threading.Event(), threading.Event()

    def hang() -> None:
        with health.journal.outbox.lock:
            locked.set()
            _wait(ending)

    thread = threading.Thread(target=hang)
    thread.start()
    assert locked.wait(30)
    condition, reasons = health.condition()
    assert condition == "degraded"
    assert reasons == ["a transaction of the journal takes longer than 0.01 s: the disk may hang"]
    assert "seisedge_up 1" in text_from_health(health)
    ending.set()
    thread.join()
    assert "seisedge_sink_waiting_lines" in text_from_health(health)

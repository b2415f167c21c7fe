import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.fakes import ListSource, burst, classic_config, fake_models, packet, packets_of

from seisedge.runtime.config import ChannelConfig, StationIdentity
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.health import MAX_SHOWN, Health
from seisedge.runtime.service.loop import MAX_STATIONS, MORE_STATIONS, Loop, default_max_stations
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks.jsonl import EventsFile, JsonLinesSink
from seisedge.runtime.sinks.terminal import TerminalSink, wide_lines
from seisedge.runtime.station.station import Station

TRACES = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}
CONFIG = classic_config(
    station=StationIdentity("XX", "STA"), channels={c: ChannelConfig(sensitivity=1e9) for c in TRACES}
)


class Kept(Sink):
    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


def _run(packets: list[Packet | None], *, live: bool, **settings: object) -> tuple[list[Event], Loop]:
    kept = Kept()
    loop = Loop(fake_models(), [kept], {"XX.STA": CONFIG}, **settings)  # type: ignore[arg-type]
    loop.run(ListSource(packets, live=live))
    return [line for line in kept.lines if isinstance(line, Event)], loop


class Resting(ListSource):
    """Has nothing to give after each packet, so that work is done in advance."""

    def packets(self) -> Iterator[Packet | None]:
        for each in super().packets():
            yield each
            while self.on_idle is not None and self.on_idle():
                pass


@pytest.mark.parametrize("fails", [False, True])
def test_work_done_in_advance_changes_no_event(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    prepared: list[str] = []
    prepare = Station.prepare

    def counted(station: Station) -> None:
        prepared.append(station.station_id)
        if fails:
            raise RuntimeError("an error in what is only done in advance")
        prepare(station)

    monkeypatch.setattr(Station, "prepare", counted)
    expected, _ = _run(list(packets_of(TRACES, 0.5)), live=True)
    assert not prepared
    kept = Kept()
    loop = Loop(fake_models(), [kept], {"XX.STA": CONFIG})
    loop.run(Resting(list(packets_of(TRACES, 0.5)), live=True))
    assert [content_of(line) for line in kept.lines] == [content_of(event) for event in expected]
    assert len(prepared) == loop.report.packets  # once after each packet


def test_a_live_source_and_a_file_give_the_same_events() -> None:
    live, _ = _run(list(packets_of(TRACES, 0.5)), live=True)
    filed, loop = _run(list(packets_of(TRACES)), live=False)
    assert [content_of(e) for e in live] == [content_of(e) for e in filed]
    assert loop.report.events == 1 and loop.report.packets == 75
    assert loop.report.stream_s == 100.0


def test_latency_is_the_sum_of_its_parts_and_has_no_transport_for_files() -> None:
    live, _ = _run(list(packets_of(TRACES, 4.0)), live=True, transport=lambda _packet: 5.0)
    first = live[0].latency_ms
    assert first.transport == 5.0
    assert first.record_fill is not None and 0 <= first.record_fill <= 4000
    parts = (
        first.record_fill, first.transport, first.wait, first.assemble, first.infer,
        first.host_to_device, first.device_to_host, first.emit,
    )  # fmt: skip
    assert first.total == pytest.approx(sum(part for part in parts if part is not None), abs=0.01)
    filed, _ = _run(list(packets_of(TRACES)), live=False)
    assert filed[0].latency_ms.record_fill is None and filed[0].latency_ms.wait is None


def test_cost_is_that_of_the_revision() -> None:
    events, _ = _run(list(packets_of(TRACES)), live=False)
    assert events[0].cost.flops == 400 and events[0].cost.inferences == 2
    assert events[0].cost.engine == "rule" and events[0].cost.precision == "fp32"


def test_packets_of_stations_without_a_file_are_counted() -> None:
    packets = packets_of(TRACES)
    loop = Loop(fake_models(), [], {"XX.OTHER": CONFIG})
    report = loop.run(ListSource(list(packets)))
    assert report.stations == {} and report.other_stations == {"XX.STA": len(packets)}


def test_the_number_of_stations_without_a_file_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("seisedge.runtime.service.loop.MAX_OTHERS", 3)
    packets: list[Packet | None] = [packet(np.zeros(100, dtype=np.int32), station=f"S{k}") for k in range(9)]
    report = Loop(fake_models(), [], {}, default=classic_config(), max_stations=3).run(ListSource(packets))
    assert list(report.stations) == ["XX.S0", "XX.S1", "XX.S2"]
    assert report.other_stations == {"XX.S3": 1, "XX.S4": 1, "XX.S5": 1, MORE_STATIONS: 3}
    warnings = [record.getMessage() for record in caplog.records if "--max-stations" in record.getMessage()]
    assert len(warnings) == 1 and warnings[0].startswith("XX.S3: 3 stations are analysed already; its packets and")


def test_stations_from_the_wire_and_the_size_of_the_metrics() -> None:
    health = Health()
    packets: list[Packet | None] = [packet(np.zeros(100, dtype=np.int32), station=f"S{k}") for k in range(1000)]
    loop = Loop(fake_models(), [], {}, default=classic_config(), max_stations=MAX_SHOWN + 50, health=health)
    health.report = loop.run(ListSource(packets))
    text = text_from_health(health)
    assert len(text) < 4000 * MAX_SHOWN
    assert f"seisedge_stations {MAX_SHOWN + 50}\n" in text
    assert f"seisedge_ignored_packets_total {1000 - MAX_SHOWN - 50}\n" in text
    assert f'seisedge_packets_total{{station="XX.S{MAX_SHOWN - 1}"}}' in text
    assert f'seisedge_packets_total{{station="XX.S{MAX_SHOWN}"}}' not in text
    assert len(health.document()["stations"]) == MAX_SHOWN


@pytest.mark.parametrize(
    ("mib", "stations"), [(64.0, 1), (512.0, 119), (1024.0, 294), (1e6, MAX_STATIONS), (None, MAX_STATIONS)]
)
def test_stations_follow_the_memory(mib: float | None, stations: int) -> None:
    assert default_max_stations(mib) == stations


def test_idle_exit_and_ticks() -> None:
    source = ListSource([*packets_of(TRACES), *itertools.repeat(None, 3)], live=True)
    report = Loop(fake_models(), [], {}, default=CONFIG).run(source, idle_exit_s=1e-9)
    assert report.events == 1


def test_stop_closes_open_events() -> None:
    kept = Kept()
    loop = Loop(fake_models(), [kept], {"XX.STA": CONFIG})
    packets = [p for p in packets_of(TRACES, 1.0) if p.endtime_ns - packets_of(TRACES)[0].starttime_ns < 55 * 10**9]

    def stopping() -> list[Packet | None]:
        return [*packets, None]

    source = ListSource(stopping(), live=True)
    iterator = source.packets
    source.packets = lambda: itertools.chain(iterator(), _then(loop))  # type: ignore[method-assign]
    loop.run(source)
    statuses = [line.status for line in kept.lines if isinstance(line, Event)]
    assert statuses == ["new", "update", "final"]
    last = kept.lines[-1]
    assert isinstance(last, Event) and last.window.coverage < 1


def _then(loop: Loop):  # type: ignore[no-untyped-def]  # a generator that stops the loop from within
    loop.stop()
    yield None


def test_json_lines_are_complete_lines(tmp_path: Path) -> None:
    events, _ = _run(list(packets_of(TRACES)), live=False)
    path = tmp_path / "events.jsonl"
    path.write_text("old\n", encoding="utf-8")
    sink = EventsFile(path)
    for event in events:
        sink.write(event)
        assert path.read_bytes().endswith(b"}\n")
    sink.close()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["new", "update", "final"]
    assert msgspec.json.decode(lines[0], type=Event) == events[0]
    assert "host_to_device" in lines[0] and "journal" not in lines[0]


def test_json_lines_to_a_stream() -> None:
    events, _ = _run(list(packets_of(TRACES)), live=False)
    stream = io.BytesIO()
    JsonLinesSink(stream).write(events[0])
    assert json.loads(stream.getvalue())["schema"] == "seisedge.event/1"


def test_the_readable_line() -> None:
    events, _ = _run(list(packets_of(TRACES)), live=False)
    shown: list[str] = []
    TerminalSink(shown.append).write(events[0])
    assert shown[0].splitlines()[1:] == wide_lines(events[0]) and len(shown) == 1
    for word in ("12:27:19.8", "XX.STA", "new", "tectonic", "0.90", "1.10 [1.0, 1.6]", "+3 s"):
        assert word in shown[0], shown[0]
    assert np.isfinite(events[0].latency_ms.total)


def test_packets_of_a_file_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines and counters as one by one; only the first packets of each channel are added singly."""
    added: list[Packet] = []
    add = Station.add

    def noted(station: Station, packet: Packet) -> None:
        added.append(packet)
        add(station, packet)

    monkeypatch.setattr(Station, "add", noted)
    at_once, loop = _run(list(packets_of(TRACES, 1.0)), live=False)
    assert len(added) < 150 and loop.report.packets == 300
    monkeypatch.setattr(Station, "join", lambda *_: None)
    singly, other = _run(list(packets_of(TRACES, 1.0)), live=False)
    assert len(added) > 300 and [content_of(e) for e in at_once] == [content_of(e) for e in singly]
    station, station_2 = loop.report.stations["XX.STA"], other.report.stations["XX.STA"]
    assert (station.counters, station.data_ns) == (station_2.counters, station_2.data_ns)


def test_an_exception_while_packets_are_taken_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    join, calls = Station.join, itertools.count()

    def failing(station: Station, packets: list[Packet]) -> list[Packet] | None:
        if next(calls) == 1:
            raise ZeroDivisionError
        return join(station, packets)

    monkeypatch.setattr(Station, "join", failing)
    _, loop = _run(list(packets_of(TRACES, 1.0)), live=False)
    station = loop.report.stations["XX.STA"]
    assert station.counters.packets == 300 and station.counters.new_timelines == 1
    assert "XX.STA: packets taken at once are taken one by one, on new timelines" in caplog.text


def test_an_error_of_the_user_ends_the_run_also_where_packets_are_taken_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_station: Station, _packets: list[Packet]) -> list[Packet] | None:
        raise InputError("the metadata contradict the packet")

    monkeypatch.setattr(Station, "join", refused)
    with pytest.raises(InputError, match="the metadata contradict the packet"):
        _run(list(packets_of(TRACES, 1.0)), live=False)
    assert "one by one" not in caplog.text

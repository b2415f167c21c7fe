"""Windows are dropped only where inference is too slow for a live stream; samples and onsets are never dropped."""

import logging
from pathlib import Path

import pytest
from tests.fakes import (
    T0_NS,
    TECTONIC,
    ListSource,
    burst,
    classic_config,
    fake_models,
    packet,
    packets_of,
)

from seisedge.runtime.config import ChannelConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.engines._base import Array
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.backlog import Backlog

CONFIG = classic_config(channels={f"HH{c}": ChannelConfig(sensitivity=1e9) for c in "ZNE"})
ONSETS_S = [40.0, 100.0, 160.0, 220.0]
PACKETS = packets_of({f"HH{c}": burst(280.0, ONSETS_S, seed=i) for i, c in enumerate("ZNE")}, 2.0)


class Clock:
    """The clock of the test; an inference advances it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Kept(Sink):
    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


class Patient(ListSource):
    """A live source that waits for the station, as a server does with `--until-end`."""

    back_pressure = True


def _run(source: ListSource, infer_s: float, mode: str = "triggered") -> tuple[list[Event | Hop], Loop]:
    """A run whose type model takes `infer_s` per inference by the clock of the test; all else takes no time."""
    clock, kept = Clock(), Kept()

    def slow(_waveform: Array, _valid: Array) -> list[float]:
        clock.now_s += infer_s
        return TECTONIC

    loop = Loop(fake_models(slow), [kept], {"XX.STA": CONFIG}, mode=mode, backlog=Backlog(clock))  # type: ignore[arg-type]
    loop.run(source)
    return kept.lines, loop


def _story(lines: list[Event | Hop]) -> list[tuple[str, str, list[str]]]:
    events = [line for line in lines if isinstance(line, Event)]
    return [(event.onset[14:19], event.status, [q.code for q in event.quality]) for event in events]


def _content(lines: list[Event | Hop]) -> list[bytes]:
    return list(map(content_of, lines))


def test_the_backlog_is_seconds_of_work_less_seconds_of_data() -> None:
    clock = Clock()
    backlog = Backlog(clock)

    def work(p: Packet, seconds: float, idle_ns: int = 7) -> float:
        backlog.take(p, idle_ns)
        clock.now_s += seconds
        behind_s = backlog.behind_s
        backlog.rest()
        clock.now_s += 100.0  # waiting is no work
        assert backlog.behind_s == behind_s
        return behind_s

    z, e = packet(burst(4.0, [])), packet(burst(4.0, []), channel="HHE")
    assert work(z, 3.0) == 0.0
    assert work(e, 3.0) == pytest.approx(2.0)  # 6 s for 4 s of both channels
    assert work(z, 0.0) == pytest.approx(0.0)
    assert work(e, 20.0) == pytest.approx(18.0)
    assert work(z, 4.0, idle_ns=8) == 0.0  # it had nothing more to give in between: level
    assert work(z, 4.0, idle_ns=8) == 0.0
    assert work(z, 4.5, idle_ns=8) == pytest.approx(0.5)
    backlog.clear()
    assert backlog.behind_s == 0.0


def test_a_model_that_is_too_slow(caplog: pytest.LogCaptureFixture) -> None:
    """40 s per inference, 12 of them in 280 s of data: a third of the windows is dropped, no sample and no onset."""
    caplog.set_level(logging.DEBUG, "seisedge.runtime.station.backlog")
    lines, loop = _run(ListSource(list(PACKETS), live=True), 40.0)
    whole, undisturbed = _run(ListSource(list(PACKETS), live=True), 0.0)
    counters, expected = loop.report.stations["XX.STA"].counters, undisturbed.report.stations["XX.STA"].counters
    assert counters.dropped_windows == loop.backlog.dropped == loop.report.dropped_windows
    assert counters.dropped_windows + counters.inferences / 2 == expected.inferences / 2 == 12
    assert counters.dropped_windows == 4
    assert (counters.triggers, counters.packets) == (expected.triggers, expected.packets)
    tracks = [run.report.stations["XX.STA"].timelines[0].tracks["Z"].counters for run in (loop, undisturbed)]
    assert tracks[0] == tracks[1] and tracks[0].samples == 28_000
    assert expected.dropped_windows == 0 and len(whole) == 12
    assert _story(lines) == [
        ("27:19", "new", ["ok"]), ("27:19", "update", ["ok"]), ("27:19", "final", ["ok"]),
        ("28:19", "new", ["ok"]), ("28:19", "final", ["ok"]),
        ("29:19", "new", ["ok"]), ("29:19", "final", ["dropped"]),  # with the type it had
        ("30:19", "new", ["ok"]), ("30:19", "final", ["ok"]),
    ]  # fmt: skip
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING"] + ["DEBUG"] * (counters.dropped_windows - 1)
    assert "XX.STA: 48 s behind the stream" in caplog.text and "windows are dropped, samples are not" in caplog.text


def test_an_event_whose_windows_were_all_dropped_is_counted() -> None:
    lines, loop = _run(ListSource(list(PACKETS), live=True), 400.0)
    counters = loop.report.stations["XX.STA"].counters
    assert (counters.triggers, counters.events, counters.dropped_events) == (4, 1, 3)
    assert counters.dropped_windows == 11
    assert _story(lines) == [("27:19", "new", ["ok"]), ("27:19", "final", ["dropped"])]


def test_it_recovers_when_the_stream_has_no_more_data(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "seisedge.runtime.station.backlog")
    pause = next(k for k, p in enumerate(PACKETS) if p.starttime_ns - T0_NS > 150e9)
    packets: list[Packet | None] = [*PACKETS[:pause], None, *PACKETS[pause:]]
    lines, loop = _run(ListSource(packets, live=True), 100.0)
    assert [(onset, status) for onset, status, _ in _story(lines)] == [
        ("27:19", "new"), ("27:19", "final"),
        ("29:19", "new"), ("29:19", "final"),
        ("30:19", "new"), ("30:19", "final"),
    ]  # fmt: skip
    assert loop.report.stations["XX.STA"].counters.dropped_events == 1  # the second one, before the pause
    assert caplog.text.count("windows are dropped") == 2 and caplog.text.count("caught up with the stream") == 1


@pytest.mark.parametrize("source", [ListSource(list(PACKETS)), Patient(list(PACKETS), live=True)])
def test_a_source_that_waits_loses_nothing(source: ListSource) -> None:
    lines, loop = _run(source, 400.0)
    assert loop.report.dropped_windows == 0
    assert _content(lines) == _content(_run(ListSource(list(PACKETS)), 0.0)[0])


def test_history_that_is_read_faster_than_it_was_recorded_is_no_backlog() -> None:
    """All packets are available at once and the source is never idle: 280 s of data, 24 s of work."""
    lines, loop = _run(ListSource(list(PACKETS), live=True), 2.0)
    assert loop.report.dropped_windows == 0 and len(lines) == 12


def test_health_and_metrics_show_the_backlog() -> None:
    _, loop = _run(ListSource(list(PACKETS), live=True), 400.0)
    health = Health()
    health.report, health.backlog = loop.report, loop.backlog
    health.record_item(True)
    text = text_from_health(health)
    assert 'seisedge_dropped_windows_total{station="XX.STA"} 11' in text
    assert 'seisedge_dropped_events_total{station="XX.STA"} 3' in text
    assert "seisedge_behind_seconds 12" in text
    condition, reasons = health.condition()
    assert condition == "degraded" and "behind the stream: windows are dropped" in reasons[0]


@pytest.mark.parametrize(("scheme", "query"), [("seedlink", "&protocol=3"), ("seedlink", ""), ("datalink", "")])
def test_a_stream_reports_when_it_has_no_more_data(tmp_path: Path, scheme: str, query: str) -> None:
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 60])
    with Digitizer([part], speed=100.0) as digitizer:
        url = f"{digitizer.url_for(scheme)}/PB_B918?from=earliest{query}"
        with open_source(url) as source:
            assert not source.back_pressure and source.idle_ns == 0
            taken: list[int] = []
            rests: list[int] = []  # number of packets so far, at each call

            def rest() -> bool:
                rests.append(len(taken))
                return rests.count(len(taken)) < 3  # three parts of work for each packet

            source.on_idle = rest
            for item in source.packets():
                if item is not None:
                    taken.append(source.idle_ns)
                if len(taken) == 20:
                    break
        assert len(set(taken)) > 3 and taken == sorted(taken)  # it waited between the packets
        assert max(map(rests.count, rests)) >= 3  # it called again while work was left
        with open_source(url, until_end=True) as source:
            assert source.back_pressure

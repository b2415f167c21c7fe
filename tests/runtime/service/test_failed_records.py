"""Records whose analysis raises an exception: they are set aside, their station begins anew, and the run goes on."""

import dataclasses
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import TECTONIC, ListSource, burst, classic_config, fake_models, packet, packets_of
from tests.runtime.journal.runs import Kept

from seisedge.runtime.engines._base import Array
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.records.miniseed import BadRecord, FailedRecord
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.sources._base import FAILURE_SHOWN_S
from seisedge.runtime.station.station import Station

TRACES = {f"HH{c}": burst(240.0, [40.0, 130.0], seed=i) for i, c in enumerate("ZNE")}
AT_S = 100.0  # of the poison, between the events
FIRST, SECOND = "122719.800", "122849.700"  # ends of their ids


def poison(at_s: float, station: str = "STA") -> Packet:
    """A packet that no decoder makes: its samples are text, so that the timeline raises an exception in the middle."""
    return packet(np.array(["a"] * 300), at_s, station=station)


def with_poison(packet_s: float, at_s: float = AT_S) -> list[Packet | None]:
    """Packets of XX.STA and XX.OTHER, the same data, with the poison in the first; tokens are their numbers."""
    packets = packets_of(TRACES, packet_s)
    others = [
        dataclasses.replace(p, source_id=dataclasses.replace(p.source_id, station="OTHER"), token="") for p in packets
    ]
    both = sorted([poison(at_s), *packets, *others], key=lambda p: p.starttime_ns)
    return [dataclasses.replace(p, token=f"{k:06X}") for k, p in enumerate(both)]


def lines_of(kept: Kept, station: str) -> list[tuple[str, int, str]]:
    events = [line for line in kept.lines if isinstance(line, Event) and line.station == station]
    return [(event.id[-10:], event.revision, event.status) for event in events]


WHOLE = [(event, k, status) for event in (FIRST, SECOND) for k, status in enumerate(["new", "update", "final"])]


def run_of(
    packets: list[Packet | None], *, live: bool, journal: BaseJournal | None = None, models: Models | None = None
) -> tuple[Kept, ListSource, Loop, list[BadRecord]]:
    kept, source, letters = Kept(), ListSource(packets, live=live), list[BadRecord]()
    source.on_bad_record = letters.append
    loop = Loop(models or fake_models(), [kept], {}, default=classic_config(), journal=journal)
    loop.run(source)
    return kept, source, loop, letters


@pytest.mark.parametrize(("live", "packet_s"), [(True, 1.0), (True, 4.0), (False, 4.0)])
def test_a_packet_that_raises_an_exception_is_set_aside(
    live: bool, packet_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    packets = with_poison(packet_s)
    kept, source, loop, letters = run_of(packets, live=live)
    assert lines_of(kept, "XX.STA") == lines_of(kept, "XX.OTHER") == WHOLE
    (letter,) = letters
    assert isinstance(letter, FailedRecord)
    assert letter.reason.startswith("the analysis of XX_STA__HHZ raised ValueError (could not convert string to float")
    assert (source.counters.failed_records, source.counters.bad_records, loop.report.packets) == (1, 1, len(packets))
    stations = loop.report.stations
    assert stations["XX.STA"].counters.new_timelines == 1 and stations["XX.OTHER"].counters.new_timelines == 0
    samples = {c: track.counters.samples for c, track in stations["XX.STA"].timelines[0].tracks.items()}
    assert samples == dict.fromkeys("ZNE", 24_000)  # of both timelines together
    warnings = [record for record in caplog.records if "please report it" in record.getMessage()]
    assert len(warnings) == 1 and warnings[0].exc_info is not None


def test_the_events_do_not_depend_on_the_packing_of_the_packets_around_it() -> None:
    contents = []
    for live, packet_s in ((True, 0.5), (True, 4.0), (False, 4.0)):
        kept, *_ = run_of(with_poison(packet_s), live=live)
        contents.append(sorted(content_of(line) for line in kept.lines))
    assert contents[0] == contents[1] == contents[2]


def test_an_open_event_is_closed_with_the_samples_before_the_exception() -> None:
    kept, *_ = run_of(with_poison(1.0, at_s=60.0), live=True)
    assert lines_of(kept, "XX.STA") == WHOLE
    last = [line for line in kept.lines if isinstance(line, Event) and line.station == "XX.STA"][2]
    assert last.window.coverage < 0.95
    assert lines_of(kept, "XX.OTHER") == WHOLE


def test_repeated_failures_are_logged_once_and_shown_by_health(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisons: list[Packet | None] = [poison(AT_S + 100 * k) for k in range(50)]
    _, source, loop, letters = run_of([*packets_of(TRACES, 4.0)[:60], *poisons, None], live=True)
    count = len(letters)
    assert 10 < count == source.counters.failed_records  # some wait to be placed until a later one comes
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in logged if "please report it" in record.getMessage()]) == 1
    health = Health()
    health.report, health.source = loop.report, source
    condition, reasons = health.condition()
    assert condition == "degraded"
    assert "raised ValueError (could not convert string to float" in reasons[0]
    assert reasons[0].endswith(f"{count} record(s) set aside because of such a fault in total")
    assert f"seisedge_source_failed_records_total {count}\n" in text_from_health(health)
    later_s = time.monotonic() + FAILURE_SHOWN_S + 1
    monkeypatch.setattr("seisedge.runtime.sources._base.time.monotonic", lambda: later_s)
    assert health.condition() == ("ok", [])


def test_a_model_that_raises_an_exception_ends_its_event_only() -> None:
    calls = 0

    def failing(_waveform: Array, _valid: Array) -> list[float]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        return TECTONIC

    kept, source, _, letters = run_of(list(packets_of(TRACES, 1.0)), live=True, models=fake_models(failing))
    assert lines_of(kept, "XX.STA") == [WHOLE[0], *WHOLE[3:]]
    assert source.counters.failed_records == 1
    assert letters[0].reason == "the analysis of XX.STA raised ZeroDivisionError"


def test_an_exception_at_the_end_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_self: Station) -> Iterator[object]:
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(Station, "finish", failing)
    kept, source, *_ = run_of([*packets_of(TRACES, 1.0)[: 3 * 60]], live=False)
    assert lines_of(kept, "XX.STA") == WHOLE[:3]  # closed with the samples available
    assert source.counters.failed_records == 1


def test_errors_for_the_user_still_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise InputError("no gain")

    monkeypatch.setattr(Station, "add", refusing)
    with pytest.raises(InputError, match="no gain"):
        run_of(list(packets_of(TRACES, 4.0)), live=False)


def test_a_stored_state_that_raises_an_exception_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(MemoryJournal):
        def restore(self, station: Station) -> None:
            raise KeyError("x")

    kept, source, *_ = run_of(list(packets_of(TRACES, 4.0)), live=True, journal=Failing())
    assert lines_of(kept, "XX.STA") == WHOLE and source.counters.failed_records == 0
    assert "XX.STA: its stored state cannot be used; it begins anew" in caplog.text


@pytest.mark.parametrize("killed", [602, 640, 1100])
def test_a_run_that_is_killed_and_resumed_gives_the_same_lines(killed: int, tmp_path: Path) -> None:
    """The poison is number 600 of 1,441 packets; a run that resumes from before it meets it again."""
    packets = with_poison(1.0)
    whole, *_ = run_of(packets, live=True)

    class Killed(BaseException):
        """The end of the process."""

    class Killing(ListSource):
        def packets(self) -> Iterator[Packet | None]:
            yield from list(super().packets())[:killed]
            raise Killed

    def journal() -> Journal:
        opened = Journal(tmp_path, "list:")
        opened.outbox.subscribe("a sink that takes nothing", lambda: None)
        return opened

    first = journal()
    with pytest.raises(Killed):
        Loop(fake_models(), [], {}, default=classic_config(), journal=first).run(Killing(packets, live=True))
    first.close()
    second = journal()
    after = {station: int(token, 16) for station, token in second.resume.items()}
    left = [p for k, p in enumerate(packets) if p is not None and k > after[p.source_id.station_id]]
    run_of(list(left), live=True, journal=second)
    found = [content_of(line.decoded()) for line in second.outbox.lines_after(0, 10**6)]
    second.close()
    assert sorted(found) == sorted(content_of(line) for line in whole.lines)
    assert len(left) < len(packets)

"""The end of a run before all records of an event have arrived: what is written, and what the next run adds."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.fakes import packet
from tests.runtime.journal.runs import event
from tests.runtime.snippets.storing import STATION, Done, Kept, configs_of, records_in, run, snippets_in

from seisedge.runtime.config import SnippetsConfig, StationConfig
from seisedge.runtime.errors import FailedError
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.records.miniseed import Scanner
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.snippets import Recorder, sink
from seisedge.runtime.snippets.packing import records_from_packets
from seisedge.runtime.sources import open_source


@pytest.mark.parametrize("case", ["state archive", "state", "archive", "state fails"])
def test_a_stop_before_all_records_have_arrived(
    part: Path,
    tmp_path: Path,
    models: Models,
    expected: tuple[Kept, dict[str, list[bytes]]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    """The next run adds the records to the file; without a state folder there is none, and the file has a reason.

    case: with a state folder; with an archive; the run fails, instead of a stop.
    """
    state, fails = "state" in case, "fails" in case
    configs = configs_of(tmp_path, "archive" in case)
    recorders: list[Recorder] = []
    lacking: list[str] = []  # events that are final before all their records have arrived

    def stops(_event: Event) -> bool:
        lacking.extend(one.key[0] for one in recorders[0].held({STATION}) if not one.complete.is_set())
        return bool(lacking) and not fails

    def failing(packets: Iterator[Packet | None]) -> Iterator[Packet | None]:
        for one in packets:
            if lacking:
                raise FailedError("the source has failed")
            yield one

    with Digitizer(part, speed=0) as digitizer:
        url = f"{digitizer.url}/PB_B918?from=earliest"

        def once(stop: Callable[[Event], bool]) -> Done:
            journal = Journal(tmp_path / "state", url) if state else MemoryJournal()
            source = open_source(
                url, until_end=True, connect_timeout_s=20, resume=journal.resume, resume_ns=journal.resume_ns
            )
            if fails and not lacking:
                monkeypatch.setattr(source, "packets", partial(failing, source.packets()))
            return run(source, configs, models, journal=journal, prepare=recorders.append, stop=stop)

        with contextlib.ExitStack() as stack:
            if fails:
                stack.enter_context(pytest.raises(FailedError))
            first = once(stops)
        (path,) = (tmp_path / "snippets").rglob(f"{lacking[0]}.mseed")
        assert set(records_in(path)) < set(expected[1][lacking[0]])
        assert path.with_suffix(".json").exists() != state
        assert fails or first.waiting == int(state)
        if not state:
            reason = path.with_suffix(".txt").read_text(encoding="utf-8")
            assert reason.endswith("are missing: they had not arrived when this was written\n")
            return
        assert "had arrived; the next run adds those sent again" in caplog.text and "retrying" not in caplog.text
        second = once(lambda _event: False)
    assert second.waiting == 0
    assert fails or first.kept.contents + second.kept.contents == expected[0].contents
    found = {event_id: sorted(records_in(path)) for event_id, path in snippets_in(tmp_path).items()}
    assert found == {key: sorted(one) for key, one in expected[1].items()}
    assert not list((tmp_path / "snippets").rglob("*.txt"))


def test_a_second_stop_keeps_what_the_first_wrote(part: Path, tmp_path: Path, models: Models) -> None:
    """Nothing has been sent again when it comes."""
    configs = configs_of(tmp_path, archive=False)
    final = run(open_source([part]), configs, models).kept.finals[0]
    path = next((tmp_path / "snippets").rglob(f"{final.id}.mseed"))
    records = records_in(path)
    path.with_suffix(".json").unlink()
    settings = configs[STATION].snippets
    assert settings is not None
    recorder = Recorder(configs, [STATION])
    recorder.finish(ended=False, continued=True)
    again = sink.SnippetSink(tmp_path / "snippets", {STATION: settings}, recorder)
    again.give_up()
    with pytest.raises(OSError, match="the next run adds those sent again"):
        again.write(final)
    assert records_in(path) == records and not path.with_suffix(".json").exists()


def _recorder_of_two(folder: Path, resumed: tuple[str, ...] = ()) -> tuple[Recorder, sink.SnippetSink]:
    settings = SnippetsConfig(folder=str(folder), before_s=20.0, min_free_mb=0.0)
    recorder = Recorder({name: StationConfig(snippets=settings) for name in ("XX.STA", "XX.OTHER")}, resumed)
    return recorder, sink.SnippetSink(folder, dict.fromkeys(("XX.STA", "XX.OTHER"), settings), recorder)


def _take(recorder: Recorder, start_s: float, length_s: float, channel: str = "HHZ", station: str = "STA") -> bytes:
    """A record that the recorder takes: whole seconds, at 2 Hz."""
    one = packet(np.zeros(round(2 * length_s), dtype=np.int32), start_s, channel, rate_hz=2.0, station=station)
    (record,) = records_from_packets([one])
    recorder.take(one, record)
    return record


def _final(station: str = "STA") -> Event:
    """Final at 39.8 s; its snippet, with 20 s before the onset, is from 19.8 s to 74.8 s."""
    key = f"XX.{station}"
    return msgspec.structs.replace(event(2), status="final", id=f"{key}-20200913T122719.800", station=key)


def _written(folder: Path, station: str = "STA") -> tuple[list[bytes], str | None, bool]:
    """The records of the snippet of `_final`, the reason, and whether the event is beside it."""
    path = folder / f"XX.{station}/2020-09-13/XX.{station}-20200913T122719.800.mseed"
    reason = path.with_suffix(".txt")
    scanner = Scanner()
    records = [record for _, record in [*scanner.feed(path.read_bytes()), *scanner.finish()]]
    text = reason.read_text(encoding="utf-8") if reason.exists() else None
    return records, text, path.with_suffix(".json").exists()


def test_a_stop_keeps_the_records_of_all_events(tmp_path: Path) -> None:
    """Also of those behind the first one that lacks some; the next run adds what it receives, and states the rest."""
    recorder, written = _recorder_of_two(tmp_path)
    first, other = _take(recorder, 15.0, 50.0), _take(recorder, 15.0, 65.0, station="OTHER")
    for station in ("STA", "OTHER"):
        recorder.note(_final(station))
    recorder.finish(ended=False, continued=True)
    written.give_up()
    with pytest.raises(OSError, match="the next run adds those sent again"):
        written.write(_final())
    assert _written(tmp_path) == ([first], None, False)
    assert _written(tmp_path, "OTHER") == ([other], None, False)
    recorder, written = _recorder_of_two(tmp_path, ("XX.STA", "XX.OTHER"))
    _take(recorder, -100.0, 200.0, "VEP")  # a state of health, which does not tell where the stream begins
    later = _take(recorder, 70.0, 59.0), _take(recorder, 129.0, 10.0)
    written.write(_final())
    records, reason, done = _written(tmp_path)
    assert {first, later[0]} <= set(records) and done
    assert reason is not None and reason.startswith("records from 2020-09-13T12:27:45.000000Z to 2020-09-13T12:27:50")
    recorder.finish(ended=True, continued=False)
    written.write(_final("OTHER"))
    assert _written(tmp_path, "OTHER") == ([other], None, True)


def test_a_run_that_ends_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a state folder: what there is is written at once, with the reason."""
    recorder, written = _recorder_of_two(tmp_path)
    first = _take(recorder, 15.0, 50.0)
    recorder.note(_final())
    (capture,) = recorder.held({"XX.STA"})
    monkeypatch.setattr(capture.complete, "wait", lambda _seconds: pytest.fail("it waits"))
    recorder.finish(ended=False, continued=False)
    written.give_up()
    written.write(_final())
    records, reason, done = _written(tmp_path)
    assert records == [first] and done
    assert reason is not None and reason.endswith("are missing: they had not arrived when this was written\n")


@pytest.mark.parametrize(
    ("ends_s", "gap_s", "stated"),
    [(50.0, 0.0, True), (74.0, 0.0, True), (75.0, 0.0, False), (-60.0, 0.0, False), (50.0, 3600.0, False)],
)
def test_a_channel_that_is_not_waited_for_any_longer(tmp_path: Path, ends_s: float, gap_s: float, stated: bool) -> None:
    """It is a minute behind. Not stated: one that stopped long before the event, and a gap of the station."""
    recorder, written = _recorder_of_two(tmp_path)
    _take(recorder, ends_s - 30.0, 30.0, "HHN")
    for start_s, length_s in ((15.0, 45.0), (60.0 + gap_s, 15.0), (75.0 + gap_s, 59.0), (134.0 + gap_s, 59.0)):
        _take(recorder, start_s, length_s)
    recorder.note(_final())
    written.write(_final())
    _, reason, done = _written(tmp_path)
    assert (reason is not None) == stated and done

"""Each final event has the records as received, from before its onset to after its window, and the event beside it."""

import threading
from pathlib import Path

import msgspec
import pytest
from tests.runtime.snippets.storing import (
    RECORD_BYTES,
    STATION,
    Done,
    configs_of,
    overlapping,
    records_in,
    run,
    samples_in,
    snippets_in,
)

from seisedge.runtime.clock import ns_from_iso, ns_from_s
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay.shake import ShakeSender
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.snippets import Recorder, SnippetLibrary
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.shake_udp import ShakeUdpSource

BEFORE_S, AFTER_S = 30.0, 5.0


def _packets(part: Path) -> list[tuple[Packet, bytes]]:
    decoder, found = Decoder(), []
    for record in records_in(part):
        packet = decoder.packet(record, 0)
        assert isinstance(packet, Packet)
        found.append((packet, record))
    return found


def _span(event: Event) -> tuple[int, int]:
    start_ns = ns_from_iso(event.window.start)
    end_ns = start_ns + ns_from_s(event.window.length_s + AFTER_S)
    return min(ns_from_iso(event.onset) - ns_from_s(BEFORE_S), start_ns), end_ns


def _check(done: Done, part: Path, folder: Path) -> None:
    """Every final event has exactly the records of the server, byte for byte, and its own line."""
    files = snippets_in(folder)
    finals = {event.id: event for event in done.kept.finals}
    assert len(finals) > 5 and files.keys() == finals.keys() and done.waiting == 0
    packets = _packets(part)
    for event_id, path in files.items():
        assert sorted(records_in(path)) == sorted(overlapping(packets, *_span(finals[event_id])))
        line = path.with_name(f"{event_id}.json").read_bytes()
        assert msgspec.json.decode(line, type=Event) == finals[event_id]
        assert not path.with_name(f"{event_id}.txt").exists()
    assert not list((folder / "snippets").rglob("*.part"))
    assert done.recorder._held_bytes == 0 and not done.recorder._captures


def test_of_a_file(part: Path, tmp_path: Path, models: Models) -> None:
    done = run(open_source([part]), configs_of(tmp_path), models)
    _check(done, part, tmp_path)
    archived = [record for path in (tmp_path / "sds").rglob("PB.B918.*") for record in records_in(path)]
    assert sorted(archived) == sorted(records_in(part))
    # obspy reads every file, and joins each channel to one trace without a gap
    for path in snippets_in(tmp_path).values():
        assert {channel: len(traces) for channel, traces in samples_in(path).items()} == {"EHZ": 1, "EH1": 1, "EH2": 1}


@pytest.mark.parametrize("protocol", ["seedlink&protocol=3", "seedlink&protocol=4", "datalink"])
def test_of_a_server(part: Path, tmp_path: Path, models: Models, protocol: str) -> None:
    scheme, _, more = protocol.partition("&")
    with Digitizer(part, speed=0, record_length=RECORD_BYTES) as digitizer:
        url = f"{digitizer.url_for(scheme)}/PB_B918?from=earliest" + (f"&{more}" if more else "")
        done = run(open_source(url, until_end=True, connect_timeout_s=20), configs_of(tmp_path), models)
    _check(done, part, tmp_path)


def test_of_a_raspberry_shake(part: Path, tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its packets are no miniSEED: the same samples at the same times."""
    seen: list[Packet] = []
    take = Recorder.take

    def watched(self: Recorder, packet: Packet, record: bytes, *, wait: bool = False) -> None:
        seen.append(packet)
        take(self, packet, record, wait=wait)
        if len(seen) == wanted:
            source.close()

    monkeypatch.setattr(Recorder, "take", watched)
    url = "shake-udp://127.0.0.1:0?station=PB_B918&location=--&listen=127.0.0.1&rate=100"
    with ShakeUdpSource(url) as source:
        sender = ShakeSender(part, ("127.0.0.1", source.port), 200.0)
        wanted = len(list(sender._packets))
        threading.Thread(target=sender.run, daemon=True).start()
        done = run(source, configs_of(tmp_path), models, idle_exit_s=20.0)
        sender.close()
    files = snippets_in(tmp_path)
    finals = {event.id: event for event in done.kept.finals}
    assert len(finals) > 5 and files.keys() == finals.keys()
    for event_id, path in files.items():
        from_ns, to_ns = _span(finals[event_id])
        for channel, traces in samples_in(path).items():
            own = [p for p in seen if p.source_id.channel == channel and p.starttime_ns < to_ns]
            own = [p for p in own if p.endtime_ns > from_ns]
            assert [x for _, data in traces for x in data] == [x for p in own for x in p.samples.tolist()]
            assert traces[0][0] == own[0].starttime_ns // 1_000_000
    archived = {path.name.split(".")[3]: samples_in(path) for path in (tmp_path / "sds").rglob("PB.B918.*")}
    for channel, found in archived.items():
        expected = [x for p in seen if p.source_id.channel == channel for x in p.samples.tolist()]
        assert [x for _, data in found[channel] for x in data] == expected


def test_the_events_are_those_of_a_run_without(part: Path, tmp_path: Path, models: Models) -> None:
    with_snippets = run(open_source([part]), configs_of(tmp_path), models).kept
    plain = type(with_snippets)()
    configs = {
        key: msgspec.structs.replace(one, snippets=None, archive=None) for key, one in configs_of(tmp_path).items()
    }
    with open_source([part]) as source:
        Loop(models, [plain], configs).run(source)
    assert with_snippets.contents == plain.contents and len(plain.contents) > 15


def test_at_new(part: Path, tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records so far are there at once; the final event replaces them."""
    early: dict[str, int] = {}
    release = Recorder.release

    def watched(self: Recorder, event: Event) -> None:
        if event.status == "new":
            early[event.id] = snippets_in(tmp_path)[event.id].stat().st_size
        release(self, event)

    monkeypatch.setattr(Recorder, "release", watched)
    done = run(open_source([part]), configs_of(tmp_path, at_new=True), models)
    _check(done, part, tmp_path)
    files = snippets_in(tmp_path)
    assert len(early) > 5 and all(0 < early[event_id] < files[event_id].stat().st_size for event_id in early)


def test_found_by_the_library(part: Path, tmp_path: Path, models: Models) -> None:
    configs = configs_of(tmp_path)
    run(open_source([part]), configs, models)
    library = SnippetLibrary(configs)
    for event_id, path in snippets_in(tmp_path).items():
        assert library.find(event_id) == path
    packets = [packet for packet, _ in _packets(part)]
    first_ns, last_ns = min(p.starttime_ns for p in packets), max(p.endtime_ns for p in packets)
    (span,) = library.availability(STATION, first_ns - 10**12, last_ns + 10**12)
    assert abs(span[0] - first_ns) < 10**8 and abs(span[1] - last_ns) < 10**8
    assert library.availability(STATION, first_ns + 10**10, first_ns + 2 * 10**10) == [
        (first_ns + 10**10, first_ns + 2 * 10**10)
    ]
    assert library.availability("XX.NONE", first_ns, last_ns) == []

"""Runs that keep the records of one station of the bundled recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from obspy import read
from tests.fakes import demo_configs

from seisedge.runtime.config import ArchiveConfig, SnippetsConfig, StationConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import CIRCUMSTANCES, Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.snippets import Recorder
from seisedge.runtime.sources import Source

STATION = "PB.B918"
RECORD_BYTES = 512
RECORDS = 400  # of both stations: four minutes


def part_of(folder: Path, records: int = RECORDS) -> Path:
    """The records of one station, as a file."""
    data = RECORDING.read_bytes()[: RECORD_BYTES * records]
    own = [data[k : k + RECORD_BYTES] for k in range(0, len(data), RECORD_BYTES) if data[k + 8 : k + 12] == b"B918"]
    path = folder / "part.mseed"
    path.write_bytes(b"".join(own))
    return path


def records_in(path: Path) -> list[bytes]:
    """The records of a file with records of RECORD_BYTES."""
    data = path.read_bytes()
    assert len(data) % RECORD_BYTES == 0
    return [data[k : k + RECORD_BYTES] for k in range(0, len(data), RECORD_BYTES)]


def configs_of(folder: Path, archive: bool = True, **settings: Any) -> dict[str, StationConfig]:
    """The station, with its snippets and its archive below a folder; settings: of the snippets."""
    snippets = SnippetsConfig(folder=str(folder / "snippets"), **{"min_free_mb": 0.0} | settings)
    sds = ArchiveConfig(folder=str(folder / "sds"), min_free_mb=0.0) if archive else None
    return {STATION: msgspec.structs.replace(demo_configs()[STATION], snippets=snippets, archive=sds)}


class Kept(Sink):
    """The events, without what depends on the run. seen: is called with each."""

    def __init__(self, seen: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self._seen = seen

    def write(self, line: Event | Hop) -> None:
        assert isinstance(line, Event)
        self.events.append(line)
        self._seen(line)

    @property
    def finals(self) -> list[Event]:
        return [event for event in self.events if event.status == "final"]

    @property
    def contents(self) -> list[dict[str, Any]]:
        plain = [msgspec.to_builtins(event) for event in self.events]
        return [{key: value for key, value in one.items() if key not in CIRCUMSTANCES} for one in plain]


@dataclasses.dataclass
class Done:
    """What a run has left."""

    kept: Kept
    recorder: Recorder
    waiting: int  # lines that the sink has not taken


def run(
    source: Source,
    configs: dict[str, StationConfig],
    models: Models,
    *,
    journal: BaseJournal | None = None,
    idle_exit_s: float | None = None,
    prepare: Callable[[Recorder], None] = lambda recorder: None,
    stop: Callable[[Event], bool] = lambda event: False,
    within_s: float = 30.0,
) -> Done:
    """A run to the end of its source. prepare: is called before the first packet. stop: whether an event ends it."""
    journal = journal or MemoryJournal()
    recorder = Recorder(configs, journal.resume)
    journal.held_from = recorder.held_from
    recorder.watch(source)
    drains = recorder.drains(journal.outbox)
    prepare(recorder)
    for drain in drains:
        drain.start()
    recorder.start()
    kept = Kept(lambda event: loop.stop() if stop(event) else None)
    loop = Loop(models, [kept], configs, journal=journal, recorder=recorder)
    try:
        with source:
            loop.run(source, idle_exit_s=idle_exit_s)
    finally:
        waiting = sum(drain.close(within_s) for drain in drains)
        recorder.close()
        journal.save_places()
        journal.close()
    return Done(kept, recorder, waiting)


def snippets_in(folder: Path) -> dict[str, Path]:
    """The miniSEED files below `snippets`, by event id."""
    return {path.name.removesuffix(".mseed"): path for path in (folder / "snippets").rglob("*.mseed")}


def samples_in(path: Path) -> dict[str, list[tuple[int, list[int]]]]:
    """By channel, start (ms) and samples of the traces of a file, as obspy reads and joins them."""
    found: dict[str, list[tuple[int, list[int]]]] = {}
    for trace in read(str(path), format="MSEED").merge(-1):
        found.setdefault(trace.stats.channel, []).append((round(trace.stats.starttime.ns / 1e6), trace.data.tolist()))
    return found


def overlapping(packets: list[tuple[Packet, bytes]], from_ns: int, to_ns: int) -> list[bytes]:
    """The records that have a sample within a span."""
    return [record for packet, record in packets if packet.starttime_ns < to_ns and packet.endtime_ns > from_ns]

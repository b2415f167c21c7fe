"""One station of the bundled recording, cut to fifteen minutes with a short and a long gap, and its events."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from seisedge.runtime.archive.reading import ArchiveFile
from seisedge.runtime.config import ModelsConfig, StationConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.demo.run import EventList, demo_configs
from seisedge.runtime.event import content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.miniseed import MiniSeedSource

STATION = "PB.B918"
S = 1_000_000_000
GAPS_S = ((300.0, 320.0), (480.0, 590.0))  # after the first sample
END_S = 900.0

Revisions = dict[str, list[bytes]]


@dataclass(frozen=True)
class Recording:
    """A file, the time of its first sample, its records, and the events of one run over it."""

    path: Path
    first_ns: int
    records: tuple[bytes, ...]
    events: Revisions

    @property
    def file(self) -> ArchiveFile:
        return ArchiveFile(str(self.path), self.first_ns, self.first_ns + 2000 * S)


@pytest.fixture(scope="session")
def models() -> Models:
    return Models.load(ModelsConfig())


@pytest.fixture(scope="session")
def config() -> StationConfig:
    """A short wait, so that the warm-up is short."""
    config = demo_configs()[STATION]
    timeline = msgspec.structs.replace(config.timeline, max_wait_s=10.0)
    return msgspec.structs.replace(config, timeline=timeline)


def records_of(station: str, end_s: float, gaps_s: Sequence[tuple[float, float]]) -> list[tuple[int, bytes]]:
    """Start and bytes of the records of one station of the bundled recording, without those in the gaps."""
    found = [
        (packet.starttime_ns, record)
        for record, packet in MiniSeedSource([RECORDING]).records()
        if packet.source_id.station_id == station
    ]
    first_ns = min(start_ns for start_ns, _ in found)
    kept = []
    for start_ns, record in found:
        at_s = (start_ns - first_ns) / S
        if at_s < end_s and not any(low <= at_s < high for low, high in gaps_s):
            kept.append((start_ns, record))
    return kept


def later(record: bytes, tenths_ms: int) -> bytes:
    """A miniSEED 2 record whose start is later, within its second."""
    fraction = min(struct.unpack_from(">H", record, 28)[0] + tenths_ms, 9999)
    return record[:28] + struct.pack(">H", fraction) + record[30:]


def events_of_one_run(path: Path, models: Models, config: StationConfig) -> Revisions:
    sink = EventList()
    with open_source([str(path)]) as source:
        Loop(models, [sink], {STATION: config}).run(source)
    found: Revisions = {}
    for event in sink.events:
        found.setdefault(event.id, []).append(content_of(event))
    return found


@pytest.fixture(scope="session")
def make_recording(
    tmp_path_factory: pytest.TempPathFactory, models: Models, config: StationConfig
) -> Callable[[list[tuple[int, bytes]]], Recording]:
    def make(records: list[tuple[int, bytes]]) -> Recording:
        path = tmp_path_factory.mktemp("recording") / "one.mseed"
        path.write_bytes(b"".join(record for _, record in records))
        first_ns = min(start_ns for start_ns, _ in records)
        return Recording(path, first_ns, tuple(r for _, r in records), events_of_one_run(path, models, config))

    return make


@pytest.fixture(scope="session")
def recording(make_recording: Callable[[list[tuple[int, bytes]]], Recording]) -> Recording:
    return make_recording(records_of(STATION, END_S, GAPS_S))

"""Days of data on a disk that is full: the floor of free space holds, and the newest snippets stay."""

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.runtime.snippets.storing import STATION, configs_of, part_of, records_in, run, snippets_in
from tests.runtime.snippets.test_retention import Disk

from seisedge.runtime.config import StationConfig
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.snippets import retention
from seisedge.runtime.snippets.retention import MB
from seisedge.runtime.sources import Source

FLOOR_MB = 1.0


def _later(record: bytes, days: int) -> bytes:
    """A miniSEED 2 record so many days later, in the same year."""
    (day,) = struct.unpack_from(">H", record, 22)
    return record[:22] + struct.pack(">H", day + days) + record[24:]


class Repeated(Source):
    """Records once a day. After each hundred of them, the free space is noted."""

    def __init__(self, records: list[bytes], days: int, disk: Disk) -> None:
        super().__init__("repeated:")
        self.least_free = disk.size
        self._records = records
        self._days = days
        self._disk = disk

    def packets(self) -> Iterator[Packet | None]:
        for day in range(self._days):
            for number, record in enumerate(self._records):
                if number % 100 == 0:
                    self.least_free = min(self.least_free, self._disk.free(self._disk.folder))
                packet = self._decoder.packet(_later(record, day), 0)
                assert isinstance(packet, Packet)
                yield packet


def _soak(folder: Path, models: Models, monkeypatch: pytest.MonkeyPatch, records: int, days: int) -> None:
    disk = Disk(folder / "disk", 3 * MB)
    monkeypatch.setattr(retention, "free_bytes", disk.free)
    (config,) = configs_of(folder / "disk", min_free_mb=FLOOR_MB).values()
    archive = msgspec.structs.replace(config.archive, min_free_mb=FLOOR_MB)  # type: ignore[type-var]
    configs: dict[str, StationConfig] = {STATION: msgspec.structs.replace(config, archive=archive)}
    source = Repeated(records_in(part_of(folder, records)), days, disk)
    done = run(source, configs, models)
    finals = [event.id for event in done.kept.finals]
    (counters,) = done.recorder.counters.values()
    assert len(finals) > 5 * days and done.waiting == 0
    assert (counters.written, counters.incomplete, counters.missing) == (len(finals), 0, 0)
    assert source.least_free >= FLOOR_MB * MB
    left = sorted(snippets_in(folder / "disk"))
    assert left == sorted(finals)[-len(left) :] and 5 < len(left) < len(finals)  # the newest ones
    deleted = done.recorder.retention.deleted
    assert all(one.files for one in deleted.values())
    assert done.recorder._held_bytes == 0 and done.recorder._ring_bytes < MB


@pytest.mark.long
def test_days_on_a_small_disk(tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    _soak(tmp_path, models, monkeypatch, 300, 40)

"""The rolling archive: every record once, through restarts, damage and full disks; the floor of free space holds."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fakes import T0_NS, packet
from tests.runtime.snippets.test_retention import Disk

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import ArchiveConfig, StationConfig, StationIdentity
from seisedge.runtime.files import append_bounded
from seisedge.runtime.snippets import SnippetLibrary, archive, retention
from seisedge.runtime.snippets.archive import MAX_WAITING_BYTES, Archive, entries_between
from seisedge.runtime.snippets.names import DAY_S
from seisedge.runtime.snippets.packing import records_from_packets
from seisedge.runtime.snippets.received import Entry, entry_from_packet
from seisedge.runtime.snippets.retention import MB, Limits, Retention


def _entries(start_s: float, count: int, channel: str = "HHZ", seconds: float = 1.0) -> list[Entry]:
    """Records of `seconds` each, one after the other."""
    rng = np.random.default_rng(round(start_s))
    found = []
    for k in range(count):
        one = packet(rng.integers(-9, 9, round(100 * seconds)).astype(np.int32), start_s + k * seconds, channel)
        (record,) = records_from_packets([one])
        found.append(entry_from_packet(one, record))
    return found


def _archive(folder: Path, **limits: float) -> Archive:
    own = Limits(folder, "archive", **{"keep_days": 3650.0, "max_mb": 1e6, "min_free_mb": 0.0} | limits)
    return Archive(folder, 0o640, Retention([own], lambda: T0_NS / NS_PER_S))


def _put(target: Archive, entries: list[Entry]) -> None:
    for entry in entries:
        target.put(entry, wait=False)
    target.flush()


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.D.*.*")))


def test_records_sent_again_are_there_once(tmp_path: Path) -> None:
    entries = _entries(0, 50)
    _put(_archive(tmp_path), entries[:30])
    again = _archive(tmp_path)  # after a kill the source goes back by ten records
    _put(again, entries[20:25])
    _put(again, entries[25:])
    assert _bytes(tmp_path) == b"".join(entry.record for entry in entries)
    assert again.counters.repeated == 10 and again.counters.records == 20
    (path,) = tmp_path.rglob("*.D.*.*")
    assert path.stat().st_mode & 0o777 == 0o640 and path.parent.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("lost", [1, 100, 511])
def test_an_incomplete_last_record_is_removed(tmp_path: Path, lost: int) -> None:
    entries = _entries(0, 20)
    _put(_archive(tmp_path), entries[:10])
    (path,) = tmp_path.rglob("*.D.*.*")
    os.truncate(path, path.stat().st_size - lost)
    _put(_archive(tmp_path), entries[9:])
    assert _bytes(tmp_path) == b"".join(entry.record for entry in entries)


def test_days_and_channels(tmp_path: Path) -> None:
    """A record belongs to the day of its start."""
    midnight_s = DAY_S - (T0_NS / NS_PER_S) % DAY_S
    entries = [one for channel in ("HHZ", "HHN") for one in _entries(midnight_s - 5.5, 11, channel)]
    _put(_archive(tmp_path), entries)
    days = sorted(path.name for path in tmp_path.rglob("*.D.*.*"))
    assert [name.rpartition(".D.")[0] for name in days] == ["XX.STA..HHN", "XX.STA..HHN", "XX.STA..HHZ", "XX.STA..HHZ"]
    around = T0_NS + round((midnight_s + 0.1) * NS_PER_S)
    found = entries_between(tmp_path, "XX.STA", around, around + NS_PER_S)
    assert sorted(one.start_ns for one in found) == sorted(
        one.start_ns for one in entries if one.overlaps(around, around + NS_PER_S)
    )


def test_gaps_in_what_is_available(tmp_path: Path) -> None:
    table = ArchiveConfig(folder=str(tmp_path), min_free_mb=0)
    config = StationConfig(station=StationIdentity("XX", "STA"), archive=table)
    library = SnippetLibrary({"XX.STA": config})
    assert library.availability("XX.STA", T0_NS, T0_NS + 100 * NS_PER_S) == []
    target = _archive(tmp_path)
    _put(target, [*_entries(10, 10), *_entries(30, 5)])
    expected = [(10, 20), (30, 35)]
    for _ in range(2):  # again when the file has grown
        found = library.availability("XX.STA", T0_NS, T0_NS + 100 * NS_PER_S)
        assert [(round((a - T0_NS) / 1e9), round((b - T0_NS) / 1e9)) for a, b in found] == expected
        _put(target, _entries(50, 5))
        expected.append((50, 55))
    assert SnippetLibrary({}).availability("XX.STA", 0, 1) == []


def test_a_full_disk_costs_nothing_until_the_queue_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written whole or not at all; retried; reported; what no room is left for is counted."""
    now_s = [0.0]
    target = _archive(tmp_path)
    target._now_s = lambda: now_s[0]
    entries = _entries(0, 40)
    _put(target, entries[:10])

    def full(path: Path, data: bytes, *args: Any) -> None:
        append_bounded(path, data[:700], *args)
        os.truncate(path, path.stat().st_size - len(data[:700]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(archive, "append_bounded", full)
        _put(target, entries[10:20])
        assert target.fault.startswith("no space left on device") and target.counters.failures == 1
        _put(target, entries[20:30])
        assert target.counters.failures == 1  # not before the next attempt is due
    assert _bytes(tmp_path) == b"".join(entry.record for entry in entries[:10])
    _put(target, entries[30:])
    now_s[0] = 60.0
    target.flush()
    target.flush()
    assert target.fault == "" and _bytes(tmp_path) == b"".join(entry.record for entry in entries)
    assert target.waiting_bytes == 0 and target.counters.dropped == 0


def test_a_disk_that_hangs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, seen = [0.0], []
    target = _archive(tmp_path)
    target._now_s = lambda: now_s[0]

    def hanging(path: Path, data: bytes, *args: Any) -> None:
        for now_s[0] in (20.0, 45.0):
            seen.append(target.trouble)
        append_bounded(path, data, *args)

    monkeypatch.setattr(archive, "append_bounded", hanging)
    _put(target, _entries(0, 5))
    assert seen == ["", "the disk has not finished a write for 45 s"] and target.trouble == ""


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    """The oldest records are dropped, and a source that can wait does so while the disk works."""
    blocked = _archive(tmp_path, min_free_mb=1e8)  # more than any disk has
    (entry,) = _entries(0, 1)
    for _ in range(MAX_WAITING_BYTES // entry.size + 100):
        blocked.put(entry, wait=False)
    blocked.flush()
    assert "min_free_mb = 1e+08" in blocked.fault
    for _ in range(100):
        blocked.put(entry, wait=True)  # a disk that fails is not waited for
    assert blocked.waiting_bytes <= MAX_WAITING_BYTES + entry.size and blocked.counters.dropped >= 100
    assert not list(tmp_path.rglob("*.D.*.*"))


def test_the_floor_holds_in_a_long_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty days on a disk that other programs fill, too: never less free than the floor, by writing."""
    disk = Disk(tmp_path, 2.4 * MB)
    monkeypatch.setattr(retention, "free_bytes", disk.free)
    target = _archive(tmp_path, min_free_mb=1.0)
    rng = np.random.default_rng(30)
    for day in range(30):
        disk.others = float(rng.uniform(0, 1.2 * MB))
        for entry in _entries(day * DAY_S, 80, seconds=4.0):
            target.put(entry, wait=False)
        before = disk.free(tmp_path)
        target.flush()
        assert target.fault == ""
        assert disk.free(tmp_path) >= min(1.0 * MB, before), day
    days = sorted(path.name[-8:] for path in tmp_path.rglob("*.D.*.*"))
    assert 3 < len(days) < 30 and days == sorted(days)
    assert target._retention.deleted[tmp_path].files == 30 - len(days)
    newest = _entries(29 * DAY_S, 80, seconds=4.0)
    assert _bytes(tmp_path).endswith(b"".join(entry.record for entry in newest))

"""A uniform miniSEED 2 file read as a table equals its records read one by one; any other file is scanned."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seisedge.runtime.demo import RECORDING
from seisedge.runtime.records.miniseed import BadRecord, Decoder
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.sources._uniform import uniform_records
from seisedge.runtime.sources.miniseed import MiniSeedSource

N = 60


def _record(length: int = 512, version: int = 2) -> bytes:
    records = [entry.record for station in Recording([RECORDING], length).stations for entry in station.entries[:N]]
    return b"".join(records[:N])


def _one_by_one(data: bytes, length: int) -> list[int]:
    decoder = Decoder()
    headers = [decoder.header(data[k : k + length]) for k in range(0, len(data), length)]
    return [h.last_sample_ns for h in headers if not isinstance(h, BadRecord)]


@pytest.mark.parametrize("data", [RECORDING.read_bytes()[: 512 * N], _record(512), _record(4096)])
def test_the_table_equals_the_record_headers(data: bytes) -> None:
    length = len(data) // N
    found = uniform_records(data, length)
    assert found is not None
    assert found.last_sample_ns.tolist() == _one_by_one(data, length)


def _without_microseconds(record: bytes) -> bytes:
    """A record of the recording, which has the blockettes 1001 and 1000, with the latter alone."""
    return record[:39] + b"\x01" + record[40:48] + struct.pack(">HH", 1000, 0) + record[60:64] + bytes(8) + record[64:]


def test_records_with_and_without_microseconds_are_one_table() -> None:
    records = [RECORDING.read_bytes()[k * 512 : (k + 1) * 512] for k in range(N)]
    data = b"".join(_without_microseconds(record) if k % 3 else record for k, record in enumerate(records))
    found = uniform_records(data, 512)
    assert found is not None
    assert found.last_sample_ns.tolist() == _one_by_one(data, 512)
    headers = [Decoder().header(data[k : k + 512]) for k in range(0, len(data), 512)]
    assert found.n_samples.tolist() == [h.n_samples for h in headers if not isinstance(h, BadRecord)]
    assert len(found.ids) == N
    assert found.ids.tolist() == [record[8:20] for record in records]


def _set(offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda record: struct.pack_into(form, record, offset, value)


@pytest.mark.parametrize(
    "change",
    [_set(40, ">i", -12_345), _set(53, "b", -7), _set(34, ">h", -3), _set(32, ">h", -30), _set(22, ">H", 365)],
    ids=["time correction", "microseconds", "divisor", "period", "last day"],
)
def test_arithmetic_of_the_header(change: Callable[[bytearray], None]) -> None:
    data = bytearray(_record())
    for k in range(0, len(data), 512 * 7):
        part = data[k : k + 512]
        change(part)
        data[k : k + 512] = part
    found = uniform_records(bytes(data), 512)
    assert found is not None
    assert found.last_sample_ns.tolist() == _one_by_one(bytes(data), 512)


def test_a_correction_that_was_applied_is_not_applied_again() -> None:
    data = bytearray(_record())
    struct.pack_into(">i", data, 512 * 3 + 40, 5_000)
    data[512 * 3 + 36] |= 0x02
    found = uniform_records(bytes(data), 512)
    assert found is not None
    assert found.last_sample_ns.tolist() == _one_by_one(bytes(data), 512)


@pytest.mark.parametrize(
    "change",
    [
        _set(20, ">H", 2211), _set(24, "B", 24), _set(26, "B", 60), _set(30, ">H", 0), _set(32, ">h", 0),
        _set(62, "B", 10), _set(46, ">H", 56), _set(39, "B", 3), _set(6, "B", ord("X")), _set(48, ">H", 100),
        _set(22, ">H", 366),
    ],
    ids=[
        "year", "hour", "leap second", "empty", "rate 0", "length", "offset", "blockettes", "quality", "blockette 100",
        "no leap year",
    ],
)  # fmt: skip
def test_a_file_with_one_different_record_is_scanned(change: Callable[[bytearray], None]) -> None:
    data = bytearray(_record())
    part = data[512 * 5 : 512 * 6]
    change(part)
    data[512 * 5 : 512 * 6] = part
    assert uniform_records(bytes(data), 512) is None


def test_a_header_inside_a_record_a_tail_and_garbage_are_scanned() -> None:
    data = bytearray(_record())
    assert uniform_records(bytes(data[:-1]), 512) is None
    assert uniform_records(b"", 512) is None
    assert uniform_records(bytes(data), 0) is None
    data[512 * 4 + 256 : 512 * 4 + 512] = data[512 * 9 : 512 * 9 + 256]
    assert uniform_records(bytes(data), 512) is None


def test_both_ways_give_the_same_packets(tmp_path: Path) -> None:
    plain, scanned = tmp_path / "plain.mseed", tmp_path / "scanned.mseed"
    data = RECORDING.read_bytes()[: 512 * 300]
    plain.write_bytes(data)
    scanned.write_bytes(data + b"x")  # one byte more, so the file is scanned
    packets = [list(MiniSeedSource([path]).packets()) for path in (plain, scanned)]
    assert len(packets[0]) == len(packets[1]) == 300
    for one, other in zip(*packets, strict=True):
        assert one is not None and other is not None
        assert (one.source_id, one.starttime_ns) == (other.source_id, other.starttime_ns)
        assert np.array_equal(one.samples, other.samples)


def test_a_file_of_a_single_record(tmp_path: Path) -> None:
    path = tmp_path / "one.mseed"
    path.write_bytes(RECORDING.read_bytes()[:512])
    with MiniSeedSource([path]) as source:
        assert len(list(source.packets())) == 1


def test_a_view_that_outlives_the_index_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's profiler keeps frames, and with them views of a mapped file, for a moment longer."""
    path, views = tmp_path / "a.mseed", []

    def with_a_view(data: bytes | mmap.mmap, length: int) -> object:
        views.append(memoryview(data))
        return uniform_records(data, length)

    monkeypatch.setattr("seisedge.runtime.sources.miniseed.uniform_records", with_a_view)
    path.write_bytes(_record())
    assert len(list(MiniSeedSource([path]).records())) == N and views

"""Records of another length: the same samples at the same times."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pymseed import DataEncoding, MS3Record
from tests.paths import RECORDING

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.replay._repack import repack

DATA = RECORDING.read_bytes()
EHZ = [r for k in range(0, 512 * 400, 512) if (r := DATA[k : k + 512])[8:18] == b"B921   EHZ"]
START_NS = ns_from_iso("2024-01-01T00:00:00")


def packets(records: list[bytes]) -> list[Packet]:
    decoder = Decoder()
    found = [decoder.packet(record, 0) for record in records]
    assert all(isinstance(packet, Packet) for packet in found), found
    return [packet for packet in found if isinstance(packet, Packet)]


def made(samples: npt.NDArray[Any], kind: str, encoding: DataEncoding, version: int, **fields: Any) -> list[bytes]:
    template = MS3Record(reclen=4096, encoding=encoding)
    template.formatversion = version
    template.sourceid = "FDSN:XX_TEST_00_H_H_Z"
    template.starttime = START_NS
    template.samprate = 100.0
    for name, value in fields.items():
        setattr(template, name, value)
    return list(template.generate(data_samples=samples, sample_type=kind))


def assert_same_samples_at_same_times(old: list[bytes], new: list[bytes], within_ns: int = 0) -> None:
    def timed(records: list[bytes]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        parts = packets(records)
        times = [
            p.starttime_ns + np.array([round(k * 1e9 / p.sampling_rate_hz) for k in range(len(p.samples))])
            for p in parts
        ]
        return np.concatenate([p.samples for p in parts]), np.concatenate(times)

    (samples, times), (new_samples, new_times) = timed(old), timed(new)
    assert samples.dtype == new_samples.dtype
    np.testing.assert_array_equal(new_samples, samples)
    assert np.max(np.abs(new_times - times)) <= within_ns


@pytest.mark.parametrize("length", [128, 256, 1024, 4096, 65_536])
def test_real_records(length: int) -> None:
    new = list(repack(iter(EHZ), length))
    assert {len(record) for record in new} == {length}
    assert_same_samples_at_same_times(EHZ, new)


def test_longer_records_are_fewer() -> None:
    assert len(list(repack(iter(EHZ), 4096))) <= len(EHZ) // 7
    assert len(list(repack(iter(EHZ), 128))) >= len(EHZ) * 4


@pytest.mark.parametrize(
    ("kind", "dtype", "encoding"), [("f", np.float32, DataEncoding.FLOAT32), ("d", np.float64, DataEncoding.FLOAT64)]
)
def test_floats_stay_floats(kind: str, dtype: type, encoding: DataEncoding) -> None:
    samples: npt.NDArray[Any] = np.random.default_rng(1).normal(size=3000).astype(dtype)
    old = made(samples, kind, encoding, 2)
    assert_same_samples_at_same_times(old, list(repack(iter(old), 512)))


def test_differences_beyond_steim_2() -> None:
    samples = np.array([0, 2**31 - 1, -(2**31), 5, 2**30, -(2**30)] * 40, dtype=np.int32)
    old = made(samples, "i", DataEncoding.INT32, 2)
    new = list(repack(iter(old), 512))
    assert MS3Record.parse(new[0]).encoding == DataEncoding.INT32
    assert_same_samples_at_same_times(old, new)


@pytest.mark.parametrize(
    ("rate_hz", "starttime", "version"),
    [
        (100.0, "2024-01-01T00:00:00.000001", 2),
        (100.0, "2024-01-01T00:00:00.000000001", 3),  # miniSEED 2 has no nanoseconds
        (128.0, "2024-01-01T00:00:00", 3),  # 7.8125 ms: the second record begins between microseconds
        (300.0, "2024-01-01T00:00:00", 3),
        (0.1, "2024-01-01T00:00:00", 2),
    ],
)
def test_times_are_kept_to_the_nanosecond(rate_hz: float, starttime: str, version: int) -> None:
    samples = np.random.default_rng(2).integers(-99999, 99999, 5000).astype(np.int32)
    old = made(samples, "i", DataEncoding.STEIM2, 3, samprate=rate_hz, starttime=ns_from_iso(starttime))[:1]
    new = list(repack(iter(old), 512))
    assert {MS3Record.parse(record).formatversion for record in new} == {version}
    # at 300 Hz no record can begin on a sample: starts are rounded to whole nanoseconds
    assert_same_samples_at_same_times(old, new, within_ns=1 if rate_hz == 300.0 else 0)


def test_gaps_and_flags_begin_a_new_record() -> None:
    clipped = EHZ[2][:38] + b"\x02" + EHZ[2][39:]
    old = [EHZ[0], EHZ[1], clipped, EHZ[3], EHZ[5]]  # EHZ[4] is missing
    new = list(repack(iter(old), 4096))
    assert_same_samples_at_same_times(old, new)
    assert [p.flags for p in packets(new)] == [
        RecordFlag.NONE,
        RecordFlag.CLIPPED,
        RecordFlag.NONE,
        RecordFlag.NONE,
    ]
    assert [len(p.samples) for p in packets(new)] == [
        sum(len(p.samples) for p in packets(part)) for part in (old[:2], old[2:3], old[3:4], old[4:])
    ]

"""Records that are decoded as a batch are the same as one by one; records that are not alike are no batch."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymseed import DataEncoding, MS3Record

from seisedge.runtime.demo import RECORDING
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.sources.batch import Batch, read_batch
from seisedge.runtime.sources.miniseed import MiniSeedSource

N = 90
ALL = list(range(N))


def _batch(data: bytes, length: int, order: list[int]) -> Batch | None:
    def read(_: int, offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    places = np.array(order, dtype=np.int64) * length
    return read_batch(read, np.zeros_like(places), places, np.full_like(places, length), Decoder())


def _same(batch: Batch | None, data: bytes, length: int, order: list[int]) -> None:
    assert batch is not None
    decoder = Decoder()
    for k, place in enumerate(order):
        record = data[place * length : (place + 1) * length]
        one, other = decoder.packet(record, 0), batch.packet(k)
        assert isinstance(one, Packet)
        assert batch.record(k) == record
        assert (one.source_id, one.starttime_ns, one.sampling_rate_hz, one.flags) == (
            other.source_id, other.starttime_ns, other.sampling_rate_hz, other.flags,
        )  # fmt: skip
        assert one.samples.dtype == other.samples.dtype
        assert np.array_equal(one.samples, other.samples)


def _written(encoding: DataEncoding, values: np.ndarray, rate_hz: float = 100.0, version: int = 2) -> bytes:
    template = MS3Record(reclen=512, encoding=encoding)
    template.formatversion, template.sourceid = version, "FDSN:XX_STA__H_H_Z"
    template.starttime, template.samprate = 1_600_000_000_123_400_000, rate_hz
    return b"".join(template.generate(data_samples=values, sample_type="f" if values.dtype.kind == "f" else "i"))


COUNTS = np.random.default_rng(1).integers(-3000, 3000, 40_000).astype(np.int32)
RECORDED = RECORDING.read_bytes()[: 512 * N]


def test_recorded_data_are_a_batch_in_any_order() -> None:
    scattered = np.random.default_rng(2).permutation(N).tolist()
    for order in (ALL, scattered, [0, 40, 80]):
        _same(_batch(RECORDED, 512, order), RECORDED, 512, order)


@pytest.mark.parametrize("length", [256, 4096])
def test_records_of_other_lengths_are_a_batch(length: int) -> None:
    records = [entry.record for station in Recording([RECORDING], length).stations for entry in station.entries[:N]]
    data = b"".join(records[:N])
    _same(_batch(data, length, ALL), data, length, ALL)


@pytest.mark.parametrize("encoding", ["INT16", "INT32", "STEIM1", "STEIM2"])
@pytest.mark.parametrize("rate_hz", [100.0, 99.7, 1.0])
def test_encodings_of_integers_are_a_batch(encoding: str, rate_hz: float) -> None:
    data = _written(getattr(DataEncoding, encoding), COUNTS, rate_hz)
    order = list(range(len(data) // 512))
    _same(_batch(data, 512, order), data, 512, order)


def _set(offset: int, *values: int) -> Callable[[bytearray], None]:
    return lambda record: struct.pack_into(f"{len(values)}B", record, offset, *values)


@pytest.mark.parametrize(
    "change",
    [_set(36, 1), _set(38, 2), _set(38, 128), _set(52, 20), _set(200, *range(40)), _set(44, 0, 0), _set(60, 5)],
    ids=["calibration", "clipped", "time", "timing quality", "damaged", "no samples", "encoding"],
)
def test_one_record_that_is_not_like_the_others_leaves_no_batch(change: Callable[[bytearray], None]) -> None:
    record = bytearray(RECORDED[512 * 40 : 512 * 41])
    change(record)
    assert _batch(RECORDED[: 512 * 40] + record + RECORDED[512 * 41 :], 512, ALL) is None
    assert _batch(RECORDED, 512, ALL) is not None


def test_other_records_are_no_batch() -> None:
    shorter = RECORDED[:-100]
    real = _written(DataEncoding.FLOAT32, COUNTS.astype(np.float32))
    third = _written(DataEncoding.STEIM2, COUNTS, version=3)
    slow = _written(DataEncoding.STEIM2, COUNTS, rate_hz=0.5)
    for data in (shorter, real, third, slow):
        assert _batch(data, 512, list(range(-(-len(data) // 512)))) is None


def test_a_source_gives_the_same_packets_in_batches(tmp_path: Path) -> None:
    flagged = bytearray(RECORDING.read_bytes())
    flagged[512 * 2100 + 38] = 2
    path = tmp_path / "flagged.mseed"
    path.write_bytes(flagged)
    batches, packets = 0, []
    with MiniSeedSource([path]) as source:
        for item in source.batches():
            assert item is not None
            batches += isinstance(item, Batch)
            packets += [item.packet(k) for k in range(len(item))] if isinstance(item, Batch) else [item]
        counted = source.counters
    with MiniSeedSource([path]) as source:
        single = list(source.packets())
        assert source.counters == counted
    assert batches == 1, "the flag is in the second piece"
    assert len(packets) == len(single)
    for one, other in zip(single, packets, strict=True):
        assert one is not None
        assert (one.source_id, one.starttime_ns, one.flags) == (other.source_id, other.starttime_ns, other.flags)
        assert np.array_equal(one.samples, other.samples)

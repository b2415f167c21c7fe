"""Packets without a record become miniSEED with the same samples at the same times, as obspy reads them."""

import io
from typing import Any

import numpy as np
import pytest
from obspy import read
from tests.fakes import T0_NS, packet

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.snippets.packing import records_from_packets

RNG = np.random.default_rng(0)
LARGE = np.array([2**31 - 1, -(2**31), 0, 7], dtype=np.int32)  # differences of more than 30 bits


def _read(packets: list[Packet]) -> list[tuple[str, int, list[Any]]]:
    """Id, start (ns) and samples of each trace."""
    stream = read(io.BytesIO(b"".join(records_from_packets(packets))), format="MSEED")
    return [(trace.id, trace.stats.starttime.ns, trace.data.tolist()) for trace in stream]


def _cut(samples: np.ndarray[Any, Any], step: int = 25) -> list[Packet]:
    return [packet(samples[k : k + step], k / 100.0) for k in range(0, len(samples), step)]


@pytest.mark.parametrize(
    "samples",
    [
        RNG.integers(-(2**20), 2**20, 2000).astype(np.int32),
        LARGE,
        RNG.normal(0, 1e5, 500).astype(np.float32),
        RNG.normal(0, 1e5, 500),
    ],
    ids=["steim2", "int32", "float32", "float64"],
)
def test_joined(samples: np.ndarray[Any, Any]) -> None:
    assert _read(_cut(samples)) == [("XX.STA..HHZ", T0_NS, samples.tolist())]


def test_a_gap_a_rate_and_another_channel_begin_a_record() -> None:
    samples = RNG.integers(-9, 9, 100).astype(np.int32)
    packets = _cut(samples)
    found = _read([*packets[:2], *packets[3:], packet(samples, 9.0, rate_hz=50.0), packet(samples, channel="HHN")])
    assert found == [
        ("XX.STA..HHZ", T0_NS, samples[:50].tolist()),
        ("XX.STA..HHZ", T0_NS + 750_000_000, samples[75:].tolist()),
        ("XX.STA..HHZ", T0_NS + 9 * NS_PER_S, samples.tolist()),
        ("XX.STA..HHN", T0_NS, samples.tolist()),
    ]


def test_times_in_milliseconds_do_not_cut() -> None:
    """A Shake states its times to the millisecond: 12.5 ms, the interval of 80 Hz, is rounded."""
    samples = RNG.integers(-9, 9, 400).astype(np.int32)
    starts_s = [round(k / 80.0, 3) for k in range(0, 400, 21)]
    packets = [packet(samples[k : k + 21], s, rate_hz=80.0) for k, s in zip(range(0, 400, 21), starts_s, strict=True)]
    assert _read(packets) == [("XX.STA..HHZ", T0_NS, samples.tolist())]


def test_codes_that_miniseed_2_has_no_room_for() -> None:
    one = packet(LARGE)
    longer = Packet(SourceId("NETWORK1", "STATION8", "LOCATION", "HHZ"), T0_NS, 100.0, one.samples, one.flags, 0, "")
    (record,) = records_from_packets([longer])
    decoded = Decoder().packet(record, 0)
    assert isinstance(decoded, Packet) and decoded.source_id == longer.source_id
    assert decoded.samples.tolist() == LARGE.tolist() and decoded.starttime_ns == T0_NS

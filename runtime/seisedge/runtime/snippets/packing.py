"""Records of packets that were not received as miniSEED: the samples of a Raspberry Shake's UDP stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MS3Record

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.codes import fits_seed
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId

RECORD_BYTES = 512
STEIM2_LIMIT = 1 << 29  # differences are 30-bit two's complement
JOINED_SHARE = 0.5  # of a sample interval: a packet whose time deviates less follows the one before it

_SAMPLE_TYPES = {"int32": "i", "float32": "f", "float64": "d"}


def records_from_packets(packets: Iterable[Packet]) -> list[bytes]:
    """miniSEED records with the samples of the packets: of each channel in order, joined where they are contiguous."""
    channels: dict[SourceId, list[Packet]] = {}
    for packet in packets:
        channels.setdefault(packet.source_id, []).append(packet)
    return [record for one in channels.values() for span in spans(one) for record in _packed(span)]


def spans(packets: Sequence[Packet]) -> Iterator[list[Packet]]:
    """Contiguous packets of one channel."""
    span: list[Packet] = []
    for packet in packets:
        if span and not follows(span[-1], packet):
            yield span
            span = []
        span.append(packet)
    if span:
        yield span


def follows(before: Packet, packet: Packet) -> bool:
    """True if a packet of the same channel continues the one before it."""
    deviation_ns = abs(packet.starttime_ns - before.endtime_ns)
    return (
        packet.sampling_rate_hz == before.sampling_rate_hz
        and packet.samples.dtype == before.samples.dtype
        and packet.flags == before.flags
        and deviation_ns * packet.sampling_rate_hz <= JOINED_SHARE * NS_PER_S
    )


def _packed(span: Sequence[Packet]) -> list[bytes]:
    first = span[0]
    samples = np.concatenate([packet.samples for packet in span])
    template = MS3Record(reclen=RECORD_BYTES, encoding=_encoding(samples))
    template.formatversion = 2 if fits_seed(first.source_id) else 3
    template.sourceid = _name(first.source_id)
    template.starttime = first.starttime_ns
    template.samprate = first.sampling_rate_hz
    template.flags = int(first.flags & RecordFlag.CALIBRATION)
    template.pubversion = 1
    return list(template.generate(data_samples=samples, sample_type=_SAMPLE_TYPES[samples.dtype.name]))


def _name(source_id: SourceId) -> str:
    channel = source_id.channel
    channel = channel if "_" in channel else "_".join(channel)
    return f"FDSN:{source_id.network}_{source_id.station}_{source_id.location}_{channel}"


def _encoding(samples: npt.NDArray[np.generic]) -> DataEncoding:
    if samples.dtype.kind == "f":
        return DataEncoding.FLOAT32 if samples.itemsize == 4 else DataEncoding.FLOAT64
    steps = np.diff(samples.astype(np.int64))
    return DataEncoding.STEIM2 if np.all(np.abs(steps) < STEIM2_LIMIT) else DataEncoding.INT32

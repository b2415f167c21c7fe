"""Batch: many records of files that are read and decoded at once, and handed on together.

Most records of an archive are alike: one length, no flags, integer samples. Their headers are read as a table, and the
samples of each channel are decoded one behind the other. Of any other records there is no batch; they are decoded one
by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records import _libmseed
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.sources._uniform import UniformRecords, uniform_records

BATCH_BYTES = 1 << 20
MAX_RECORDS = 2048

Bytes = npt.NDArray[np.uint8]
Reader = Callable[[int, int, int], bytes]  # file number, offset, length; fewer bytes where the file is shorter


@dataclass(frozen=True, slots=True)
class Channel:
    """The records of one channel in a batch.

    rows, starts_ns, counts: number in the batch, start time, and number of samples of each record. samples: of all of
    them, one behind the other.
    """

    source_id: SourceId
    rate_hz: float
    rows: list[int]
    starts_ns: list[int]
    counts: list[int]
    samples: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in order; each list has an entry per record.

    channel: number in `channels`. counts: numbers of samples. begins: place of the first one in those of its channel.
    breaks: number of the records of its channel up to this one that do not begin exactly where the one before ends.
    inversions: number of the records up to this one that end before the one before.
    """

    channels: list[Channel]
    channel: list[int]
    starts_ns: list[int]
    counts: list[int]
    begins: list[int]
    breaks: list[int]
    inversions: list[int]
    table: Bytes  # (n, length), the records

    def __len__(self) -> int:
        return len(self.channel)

    def record(self, k: int) -> bytes:
        """The bytes of a record."""
        return bytes(self.table[k])

    def packet(self, k: int, arrival_ns: int = 0) -> Packet:
        """A record decoded, as by `Decoder.packet`."""
        channel, begin = self.channels[self.channel[k]], self.begins[k]
        samples = channel.samples[begin : begin + self.counts[k]].copy()
        return Packet(
            channel.source_id, self.starts_ns[k], channel.rate_hz, samples, RecordFlag.NONE, arrival_ns, token=""
        )


def batch_size(length: int) -> int:
    """Number of records of `length` bytes that are worth being read at once."""
    return max(1, min(BATCH_BYTES // max(length, 1), MAX_RECORDS))


def read_batch(
    read: Reader, file: npt.NDArray[Any], offset: npt.NDArray[Any], length: npt.NDArray[Any], decoder: Decoder
) -> Batch | None:
    """The records at these places, in this order, (n,) each; None where they are not all alike."""
    if (length != length[0]).any():
        return None
    table = _table(read, file, offset, int(length[0]))
    found = None if table is None else uniform_records(table.data.cast("B"), table.shape[1])
    if table is None or found is None or not found.plain.all():
        return None
    _, first, number = np.unique(found.ids, return_index=True, return_inverse=True)
    begins, breaks, end_ns = (np.empty(len(table), dtype=np.int64) for _ in range(3))
    channels = []
    for k, row in enumerate(first.tolist()):
        rows = np.flatnonzero(number == k)
        channel = _channel(table, found, rows, begins, decoder.packet(table[row].tobytes(), 0))
        if channel is None:
            return None
        channels.append(channel)
        starts_ns = found.first_sample_ns[rows]
        ends_ns = starts_ns + np.rint(found.n_samples[rows] * float(NS_PER_S) / channel.rate_hz).astype(np.int64)
        breaks[rows[0]], breaks[rows[1:]] = 0, np.cumsum(starts_ns[1:] != ends_ns[:-1])
        end_ns[rows] = ends_ns
    return Batch(
        channels,
        number.tolist(),
        found.first_sample_ns.tolist(),
        found.n_samples.tolist(),
        begins.tolist(),
        breaks.tolist(),
        np.cumsum(np.diff(end_ns, prepend=end_ns[0]) < 0).tolist(),
        table,
    )


def _table(read: Reader, file: npt.NDArray[Any], offset: npt.NDArray[Any], length: int) -> Bytes | None:
    """(n, length), the records; None where a file has become shorter."""
    table = np.empty((len(file), length), dtype=np.uint8)
    for number in np.unique(file).tolist():
        here = np.flatnonzero(file == number)
        low = int(offset[here].min())
        place, rest = np.divmod(offset[here] - low, length)
        n = int(place.max()) + 1
        if rest.any() or n > 2 * len(here):  # scattered
            parts: Iterable[bytes] = (read(number, begin, length) for begin in offset[here].tolist())
            data, place, n = b"".join(parts), np.arange(len(here)), len(here)
        else:
            data = read(number, low, n * length)
        if len(data) < n * length:
            return None
        table[here] = np.frombuffer(data, dtype=np.uint8).reshape(n, length)[place]
    return table


def _channel(
    table: Bytes, found: UniformRecords, rows: npt.NDArray[np.intp], begins: npt.NDArray[np.int64], first: object
) -> Channel | None:
    """Decode the records `rows` of a channel, and note in `begins` where the samples of each begin.

    first: the first one by the decoder. None where that differs, or where one cannot be decoded.
    """
    rate_hz, counts = found.rate_hz[rows], found.n_samples[rows].astype(np.int64)
    if not isinstance(first, Packet) or (rate_hz != first.sampling_rate_hz).any():
        return None
    ends = np.cumsum(counts)
    begins[rows] = ends - counts
    samples = np.empty(int(ends[-1]), dtype=np.int32)
    payload = found.payload[rows].astype(np.int64)
    columns = (rows * found.length + payload, found.length - payload, found.encoding[rows], counts)
    if not _libmseed.decode(table, zip(*(column.tolist() for column in columns), strict=True), samples):
        return None
    same = first.starttime_ns == found.first_sample_ns[rows[0]] and not first.flags
    if not same or not np.array_equal(first.samples, samples[: counts[0]]):
        return None
    starts_ns = found.first_sample_ns[rows]
    return Channel(first.source_id, first.sampling_rate_hz, rows.tolist(), starts_ns.tolist(), counts.tolist(), samples)

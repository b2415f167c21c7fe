"""Joined: packets of one channel that follow each other, handled together.

A run over files reads many packets before it looks for onsets. Where they follow each other without any irregularity,
the result of adding them one by one is known in advance, and their samples are added at once. Each class that a packet
passes has a test `joins` that is True only in that case, and changes nothing; otherwise the packets are added one by
one.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources.batch import Batch, Channel

JOIN_S = 45.0  # length of the packets that are joined; shorter than `max_wait_s`, see `Timeline.joins`


@dataclass(slots=True)
class Joined:
    """Packets of one channel in order of arrival: integer samples at one rate, without flags.

    starts_ns, counts: start time and number of samples of each packet. longest: the packet with most samples.
    exact: each packet is known to begin exactly where the one before it ends.
    """

    component: str
    source_id: SourceId
    rate_hz: float
    longest: Packet
    starts_ns: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    parts: list[npt.NDArray[Any]] = field(default_factory=list)
    exact: bool = False

    @property
    def first_ns(self) -> int:
        """Earliest start of a packet."""
        return self.starts_ns[0] if self.exact else min(self.starts_ns)

    @property
    def newest_ns(self) -> int:
        """Newest start of a packet."""
        return self.starts_ns[-1] if self.exact else max(self.starts_ns)

    @property
    def end_ns(self) -> int:
        """Newest end of a packet."""
        if self.exact:
            return _end_ns(self.starts_ns[-1], self.counts[-1], self.rate_hz)
        ends_ns = map(_end_ns, self.starts_ns, self.counts, itertools.repeat(self.rate_hz))
        return max(ends_ns)

    @property
    def longest_ns(self) -> int:
        """Length of the longest packet."""
        return _length_ns(len(self.longest.samples), self.rate_hz)

    def samples(self) -> npt.NDArray[Any]:
        """(n,), the samples of all packets."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


def joined(packets: Sequence[Packet]) -> list[Joined] | None:
    """The packets of each channel.

    None where one has flags, no samples, samples that are not integers, or another rate than those before it.
    """
    found: dict[SourceId, Joined] = {}
    for packet in packets:
        samples = packet.samples
        one = found.get(packet.source_id)
        if one is None:
            one = found[packet.source_id] = Joined("", packet.source_id, packet.sampling_rate_hz, packet)
        if packet.flags or not len(samples) or samples.dtype.kind != "i" or packet.sampling_rate_hz != one.rate_hz:
            return None
        if len(samples) > len(one.longest.samples):
            one.longest = packet
        one.starts_ns.append(packet.starttime_ns)
        one.counts.append(len(samples))
        one.parts.append(samples)
    return list(found.values())


def joined_batch(batch: Batch, records: Sequence[int]) -> list[Joined]:
    """As `joined`, of some records of a batch, in order: all those of their channels between the first and the last."""
    channels = dict.fromkeys(map(batch.channel.__getitem__, records))
    return [_of_channel(batch, batch.channels[number], records[0], records[-1]) for number in channels]


def _of_channel(batch: Batch, channel: Channel, first: int, last: int) -> Joined:
    """The records of a channel from number `first` to `last`."""
    here = slice(bisect.bisect_left(channel.rows, first), bisect.bisect_right(channel.rows, last))
    rows = channel.rows[here]
    first, last = rows[0], rows[-1]
    starts_ns, counts = channel.starts_ns[here], channel.counts[here]
    longest = batch.packet(rows[counts.index(max(counts))])
    samples = channel.samples[batch.begins[first] : batch.begins[last] + batch.counts[last]]
    exact = batch.breaks[first] == batch.breaks[last]
    return Joined("", channel.source_id, channel.rate_hz, longest, starts_ns, counts, [samples], exact)


def _end_ns(start_ns: int, n: int, rate_hz: float) -> int:
    return start_ns + _length_ns(n, rate_hz)


def _length_ns(n: int, rate_hz: float) -> int:
    return round(n * NS_PER_S / rate_hz)


def first_start_ns(runs: Iterable[Joined]) -> int:
    """Earliest start of a packet."""
    return min(run.first_ns for run in runs)


def newest_start_ns(runs: Iterable[Joined]) -> int:
    """Newest start of a packet."""
    return max(run.newest_ns for run in runs)

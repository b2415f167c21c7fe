"""Joined: packets of one channel that follow each other, handled together.

A run over files reads many packets before it looks for onsets. Where they follow each other without any irregularity,
the result of adding them one by one is known in advance, and their samples are added at once. Each class that a packet
passes has a test `joins` that is True only in that case, and changes nothing; otherwise the packets are added one by
one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, SourceId


@dataclass(slots=True)
class Joined:
    """Packets of one channel in order of arrival: integer samples at one rate, without flags.

    starts_ns, counts: start time and number of samples of each packet. longest: the packet with most samples.
    """

    component: str
    source_id: SourceId
    rate_hz: float
    longest: Packet
    starts_ns: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    parts: list[npt.NDArray[Any]] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        """Newest end of a packet."""
        ends_ns = map(_end_ns, self.starts_ns, self.counts, itertools.repeat(self.rate_hz))
        return max(ends_ns)

    @property
    def longest_ns(self) -> int:
        """Length of the longest packet."""
        return _length_ns(max(self.counts), self.rate_hz)

    def samples(self) -> npt.NDArray[Any]:
        """(n,), the samples of all packets."""
        return np.concatenate(self.parts)


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


def _end_ns(start_ns: int, n: int, rate_hz: float) -> int:
    return start_ns + _length_ns(n, rate_hz)


def _length_ns(n: int, rate_hz: float) -> int:
    return round(n * NS_PER_S / rate_hz)


def first_start_ns(runs: Iterable[Joined]) -> int:
    """Earliest start of a packet."""
    return min(min(run.starts_ns) for run in runs)


def newest_start_ns(runs: Iterable[Joined]) -> int:
    """Newest start of a packet."""
    return max(max(run.starts_ns) for run in runs)

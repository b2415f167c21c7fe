"""Joined: packets of one channel that follow each other, handled together.

A run over files reads many packets before it looks for onsets. Where they follow each other, also with short gaps, but
without any other irregularity, the result of adding them one by one is known in advance, and their samples are added at
once. Each class that a packet
passes has a test `joins` that is True only in that case, and changes nothing; otherwise the packets are added one by
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.timeline.segment import JITTER_SAMPLES, LARGEST


@dataclass(slots=True)
class Stretch:
    """Packets that follow each other without a gap, by their times. first: number of the first one.

    n: samples of all. end_ns: end of the newest packet. slip: largest difference, in samples, of a start from where the
    samples before it in the stretch end.
    """

    start_ns: int
    first: int
    n: int = 0
    end_ns: int = 0
    slip: float = 0.0


@dataclass(slots=True)
class Joined:
    """Packets of one channel in order of arrival, at one rate and without flags; the first and the last sample of each
    are sound.

    starts_ns, counts: start time and number of samples of each packet. longest: the packet with most samples.
    """

    component: str
    source_id: SourceId
    rate_hz: float
    longest: Packet
    starts_ns: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    parts: list[npt.NDArray[Any]] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)

    def add(self, start_ns: int, samples: npt.NDArray[Any]) -> None:
        """Add a packet."""
        number, n = len(self.counts), len(samples)
        one = self.stretches[-1] if self.stretches else None
        if one is None or abs(start_ns - one.end_ns) * self.rate_hz / NS_PER_S > JITTER_SAMPLES:
            one = Stretch(start_ns, number)
            self.stretches.append(one)
        else:
            one.slip = max(one.slip, abs((start_ns - one.start_ns) * self.rate_hz / NS_PER_S - one.n))
        one.n += n
        one.end_ns = start_ns + _length_ns(n, self.rate_hz)
        self.starts_ns.append(start_ns)
        self.counts.append(n)
        self.parts.append(samples)

    @property
    def end_ns(self) -> int:
        """Newest end of a packet."""
        return max(stretch.end_ns for stretch in self.stretches)

    @property
    def longest_ns(self) -> int:
        """Length of the longest packet."""
        return _length_ns(max(self.counts), self.rate_hz)

    def samples(self, number: int) -> npt.NDArray[Any]:
        """(n,), the samples of a stretch."""
        first = self.stretches[number].first
        after = self.stretches[number + 1].first if number + 1 < len(self.stretches) else len(self.parts)
        return self.parts[first] if after == first + 1 else np.concatenate(self.parts[first:after])


def joined(packets: Sequence[Packet]) -> list[Joined] | None:
    """The packets of each channel.

    None where one has flags, another rate than those before it, or samples that cannot be joined, see `can_join`.
    """
    found: dict[SourceId, Joined] = {}
    for packet in packets:
        samples = packet.samples
        one = found.get(packet.source_id)
        if one is None:
            one = found[packet.source_id] = Joined("", packet.source_id, packet.sampling_rate_hz, packet)
        if packet.flags or packet.sampling_rate_hz != one.rate_hz or not can_join(samples):
            return None
        if len(samples) > len(one.longest.samples):
            one.longest = packet
        one.add(packet.starttime_ns, samples)
    return list(found.values())


def can_join(samples: npt.NDArray[Any]) -> bool:
    """True if there are samples, integers or floats, and the first and the last are sound: no gap in them goes on."""
    if not len(samples):
        return False
    if samples.dtype.kind == "f":
        return abs(float(samples[0])) < LARGEST and abs(float(samples[-1])) < LARGEST
    return samples.dtype.kind == "i"


def _length_ns(n: int, rate_hz: float) -> int:
    return round(n * NS_PER_S / rate_hz)


def first_start_ns(runs: Iterable[Joined]) -> int:
    """Earliest start of a packet."""
    return min(min(run.starts_ns) for run in runs)


def newest_start_ns(runs: Iterable[Joined]) -> int:
    """Newest start of a packet."""
    return max(max(run.starts_ns) for run in runs)

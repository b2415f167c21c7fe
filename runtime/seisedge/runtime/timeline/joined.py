"""Joined: packets of one channel that follow each other, handled together.

A run over files reads many packets before it looks for onsets. Where they follow each other, also with short gaps, but
without any other irregularity, the result of adding them one by one is known in advance, and their samples are added at
once. Each class that a packet passes has a test `joins` that is True only in that case, and changes nothing; otherwise
the packets are added one by one.
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
from seisedge.runtime.timeline.segment import JITTER_SAMPLES, LARGEST

# Length of packets that are joined though their order is unknown, or with gaps; shorter than `max_wait_s`, see
# `Timeline.joins`
JOIN_S = 45.0


@dataclass(slots=True)
class Stretch:
    """Packets that follow each other without a gap, by their times. first: number of the first one.

    n: samples of all. end_ns: end of the newest packet. slip: largest difference, in samples, of a start from where the
    samples before it in the stretch end. samples: (n,), of all packets, if they lie one behind the other.
    """

    start_ns: int
    first: int
    n: int = 0
    end_ns: int = 0
    slip: float = 0.0
    samples: npt.NDArray[Any] | None = None


@dataclass(slots=True)
class Joined:
    """Packets of one channel in order of arrival, at one rate and without flags; the first and the last sample of each
    are sound.

    starts_ns, counts: start time and number of samples of each packet. longest: the packet with most samples.
    in_turn: the packets of all channels that are joined with it arrive in order of their ends, and each of a channel
    begins exactly where the one before ends.
    """

    component: str
    source_id: SourceId
    rate_hz: float
    longest: Packet
    starts_ns: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    in_turn: bool = False
    _parts: list[npt.NDArray[Any]] = field(default_factory=list)

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
        one.end_ns = _end_ns(start_ns, n, self.rate_hz)
        self.starts_ns.append(start_ns)
        self.counts.append(n)
        self._parts.append(samples)

    def add_exact(self, starts_ns: Sequence[int], counts: Sequence[int], samples: npt.NDArray[Any]) -> None:
        """Add all packets: each begins where the one before ends, and so do its samples in `samples` (n,)."""
        end_ns = _end_ns(starts_ns[-1], counts[-1], self.rate_hz)
        slip = len(counts) * self.rate_hz / NS_PER_S  # the times are rounded to 1 ns
        self.stretches.append(Stretch(starts_ns[0], 0, len(samples), end_ns, slip, samples))
        self.starts_ns.extend(starts_ns)
        self.counts.extend(counts)

    @property
    def parts(self) -> list[npt.NDArray[Any]]:
        """The samples (n,) of each packet."""
        whole = self.stretches[0].samples if self.stretches else None
        return self._parts if whole is None else _parts(whole, self.counts)

    @property
    def end_ns(self) -> int:
        """Newest end of a packet."""
        return max(stretch.end_ns for stretch in self.stretches)

    @property
    def is_exact(self) -> bool:
        """True if each packet begins exactly where the one before ends."""
        return len(self.stretches) == 1 and self.stretches[0].samples is not None

    @property
    def longest_ns(self) -> int:
        """Length of the longest packet."""
        return _length_ns(max(self.counts), self.rate_hz)

    def samples(self, number: int) -> npt.NDArray[Any]:
        """(n,), the samples of a stretch."""
        whole, first = self.stretches[number].samples, self.stretches[number].first
        if whole is not None:
            return whole
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


def joined_batch(batch: Batch, records: Sequence[int]) -> list[Joined]:
    """As `joined`, of some records of a batch, in order: all those of their channels between the first and the last."""
    first, last = records[0], records[-1]
    found = [
        _of_channel(batch, batch.channels[number], first, last)
        for number in dict.fromkeys(map(batch.channel.__getitem__, records))
    ]
    if batch.inversions[first] == batch.inversions[last] and all(run.is_exact for run in found):
        for run in found:
            run.in_turn = True
    return found


def short_parts(batch: Batch, records: Sequence[int]) -> list[list[int]]:
    """Some records of a batch in parts of `JOIN_S`, by the starts of the records."""
    parts: list[list[int]] = []
    for k in records:
        if not parts or abs(batch.starts_ns[k] - batch.starts_ns[parts[-1][0]]) > JOIN_S * NS_PER_S:
            parts.append([])
        parts[-1].append(k)
    return parts


def _of_channel(batch: Batch, channel: Channel, first: int, last: int) -> Joined:
    """The records of a channel from number `first` to `last`."""
    here = slice(bisect.bisect_left(channel.rows, first), bisect.bisect_right(channel.rows, last))
    rows = channel.rows[here]
    first, last = rows[0], rows[-1]
    starts_ns, counts = channel.starts_ns[here], channel.counts[here]
    found = Joined("", channel.source_id, channel.rate_hz, batch.packet(rows[counts.index(max(counts))]))
    samples = channel.samples[batch.begins[first] : batch.begins[last] + batch.counts[last]]
    if batch.breaks[first] == batch.breaks[last]:
        found.add_exact(starts_ns, counts, samples)
    else:
        for start_ns, part in zip(starts_ns, _parts(samples, counts), strict=True):
            found.add(start_ns, part)
    return found


def _parts(samples: npt.NDArray[Any], counts: Sequence[int]) -> list[npt.NDArray[Any]]:
    """The samples (n,) of each packet, from those of all."""
    ends = itertools.accumulate(counts)
    return [samples[end - n : end] for end, n in zip(ends, counts, strict=True)]


def can_join(samples: npt.NDArray[Any]) -> bool:
    """True if there are samples, integers or floats, and the first and the last are sound: no gap in them goes on."""
    if not len(samples):
        return False
    if samples.dtype.kind == "f":
        return abs(float(samples[0])) < LARGEST and abs(float(samples[-1])) < LARGEST
    return samples.dtype.kind == "i"


def _end_ns(start_ns: int, n: int, rate_hz: float) -> int:
    return start_ns + _length_ns(n, rate_hz)


def _length_ns(n: int, rate_hz: float) -> int:
    return round(n * NS_PER_S / rate_hz)


def lag_ns(runs: Sequence[Joined]) -> int | None:
    """How far a channel may be behind the end of a packet of another one, while packets arrive; None: unknown order.

    Each channel must begin where its samples so far end.
    """
    if not all(run.in_turn for run in runs):
        return None
    ends_ns = [run.end_ns for run in runs]
    return max(max(ends_ns) - min(ends_ns), *(run.longest_ns for run in runs))


def first_start_ns(runs: Iterable[Joined]) -> int:
    """Earliest start of a packet."""
    return min(min(run.starts_ns) for run in runs)


def newest_start_ns(runs: Iterable[Joined]) -> int:
    """Newest start of a packet."""
    return max(max(run.starts_ns) for run in runs)

"""MemorySource: the traces of a program as a source of packets, in the order in which a digitizer would send them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from time import monotonic_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.notebook.traces import Trace
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.sources import Source
from seisedge.runtime.timeline.masks import runs

PIECE_S = 40.0  # length of a packet; shorter than the time for which packets of files are taken at once
MORE_S = 2.0  # a packet is longer by up to this if a gap would else lie before the next one, which would have to wait
SAME_GRID_SAMPLES = 1e-3  # a stretch that is off the samples before it by more has a packet of its own
SORTED_AT_ONCE = 4096  # packets converted to Python integers at a time


class MemorySource(Source):
    """Cuts traces into packets of up to `PIECE_S`, in order of their last samples, ties by source id.

    Stretches of a channel with short gaps between them share a packet, in which missing samples are NaN: with many gaps
    a run has little more to do than without. Only the places of the stretches are computed in advance, 48 bytes each.
    """

    def __init__(self, traces: Sequence[Trace], url: str) -> None:
        super().__init__(url)
        self._traces = sorted(traces, key=lambda trace: (trace.source_id, trace.starttime_ns))
        self._closed = False

    @property
    def starttime_ns(self) -> int:
        """Time of the earliest sample."""
        return min(trace.starttime_ns for trace in self._traces)

    def packets(self) -> Iterator[Packet | None]:
        """All packets, in order of their last samples."""
        places = _Places(self._traces)
        order = places.order()
        for first in range(0, len(order), SORTED_AT_ONCE):
            for number in order[first : first + SORTED_AT_ONCE].tolist():
                if self._closed:
                    return
                packet = places.packet(number)
                self.counters.records += 1
                self.counters.bytes += packet.samples.nbytes
                yield packet

    def close(self) -> None:
        """End `packets` after the current packet."""
        self._closed = True


class _Places:
    """The stretches of samples of each packet, in packed columns."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._traces = traces
        self._stretches = array("q")  # of each: number of its trace, first sample, end, place in its packet
        self._packets = array("q")  # of each: time of the last sample, number of its first stretch
        self._start_ns = self._end = 0  # of the newest packet: its start, and its length in samples
        for number, trace in enumerate(traces):
            for begin, end in [(0, len(trace.samples))] if trace.sound is None else runs(trace.sound):
                self._add(number, trace, begin, end)

    def _add(self, number: int, trace: Trace, begin: int, end: int) -> None:
        rate_hz = trace.sampling_rate_hz
        size, more = max(round(PIECE_S * rate_hz), 1), round(MORE_S * rate_hz)
        while begin < end:
            at = self._place_in_newest(number, trace, begin, size, more)
            if at is None:
                at, self._start_ns = 0, _time_of(trace, begin)
                self._packets.extend((0, len(self._stretches) // 4))
            n = min(end - begin, (size if at < size else size + more) - at)
            self._stretches.extend((number, begin, begin + n, at))
            begin, self._end = begin + n, at + n
            self._packets[-2] = _time_of(trace, begin - 1)

    def _place_in_newest(self, number: int, trace: Trace, begin: int, size: int, more: int) -> int | None:
        """Where in the newest packet a stretch is put; None if it needs a packet of its own."""
        if not self._stretches:
            return None
        last = self._traces[self._stretches[-4]]
        if last.source_id is not trace.source_id and last.source_id != trace.source_id:  # the first is faster
            return None
        if last.sampling_rate_hz != trace.sampling_rate_hz:
            return None
        off = (_time_of(trace, begin) - self._start_ns) * trace.sampling_rate_hz / NS_PER_S
        at = round(off)
        if self._end >= size or not self._end <= at < size + more:
            return None
        return at if abs(off - at) <= SAME_GRID_SAMPLES else None

    def order(self) -> npt.NDArray[np.int64]:
        """Numbers of the packets, in order of their last samples; ties in order of the traces."""
        return np.argsort(np.frombuffer(self._packets, dtype=np.int64)[::2], kind="stable")

    def packet(self, number: int) -> Packet:
        first = self._packets[2 * number + 1]
        after = 2 * number + 3
        last = self._packets[after] if after < len(self._packets) else len(self._stretches) // 4
        columns = iter(self._stretches[4 * first : 4 * last])
        found = list(zip(columns, columns, columns, columns, strict=True))
        trace = self._traces[found[0][0]]
        return Packet(
            trace.source_id,
            _time_of(trace, found[0][1]),
            trace.sampling_rate_hz,
            self._samples(found),
            RecordFlag.NONE,
            monotonic_ns(),
            "",
        )

    def _samples(self, found: Sequence[tuple[int, ...]]) -> npt.NDArray[Any]:
        """A copy of the samples, (n,); those between two stretches are NaN."""
        parts = [self._traces[number].samples[begin:end] for number, begin, end, _ in found]
        if sum(map(len, parts)) == found[-1][3] + len(parts[-1]):
            return np.concatenate(parts)
        kind = np.result_type(np.float32, *parts)
        whole = np.full(found[-1][3] + len(parts[-1]), np.nan, dtype=kind)
        for part, (_, _, _, at) in zip(parts, found, strict=True):
            whole[at : at + len(part)] = part
        return whole


def _time_of(trace: Trace, n: int) -> int:
    return trace.starttime_ns + round(n * NS_PER_S / trace.sampling_rate_hz)

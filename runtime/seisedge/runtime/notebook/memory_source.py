"""MemorySource: the traces of a program as a source of packets, in the order in which a digitizer would send them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic_ns

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.notebook.traces import Trace
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.sources import Source
from seisedge.runtime.timeline.masks import runs

PIECE_S = 10.0  # length of a packet
SORTED_AT_ONCE = 4096  # pieces converted to Python integers at a time


class MemorySource(Source):
    """Cuts traces into packets of `PIECE_S`, merged in order of their last samples, ties by source id.

    Only the places of the packets are computed in advance, 32 bytes each: the samples stay where they are.
    """

    def __init__(self, traces: Sequence[Trace], url: str) -> None:
        super().__init__(url)
        self._traces = sorted(traces, key=lambda trace: trace.source_id)
        self._closed = False

    @property
    def starttime_ns(self) -> int:
        """Time of the earliest sample."""
        return min(trace.starttime_ns for trace in self._traces)

    def packets(self) -> Iterator[Packet | None]:
        """All packets, in order of their last samples."""
        table = self._places()
        for begin in range(0, len(table), SORTED_AT_ONCE):
            for _, number, n0, n1 in table[begin : begin + SORTED_AT_ONCE].tolist():
                if self._closed:
                    return
                trace = self._traces[number]
                samples = trace.samples[n0:n1].copy()
                self.counters.records += 1
                self.counters.bytes += samples.nbytes
                yield Packet(
                    trace.source_id,
                    trace.starttime_ns + round(n0 * NS_PER_S / trace.sampling_rate_hz),
                    trace.sampling_rate_hz,
                    samples,
                    RecordFlag.NONE,
                    monotonic_ns(),
                    "",
                )

    def close(self) -> None:
        """End `packets` after the current packet."""
        self._closed = True

    def _places(self) -> npt.NDArray[np.int64]:
        """(n, 4), a row for each packet in order: time of its last sample, trace, first sample, end."""
        rows: list[tuple[int, int, int, int]] = []
        for number, trace in enumerate(self._traces):
            size, rate_hz = max(round(PIECE_S * trace.sampling_rate_hz), 1), trace.sampling_rate_hz
            for begin, end in [(0, len(trace.samples))] if trace.sound is None else runs(trace.sound):
                for n0 in range(begin, end, size):
                    n1 = min(n0 + size, end)
                    rows.append((trace.starttime_ns + round((n1 - 1) * NS_PER_S / rate_hz), number, n0, n1))
        table = np.array(rows, dtype=np.int64)
        return np.asarray(table[np.argsort(table[:, 0], kind="stable")])

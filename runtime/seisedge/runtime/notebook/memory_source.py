"""MemorySource: the traces of a program as a source of packets, in the order in which a digitizer would send them."""

from __future__ import annotations

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
        parts: list[npt.NDArray[Any]] = []
        for number, trace in enumerate(self._traces):
            size = max(round(PIECE_S * trace.sampling_rate_hz), 1)
            stretches = [(0, len(trace.samples))] if trace.sound is None else runs(trace.sound)
            for begin, end in stretches:
                starts = np.arange(begin, end, size, dtype=np.int64)
                ends = np.minimum(starts + size, end)
                last_ns = trace.starttime_ns + np.rint((ends - 1) * (NS_PER_S / trace.sampling_rate_hz)).astype(
                    np.int64
                )
                parts.append(np.stack([last_ns, np.full_like(starts, number), starts, ends], axis=1))
        table = np.concatenate(parts)
        return np.asarray(table[np.argsort(table[:, 0], kind="stable")])

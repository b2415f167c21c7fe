"""Annotation: the output of the onset detector for every hop of the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ONSET_LABELS
from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.detection.opener import HOP_N, TRIGGER_GRID, Onset
from seisedge.runtime.engines import Engine
from seisedge.runtime.errors import ArgumentError
from seisedge.runtime.inference.onset_detector import Block, OnsetDetector
from seisedge.runtime.notebook.extras import obspy, pandas
from seisedge.runtime.timeline.timeline import Timeline

HOP_S = HOP_N / TRIGGER_GRID.rate_hz


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Probabilities of one station, a row for each hop of 0.1 s for which the data suffice, in order of time.

    times_ns: start of each hop, (n_hops,). labels: of the columns: P, S, and the kinds of signal, which sum to 1.
    probabilities: float32 (n_hops, n_labels).
    """

    station: str
    hop_s: float
    labels: tuple[str, ...]
    times_ns: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.times_ns)

    def __getitem__(self, label: str) -> npt.NDArray[np.float32]:
        """The probabilities of one label, (n_hops,)."""
        if label not in self.labels:
            raise ArgumentError(f"no label {label!r}; the labels are {', '.join(self.labels)}")
        return self.probabilities[:, self.labels.index(label)]

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """Start of each hop in UTC, datetime64[ns] (n_hops,)."""
        return self.times_ns.astype("datetime64[ns]")

    @property
    def segments(self) -> list[slice]:
        """The rows of each stretch of hops that follow each other without a gap."""
        breaks = np.flatnonzero(np.diff(self.times_ns) != round(self.hop_s * NS_PER_S)) + 1
        borders = [0, *breaks.tolist(), len(self)]
        return [slice(n0, n1) for n0, n1 in itertools.pairwise(borders)]

    def to_stream(self) -> Any:
        """An obspy Stream with traces for each label, one for each segment; their channel code is the label."""
        return _stream([self])

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each hop, by its time, and a column for each label."""
        frame = pandas("to_dataframe()").DataFrame(self.probabilities, columns=list(self.labels), index=self.times)
        return frame.tz_localize("UTC")

    def __repr__(self) -> str:
        first, last = iso_from_ns(int(self.times_ns[0])), iso_from_ns(int(self.times_ns[-1]))
        return f"<{self.station}: {len(self)} hops of {self.hop_s:g} s from {first} to {last}>"


class Annotations(Mapping[str, Annotation]):
    """The annotation of each station, by its code `NET.STA`."""

    def __init__(self, found: Mapping[str, Annotation], remarks: tuple[str, ...] = ()) -> None:
        self._found = dict(found)
        self.remarks = remarks

    def __getitem__(self, station: str) -> Annotation:
        return self._found[station]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def to_stream(self) -> Any:
        """An obspy Stream with a trace for each station and label."""
        return _stream(list(self._found.values()))

    def __repr__(self) -> str:
        return "\n".join([*(repr(one) for one in self._found.values()), *self.remarks])


def _stream(found: list[Annotation]) -> Any:
    obs = obspy("to_stream()")
    stream = obs.Stream()
    for one in found:
        network, _, station = one.station.partition(".")
        for label, rows in itertools.product(one.labels, one.segments):
            header = {
                "network": network,
                "station": station,
                "channel": label,
                "delta": one.hop_s,
                "starttime": obs.UTCDateTime(ns=int(one.times_ns[rows.start])),
            }
            stream.append(obs.Trace(one[label][rows].copy(), header))
    return stream


class Annotator(OnsetDetector):
    """An onset detector that keeps the probabilities of every block, and opens no event."""

    def __init__(self, timeline: Timeline, engine: Engine, collected: Collected) -> None:
        super().__init__(timeline, engine, None, every_block=True)
        self._collected = collected

    def scan(self) -> list[Onset]:
        super().scan()
        blocks, self.blocks = self.blocks, []
        for block in blocks:
            self._collected.add(self.time_of_hop(block.first_hop), block)
        return []


class Collected:
    """The blocks of one station."""

    def __init__(self) -> None:
        self._starts_ns: list[int] = []
        self._outputs: list[npt.NDArray[np.float32]] = []

    def add(self, start_ns: int, block: Block) -> None:
        if block.probabilities is not None:
            self._starts_ns.append(start_ns)
            self._outputs.append(block.probabilities)

    def annotation(self, station: str) -> Annotation:
        """All blocks, in order of time; without a row where there was none."""
        hops = np.arange(len(self._outputs[0]) if self._outputs else 0, dtype=np.int64) * round(HOP_S * NS_PER_S)
        times_ns = (np.array(self._starts_ns, dtype=np.int64)[:, None] + hops).ravel()
        values = np.concatenate(self._outputs) if self._outputs else np.zeros((0, len(ONSET_LABELS)), dtype=np.float32)
        order = np.argsort(times_ns, kind="stable")
        return Annotation(station, HOP_S, tuple(ONSET_LABELS), times_ns[order], values[order])

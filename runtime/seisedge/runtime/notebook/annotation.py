"""Annotation: the output of the onset detector for every hop of the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.errors import ArgumentError
from seisedge.runtime.notebook.extras import obspy, pandas


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

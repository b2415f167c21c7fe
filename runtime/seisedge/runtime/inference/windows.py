"""Window: the input of a model, cut from a timeline by sample times."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.timeline.masks import drop_islands, min_island_n
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec


def grid_of(card: ModelCard) -> GridSpec:
    """The grid of the samples that a model takes."""
    return GridSpec(card.sampling_rate_hz, card.band_hz[1])


@dataclass(frozen=True, slots=True)
class Window:
    """Input of one inference.

    waveform: float32 (3, n_samples), ZNE, counts, 0 where a sample is not valid.
    valid: bool (3, n_samples).
    span_s: length from the start of the window to the cut.
    coverage: share of valid samples in that span, of the component that has most.
    gaps: number of runs of missing samples in that span, on that component.
    """

    waveform: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    start_ns: int
    span_s: float
    coverage: float
    gaps: int

    @property
    def n_samples(self) -> int:
        return int(self.waveform.shape[1])

    def first(self, n_samples: int) -> Window:
        """The window of a model with fewer samples and the same span."""
        if n_samples == self.n_samples:
            return self
        return dataclasses.replace(self, waveform=self.waveform[:, :n_samples], valid=self.valid[:, :n_samples])


def span_of_window(timeline: Timeline, card: ModelCard, start_ns: int, end_ns: int) -> tuple[int, int]:
    """Outputs [k0, k1) of the window of `card` that starts at `start_ns`, up to `end_ns`."""
    k0 = timeline.k_at(start_ns)
    return k0, k0 + min(max(timeline.k_at(end_ns) - k0, 0), card.n_samples)


def cut_window(
    timeline: Timeline,
    card: ModelCard,
    start_ns: int,
    end_ns: int,
    unsound: npt.NDArray[np.bool_] | None = None,
    second: npt.NDArray[np.bool_] | None = None,
) -> Window:
    """The window of `card` that starts at `start_ns`, masked from `end_ns` on.

    unsound: (3, n), True for samples that are masked as well, from the start of the window on.
    second: (3, n), True where the sample of the second sensor is used; None: see `Timeline.window`.
    """
    k0, k1 = span_of_window(timeline, card, start_ns, end_ns)
    span = k1 - k0
    if second is None:
        waveform, valid = timeline.window(k0, k0 + card.n_samples)
    else:  # the level between the sensors must not depend on samples after the cut
        waveform = np.zeros((3, card.n_samples), dtype=np.float32)
        valid = np.zeros((3, card.n_samples), dtype=bool)
        waveform[:, :span], valid[:, :span] = timeline.window(k0, k1, second[:, :span])
    valid[:, span:] = False
    if unsound is not None:
        valid[:, : unsound.shape[1]] &= ~unsound[:, : card.n_samples]
    if span < min_island_n(card.sampling_rate_hz) or not valid[:, :span].all():
        for row in valid:
            drop_islands(row, card.sampling_rate_hz)
    waveform[~valid] = 0.0
    held = valid[:, :span].sum(axis=1)
    best = int(np.argmax(held))
    missing = np.concatenate([[False], ~valid[best, :span]])
    return Window(
        waveform=waveform,
        valid=valid,
        start_ns=timeline.time_of(k0),
        span_s=span / card.sampling_rate_hz,
        coverage=float(held[best]) / span if span else 0.0,
        gaps=int((missing[1:] & ~missing[:-1]).sum()),
    )


def start_of_window(card: ModelCard, onset_ns: int) -> int:
    """Start time of the window of an onset."""
    return onset_ns - ns_from_s(card.onset_s)

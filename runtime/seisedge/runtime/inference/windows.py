"""Window: what a model is shown, cut from the timeline by sample time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.timeline.masks import drop_islands
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec


def grid_of(card: ModelCard) -> GridSpec:
    """The clock a model listens on."""
    return GridSpec(card.sampling_rate_hz, card.band_hz[1])


@dataclass(frozen=True, slots=True)
class Window:
    """Input of one inference.

    waveform: float32 (3, n_samples), ZNE, counts, 0 where nothing is valid.
    valid: bool (3, n_samples).
    span_s: length of the part that could have samples, from the window's start to the cut.
    coverage: share of that part the best component holds.
    gaps: runs of missing samples in it, on that component.
    """

    waveform: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    start_ns: int
    span_s: float
    coverage: float
    gaps: int


def span_of_window(timeline: Timeline, card: ModelCard, start_ns: int, end_ns: int) -> tuple[int, int]:
    """Outputs [k0, k1) of the window of `card` that starts at `start_ns`, up to `end_ns`."""
    k0 = timeline.k_at(start_ns)
    return k0, k0 + min(max(timeline.k_at(end_ns) - k0, 0), card.n_samples)


def cut_window(
    timeline: Timeline, card: ModelCard, start_ns: int, end_ns: int, unsound: npt.NDArray[np.bool_] | None = None
) -> Window:
    """The window of `card` that starts at `start_ns`, with everything from `end_ns` on masked.

    unsound: (3, n), of the window's first n samples those to be masked, too.
    """
    k0, k1 = span_of_window(timeline, card, start_ns, end_ns)
    waveform, valid = timeline.window(k0, k0 + card.n_samples)
    span = k1 - k0
    valid[:, span:] = False
    if unsound is not None:
        valid[:, : unsound.shape[1]] &= ~unsound[:, : card.n_samples]
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
    """Where the window of an onset starts."""
    return onset_ns - ns_from_s(card.onset_s)

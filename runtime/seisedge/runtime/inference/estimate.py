"""From probabilities to what is said of an event."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.event import MagnitudeEstimate, TypeEstimate

NOISE = "noise"
DECIMALS = 4
INTERVAL = (0.05, 0.95)
OPEN_BIN_REACH = 0.2  # magnitudes
OUTER_SHARE = 0.5  # an open bin is the label from here on

Probabilities = npt.NDArray[np.float32]


def type_estimate(card: ModelCard, sha256: str, probabilities: Probabilities) -> TypeEstimate:
    """Event type of one window; `probabilities` (n_labels,)."""
    best = int(np.argmax(probabilities))
    shares = {label: _share(p) for label, p in zip(card.labels, probabilities, strict=True)}
    return TypeEstimate(
        label=card.labels[best],
        probability=_share(probabilities[best]),
        probabilities=shares,
        model=card.name,
        sha256=sha256,
    )


def magnitude_estimate(
    card: ModelCard, sha256: str, probabilities: Probabilities, *, calibrated: bool
) -> MagnitudeEstimate:
    """Magnitude of one window; `probabilities` (n_labels,).

    The label is the most probable bin; an open outer bin, which is wider than all others, only where it holds more
    than half. Not calibrated (no gain, no station correction): the bin is provisional and no number is given. In an
    open outer bin no number is given either.
    """
    assert card.magnitude is not None
    edges = card.magnitude.edges
    best = int(magnitude_label(edges, probabilities))
    low, high = edges[best], edges[best + 1]
    numbers = calibrated and low is not None and high is not None
    return MagnitudeEstimate(
        label=card.labels[best],
        bin=(low, high),
        probability=_share(probabilities[best]),
        type=card.magnitude.type,
        value=round((low + high) / 2, 3) if numbers and low is not None and high is not None else None,
        expected=_expected(edges, probabilities) if numbers else None,
        interval_90=_interval(edges, probabilities) if numbers else None,
        provisional=None if calibrated else True,
        model=card.name,
        sha256=sha256,
    )


def magnitude_label(edges: Sequence[float | None], probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Index of the label that is said, (...,), of probabilities (..., n_labels)."""
    open_bin = np.array([None in pair for pair in itertools.pairwise(edges)])
    outer = open_bin & (probabilities > OUTER_SHARE)
    inner = np.where(open_bin, -1.0, probabilities)
    return np.asarray(np.where(outer.any(-1), outer.argmax(-1), inner.argmax(-1)))


def interval_bins(probabilities: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last bin of the central 90 % of the probability, (...,) each, of probabilities (..., n_labels)."""
    below = np.cumsum(probabilities.astype(np.float64), axis=-1)
    first, last = ((below < border).sum(-1) for border in INTERVAL)
    return np.asarray(first), np.asarray(np.minimum(last, probabilities.shape[-1] - 1))


def _share(p: np.floating) -> float:
    return round(float(p), DECIMALS)


def bin_centres(edges: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """What each bin counts for in a mean, (n_labels,): its centre, or a little beyond the edge of an open one."""
    centres = []
    for low, high in itertools.pairwise(edges):
        if low is None or high is None:
            centres.append((high or 0.0) - OPEN_BIN_REACH if low is None else low + OPEN_BIN_REACH)
        else:
            centres.append((low + high) / 2)
    return np.array(centres)


def _expected(edges: list[float | None], probabilities: Probabilities) -> float:
    return round(float(probabilities.astype(np.float64) @ bin_centres(edges)), 2)


def _interval(edges: list[float | None], probabilities: Probabilities) -> tuple[float | None, float | None]:
    """The bin edges that enclose the central 90 % of the probability."""
    first, last = interval_bins(probabilities)
    return edges[int(first)], edges[int(last) + 1]

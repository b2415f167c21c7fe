"""From probabilities to what is said of an event."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.event import MagnitudeEstimate, TypeEstimate

NOISE = "noise"
DECIMALS = 4
INTERVAL = (0.05, 0.95)

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

    Not calibrated (no gain, no station correction): the bin is provisional and no number is given. In an open
    outer bin no number is given either.
    """
    assert card.magnitude is not None
    edges = card.magnitude.edges
    best = int(np.argmax(probabilities))
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


def _share(p: np.floating) -> float:
    return round(float(p), DECIMALS)


def _expected(edges: list[float | None], probabilities: Probabilities) -> float:
    """Mean of the bins' centres; an open bin counts with its edge."""
    total = 0.0
    for low, high, p in zip(edges[:-1], edges[1:], probabilities, strict=True):
        ends = [edge for edge in (low, high) if edge is not None]
        total += float(p) * sum(ends) / len(ends)
    return round(total, 2)


def _interval(edges: list[float | None], probabilities: Probabilities) -> tuple[float | None, float | None]:
    """The bin edges that enclose the central 90 % of the probability."""
    below = np.cumsum(probabilities.astype(np.float64))
    first = int(np.searchsorted(below, INTERVAL[0]))
    last = min(int(np.searchsorted(below, INTERVAL[1])), len(probabilities) - 1)
    return edges[first], edges[last + 1]

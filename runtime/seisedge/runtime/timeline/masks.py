"""Masks: runs of consecutive True values, and the shortest run of valid samples that a model receives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MIN_ISLAND_S = 0.2  # a shorter run of valid samples between gaps carries no signal and disturbs the detrend


def runs(mask: npt.NDArray[np.bool_], shortest: int = 1) -> list[tuple[int, int]]:
    """Runs [n0, n1) of at least `shortest` consecutive True values, in order; mask: (n,)."""
    n = len(mask)
    if not n:
        return []
    if mask[0] and mask.all():  # the usual case
        return [(0, n)] if n >= shortest else []
    edges = ((mask[1:] != mask[:-1]).nonzero()[0] + 1).tolist()
    if mask[0]:
        edges.insert(0, 0)
    if mask[-1]:
        edges.append(n)
    return [(n0, n1) for n0, n1 in zip(edges[::2], edges[1::2], strict=True) if n1 - n0 >= shortest]


def min_island_n(rate_hz: float) -> int:
    """Length in samples of the shortest run of valid samples that a model sees."""
    return round(MIN_ISLAND_S * rate_hz)


def drop_islands(valid: npt.NDArray[np.bool_], rate_hz: float) -> None:
    """Mask runs of valid samples shorter than `MIN_ISLAND_S`, in place; valid: (n,) of one window at `rate_hz`.

    Training does the same on the device, see `seisedge.train.augment.islands`.
    """
    shortest = min_island_n(rate_hz)
    for begin, end in runs(valid):
        if end - begin < shortest:
            valid[begin:end] = False

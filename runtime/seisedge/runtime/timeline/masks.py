"""Masks: runs of consecutive True values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def runs(mask: npt.NDArray[np.bool_], shortest: int = 1) -> list[tuple[int, int]]:
    """Runs [n0, n1) of at least `shortest` consecutive True values, in order; mask: (n,)."""
    if not mask.any():
        return []
    if mask.all():
        return [(0, len(mask))] if len(mask) >= shortest else []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    begins, ends = edges[::2], edges[1::2]
    long = ends - begins >= shortest
    return list(zip(begins[long].tolist(), ends[long].tolist(), strict=True))

"""Short stretches of valid samples, masked on the device by the rule of `seisedge.runtime.timeline.masks`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from seisedge.runtime.timeline.masks import min_island_n


def without_islands(valid: Tensor, rate_hz: float) -> Tensor:
    """`valid` (batch, 3, n), 0 or 1, without its runs of 1 that are shorter than `MIN_ISLAND_S`.

    A sample stays where a stretch of the shortest length that holds it is all valid and lies inside the window.
    """
    shortest = min_island_n(rate_hz)
    if shortest < 2:
        return valid
    if valid.shape[-1] < shortest:
        return valid * 0.0
    whole = 1.0 - F.max_pool1d(1.0 - valid, shortest, stride=1)  # 1 where a valid stretch begins
    return F.max_pool1d(F.pad(whole, (shortest - 1, shortest - 1)), shortest, stride=1)

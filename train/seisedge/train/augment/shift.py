"""Time shift of the record in its window (paper B)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("shift")
@dataclass(frozen=True, kw_only=True)
class Shift(Augmentation):
    """seconds: delay; negative values are earlier. Samples from outside the window are masked."""

    seconds: Range = (-2.0, 2.0)

    def check(self) -> None:
        need_range("seconds", self.seconds)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        n = x.shape[-1]
        low, high = self.seconds
        later = (chance.uniform(len(x), 1, 1, low=low, high=high) * chance.rate_hz).round().long()
        origin = torch.arange(n, device=x.device) - later
        inside = (origin >= 0) & (origin < n)
        index = origin.clamp(0, n - 1).expand(-1, x.shape[1], -1)
        return x.gather(2, index), torch.where(inside, valid.gather(2, index), 0.0)

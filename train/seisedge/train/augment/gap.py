"""A gap in all components: lost packets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("gap")
@dataclass(frozen=True, kw_only=True)
class Gap(Augmentation):
    """length_s: length of the gap, which begins anywhere in the window."""

    length_s: Range = (0.2, 3.0)

    def check(self) -> None:
        need_range("length_s", self.length_s, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        n = x.shape[-1]
        step = torch.arange(n, device=x.device)
        low, high = self.length_s
        length = chance.uniform(len(x), 1, 1, low=low, high=high) * chance.rate_hz
        start = chance.uniform(len(x), 1, 1) * n
        return x, torch.where((step >= start) & (step < start + length), 0.0, valid)

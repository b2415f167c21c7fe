"""A window that ends early: an early estimate, or an interrupted stream."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("truncation")
@dataclass(frozen=True, kw_only=True)
class Truncation(Augmentation):
    """after_s: length of the remaining data after the nominal onset, in seconds."""

    after_s: Range = (3.0, 30.0)

    def check(self) -> None:
        need_range("after_s", self.after_s)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        low, high = self.after_s
        end = chance.lead + chance.uniform(len(x), 1, 1, low=low, high=high) * chance.rate_hz
        return x, torch.where(torch.arange(x.shape[-1], device=x.device) < end, valid, 0.0)

"""Stretch or compress time about the onset and crop to the window: resize and crop of paper A for a waveform.

For pictures see `picture`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("resize-crop")
@dataclass(frozen=True, kw_only=True)
class ResizeCrop(Augmentation):
    """factor: new length of a second, in seconds. Interpolation is linear; a sample is valid if both neighbours are.

    Durations and frequencies change, on which the magnitude depends too.
    """

    factor: Range = (0.9, 1.1)

    touches_amplitude: ClassVar[bool] = True

    def check(self) -> None:
        need_range("factor", self.factor, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        n = x.shape[-1]
        factor = chance.log_uniform(len(x), 1, 1, low=self.factor[0], high=self.factor[1])
        place = (torch.arange(n, device=x.device) - chance.lead) / factor + chance.lead  # (batch, 1, n)
        before = place.floor()
        weight = place - before
        inside = (before >= 0) & (before <= n - 1)
        first = before.clamp(0, n - 1).long().expand(-1, x.shape[1], -1)
        second = (first + (weight > 0)).clamp(max=n - 1)
        inside = inside & (place <= n - 1)
        there = valid.gather(2, first) * valid.gather(2, second)
        return x.gather(2, first) * (1 - weight) + x.gather(2, second) * weight, torch.where(inside, there, 0.0)

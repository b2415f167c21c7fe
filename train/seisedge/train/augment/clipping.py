"""Clipping at the full scale of the digitizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, mean_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("clipping")
@dataclass(frozen=True, kw_only=True)
class Clipping(Augmentation):
    """level: full scale above and below the mean of each component, as a share of the record's largest excursion."""

    level: Range = (0.2, 0.8)

    touches_amplitude: ClassVar[bool] = True

    def check(self) -> None:
        need_range("level", self.level, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        low, high = self.level
        middle = mean_of(x, valid)
        excursion = (x - middle) * valid
        end = excursion.abs().amax((1, 2), keepdim=True) * chance.uniform(len(x), 1, 1, low=low, high=high)
        return middle + torch.clamp(excursion, min=-end, max=end), valid

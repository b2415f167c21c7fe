"""A constant offset of each component."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, deviation_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("offset")
@dataclass(frozen=True, kw_only=True)
class Offset(Augmentation):
    """size: offset in standard deviations of each component."""

    size: Range = (-10.0, 10.0)

    def check(self) -> None:
        need_range("size", self.size)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        low, high = self.size
        return x + deviation_of(x, valid) * chance.uniform(len(x), 3, 1, low=low, high=high), valid

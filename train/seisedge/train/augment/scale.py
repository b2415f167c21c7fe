"""One factor for all components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("scale")
@dataclass(frozen=True, kw_only=True)
class Scale(Augmentation):
    """factor: uniform in the logarithm."""

    factor: Range = (0.9, 1.1)

    touches_amplitude: ClassVar[bool] = True

    def check(self) -> None:
        need_range("factor", self.factor, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        return x * chance.log_uniform(len(x), 1, 1, low=self.factor[0], high=self.factor[1]), valid

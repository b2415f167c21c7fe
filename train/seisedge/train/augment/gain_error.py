"""Components with a wrong gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("gain-error")
@dataclass(frozen=True, kw_only=True)
class GainError(Augmentation):
    """spread: standard deviation of the natural logarithm of a component's factor; 0.7 is about a factor of two."""

    spread: float = 0.1

    touches_amplitude: ClassVar[bool] = True

    def check(self) -> None:
        if self.spread < 0:
            raise ValueError(f"spread must not be negative; got {self.spread:g}")

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        return x * torch.exp(self.spread * chance.normal(len(x), 3, 1)), valid

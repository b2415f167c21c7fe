"""A random two-tap filter: a rough model of another site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("colour")
@dataclass(frozen=True, kw_only=True)
class Colour(Augmentation):
    """strength: largest absolute value of the second tap. The power of white noise does not change."""

    strength: float = 0.3

    touches_amplitude: ClassVar[bool] = True

    def check(self) -> None:
        if not 0 <= self.strength < 1:
            raise ValueError(f"strength must be from 0 to below 1; got {self.strength:g}")

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        tap = chance.uniform(len(x), 1, 1, low=-self.strength, high=self.strength)
        before = F.pad(x, (1, 0))[..., :-1] * F.pad(valid, (1, 0))[..., :-1]
        return (x + tap * before) * (1 + tap.square()).rsqrt(), valid

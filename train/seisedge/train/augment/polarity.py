"""Reversed polarity of all components: the same source recorded in an opposite quadrant of its radiation pattern."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("polarity")
@dataclass(frozen=True, kw_only=True)
class Polarity(Augmentation):
    """Changes the sign of all components."""

    share: float = 0.5

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        return -x, valid

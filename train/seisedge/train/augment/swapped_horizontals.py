"""North and east plugged in the wrong way round."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("swapped-horizontals")
@dataclass(frozen=True, kw_only=True)
class SwappedHorizontals(Augmentation):
    """Rows N and E, with their masks."""

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        return x[:, [0, 2, 1]], valid[:, [0, 2, 1]]

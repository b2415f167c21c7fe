"""North and east exchanged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("swapped-horizontals")
@dataclass(frozen=True, kw_only=True)
class SwappedHorizontals(Augmentation):
    """Exchanges the rows N and E and their masks."""

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        return x[:, [0, 2, 1]], valid[:, [0, 2, 1]]

"""One channel with the wrong polarity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, live_of, pick_component
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("flipped-channel")
@dataclass(frozen=True, kw_only=True)
class FlippedChannel(Augmentation):
    """Changes the sign of one present component."""

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        return torch.where(pick_component(live_of(valid), chance)[..., None], -x, x), valid

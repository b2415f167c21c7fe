"""A channel that is missing or constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, live_of, mean_of, pick_component
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("dead-channel")
@dataclass(frozen=True, kw_only=True)
class DeadChannel(Augmentation):
    """how: 'absent' masks the samples; 'flat' makes them constant. A record with one component is not changed."""

    how: Literal["absent", "flat"] = "absent"

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        live = live_of(valid)
        several = live.sum(1, keepdim=True) > 1
        dead = (pick_component(live, chance) & several)[..., None]
        if self.how == "flat":
            return torch.where(dead, mean_of(x, valid).expand_as(x), x), valid
        return x, torch.where(dead, 0.0, valid)

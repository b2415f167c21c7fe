"""Rotation of the horizontals: the same sensor in another orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, live_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("turn")
@dataclass(frozen=True, kw_only=True)
class Turn(Augmentation):
    """angle_deg: rotation of both horizontals; samples missing in one become missing in both. A single horizontal is
    not changed.
    """

    angle_deg: Range = (0.0, 360.0)

    def check(self) -> None:
        need_range("angle_deg", self.angle_deg)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        low, high = (math.radians(angle) for angle in self.angle_deg)
        angle = chance.uniform(len(x), 1, low=low, high=high)
        both = (live_of(valid)[:, 1:].sum(1) == 2)[:, None, None]
        n, e = x[:, 1], x[:, 2]
        turned = torch.stack([x[:, 0], n * angle.cos() + e * angle.sin(), e * angle.cos() - n * angle.sin()], dim=1)
        shared = (valid[:, 1] * valid[:, 2])[:, None]
        horizontal = torch.where(both, shared, valid[:, 1:])
        return torch.where(both, turned, x), torch.cat([valid[:, :1], horizontal], dim=1)

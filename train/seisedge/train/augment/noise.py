"""Noise addition (paper B): real noise of another record, sized by what stands before the onset."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, live_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("noise")
@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """ratio: of the added noise to the record's own before the onset, both above about 1 Hz.

    Added where the noise has the components of the record; where it has a gap, there is one. Without any real
    noise nothing changes.
    """

    share: float = 0.3
    ratio: Range = (0.3, 2.0)

    def check(self) -> None:
        need_range("ratio", self.ratio, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        if chance.noise is None:
            return x, valid
        noise, there = chance.noise(chance, len(x))
        have = (live_of(valid) <= live_of(there)).all(1).to(x.dtype)
        ratio = chance.log_uniform(len(x), low=self.ratio[0], high=self.ratio[1]) * have
        size = rough_size(x[..., : chance.lead], valid[..., : chance.lead])
        factor = ratio[:, None, None] * size / rough_size(noise, there).clamp(min=1e-20)
        return add(x, valid, noise * factor, there, factor > 0)


def add(x: Tensor, valid: Tensor, noise: Tensor, there: Tensor, chosen: Tensor) -> Pair:
    """x with the noise where `chosen` (batch, 1, 1); valid where both are."""
    both = torch.where(chosen, valid * there, valid)
    return x + torch.where(chosen & (both > 0.5), noise, 0.0), both


def rough_size(x: Tensor, valid: Tensor) -> Tensor:
    """RMS of the second difference over valid samples, (batch, 1, 1): a high-passed size."""
    mask = valid[..., 2:] * valid[..., 1:-1] * valid[..., :-2]
    d = (x[..., 2:] - 2 * x[..., 1:-1] + x[..., :-2]) * mask
    return (d.square().sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1.0)).sqrt()

"""Noise addition (paper B): recorded noise of another record, scaled to the noise before the onset."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, live_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("noise")
@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """ratio: of the added noise to the record's own noise before the onset, both above about 1 Hz.

    A gap of the noise becomes a gap of the record. A record is not changed if there is no recorded noise, or if the
    drawn noise does not have all its components.
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
        size = highpassed_rms(x[..., : chance.lead], valid[..., : chance.lead])
        factor = ratio[:, None, None] * size / highpassed_rms(noise, there).clamp(min=1e-20)
        return add(x, valid, noise * factor, there, factor > 0)


def add(x: Tensor, valid: Tensor, noise: Tensor, there: Tensor, chosen: Tensor) -> Pair:
    """x plus the noise for the records of `chosen` (batch, 1, 1); valid where both are valid."""
    both = torch.where(chosen, valid * there, valid)
    return x + torch.where(chosen & (both > 0.5), noise, 0.0), both


def highpassed_rms(x: Tensor, valid: Tensor) -> Tensor:
    """RMS of the second difference over valid samples, (batch, 1, 1)."""
    mask = valid[..., 2:] * valid[..., 1:-1] * valid[..., :-2]
    d = (x[..., 2:] - 2 * x[..., 1:-1] + x[..., :-2]) * mask
    return (d.square().sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1.0)).sqrt()

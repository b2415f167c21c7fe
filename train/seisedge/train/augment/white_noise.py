"""Gaussian noise at a chosen signal-to-noise ratio (paper A: 30 dB and more)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, deviation_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("white-noise")
@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Augmentation):
    """snr_db: ratio of the standard deviation of each component over the record to that of the noise."""

    snr_db: Range = (30.0, 50.0)

    def check(self) -> None:
        need_range("snr_db", self.snr_db)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        low, high = self.snr_db
        level = deviation_of(x, valid) * 10 ** (-chance.uniform(len(x), 1, 1, low=low, high=high) / 20)
        return x + level * chance.normal(*x.shape), valid

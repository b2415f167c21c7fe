"""Gaussian noise at a chosen signal-to-noise ratio (paper A: 30 dB and more), white or coloured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, deviation_of, need_range
from seisedge.train.augment._registry import register_augmentation

CORNER_HZ = 1.0  # as `synthetic.noise.CORNER_HZ`


@register_augmentation("white-noise")
@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Augmentation):
    """snr_db: ratio of the standard deviation of each component over the record to that of the noise.

    slope: the amplitudes of the noise fall as f^-slope above 1 Hz, as those of the synthetic records do; 0: white.
    """

    snr_db: Range = (30.0, 50.0)
    slope: Range = (0.0, 0.0)

    def check(self) -> None:
        need_range("snr_db", self.snr_db)
        need_range("slope", self.slope)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        low, high = self.snr_db
        level = deviation_of(x, valid) * 10 ** (-chance.uniform(len(x), 1, 1, low=low, high=high) / 20)
        noise = chance.normal(*x.shape)
        if self.slope != (0.0, 0.0):
            slope = chance.uniform(len(x), 1, 1, low=self.slope[0], high=self.slope[1])
            noise = coloured(noise, slope, chance.rate_hz)
        return x + level * noise, valid


def coloured(noise: Tensor, slope: Tensor, rate_hz: float) -> Tensor:
    """White noise (batch, 3, n) with its amplitudes multiplied by f^-slope above 1 Hz; standard deviation 1."""
    n = noise.shape[-1]
    f = torch.fft.rfftfreq(n, 1 / rate_hz, device=noise.device)
    spectrum = torch.fft.rfft(noise) * torch.exp(-slope * torch.clamp(f / CORNER_HZ, min=1.0).log())
    out: Tensor = torch.fft.irfft(spectrum, n)
    return out / (out.square().mean(-1, keepdim=True).sqrt() + math.ulp(1.0))

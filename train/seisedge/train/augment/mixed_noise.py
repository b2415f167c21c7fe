"""Recorded noise added at a chosen signal-to-noise ratio: the record of a noisier site."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, live_of, mean_of, need_range
from seisedge.train.augment._registry import register_augmentation
from seisedge.train.augment.noise import add

SIGNAL_S = 10.0  # after the onset; includes P and S of a local event


@register_augmentation("mixed-noise")
@dataclass(frozen=True, kw_only=True)
class MixedNoise(Augmentation):
    """snr_db: ratio of the RMS of the record up to 10 s after the onset to the RMS of the added noise, both without
    their running mean of 1 s.

    A record is not changed if there is no recorded noise, if the drawn noise does not have all its components, or if
    it has no sample after the onset.
    """

    snr_db: Range = (0.0, 20.0)

    def check(self) -> None:
        need_range("snr_db", self.snr_db)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        if chance.noise is None:
            return x, valid
        noise, there = chance.noise(chance, len(x))
        part = slice(chance.lead, chance.lead + round(SIGNAL_S * chance.rate_hz))
        have = (live_of(valid) <= live_of(there)).all(1).to(x.dtype)[:, None, None]
        signal = (highpassed(x, valid, chance.rate_hz) * valid)[..., part]
        added = highpassed(noise, there, chance.rate_hz) * there * live_of(valid)[..., None]
        level = rms(signal, valid[..., part])
        low, high = self.snr_db
        decibel = chance.uniform(len(x), 1, 1, low=low, high=high)
        floor = rms(added, there * live_of(valid)[..., None]).clamp(min=1e-20)
        factor = have * level / floor * 10 ** (-decibel / 20)
        return add(x, valid, noise * factor, there, factor > 0)


def highpassed(x: Tensor, valid: Tensor, rate_hz: float) -> Tensor:
    """x (batch, 3, n) minus its running mean over one second, valid samples only."""
    x = (x - mean_of(x, valid)) * valid  # first the mean, because float32 is imprecise for a large offset
    width = 2 * round(rate_hz / 2) + 1
    sums, counts = (F.avg_pool1d(part, width, 1, width // 2) for part in (x, valid))
    out: Tensor = x - sums / counts.clamp(min=1e-6)
    return out


def rms(x: Tensor, valid: Tensor) -> Tensor:
    """RMS over the valid samples of all components, (batch, 1, 1)."""
    total = (x * valid).square().sum((1, 2), keepdim=True)
    return (total / valid.sum((1, 2), keepdim=True).clamp(min=1.0)).sqrt()

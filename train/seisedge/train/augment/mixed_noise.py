"""Real noise mixed in at a chosen signal-to-noise ratio: what a worse site would have recorded."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, live_of, mean_of, need_range
from seisedge.train.augment._registry import register_augmentation
from seisedge.train.augment.noise import add

SIGNAL_S = 10.0  # after the onset: P and S of a local event


@register_augmentation("mixed-noise")
@dataclass(frozen=True, kw_only=True)
class MixedNoise(Augmentation):
    """snr_db: of the RMS of the record up to 10 s after the onset to that of the added noise, both less their
    running mean of 1 s.

    Nothing changes without any real noise, and for a record with components that the drawn noise lacks, or with no
    sample after the onset.
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
    """x (batch, 3, n) less its running mean over a second, valid samples only."""
    x = (x - mean_of(x, valid)) * valid  # float32 bears the mean of a large offset badly
    width = 2 * round(rate_hz / 2) + 1
    sums, counts = (F.avg_pool1d(part, width, 1, width // 2) for part in (x, valid))
    out: Tensor = x - sums / counts.clamp(min=1e-6)
    return out


def rms(x: Tensor, valid: Tensor) -> Tensor:
    """Over the valid samples of all components, (batch, 1, 1)."""
    total = (x * valid).square().sum((1, 2), keepdim=True)
    return (total / valid.sum((1, 2), keepdim=True).clamp(min=1.0)).sqrt()

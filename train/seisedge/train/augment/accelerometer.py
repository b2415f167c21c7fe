"""The noise floor of an accelerometer: white acceleration, integrated to velocity as the station does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seisedge.runtime.timeline.resample import INTEGRATED_FROM_HZ
from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation
from seisedge.train.augment.noise import highpassed_rms

SIGNAL_S = 5.0  # after the onset
VISIBLE_RATIO = 1.5  # of the signal to all noise, in amplitude


@register_augmentation("accelerometer")
@dataclass(frozen=True, kw_only=True)
class Accelerometer(Augmentation):
    """ratio: of the added noise to the record's own noise before the onset, both above about 1 Hz.

    The spectrum of the velocity falls with the frequency from `INTEGRATED_FROM_HZ` on. A record whose signal would not
    stand out any more is not changed: an event that the sensor cannot record is no noise, and nothing can be learned
    from it. At the station it does not trigger, or its data are insufficient. Records without a signal, such as noise,
    are changed like the others, so that the noise of the sensor does not reveal the class.
    """

    share: float = 0.2
    ratio: Range = (1.0, 100.0)

    def check(self) -> None:
        need_range("ratio", self.ratio, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        ratio = chance.log_uniform(len(x), 1, 1, low=self.ratio[0], high=self.ratio[1])
        noise = integrated(chance.normal(*x.shape), chance.rate_hz)
        lead, last = chance.lead, chance.lead + round(SIGNAL_S * chance.rate_hz)
        own = highpassed_rms(x[..., :lead], valid[..., :lead])
        added = ratio * own
        signal = highpassed_rms(x[..., lead:last], valid[..., lead:last])
        buried = signal < VISIBLE_RATIO * torch.sqrt(own.square() + added.square())
        slow = spread(x[..., lead:last], valid[..., lead:last]) >= VISIBLE_RATIO * spread(
            x[..., :lead], valid[..., :lead]
        )
        kept = buried & ((signal >= VISIBLE_RATIO * own) | slow)
        factor = added / highpassed_rms(noise, torch.ones_like(noise)).clamp(min=1e-20)
        return x + torch.where(~kept & (valid > 0.5), noise * factor, 0.0), valid


def spread(x: Tensor, valid: Tensor) -> Tensor:
    """Standard deviation of the valid samples of a record, around the mean of each component, (batch, 1, 1)."""
    mean = (x * valid).sum(2, keepdim=True) / valid.sum(2, keepdim=True).clamp(min=1.0)
    power = ((x - mean) * valid).square().sum((1, 2), keepdim=True)
    return (power / valid.sum((1, 2), keepdim=True).clamp(min=1.0)).sqrt()


def integrated(white: Tensor, rate_hz: float) -> Tensor:
    """The integral over time of white noise (batch, 3, n), without the frequencies below `INTEGRATED_FROM_HZ`."""
    n = white.shape[-1]
    frequency = torch.fft.rfftfreq(n, 1 / rate_hz, device=white.device)
    kept = frequency >= INTEGRATED_FROM_HZ
    gain = torch.where(kept, 1 / (2 * math.pi * frequency.clamp(min=INTEGRATED_FROM_HZ)), 0.0)
    velocity: Tensor = torch.fft.irfft(torch.fft.rfft(white) * gain, n)
    return velocity

"""Made cultural noise: footsteps, doors, vehicles, trains, machines and gusts of wind, from a parametric model.

Each is an excitation (random, or a train of impulses) under an envelope, filtered by a damped resonance whose frequency
and gain differ by component. A window of noise gets it at the level of something that opens a trigger, a window with an
event well below the event, so that the noise does not reveal the class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, live_of, need_range
from seisedge.train.augment._registry import register_augmentation
from seisedge.train.augment.mixed_noise import highpassed, rms

NEAR_ONSET = 0.7  # share of bursts that begin near the nominal onset, as after a trigger


@dataclass(frozen=True)
class Kind:
    """Ranges of one kind of source. pulses_hz: rate of its impulses; None: random excitation. rise_s, fall_s: of the
    envelope, standard deviations of two half Gaussians. resonance_hz, quality: of the ground and the building.
    """

    pulses_hz: Range | None
    rise_s: Range
    fall_s: Range
    resonance_hz: Range
    quality: Range


KINDS = {
    "footsteps": Kind((1.4, 2.4), (0.3, 5.0), (0.5, 8.0), (5.0, 30.0), (2.0, 10.0)),
    "door": Kind((0.3, 2.0), (0.02, 0.2), (0.05, 1.0), (3.0, 30.0), (2.0, 12.0)),
    "vehicle": Kind(None, (0.5, 5.0), (0.5, 6.0), (3.0, 20.0), (1.0, 6.0)),
    "train": Kind(None, (3.0, 15.0), (5.0, 25.0), (3.0, 25.0), (1.0, 5.0)),
    "machine": Kind((4.0, 25.0), (0.02, 1.0), (2.0, 60.0), (4.0, 30.0), (2.0, 15.0)),
    "wind": Kind(None, (1.0, 8.0), (1.0, 10.0), (0.7, 5.0), (0.7, 2.0)),
}


@register_augmentation("cultural-noise")
@dataclass(frozen=True, kw_only=True)
class CulturalNoise(Augmentation):
    """noise_ratio: in windows without an event, peak of the made noise relative to the RMS before the onset.
    event_ratio: in windows with an event, peak relative to the peak of the window. Both above about 1 Hz.
    """

    share: float = 0.3
    noise_ratio: Range = (4.0, 100.0)
    event_ratio: Range = (0.03, 0.3)

    def check(self) -> None:
        need_range("noise_ratio", self.noise_ratio, above=0.0)
        need_range("event_ratio", self.event_ratio, above=0.0)

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        size, n = len(x), x.shape[-1]
        made = bursts(size, n, chance) * live_of(valid)[..., None]
        made = made / made.abs().amax((1, 2), keepdim=True).clamp(min=1e-20)
        own = highpassed(x, valid, chance.rate_hz) * valid
        before = rms(own[..., : chance.lead], valid[..., : chance.lead])
        level = before * chance.log_uniform(size, 1, 1, low=self.noise_ratio[0], high=self.noise_ratio[1])
        below = own.abs().amax((1, 2), keepdim=True)
        below = below * chance.log_uniform(size, 1, 1, low=self.event_ratio[0], high=self.event_ratio[1])
        if chance.event is not None:
            level = torch.where(chance.event[:, None, None], below, level)
        else:
            level = torch.minimum(level, below)
        return x + made * level, valid


def bursts(size: int, n: int, chance: Chance) -> Tensor:
    """(size, 3, n): one source of a random kind in each row, at no particular level."""
    rate_hz = chance.rate_hz
    which = (chance.uniform(size) * len(KINDS)).long().clamp(max=len(KINDS) - 1)
    pulsed = torch.tensor([kind.pulses_hz is not None for kind in KINDS.values()], device=which.device)[which]

    def drawn(ranges: list[Range]) -> Tensor:
        """(size,): from the range of the kind of each row, uniform in the logarithm."""
        ends = torch.tensor(ranges, device=which.device).log()[which]
        return torch.exp(ends[:, 0] + chance.uniform(size) * (ends[:, 1] - ends[:, 0]))

    kinds = list(KINDS.values())
    rise, fall = drawn([k.rise_s for k in kinds]) * rate_hz, drawn([k.fall_s for k in kinds]) * rate_hz
    pulses_hz = drawn([k.pulses_hz or (1.0, 1.0) for k in kinds])
    resonance = drawn([k.resonance_hz for k in kinds])[:, None, None] * torch.exp(0.2 * chance.normal(size, 3, 1))
    quality = drawn([k.quality for k in kinds])[:, None, None]

    t = torch.arange(n, device=which.device, dtype=torch.float32)
    near = chance.lead + chance.uniform(size, low=-2.0, high=2.0) * rate_hz
    begin = torch.where(chance.uniform(size) < NEAR_ONSET, near, chance.uniform(size) * n)
    from_peak = t - (begin + 1.5 * rise)[:, None]
    envelope = torch.exp(-0.5 * (from_peak / torch.where(from_peak < 0, rise[:, None], fall[:, None])) ** 2)
    # An impulse where the phase, whose speed varies by a tenth, passes a whole number
    speed = pulses_hz[:, None] / rate_hz * (1 + 0.1 * _slow(chance.normal(size, n)))
    phase = torch.cumsum(speed, 1) + chance.uniform(size)[:, None]
    impulses = F.pad(torch.diff(phase.floor(), dim=1), (1, 0)) * (1 + 0.3 * chance.normal(size, n))
    source = envelope * torch.where(pulsed[:, None], impulses, chance.normal(size, n))

    f = torch.fft.rfftfreq(2 * n, 1 / rate_hz, device=which.device)
    response = f * resonance / torch.complex(resonance**2 - f**2, f * resonance / quality)
    spectrum = torch.fft.rfft(source[:, None], 2 * n) * response * chance.log_uniform(size, 3, 1, low=0.2, high=1.0)
    made: Tensor = torch.fft.irfft(spectrum, 2 * n)
    return made[..., :n]


def _slow(noise: Tensor) -> Tensor:
    """White noise (rows, n) smoothed over 65 samples, with a standard deviation of about 1."""
    width = 65
    return F.avg_pool1d(noise[:, None], width, 1, width // 2)[:, 0] * math.sqrt(width)

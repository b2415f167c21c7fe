"""Augmentation of a batch on the device, the same for all classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class AugmentSpec:
    """Probabilities and sizes; a recipe for magnitude sets `colour` and `amplitude` to 0, which touch amplitudes.

    noise_share: real noise of another record added, `noise_ratio` (low, high) times the size of what stands
        before the onset.
    colour: strength of a random two-tap filter, a crude change of site.
    """

    flip: bool = True
    turn: bool = True  # horizontals by a random angle
    gap_share: float = 0.2
    gap_s: tuple[float, float] = (0.2, 3.0)
    noise_share: float = 0.3
    noise_ratio: tuple[float, float] = (0.3, 2.0)
    colour: float = 0.3
    amplitude: float = 0.1  # log-normal a component


class Augmenter:
    """Seeded; `noise` batches come from the caller, cut to the full window."""

    def __init__(self, spec: AugmentSpec, rate_hz: float, lead: int, seed: int, device: torch.device) -> None:
        self.spec, self.rate_hz, self.lead, self.device = spec, rate_hz, lead, device
        self.generator = torch.Generator(device="cpu").manual_seed(seed)

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return (torch.rand(*shape, generator=self.generator) * (high - low) + low).to(self.device)

    def __call__(self, x: Tensor, valid: Tensor, noise: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """x, valid, and each of noise: (batch, 3, n)."""
        s = self.spec
        batch = x.shape[0]
        if noise is not None and s.noise_share > 0:
            x, valid = self._add_noise(x, valid, *noise)
        if s.colour > 0:
            tap = self._uniform(batch, 1, 1, low=-s.colour, high=s.colour)
            before = F.pad(x, (1, 0))[..., :-1] * F.pad(valid, (1, 0))[..., :-1]
            x = (x + tap * before) * (1 + tap.square()).rsqrt()
        if s.flip:
            x = x * (self._uniform(batch, 1, 1).lt(0.5).float() * 2 - 1)
        if s.turn:
            both = (valid[:, 1:].amax(-1).sum(1) == 2)[:, None]  # a lone horizontal stays as it is
            angle = torch.where(both, self._uniform(batch, 1, high=2 * math.pi), 0.0)
            n, e = x[:, 1], x[:, 2]
            shared = valid[:, 1] * valid[:, 2]
            turned = torch.stack([x[:, 0], n * angle.cos() + e * angle.sin(), e * angle.cos() - n * angle.sin()], dim=1)
            x = torch.where(both[:, :, None], turned, x)
            horizontal = torch.where(both[:, :, None], shared[:, None], valid[:, 1:])
            valid = torch.cat([valid[:, :1], horizontal], dim=1)
        if s.amplitude > 0:
            x = x * torch.exp(s.amplitude * torch.randn(batch, 3, 1, generator=self.generator).to(self.device))
        if s.gap_share > 0:
            n_samples = x.shape[-1]
            step = torch.arange(n_samples, device=self.device)
            length = self._uniform(batch, 1, low=s.gap_s[0], high=s.gap_s[1]) * self.rate_hz
            start = self._uniform(batch, 1) * n_samples
            chosen = self._uniform(batch, 1) < s.gap_share
            hole = chosen & (step >= start) & (step < start + length)
            valid = torch.where(hole[:, None], 0.0, valid)
        return torch.where(valid > 0.5, x, 0.0), valid

    def _add_noise(self, x: Tensor, valid: Tensor, noise: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Where the noise record has the same components; sizes compared above about 1 Hz, before the onset."""
        s, batch = self.spec, x.shape[0]
        have = (valid.amax(-1) <= there.amax(-1)).all(1)
        ratio = torch.exp(self._uniform(batch, low=math.log(s.noise_ratio[0]), high=math.log(s.noise_ratio[1])))
        chosen = (have & (self._uniform(batch) < s.noise_share)).float() * ratio
        size = _rough_size(x[..., : self.lead], valid[..., : self.lead])
        other = _rough_size(noise, there)
        factor = chosen[:, None, None] * size / other.clamp(min=1e-20)
        both = torch.where(factor > 0, valid * there, valid)
        return x + torch.where(both > 0.5, noise * factor, 0.0), both


def _rough_size(x: Tensor, valid: Tensor) -> Tensor:
    """RMS of the second difference over valid samples, (batch, 1, 1): a high-passed size."""
    mask = valid[..., 2:] * valid[..., 1:-1] * valid[..., :-2]
    d = (x[..., 2:] - 2 * x[..., 1:-1] + x[..., :-2]) * mask
    return (d.square().sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1.0)).sqrt()

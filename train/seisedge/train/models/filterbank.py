"""A spectrogram as the first layer: log power in bands for each frame, from valid samples only.

The training data, a few hundred events, are too few for a network to learn the Fourier transform. Vertical and
horizontal power are separate features; the horizontal one is the mean power of the two components, so that the
orientation of the sensor has little influence.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 1e-7  # smallest power, for a record of unit power
EDGE_HZ = 15.5  # upper limit of the response of all bands
LONGEST_S = 1.5  # largest length of a kernel


def band_kernels(rate_hz: float, centres_hz: Tensor, taps: int) -> Tensor:
    """(2 · bands, 1, taps): Hann-windowed cosines, then sines, of mean zero, with the lengths of `lengths_s`."""
    t = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate_hz
    f = centres_hz.double()[:, None]
    length = lengths_s(f)
    window = torch.where(t.abs() <= length / 2, 0.5 + 0.5 * torch.cos(2 * math.pi * t / length), 0.0)
    kernels = torch.cat([window * torch.cos(2 * math.pi * f * t), window * torch.sin(2 * math.pi * f * t)])
    window = torch.cat([window, window])
    kernels = kernels - window * (kernels.sum(1, keepdim=True) / window.sum(1, keepdim=True))
    return (kernels / window.pow(2).sum(1, keepdim=True).sqrt())[:, None].float()


def lengths_s(centres_hz: Tensor) -> Tensor:
    """Lengths of the kernels: four cycles, from 0.5 s to LONGEST_S; longer if a band would extend beyond EDGE_HZ.

    The limit removes the influence of the digitizer's anti-alias filter, and so of the sampling rate of the source.
    """
    return torch.maximum(4.0 / centres_hz, 3.0 / (EDGE_HZ - centres_hz)).clamp(0.5, LONGEST_S)


class Filterbank(nn.Module):
    """(batch, 3, n) → log10 power of Z and of the horizontals in bands: (batch, 2 · bands, n / stride).

    The mean log power of each record is removed. Bands below a ninth of the sampling rate are computed on every second
    sample, after a short low-pass filter. least: power that is added in each band, as a share of the largest power of
    that band in the record, so that weaker noise has no effect.
    """

    halving: Tensor
    slow: Tensor
    fast: Tensor

    def __init__(
        self,
        rate_hz: float,
        n_bands: int = 16,
        low_hz: float = 1.0,
        high_hz: float = 13.0,
        stride: int = 10,
        least: float = 0.0,
    ) -> None:
        super().__init__()
        if stride % 2:
            raise ValueError(f"stride must be even; got {stride}")
        self.n_bands, self.stride, self.least = n_bands, stride, least
        self.centres_hz = centres = low_hz * (high_hz / low_hz) ** torch.linspace(0, 1, n_bands)
        slow = centres < rate_hz / 9
        short = torch.tensor([1.0, 5.0, 10.0, 10.0, 5.0, 1.0]) / 32
        response = torch.cos(math.pi * centres[slow] / rate_hz) ** 5  # of the low-pass filter in these bands
        self.register_buffer("halving", short[None, None], persistent=False)
        kernels = band_kernels(rate_hz / 2, centres[slow], _taps(centres[slow], rate_hz / 2, stride // 2))
        scale = math.sqrt(2.0) / torch.cat([response, response])[:, None, None]  # sqrt(2): half as many samples
        self.register_buffer("slow", kernels * scale, persistent=False)
        taps = _taps(centres[~slow], rate_hz, stride)
        self.register_buffer("fast", band_kernels(rate_hz, centres[~slow], taps), persistent=False)

    def power(self, x: Tensor) -> Tensor:
        """x (batch, components, n), n a multiple of the stride → (batch, components, bands, frames)."""
        batch, components, n = x.shape
        x = x.reshape(batch * components, 1, n)
        half = F.conv1d(x, self.halving, stride=2, padding=2)
        parts = []
        for series, kernels, stride in ((half, self.slow, self.stride // 2), (x, self.fast, self.stride)):
            y = F.conv1d(series, kernels, stride=stride, padding=(kernels.shape[-1] - stride) // 2)
            y = y.reshape(batch, components, 2, len(kernels) // 2, n // self.stride)
            parts.append((y * y).sum(2))
        return torch.cat(parts, dim=2)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x, mask: (batch, 3, n); n a multiple of the stride.

        Returns features (batch, 2 · bands, frames), masks (batch, 2, frames), and the power of Z and of the horizontals
        (batch, 2, bands, frames), 0 where there is no sample.
        """
        batch, frames = x.shape[0], x.shape[-1] // self.stride
        power = self.power(x)
        share = F.avg_pool1d(mask, self.stride)  # (batch, 3, frames)
        present = (share > 0.5).to(x.dtype)
        vertical = power[:, 0] * present[:, :1]
        horizontal = (power[:, 1:] * present[:, 1:, None]).sum(1) / present[:, 1:].sum(1)[:, None].clamp(min=1.0)
        frame = torch.cat([present[:, :1], present[:, 1:].amax(1, keepdim=True)], dim=1)  # (batch, 2, frames)
        both = torch.stack([vertical, horizontal], dim=1)
        seen = both.clamp(min=FLOOR)
        if self.least:
            seen = seen + self.least * seen.amax((1, 3), keepdim=True)
        log_power = seen.log10()
        weight = frame[:, :, None]
        count = (weight.sum((1, 2, 3), keepdim=True) * self.n_bands).clamp(min=1.0)
        mean = (log_power * weight).sum((1, 2, 3), keepdim=True) / count
        log_power = (log_power - mean) * weight
        return log_power.reshape(batch, 2 * self.n_bands, frames), frame, both


def _taps(centres_hz: Tensor, rate_hz: float, stride: int) -> int:
    """Taps of the longest kernel; odd or even like the stride, so that kernels are centred on the frames."""
    wanted = math.ceil(float(lengths_s(centres_hz).amax()) * rate_hz - 1e-3)
    return wanted + (wanted - stride) % 2

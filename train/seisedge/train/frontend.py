"""Front ends: preprocessing as modules, exported with the network, so that a station normalises nothing.

All of them begin with a selection: what stands behind the mask, NaN included, reaches no output bit. Then a
masked polynomial detrend, by discrete orthogonal polynomials (three-term recurrence, Forsythe 1957): only
products, sums over valid samples and divisions, so it exports to any engine. Its degree follows the number of
valid samples: degree 10 on 3 s of data would be a high-pass near 2 Hz that eats the P pulse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TINY = 1e-30
BLOCK = 40  # samples; window lengths are multiples of it
FLOOR_LOG10_M_S = -10.0  # a tenth of a nanometre per second: below any seismometer's noise


def select_valid(waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Waveform with zeros where not valid, and the mask as 0 and 1; both (batch, components, n)."""
    present = valid > 0.5
    return torch.where(present, waveform, 0.0), present.to(waveform.dtype)


def unit_scale(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean removed a component, then divided by one scale a record, so that float32 carries what follows.

    Returns x (batch, components, n) in [-1, 1] and the scale (batch, 1, 1). A constant, whose deviations are
    rounding, is not blown up.
    """
    mean = x.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1.0)
    largest = x.abs().amax((1, 2), keepdim=True)
    x = (x - mean) * mask
    mean = x.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1.0)
    x = (x - mean) * mask  # again: the first mean of large offsets is rounded
    scale = x.abs().amax((1, 2), keepdim=True).maximum(1e-6 * largest).clamp(min=TINY)
    return x / scale, scale


class MaskedDetrend(nn.Module):
    """Least-squares polynomial over the valid samples, removed a component.

    degree: at a full window; with fewer valid samples proportionally less, never below 1.
    """

    ramp: Tensor

    def __init__(self, n_samples: int, degree: int = 10) -> None:
        super().__init__()
        self.n_samples, self.degree = n_samples, degree
        self.register_buffer("ramp", torch.linspace(-1.0, 1.0, n_samples), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: zeros where mask is 0; mask: 0 and 1; both (batch, components, n)."""
        count = mask.sum(-1, keepdim=True)
        allowed = (count * (self.degree / self.n_samples)).clamp(min=1.0)
        middle = (self.ramp * mask).sum(-1, keepdim=True) / count.clamp(min=1.0)
        t = (self.ramp - middle) * mask
        t = t / t.abs().amax(-1, keepdim=True).clamp(min=1e-6)
        p = mask * count.clamp(min=1.0).rsqrt()  # orthonormal polynomials, one after the other
        before = torch.zeros_like(p)
        x = x - (x * p).sum(-1, keepdim=True) * p
        for k in range(1, self.degree + 1):
            q = t * p
            q = q - (q * p).sum(-1, keepdim=True) * p
            q = q - (q * before).sum(-1, keepdim=True) * before
            norm = (q * q).sum(-1, keepdim=True).sqrt()
            before, p = p, q / norm.clamp(min=1e-6)
            wanted = (allowed >= float(k)).to(x.dtype)
            x = x - (x * p).sum(-1, keepdim=True) * p * wanted
        return x


def gaussian_kernel(sigma: float) -> Tensor:
    """(taps,), sum 1, cut at three standard deviations."""
    half = math.ceil(3 * sigma)
    t = torch.arange(-half, half + 1, dtype=torch.float64)
    w = torch.exp(-0.5 * (t / sigma) ** 2)
    return (w / w.sum()).float()


def lowpass_kernel(cutoff: float, half: int) -> Tensor:
    """(taps,), Hamming-windowed sinc, sum 1; cutoff in cycles a sample."""
    t = torch.arange(-half, half + 1, dtype=torch.float64)
    w = torch.sinc(2 * cutoff * t) * (0.54 + 0.46 * torch.cos(math.pi * t / (half + 1)))
    return (w / w.sum()).float()


def block_kernels(kernel: Tensor, block: int = BLOCK) -> Tensor:
    """(block, 1, block + taps - 1): one shifted copy a place in a block, so that `convolve` is one product.

    A convolution with one channel in and out is the slowest thing there is on a CPU; this way it is nine times
    as fast in torch, at 1.6 times the multiplications.
    """
    taps = len(kernel)
    out = torch.zeros(block, 1, block + taps - 1)
    for i in range(block):
        out[i, 0, i : i + taps] = kernel
    return out


def convolve(x: Tensor, blocks: Tensor) -> Tensor:
    """Each component of x (batch, components, n) with the kernel behind `block_kernels`; same length, zeros
    beyond the ends. n must be a multiple of the block.
    """
    batch, components, n = x.shape
    block = blocks.shape[0]
    pad = (blocks.shape[-1] - block) // 2
    y = F.conv1d(x.reshape(batch * components, 1, n), blocks, stride=block, padding=pad)
    return y.transpose(1, 2).reshape(batch, components, n)


class MaskedBandpass(nn.Module):
    """What the network may see: from 1 Hz, gap-aware, to just below the common band's edge.

    High-pass: the local mean over valid samples under a Gaussian, removed (-3 dB at `low_hz`). Low-pass: a
    windowed sinc of two seconds, -6 dB at `high_hz`, down 50 dB 1 Hz above, so that the digitizer's own filter,
    and with it the source's sampling rate, does not show.
    """

    mean_kernel: Tensor
    low_kernel: Tensor

    def __init__(self, rate_hz: float, low_hz: float = 1.0, high_hz: float = 13.5) -> None:
        super().__init__()
        sigma_s = math.sqrt(-2 * math.log(1 - math.sqrt(0.5))) / (2 * math.pi * low_hz)
        self.register_buffer("mean_kernel", block_kernels(gaussian_kernel(sigma_s * rate_hz)), persistent=False)
        self.register_buffer(
            "low_kernel", block_kernels(lowpass_kernel(high_hz / rate_hz, round(rate_hz))), persistent=False
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x, mask as in MaskedDetrend; zeros where mask is 0."""
        weight = convolve(mask, self.mean_kernel)
        x = (x - convolve(x, self.mean_kernel) / weight.clamp(min=1e-3)) * mask
        return convolve(x, self.low_kernel) * mask


class TypeFrontEnd(nn.Module):
    """Counts to a record of unit power: one scale over all valid samples, so that component ratios stay.

    low_hz = None leaves the band as it is (the paper's geometry, which only detrends and standardises).
    """

    def __init__(self, n_samples: int, rate_hz: float, degree: int = 10, low_hz: float | None = 1.0) -> None:
        super().__init__()
        self.detrend = MaskedDetrend(n_samples, degree)
        self.bandpass = None if low_hz is None else MaskedBandpass(rate_hz, low_hz)

    def forward(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 3, n) each → standardised waveform and mask, (batch, 3, n)."""
        x, mask = select_valid(waveform, valid)
        x, _ = unit_scale(x, mask)
        x = self.detrend(x, mask)
        if self.bandpass is not None:
            x = self.bandpass(x, mask)
        power = (x * x).sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1.0)
        return x / power.sqrt().clamp(min=1e-6), mask


class MagnitudeFrontEnd(nn.Module):
    """Ground velocity in m/s to shape and size, apart.

    Returns the waveform of unit power (batch, 3, n), log10 of its smoothed envelope in m/s (batch, 3, n), and
    the mask. A gain on the input adds its log10 to the envelope and changes nothing else, down to the floor.
    """

    smooth_kernel: Tensor

    def __init__(
        self,
        n_samples: int,
        rate_hz: float,
        degree: int = 10,
        low_hz: float | None = 1.0,
        smooth_s: float = 0.15,
    ) -> None:
        super().__init__()
        self.detrend = MaskedDetrend(n_samples, degree)
        self.bandpass = None if low_hz is None else MaskedBandpass(rate_hz, low_hz)
        self.register_buffer("smooth_kernel", block_kernels(gaussian_kernel(smooth_s * rate_hz)), persistent=False)

    def forward(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """waveform, valid: (batch, 3, n)."""
        x, mask = select_valid(waveform, valid)
        x, scale = unit_scale(x, mask)
        x = self.detrend(x, mask)
        if self.bandpass is not None:
            x = self.bandpass(x, mask)
        weight = convolve(mask, self.smooth_kernel).clamp(min=1e-3)
        energy = convolve(x * x, self.smooth_kernel) / weight
        envelope = scale.log10() + 0.5 * energy.clamp(min=1e-14).log10()
        envelope = torch.where(mask > 0.5, envelope.clamp(min=FLOOR_LOG10_M_S), FLOOR_LOG10_M_S)
        power = (x * x).sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1.0)
        return x / power.sqrt().clamp(min=1e-6), envelope, mask

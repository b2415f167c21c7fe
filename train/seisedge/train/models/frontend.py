"""Front ends: preprocessing as modules that are exported with the network, so that the station does no normalisation.

All front ends first set masked samples to zero, so that their values, NaN included, do not affect the output. That of
the paper then removes a polynomial, with discrete orthogonal polynomials (three-term recurrence, Forsythe 1957):
it needs only products, sums over valid samples and divisions, so that it can be exported to any engine. The degree
depends on the number of valid samples: degree 10 on 3 s of data would be a high-pass filter near 2 Hz, which removes
the P pulse. That of the bundled models removes a local straight line instead, computed eight times a second, which is
sufficient for slow variations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TINY = 1e-30
FLOOR_LOG10_M_S = -10.0  # 0.1 nm/s: below the noise of any seismometer


def select_valid(waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Waveform with zeros at invalid samples, and the mask as 0 and 1; both (batch, components, n)."""
    present = valid > 0.5
    return torch.where(present, waveform, 0.0), present.to(waveform.dtype)


def scale_to_unit_peak(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Remove the mean of each component and divide the record by its largest absolute value.

    float32 is then precise enough for the following steps. Returns x (batch, components, n) in [-1, 1] and the scale
    (batch, 1, 1). The rounding errors of a constant are not scaled to 1.
    """
    mean = x.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1.0)
    largest = x.abs().amax((1, 2), keepdim=True)
    x = (x - mean) * mask
    mean = x.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1.0)
    x = (x - mean) * mask  # again, because the first mean of a large offset has a rounding error
    scale = x.abs().amax((1, 2), keepdim=True).maximum(1e-6 * largest).clamp(min=TINY)
    return x / scale, scale


class MaskedDetrend(nn.Module):
    """Removes a least-squares polynomial over the valid samples from each component.

    degree: for a full window; proportionally less for fewer valid samples, but at least 1.
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
    """Gaussian (taps,) with sum 1, truncated at three standard deviations."""
    half = math.ceil(3 * sigma)
    t = torch.arange(-half, half + 1, dtype=torch.float64)
    w = torch.exp(-0.5 * (t / sigma) ** 2)
    return (w / w.sum()).float()


def interpolation_kernels(factor: int) -> Tensor:
    """(factor, 1, 5): kernels that interpolate samples from means over `factor` of them, cubic convolution (Keys 1981,
    doi:10.1109/TASSP.1981.1163711); exact for a straight line.
    """
    place = (torch.arange(factor, dtype=torch.float64) - (factor - 1) / 2) / factor
    t = (place[:, None] - torch.arange(-2, 3, dtype=torch.float64)).abs()
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))[:, None].float()


class LocalLine(nn.Module):
    """Fits a straight line around each point with Gaussian weights, valid samples only (Cleveland 1979,
    doi:10.1080/01621459.1979.10481038). Unlike a local mean it is not biased by a slope at an end or a gap.

    sigma: of the Gaussian, in samples. pool: number of samples averaged first; without effect on a smooth curve.
    """

    kernels: Tensor

    def __init__(self, sigma: float, pool: int) -> None:
        super().__init__()
        self.pool = pool
        kernel = gaussian_kernel(sigma / pool)
        t = (torch.arange(len(kernel)) - len(kernel) // 2) * (pool / sigma)
        self.register_buffer("kernels", torch.stack([kernel, kernel * t, kernel * t * t])[:, None], persistent=False)

    def forward(self, x: Tensor, mask: Tensor, beyond: int = 0) -> Tensor:
        """x, mask: (batch, components, n), zeros where not valid → (batch, components, n / pool + 2 · beyond), with
        `beyond` extra points before the first and after the last.
        """
        batch, components, n = x.shape
        both = F.avg_pool1d(torch.cat([x, mask], dim=1), self.pool).reshape(2 * batch * components, 1, n // self.pool)
        moments = F.conv1d(both, self.kernels, padding=self.kernels.shape[-1] // 2 + beyond)
        moments = moments.reshape(batch, 6 * components, -1)  # of x, then of the mask; three for each component
        x0, x1 = (moments[:, k : 3 * components : 3] for k in (0, 1))
        m0, m1, m2 = (moments[:, 3 * components + k :: 3] for k in (0, 1, 2))
        m2 = m2 + 1e-4  # for a single point the result is its value
        return (m2 * x0 - m1 * x1) / (m2 * m0 - m1 * m1).clamp(min=1e-6)


class MaskedHighpass(nn.Module):
    """High-pass filter with corner `low_hz` (-3 dB): subtracts the local line, also at gaps and ends.

    pool: samples averaged for the line; at most an eighth of a second.
    """

    between: Tensor

    def __init__(self, rate_hz: float, low_hz: float = 1.0, pool: int = 5) -> None:
        super().__init__()
        sigma_s = math.sqrt(-2 * math.log(1 - math.sqrt(0.5))) / (2 * math.pi * low_hz)
        self.line = LocalLine(sigma_s * rate_hz, pool)
        self.register_buffer("between", interpolation_kernels(pool), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x, mask: as for MaskedDetrend. The result is 0 where mask is 0."""
        batch, components, n = x.shape
        slow = self.line(x, mask, beyond=self.between.shape[-1] // 2)
        slow = F.conv1d(slow.reshape(batch * components, 1, -1), self.between)  # (…, pool, n / pool)
        return (x - slow.transpose(1, 2).reshape(batch, components, n)) * mask


class LocalMean(nn.Module):
    """The mean around each point with Gaussian weights, valid samples only. sigma, pool: as for LocalLine."""

    kernel: Tensor

    def __init__(self, sigma: float, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.register_buffer("kernel", gaussian_kernel(sigma / pool)[None, None], persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x, mask: (batch, components, n), zeros where not valid → the mean, and the share of valid samples
        in each pool, (batch, components, n / pool) each.
        """
        batch, components, n = x.shape
        both = F.avg_pool1d(torch.cat([x, mask], dim=1), self.pool)
        sums = F.conv1d(both.reshape(2 * batch * components, 1, -1), self.kernel, padding=self.kernel.shape[-1] // 2)
        total, weight = sums.reshape(batch, 2, components, n // self.pool).unbind(1)
        return total / weight.clamp(min=1e-3), both[:, components:]


def unit_power(x: Tensor, mask: Tensor) -> Tensor:
    """x (batch, components, n) divided by its root mean square over all valid samples of the record."""
    power = (x * x).sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True).clamp(min=1.0)
    return x / power.sqrt().clamp(min=1e-6)


class TypeFrontEnd(nn.Module):
    """Scales a record to unit power, with one scale for all components, so that their ratios are unchanged.

    slow: module that removes slow variations; `MaskedDetrend` as in the paper, or `MaskedHighpass`.
    """

    def __init__(self, slow: nn.Module) -> None:
        super().__init__()
        self.slow = slow

    def forward(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 3, n) each → standardised waveform and mask, (batch, 3, n)."""
        x, mask = select_valid(waveform, valid)
        x, _ = scale_to_unit_peak(x, mask)
        return unit_power(self.slow(x, mask), mask), mask


class MagnitudeFrontEnd(nn.Module):
    """Separates the shape and the amplitude of ground velocity in m/s.

    Returns the waveform scaled to unit power (batch, 3, n), log10 of its smoothed envelope in m/s (batch, 3, n / pool),
    the mask (batch, 3, n) and the mask of the envelope. A factor on the input adds its log10 to the envelope and has no
    other effect, down to FLOOR_LOG10_M_S.
    """

    def __init__(self, slow: nn.Module, rate_hz: float, smooth_s: float = 0.15, pool: int = 5) -> None:
        super().__init__()
        self.slow = slow
        self.smooth = LocalMean(smooth_s * rate_hz, pool)

    def forward(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """waveform, valid: (batch, 3, n)."""
        x, mask = select_valid(waveform, valid)
        x, scale = scale_to_unit_peak(x, mask)
        x = self.slow(x, mask)
        energy, share = self.smooth(x * x, mask)
        envelope = (scale.log10() + 0.5 * energy.clamp(min=1e-14).log10()).clamp(min=FLOOR_LOG10_M_S)
        present = share > 0.5
        envelope = torch.where(present, envelope, FLOOR_LOG10_M_S)
        return unit_power(x, mask), envelope, mask, present.to(x.dtype)

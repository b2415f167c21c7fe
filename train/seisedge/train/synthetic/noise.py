"""Seeded coloured noise of the ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CORNER_HZ = 1.0


def coloured_noise(
    n: int, rate_hz: float, rms_m_per_s: float, seed: int | np.random.Generator, slope: float = 1.0
) -> Floats:
    """Gaussian noise (3, n) with amplitudes that fall as f^-slope above 1 Hz; the components are independent.

    rms_m_per_s: RMS in the band of the models, 1 to 15 Hz.
    """
    rng = np.random.default_rng(seed)
    f = np.fft.rfftfreq(n, 1 / rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal((3, n)), axis=1) / np.maximum(f / CORNER_HZ, 1.0) ** slope
    spectrum[:, f < 0.05] = 0.0
    in_band = np.where((f >= 1.0) & (f <= 15.0), spectrum, 0.0)
    level = np.sqrt((np.fft.irfft(in_band, n, axis=1) ** 2).mean())
    return np.asarray(np.fft.irfft(spectrum, n, axis=1) * (rms_m_per_s / level))

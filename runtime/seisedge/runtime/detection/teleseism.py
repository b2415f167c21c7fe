"""Teleseism: long-period energy of an onset compared with its energy in the band of the trigger.

On a path of thousands of kilometres attenuation (t* of about 1 s for P, Aki and Richards, Quantitative Seismology)
removes frequencies above 2 Hz: of two onsets of equal amplitude at 1 Hz, that of a teleseism has a thousandth of the
amplitude at 4 Hz. A trigger above 4 Hz detects only the upper edge of the spectrum of a large one. The energies are
those after the onset minus those of the noise before it, so that steady microseisms have no influence.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

LONG_HZ = (0.3, 2.0)
SHORT_HZ = (4.0, 15.0)
BEFORE_S = 4.8  # length of the noise before the onset
LEAD_S = 0.4  # length of the taper, which ends at the onset
MIN_AFTER_S = 2.9  # shortest and longest signal after the onset
MAX_AFTER_S = 10.0
DOMINANCE = 1000.0  # ratio of the energies from which on an onset is a teleseism
MIN_SNR = 5.0  # ratio of amplitudes in the long-period band


def dominance_of(
    waveform: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], rate_hz: float, onset: int, end: int
) -> float:
    """Ratio of the energies, long-period to short-period, of the samples [onset, end); 0 if it cannot be determined.

    waveform, valid: (3, n) on a grid of `rate_hz`. Components with missing samples are not used, and no samples later
    than `MAX_AFTER_S` after the onset.
    """
    first = onset - round(BEFORE_S * rate_hz)
    last = min(end, onset + round(MAX_AFTER_S * rate_hz))
    if first < 0 or last - onset < MIN_AFTER_S * rate_hz:
        return 0.0
    whole = valid[:, first:last].all(axis=1)
    if not whole.any():
        return 0.0
    x = waveform[whole, first:last].astype(np.float64)
    split = onset - first
    before, after = _bands(x[:, :split], rate_hz), _bands(x[:, split - round(LEAD_S * rate_hz) :], rate_hz)
    if after[0] < MIN_SNR**2 * before[0]:
        return 0.0
    return float((after[0] - before[0]) / max(after[1] - before[1], 0.01 * after[1], np.finfo(float).tiny))


def is_teleseism(
    waveform: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], rate_hz: float, onset: int, end: int
) -> bool:
    """True if the onset has more long-period energy than a local event of any size."""
    return dominance_of(waveform, valid, rate_hz, onset, end) >= DOMINANCE


def _bands(x: npt.NDArray[np.float64], rate_hz: float) -> tuple[float, float]:
    """Mean square in the two bands, summed over components; x: (components, n)."""
    n = x.shape[1]
    taper, weight, long, short = _spectrum(n, rate_hz)
    power = np.abs(np.fft.rfft((x - x.mean(axis=1, keepdims=True)) * taper, axis=1)) ** 2
    share = power.sum(axis=0) / weight
    return float(share[long].sum()), float(share[short].sum())


@functools.lru_cache(maxsize=64)
def _spectrum(n: int, rate_hz: float) -> tuple[npt.NDArray[np.float64], float, slice, slice]:
    """Taper of `n` samples, the divisor of its spectrum, and the frequencies of the two bands."""
    ramp = round(LEAD_S * rate_hz)
    taper = np.ones(n)
    taper[:ramp] = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2
    taper[n - ramp :] = taper[:ramp][::-1]
    frequency = np.fft.rfftfreq(n, 1 / rate_hz)
    long, short = (
        slice(int(np.searchsorted(frequency, low)), int(np.searchsorted(frequency, high, side="right")))
        for low, high in (LONG_HZ, SHORT_HZ)
    )
    return taper, n * float((taper**2).sum()), long, short

"""Find the nominal onset of a record without a pick: the first clear rise of energy near the expected time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

BAND_HZ = (2.0, 15.0)
VISIBLE_RATIO = 1.5  # ratio of signal RMS to noise RMS at and above which a signal counts as visible


@dataclass(frozen=True)
class Onset:
    """sample: index in the record. snr: RMS of the 5 s after it over the RMS of the noise before. basis: the method."""

    sample: float
    snr: float
    basis: str


def power_from_record(x: npt.NDArray[np.generic], rate_hz: float) -> Float:
    """Instantaneous power (n,) in 2-15 Hz summed over the components of `x` (components, n)."""
    n = x.shape[1]
    taper = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / rate_hz)
    y = x.astype(np.float64)
    y = (y - np.median(y, axis=1, keepdims=True)) * taper
    f = np.fft.rfftfreq(n, 1 / rate_hz)
    low, high = BAND_HZ[0], min(BAND_HZ[1], 0.45 * rate_hz)
    gain = np.clip((f - 0.75 * low) / (0.25 * low), 0, 1) * np.clip((1.1 * high - f) / (0.1 * high), 0, 1)
    return np.asarray((np.fft.irfft(np.fft.rfft(y, axis=1) * gain, n, axis=1) ** 2).sum(axis=0))


def _means(power: Float, length: int, starts: npt.NDArray[np.int64]) -> Float:
    total = np.concatenate([[0.0], np.cumsum(power)])
    low = np.clip(starts, 0, len(power))
    high = np.clip(starts + length, 0, len(power))
    return np.asarray((total[high] - total[low]) / np.maximum(high - low, 1))


def snr_at(power: Float, rate_hz: float, sample: float) -> float:
    """RMS of the 5 s after `sample` over the 30th percentile of the 1 s RMS before it."""
    second = round(rate_hz)
    at = round(sample)
    starts = np.arange(0, max(at - second - second // 2, 1), max(second // 2, 1))
    noise = np.sqrt(np.quantile(_means(power, second, starts), 0.3))
    signal = np.sqrt(_means(power, 5 * second, np.array([at]))[0])
    return float(signal / noise) if noise > 0 else float("inf")


def find_onset(power: Float, rate_hz: float, search_s: tuple[float, float], expected_s: float, short_s: float) -> Onset:
    """The first time within `search_s` at which the mean power of the next `short_s` is clearly above the power of
    the 5 s before, moved to the nearby minimum of the Akaike information criterion; `expected_s` if there is no such
    time. All times in seconds from the first sample.
    """
    rate = rate_hz
    starts = np.arange(round(search_s[0] * rate), round(search_s[1] * rate))
    after = _means(power, round(short_s * rate), starts)
    lag = round(5.5 * rate)
    before = _means(power, round(5.0 * rate), starts - lag)
    ratio = np.log(np.maximum(after, 1e-30)) - np.log(np.maximum(before, 1e-30))
    best = float(ratio.max(initial=-np.inf))
    if best < 2 * np.log(VISIBLE_RATIO):
        return Onset(expected_s * rate, snr_at(power, rate, expected_s * rate), "expected")
    first = int(starts[np.flatnonzero(ratio >= max(2 * np.log(VISIBLE_RATIO), 0.5 * best))[0]])
    low, high = max(first - round(1.0 * rate), 1), min(first + round((short_s + 1.0) * rate), len(power) - 1)
    span = np.maximum(power[low:high], 1e-30)
    k = np.arange(1, len(span))
    left = np.cumsum(span)[:-1] / k
    right = np.cumsum(span[::-1])[::-1][1:] / (len(span) - k)
    aic = k * np.log(left) + (len(span) - k) * np.log(right)
    edge = max(round(0.2 * rate), 2)
    sample = low + 1 + edge + int(np.argmin(aic[edge:-edge])) if len(aic) > 2 * edge + 1 else first
    return Onset(float(sample), snr_at(power, rate, sample), "energy")

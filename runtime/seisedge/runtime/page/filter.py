"""Band-pass of the helicorder: a linear-phase filter, run over samples that arrive in pieces."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]

LOW_HZ = 1.0
HIGH_HZ = 15.0
HIGH_SHARE = 0.4  # of the sampling rate, where HIGH_HZ is above it
LENGTH_S = 3.3  # Hamming window: transitions of 1 Hz
MAX_TAPS = 1001  # of a fast channel, whose transitions are wider


@functools.lru_cache(maxsize=8)
def taps(rate_hz: float) -> Double:
    """Coefficients of the filter, (n,) with n odd. A constant gives exactly zero, up to the rounding error."""
    n = min(round(LENGTH_S * rate_hz), MAX_TAPS) // 2 * 2 + 1
    k = np.arange(n) - n // 2
    window = np.hamming(n)

    def lowpass(corner_hz: float) -> Double:
        made = np.sinc(2 * corner_hz / rate_hz * k) * window
        return np.asarray(made / made.sum(), dtype=np.float64)

    low_hz = min(LOW_HZ, HIGH_SHARE * rate_hz / 2)
    return lowpass(min(HIGH_HZ, HIGH_SHARE * rate_hz)) - lowpass(low_hz)


class BandPass:
    """The filter over one stretch of samples without a gap. Before and after it the samples count as constant."""

    def __init__(self, rate_hz: float) -> None:
        self._taps = taps(rate_hz)
        self._half = len(self._taps) // 2
        self._before: Double | None = None  # samples of which an output is still due, and their context
        self.delay = self._half  # samples by which the outputs lag behind

    def push(self, samples: npt.NDArray[np.floating]) -> Double:
        """The outputs that are known now: of the samples up to `delay` before the last one."""
        if not len(samples):
            return np.empty(0)
        x = samples.astype(np.float64)
        before = np.full(self._half, x[0]) if self._before is None else self._before
        x = np.concatenate([before, x])
        n = len(self._taps)
        if len(x) < n:
            self._before = x
            return np.empty(0)
        self._before = x[len(x) - n + 1 :]
        return np.convolve(x, self._taps, "valid")

    def finish(self) -> Double:
        """The remaining outputs."""
        if self._before is None:
            return np.empty(0)
        return self.push(np.full(self._half, self._before[-1]))

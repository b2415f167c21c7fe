"""Spectra: the spectrogram of the newest samples, computed on request."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WINDOW_S = 2.0
MAX_COLUMNS = 600
MAX_ROWS = 64
FLOOR_DB = -60.0


def spectrogram(samples: npt.NDArray[np.float32], rate_hz: float) -> tuple[npt.NDArray[np.float32], float, float]:
    """Power in decibels relative to a count, (columns, rows), step in s between columns, and Hz between rows.

    samples: (n,), NaN in a gap. A column is a gap where one of its samples is. Row 0 is 0 Hz.
    """
    n = max(round(WINDOW_S * rate_hz), 8)
    step = max(n // 2, -(-max(len(samples) - n, 0) // (MAX_COLUMNS - 1)), 1)
    if len(samples) < n:
        return np.empty((0, 1), dtype=np.float32), step / rate_hz, rate_hz / n
    pieces = np.lib.stride_tricks.sliding_window_view(samples, n)[::step]
    valid = np.isfinite(pieces).all(axis=1)
    power = np.empty((len(pieces), n // 2 + 1), dtype=np.float32)
    window = np.hanning(n)
    whole = np.nan_to_num(pieces.astype(np.float64))
    whole -= whole.mean(axis=1, keepdims=True)
    power[:] = np.abs(np.fft.rfft(whole * window, axis=1)) ** 2 / (window**2).sum() / rate_hz * 2
    join = -(-power.shape[1] // MAX_ROWS)
    rows = power.shape[1] // join
    joined = power[:, : rows * join].reshape(len(power), rows, join).mean(axis=2)
    levels = np.maximum(10 * np.log10(np.maximum(joined, 1e-30)), FLOOR_DB)
    levels[~valid] = np.nan
    return levels.astype(np.float32), step / rate_hz, join * rate_hz / n

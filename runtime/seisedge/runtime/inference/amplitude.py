"""The least magnitude that the amplitude of a window allows, and what follows for the bins of a magnitude model.

The bundled model was trained on events below magnitude 3 within 60 km: of a large event at 100 km it sees an amplitude
that it knows from a smaller one nearby. The time from the onset to the largest motion shows the distance: the largest
motion is that of S or later, so that 8.2 km for each second are about the distance once S has arrived, and less
before. With the amplitude it gives a magnitude, by the attenuation of local magnitudes of Hutton and Boore (1987, BSSA
77, 2074). Before S it is too small, and after a gap: a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seisedge.runtime.detection.sp_distance import KM_PER_S

BAND_HZ = (1.5, 13.0)
SMOOTHED_S = 1.0
NEAREST_KM, FARTHEST_KM = 3.0, 300.0
AT_1_M_PER_S = 5.23  # magnitude of a peak of 1 m/s, less the attenuation; docs/detection.md says how it was fitted
SPREAD = 0.5  # standard deviation of the magnitude by amplitude at a known distance
ERROR_SHARE = 0.02  # of windows in which the largest motion is not that of the event

Floats = npt.NDArray[np.float64]


def bandpassed(x: Floats, rate_hz: float, low_hz: float = BAND_HZ[0], high_hz: float = BAND_HZ[1]) -> Floats:
    """x (n,) band-passed by FFT, with linear flanks."""
    n = len(x)
    taper = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / rate_hz, 0, 1)
    f = np.fft.rfftfreq(n, 1 / rate_hz)
    gain = np.clip((f / low_hz - 0.75) / 0.25, 0, 1) * np.clip((1.15 - f / high_hz) / 0.15, 0, 1)
    return np.asarray(np.fft.irfft(np.fft.rfft((x - np.median(x)) * taper) * gain, n))


def least_magnitude(waveform: Floats, valid: npt.NDArray[np.bool_], rate_hz: float, onset_s: float) -> float | None:
    """Lower bound of the magnitude; None without motion of the vertical after the onset.

    waveform: (3, n), ZNE, m/s. valid: (3, n), False for samples that are missing. onset_s: after the start.
    """
    end = np.flatnonzero(valid.any(axis=0))[-1:] + 1
    first, size = round(onset_s * rate_hz), round(SMOOTHED_S * rate_hz)
    if not end.size or end[0] < first + size or not valid[0].any():
        return None
    rows = [_motion(x[: end[0]], there[: end[0]], rate_hz) for x, there in zip(waveform, valid, strict=True)]
    peak = float(np.abs(rows[0][first:]).max())
    if not peak > 0:
        return None
    power = np.convolve(np.square(rows).sum(axis=0)[first:], np.ones(size), mode="valid")
    peak_s = float(power.argmax()) / rate_hz + SMOOTHED_S / 2
    km = min(max(KM_PER_S * peak_s, NEAREST_KM), FARTHEST_KM)
    return AT_1_M_PER_S + math.log10(peak) + 1.11 * math.log10(km / 100) + 0.00189 * (km - 100) + 3


def _motion(x: Floats, there: npt.NDArray[np.bool_], rate_hz: float) -> Floats:
    """x (n,) band-passed, 0 where it is missing."""
    if not there.any():
        return np.zeros(len(x))
    return bandpassed(np.where(there, x - np.median(x[there]), 0.0), rate_hz) * there


def with_least_magnitude(
    edges: Sequence[float | None], probabilities: npt.NDArray[np.float32], least: float
) -> npt.NDArray[np.float32]:
    """The probabilities (n_labels,) of bins, given that the magnitude is `least` or more, within `SPREAD`.

    Where `least` is above all closed bins, these count less, by the probability of so large an error; they keep their
    proportions. Else, and without an open bin above them, nothing changes.
    """
    top = edges[-2]
    if edges[-1] is not None or top is None or least <= top:
        return probabilities
    below = max(math.erfc((least - top) / SPREAD / math.sqrt(2)), ERROR_SHARE)
    weighted = probabilities * np.where(np.arange(len(probabilities)) < len(probabilities) - 1, below, 1.0)
    return np.asarray(weighted / weighted.sum(), dtype=np.float32)

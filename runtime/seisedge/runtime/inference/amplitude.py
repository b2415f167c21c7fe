"""The least magnitude that the amplitude of a window allows, and what follows for the bins of a magnitude model.

The bundled model was trained on events below magnitude 3 within 60 km: of a large event at 100 km it sees an amplitude
that it knows from a smaller one nearby. The time from the onset to the largest motion shows the distance: the largest
motion is that of S or later, so that 8.2 km for each second are about the distance once S has arrived, and less
before. With the amplitude it gives a magnitude, by the attenuation of local magnitudes of Hutton and Boore (1987, BSSA
77, 2074). Before S it is too small, and after a gap: a lower bound.
"""

from __future__ import annotations

import functools
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
ROUNDING = 1e-6  # of a magnitude that is compared with an upper bound
ERROR_SHARE = 0.02  # of windows in which the largest motion is not that of the event

Floats = npt.NDArray[np.float64]


def bandpassed(x: Floats, rate_hz: float, low_hz: float = BAND_HZ[0], high_hz: float = BAND_HZ[1]) -> Floats:
    """x (n,) band-passed by FFT, with linear flanks."""
    n = len(x)
    taper, gain = _taper_and_gain(n, rate_hz, low_hz, high_hz)
    return np.asarray(np.fft.irfft(np.fft.rfft((x - np.median(x)) * taper) * gain, n))


@functools.lru_cache(maxsize=64)
def _taper_and_gain(n: int, rate_hz: float, low_hz: float, high_hz: float) -> tuple[Floats, Floats]:
    """Factor of each of `n` samples, and of each frequency of their real spectrum."""
    taper = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / rate_hz, 0, 1)
    f = np.fft.rfftfreq(n, 1 / rate_hz)
    gain = np.clip((f / low_hz - 0.75) / 0.25, 0, 1) * np.clip((1.15 - f / high_hz) / 0.15, 0, 1)
    return np.asarray(taper), np.asarray(gain)


@functools.lru_cache(maxsize=4096)
def _most_gained(n: int, rate_hz: float) -> float:
    """Upper bound of the largest value of `n` samples in `BAND_HZ`, as a share of their largest value."""
    _, gain = _taper_and_gain(n, rate_hz, *BAND_HZ)
    return float(np.abs(np.fft.irfft(gain, n)).sum())


def least_magnitude(
    waveform: Floats, valid: npt.NDArray[np.bool_], rate_hz: float, onset_s: float, above: float = -math.inf
) -> float | None:
    """Lower bound of the magnitude; None without motion of the vertical after the onset, or up to magnitude `above`.

    waveform: (3, n), ZNE, m/s. valid: (3, n), False for samples that are missing. onset_s: after the start.
    """
    ends = np.flatnonzero(valid.any(axis=0))[-1:] + 1
    first, size = round(onset_s * rate_hz), round(SMOOTHED_S * rate_hz)
    if not ends.size or ends[0] < first + size or not valid[0].any():
        return None
    end = int(ends[0])
    # most windows need no filter: even if the largest sample were in the band, and the largest motion at the end
    latest_s = (end - first - size) / rate_hz + SMOOTHED_S / 2
    z = waveform[0, :end]
    if _magnitude((z.max() - z.min()) * _most_gained(end, rate_hz), latest_s) + ROUNDING < above:
        return None
    vertical = _motion(z, valid[0, :end], rate_hz)
    peak = float(np.abs(vertical[first:]).max())
    if not peak > 0 or _magnitude(peak, latest_s) + ROUNDING < above:
        return None
    rows = [vertical, *(_motion(waveform[row, :end], valid[row, :end], rate_hz) for row in (1, 2))]
    power = np.convolve(np.square(rows).sum(axis=0)[first:], np.ones(size), mode="valid")
    least = _magnitude(peak, float(power.argmax()) / rate_hz + SMOOTHED_S / 2)
    return least if least > above else None


def _magnitude(peak: float, peak_s: float) -> float:
    """By the peak in m/s, and the time from the onset to the largest motion."""
    km = min(max(KM_PER_S * peak_s, NEAREST_KM), FARTHEST_KM)
    at_100_km = AT_1_M_PER_S + (math.log10(peak) if peak > 0 else -math.inf)
    return at_100_km + 1.11 * math.log10(km / 100) + 0.00189 * (km - 100) + 3


def _motion(x: Floats, there: npt.NDArray[np.bool_], rate_hz: float) -> Floats:
    """x (n,) band-passed, 0 where it is missing."""
    if not there.any():
        return np.zeros(len(x))
    return bandpassed(np.where(there, x - np.median(x[there]), 0.0), rate_hz) * there


def largest_closed(edges: Sequence[float | None]) -> float:
    """Upper edge of the closed bins below an open one; infinite without one, so that no magnitude is above them."""
    top = edges[-2]
    return math.inf if edges[-1] is not None or top is None else top


def with_least_magnitude(
    edges: Sequence[float | None], probabilities: npt.NDArray[np.float32], least: float
) -> npt.NDArray[np.float32]:
    """The probabilities (n_labels,) of bins, given that the magnitude is `least` or more, within `SPREAD`.

    Where `least` is above all closed bins, these count less, by the probability of so large an error; they keep their
    proportions. Else, and without an open bin above them, nothing changes.
    """
    top = largest_closed(edges)
    if least <= top:
        return probabilities
    below = max(math.erfc((least - top) / SPREAD / math.sqrt(2)), ERROR_SHARE)
    weighted = probabilities * np.where(np.arange(len(probabilities)) < len(probabilities) - 1, below, 1.0)
    return np.asarray(weighted / weighted.sum(), dtype=np.float32)

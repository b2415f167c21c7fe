"""Picking: the time of an onset to the sample, near the hop in which the onset detector found it.

The criterion is Akaike's (AIC) in the form of Maeda (1985): the sample that best divides the seismogram into two parts
of different variance. It is computed on differences of successive samples, which removes the level and the microseisms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BEFORE_S = 1.5  # length of the samples before the hop that are compared, and of those after it
AFTER_S = 1.0
SEARCH_S = 0.5  # the onset lies no farther than this from the hop
MIN_CONTRAST = 2.0  # smallest ratio of the variances after and before an onset
MIN_PART_N = 4  # samples in the shorter part
DEPTH = 1e-3  # of the mean square: what is below it counts as silence, such as the ringing of a filter before an onset
FLOOR_S = 0.05  # smallest uncertainty: twice the sample interval of the trigger's grid


@dataclass(frozen=True, slots=True)
class Pick:
    """offset: sample in which the signal begins. uncertainty_s: standard deviation, from the width of the minimum."""

    offset: int
    uncertainty_s: float


def pick(waveform: npt.NDArray[np.floating], near: int, rate_hz: float) -> Pick | None:
    """The onset near sample `near` of (components, n) samples without gaps; None where no sample divides them clearly.

    The result is finite for any finite samples, and depends on nothing else.
    """
    squares = (np.diff(waveform.astype(np.float64), axis=1) ** 2).sum(axis=0)
    n = len(squares)
    reach = round(SEARCH_S * rate_hz)
    low, high = max(near - reach, MIN_PART_N), min(near + reach, n - MIN_PART_N)
    if high <= low:
        return None
    total = np.cumsum(squares)
    if not np.finfo(np.float64).tiny < total[-1] < np.inf:
        return None
    at = np.arange(low, high + 1)  # the difference `at` is the first of the signal
    before, after = total[at - 1] / at, (total[-1] - total[at - 1]) / (n - at)
    floor = DEPTH * total[-1] / n
    aic = at * np.log(before + floor) + (n - at) * np.log(after + floor)
    best = int(np.argmin(aic))
    if after[best] < MIN_CONTRAST * before[best]:
        return None
    weight = np.exp(-0.5 * (aic - aic[best]))
    spread = float(np.sqrt((weight * (at - at[best]) ** 2).sum() / weight.sum())) / rate_hz
    return Pick(int(at[best]) + 1, float(np.hypot(spread, FLOOR_S)))

"""Gains and amplitudes that no station has: they are left out and counted in the same way by all commands.

A gain of 0 or 1e-300, or samples of 1e30, make the loss of a training infinite and then all weights NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seisedge.runtime.records.units import MAX_GAIN, MIN_GAIN
from seisedge.train.dataset.columns import EMPTY, Row, number

GAIN = "trace_gain_counts_per_m_s"
MAX_SAMPLE = 1e12  # a 32-bit digitizer reaches 2.1e9; the rest is for sets in other units
MAX_VELOCITY_M_S = 100.0  # the largest ground velocities recorded are some 3 m/s
TOO_LARGE = f"a sample above {MAX_SAMPLE:g}, which no digitizer records"


def gain_fault(row: Row, x: npt.NDArray[np.generic] | None = None) -> str:
    """Why the gain of a record is not used, as a clause; '' if it is used or missing. Raises InputError for text.

    x: (components, n), the samples; None if they were not read.
    """
    stated = row.get(GAIN, "").strip()
    if stated.lower() in EMPTY:
        return ""
    gain = number(row, GAIN)  # None if it is infinite
    if gain is None or not MIN_GAIN <= gain <= MAX_GAIN:
        return f"{stated[:20]} is not between {MIN_GAIN:g} and {MAX_GAIN:g} counts per m/s"
    if x is not None and (velocity := half_range(x) / gain) > MAX_VELOCITY_M_S:
        return f"with a gain of {gain:g} counts per m/s the ground would move at {velocity:.2g} m/s"
    return ""


def half_range(x: npt.NDArray[np.generic]) -> float:
    """Half the largest difference between samples of one component; x: (components, n). 0 without finite samples."""
    largest = 0.0
    for y in x:
        finite = y[np.isfinite(y)]
        if len(finite):
            largest = max(largest, (float(finite.max()) - float(finite.min())) / 2)
    return largest


def is_too_large(x: npt.NDArray[np.generic]) -> bool:
    """True if a finite sample of x exceeds `MAX_SAMPLE`; x: any shape."""
    finite = x[np.isfinite(x)]
    return bool(len(finite)) and max(float(finite.max()), -float(finite.min())) > MAX_SAMPLE

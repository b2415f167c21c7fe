"""The source: moment, corner frequency and spectrum.

Brune (1970), Tectonic stress and the spectra of seismic shear waves from earthquakes, J. Geophys. Res. 75, 4997-5009;
Hanks and Kanamori (1979), A moment magnitude scale, J. Geophys. Res. 84, 2348-2350.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BRUNE = 2.34 / (2 * math.pi)  # corner frequency times radius over S speed
P_CORNER = 1.5  # of P to that of S: usual in observations
FALL_OFF = 2.0


def moment_from_magnitude(magnitude: float) -> float:
    """N m of a moment magnitude.

    >>> f"{moment_from_magnitude(3.0):.2e}"
    '3.98e+13'
    """
    return float(10 ** (1.5 * magnitude + 9.1))


def magnitude_from_moment(moment_nm: float) -> float:
    """Inverse of `moment_from_magnitude`."""
    return (math.log10(moment_nm) - 9.1) / 1.5


def corner_hz(moment_nm: float, stress_drop_pa: float, s_m_per_s: float) -> float:
    """Of the S wave: the circular crack whose radius r has 7/16 M0 / r³ = stress drop.

    >>> round(corner_hz(moment_from_magnitude(3.0), 3e6, 3500.0), 1)
    7.3
    """
    radius_m = (7 * moment_nm / (16 * stress_drop_pa)) ** (1 / 3)
    return float(BRUNE * s_m_per_s / radius_m)


def brune(f_hz: Floats, corner: float) -> Floats:
    """Displacement spectrum over its plateau, (n,)."""
    return np.asarray(1 / (1 + (f_hz / corner) ** FALL_OFF))

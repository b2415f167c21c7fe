"""The source: moment, corner frequency and spectrum.

Brune (1970), Tectonic stress and the spectra of seismic shear waves from earthquakes, J. Geophys. Res. 75, 4997-5009;
Hanks and Kanamori (1979), A moment magnitude scale, J. Geophys. Res. 84, 2348-2350; Aki and Richards (2002),
Quantitative seismology, 2nd ed., box 4.4.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BRUNE = 2.34 / (2 * math.pi)  # corner frequency times radius over S speed
P_CORNER = 1.5  # corner frequency of P over that of S, a common observation
FALL_OFF = 2.0


def moment_from_magnitude(magnitude: float) -> float:
    """The moment in N m of a moment magnitude.

    >>> f"{moment_from_magnitude(3.0):.2e}"
    '3.98e+13'
    """
    return float(10 ** (1.5 * magnitude + 9.1))


def magnitude_from_moment(moment_nm: float) -> float:
    """Inverse of `moment_from_magnitude`."""
    return (math.log10(moment_nm) - 9.1) / 1.5


def corner_hz(moment_nm: float, stress_drop_pa: float, s_m_per_s: float) -> float:
    """Corner frequency of the S wave of a circular crack with radius r and 7/16 M0 / r³ = stress drop.

    >>> round(corner_hz(moment_from_magnitude(3.0), 3e6, 3500.0), 1)
    7.3
    """
    radius_m = (7 * moment_nm / (16 * stress_drop_pa)) ** (1 / 3)
    return float(BRUNE * s_m_per_s / radius_m)


def brune(f_hz: Floats, corner: float) -> Floats:
    """Displacement spectrum (n,) divided by its low-frequency plateau."""
    return np.asarray(1 / (1 + (f_hz / corner) ** FALL_OFF))


def moment_tensor(strike_deg: float, dip_deg: float, rake_deg: float) -> Floats:
    """Tensor (3, 3), north, east and down, of a double couple with moment 1: u n + n u for slip u and normal n.

    >>> moment_tensor(0, 90, 0).round().astype(int).tolist()  # a vertical fault along north, left-lateral
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    strike, dip, rake = (math.radians(x) for x in (strike_deg, dip_deg, rake_deg))
    along = np.array([math.cos(strike), math.sin(strike), 0.0])
    right = np.array([-math.sin(strike), math.cos(strike), 0.0])  # the direction of dip
    down = np.array([0.0, 0.0, 1.0])
    up_dip = -right * math.cos(dip) - down * math.sin(dip)
    slip = along * math.cos(rake) + up_dip * math.sin(rake)
    normal = right * math.sin(dip) - down * math.cos(dip)  # out of the foot wall
    return np.asarray(np.outer(slip, normal) + np.outer(normal, slip))


def random_mechanism(rng: np.random.Generator) -> tuple[float, float, float]:
    """Strike, dip and rake of a double couple with uniformly random orientation."""
    return (
        float(rng.uniform(0, 360)),
        math.degrees(math.acos(rng.uniform(0, 1))),
        float(rng.uniform(-180, 180)),
    )

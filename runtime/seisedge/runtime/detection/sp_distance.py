"""Distance of an earthquake from the time between its P and S arrivals at one station.

On a straight ray through rock with the speeds Vp and Vs the S wave arrives r × (1/Vs − 1/Vp) after the P wave, so that
r = (S − P) × Vp / (Vp/Vs − 1): 8.22 km for each second at 6.0 km/s and 1.73. The earth under a station is not known to
it. Its two numbers therefore have a spread, which is that of crustal rock and not of one region: 0.6 km/s for Vp
(sediments at shallow depth, lower crust at 6.6 km/s) and 0.08 for Vp/Vs (quartz-rich rock 1.65, fractured and
saturated rock above 1.8). Together they are 15 % of the distance. The errors of both onset times are added.

The result is the distance along the ray, from the station to the hypocentre, not along the surface. Where the rays are
those of the mantle (beyond about 150 km) the distance is too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

VP_KM_S = 6.0
VP_SD_KM_S = 0.6
VP_VS = 1.73
VP_VS_SD = 0.08
KM_PER_S = VP_KM_S / (VP_VS - 1)  # distance for each second between P and S
RELATIVE_SD = math.hypot(VP_SD_KM_S / VP_KM_S, VP_VS_SD / (VP_VS - 1))


@dataclass(frozen=True, slots=True)
class SpDistance:
    """Hypocentral distance and its standard error."""

    value_km: float
    uncertainty_km: float


def distance_from_sp(s_minus_p_s: float, p_uncertainty_s: float, s_uncertainty_s: float) -> SpDistance | None:
    """Distance from the time between P and S; None where S is not later than P.

    p_uncertainty_s, s_uncertainty_s: standard errors of the two onset times.
    """
    if not s_minus_p_s > 0:
        return None
    value_km = KM_PER_S * s_minus_p_s
    picks_km = KM_PER_S * math.hypot(p_uncertainty_s, s_uncertainty_s)
    return SpDistance(value_km, math.hypot(RELATIVE_SD * value_km, picks_km))

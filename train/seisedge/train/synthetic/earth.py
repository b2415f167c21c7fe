"""The path from source to station: travel times, spreading, attenuation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Earth:
    """P speed at the surface and its gradient with depth (0: uniform), Vp/Vs, density, Q = q0 · f^q_power, kappa.

    p_to_s_q: Q of P over Q of S. density in kg/m³. kappa_s: attenuation below the station, exp(−π kappa f).
    rg_km_per_s, rg_q: group velocity and Q of the Rg wave. free_surface: amplification at the free surface.
    """

    p_km_per_s: float = 5.8
    gradient_per_s: float = 0.0  # km/s per km
    vp_vs: float = 1.73
    density: float = 2700.0
    q0: float = 180.0
    q_power: float = 0.6
    p_to_s_q: float = 1.2
    kappa_s: float = 0.03
    rg_km_per_s: float = 2.4
    rg_q: float = 60.0
    free_surface: float = 2.0

    def speed(self, depth_km: float) -> tuple[float, float]:
        """P and S speed in km/s at a depth."""
        p = self.p_km_per_s + self.gradient_per_s * max(depth_km, 0.0)
        return p, p / self.vp_vs

    def times_s(self, distance_km: float, depth_km: float) -> tuple[float, float]:
        """Travel times of the direct P and S; exact for a linear gradient (its rays are arcs of circles)."""
        g, v0 = self.gradient_per_s, self.p_km_per_s
        depth_km = max(depth_km, 0.0)
        if g > 0:
            v1 = v0 + g * depth_km
            p = math.acosh(1 + g * g * (distance_km**2 + depth_km**2) / (2 * v0 * v1)) / g
        else:
            p = math.hypot(distance_km, depth_km) / v0
        return p, p * self.vp_vs

    def attenuation(self, f_hz: Floats, time_s: float, p_wave: bool) -> Floats:
        """Attenuation (n,) of a body wave with a travel time, including kappa."""
        q = self.q0 * (self.p_to_s_q if p_wave else 1.0) * np.maximum(f_hz, 0.1) ** self.q_power
        return np.asarray(np.exp(-np.pi * f_hz * (time_s / q + self.kappa_s)))

    def incidence_rad(self, distance_km: float, depth_km: float) -> float:
        """Angle of the ray from the vertical at the surface; slow shallow layers make the ray steeper."""
        return math.atan2(distance_km, max(depth_km, 1.0)) * 0.35

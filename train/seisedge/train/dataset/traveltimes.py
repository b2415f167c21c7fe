"""Travel times of P and S: a layered Earth model with obspy's TauP, or straight rays."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Protocol

from seisedge.runtime.errors import InputError
from seisedge.runtime.machine import install_command

EARTH_RADIUS_KM = 6371.0
KM_PER_DEG = math.pi * EARTH_RADIUS_KM / 180
VP_VS = 1.73
MODELS = ("iasp91", "ak135", "prem")
DEPTH_STEP_KM = 1.0
MISFIT_S, MISFIT_SHARE = 5.0, 0.3  # of a travel time; more than any error of a velocity model
# A TauP call takes 10 ms. It is called only at grid nodes, so that a large catalogue takes a minute and not hours;
# times are interpolated linearly between them, with an error below 0.05 s for depths above 1 km.
NODE_STEPS_KM = ((50.0, 1.0), (300.0, 5.0), (math.inf, 25.0))  # (largest distance, step)

MISPLACED = "the P pick does not fit the positions and times of event and station"


class TravelTimes(Protocol):
    """Seconds from the origin to the first P and S."""

    @property
    def name(self) -> str: ...

    def times_s(self, distance_km: float, depth_km: float) -> tuple[float, float]: ...


@dataclass(frozen=True)
class StraightRays:
    """A constant P speed in km/s; the S speed follows from VP_VS."""

    speed_km_s: float

    @property
    def name(self) -> str:
        return f"straight rays, {self.speed_km_s:g} km/s"

    def times_s(self, distance_km: float, depth_km: float) -> tuple[float, float]:
        p = math.hypot(distance_km, depth_km) / self.speed_km_s
        return p, p * VP_VS


class LayeredEarth:
    """A model of TauP. Depths above sea level are set to 0."""

    def __init__(self, model: str) -> None:
        try:
            from obspy.taup import TauPyModel
        except ModuleNotFoundError:
            raise InputError(
                f"--travel-times {model} needs obspy; run {install_command('train')}, or give a P speed in km/s"
            ) from None
        self._model: Any = TauPyModel(model)
        self.name = model

    def times_s(self, distance_km: float, depth_km: float) -> tuple[float, float]:
        step = next(step for limit, step in NODE_STEPS_KM if distance_km < limit)
        x, y = distance_km / step, max(depth_km, 0.0) / DEPTH_STEP_KM
        i, j = math.floor(x), math.floor(y)
        u, v = x - i, y - j
        nodes = (((1 - u) * (1 - v), i, j), (u * (1 - v), i + 1, j), ((1 - u) * v, i, j + 1), (u * v, i + 1, j + 1))
        times = [(w, *self._node(a * step, b * DEPTH_STEP_KM)) for w, a, b in nodes if w > 0]
        return sum(w * p for w, p, _ in times), sum(w * s for w, _, s in times)

    @functools.lru_cache(maxsize=100_000)  # noqa: B019  the object lives as long as the command
    def _node(self, distance_km: float, depth_km: float) -> tuple[float, float]:
        times = []
        for phases in (["p", "P", "Pn", "Pg"], ["s", "S", "Sn", "Sg"]):
            arrivals = self._model.get_travel_times(depth_km, distance_km / KM_PER_DEG, phase_list=phases)
            times.append(min((float(a.time) for a in arrivals), default=math.inf))
        return times[0], times[1]


def travel_times_from(text: str) -> TravelTimes:
    """Travel times for the name of a model or a P speed in km/s. Raises InputError."""
    if text in MODELS:
        return LayeredEarth(text)
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.5 <= speed <= 10:
        raise InputError(f"--travel-times {text}: must be {', '.join(MODELS)} or a P speed of 0.5 to 10 km/s")
    return StraightRays(speed)


def fits_travel_time(observed_s: float, expected_s: float) -> bool:
    """False if a picked travel time cannot belong to the computed one: one of the positions or times is wrong."""
    return abs(observed_s - expected_s) <= MISFIT_S + MISFIT_SHARE * expected_s


def distance_km(latitude_deg: float, longitude_deg: float, to_latitude_deg: float, to_longitude_deg: float) -> float:
    """Epicentral distance in km on a sphere."""
    a, b = math.radians(latitude_deg), math.radians(to_latitude_deg)
    turn = math.radians(to_longitude_deg - longitude_deg)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(half, 1.0)))

"""The layers of a layered Earth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seisedge.runtime.errors import InputError

SLOWEST_RATIO = math.sqrt(4 / 3)  # Vp/Vs at which the bulk modulus is 0
DENSITY_RANGE = (500.0, 10_000.0)  # kg/m³; a value in g/cm³ is outside


@dataclass(frozen=True, slots=True)
class Layer:
    """thickness_km: 0 for the half-space below all others. density in kg/m³. qp, qs: at all frequencies.

    The speeds are those at 1 Hz; because of Q they increase slowly with frequency.
    """

    thickness_km: float
    p_km_per_s: float
    s_km_per_s: float
    density: float
    qp: float = 600.0
    qs: float = 300.0


@dataclass(frozen=True, slots=True)
class Layers:
    """Flat solid layers from the surface down; the last is the half-space. Replaces `Earth`.

    kappa_s: attenuation below the station, exp(−π kappa f). highest_hz: records have no energy above it (the station
    uses up to 16 Hz); the computing time grows with its square. tail_s: length of a record after the slowest surface
    wave and the S reflected at the deepest boundary, for multiples.

    Raises InputError, which names the layer, for values that are impossible for rock.
    """

    layers: tuple[Layer, ...]
    kappa_s: float = 0.03
    highest_hz: float = 16.0
    tail_s: float = 8.0

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("layers is empty; give at least the half-space, Layer(0, ...)")
        for i, layer in enumerate(self.layers, 1):
            self._check(i, layer)
        if not (math.isfinite(self.kappa_s) and self.kappa_s >= 0):
            raise InputError(f"kappa_s must be 0 or more seconds; got {self.kappa_s}")
        for name, value in (("highest_hz", self.highest_hz), ("tail_s", self.tail_s)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be above 0; got {value}")

    def _check(self, i: int, layer: Layer) -> None:
        for name in Layer.__slots__:
            value = getattr(layer, name)
            if not math.isfinite(value) or (value <= 0 and name != "thickness_km"):
                raise InputError(f"layer {i}: {name} must be above 0; got {value}")
        last = i == len(self.layers)
        if last and layer.thickness_km != 0:
            raise InputError(
                f"layer {i}: the last layer is the half-space and must have thickness_km 0; got {layer.thickness_km}"
            )
        if not last and layer.thickness_km <= 0:
            raise InputError(
                f"layer {i}: thickness_km must be above 0 in all layers but the last; got {layer.thickness_km}"
            )
        if layer.p_km_per_s <= SLOWEST_RATIO * layer.s_km_per_s:
            raise InputError(
                f"layer {i}: p_km_per_s must be above 1.155 × s_km_per_s; got {layer.p_km_per_s} and {layer.s_km_per_s}"
            )
        low, high = DENSITY_RANGE
        if not low <= layer.density <= high:
            raise InputError(f"layer {i}: density must be {low:.0f} to {high:.0f} kg/m³; got {layer.density}")

    def speed(self, depth_km: float) -> tuple[float, float]:
        """P and S speed in km/s at a depth; at a boundary those below it."""
        bottom = 0.0
        for layer in self.layers[:-1]:
            bottom += layer.thickness_km
            if depth_km < bottom:
                return layer.p_km_per_s, layer.s_km_per_s
        return self.layers[-1].p_km_per_s, self.layers[-1].s_km_per_s

    def echo_s(self, distance_km: float, depth_km: float) -> float:
        """Approximate travel time of S reflected at the deepest boundary, from the mean slowness above it."""
        thick = sum(x.thickness_km for x in self.layers)
        slowness = sum(x.thickness_km / x.s_km_per_s for x in self.layers) / thick if thick else 0.0
        return slowness * math.hypot(distance_km, max(2 * thick - depth_km, 0.0))

"""Orientation: rotation of three channels to Z, N and E by their directions.

The direction of a channel is the direction of ground motion that gives positive counts, as azimuth (degrees clockwise
from north) and dip (degrees down from the horizontal), as in SEED and StationXML. A vertical channel has dip -90.

U, V, W without stated directions are treated as a homogeneous triaxial sensor (Galperin's arrangement) in the
orientation of the Streckeisen STS-2: three equal axes, each arctan(1/sqrt(2)) = 35.26 degrees above the horizontal,
U to the west, V to N 30 E, W to N 150 E. E. Wielandt, "Seismic Sensors and their Calibration", chapter 5 of the New
Manual of Seismological Observatory Practice (P. Bormann, ed., GFZ Potsdam), section on the triaxial arrangement:

    east  = (-2 U + V + W) / sqrt(6)
    north = (V - W) / sqrt(2)
    up    = (U + V + W) / sqrt(3)

Other manufacturers use another orientation: Nanometrics' U points east. The vertical is the same in each case; for
correct horizontals set azimuth and dip in the station file or in StationXML.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

# Pieces (begin_ns, weights) in order of time: from `begin_ns` on until the next piece, rows are combined with `weights`
# (3, 3) as in `mix`; None leaves them as recorded. Empty: rows are Z, N and E as recorded, at all times.
WeightsByTime = tuple[tuple[int, Matrix | None], ...]

GALPERIN_DIP_DEG = -math.degrees(math.atan(1 / math.sqrt(2)))
GALPERIN_AZIMUTHS_DEG = (270.0, 30.0, 150.0)
ON_AXIS_DEG = 5.0  # a channel this close to an axis may be called N, E or Z in SEED
INDEPENDENT = 0.5  # smallest determinant of the directions: 1 is orthogonal, 0 is in one plane


def direction(azimuth_deg: float, dip_deg: float) -> Matrix:
    """(3,): up, north and east components of a channel's unit vector."""
    azimuth, dip = math.radians(azimuth_deg), math.radians(dip_deg)
    return np.array([-math.sin(dip), math.cos(dip) * math.cos(azimuth), math.cos(dip) * math.sin(azimuth)])


def zne_from_triaxial(azimuths_and_dips: list[tuple[float, float]]) -> Matrix | None:
    """(3, 3), ZNE = matrix @ channels; None if the directions are too close to one plane."""
    directions = np.array([direction(azimuth, dip) for azimuth, dip in azimuths_and_dips])
    if abs(np.linalg.det(directions)) < INDEPENDENT:
        return None
    inverse: Matrix = np.linalg.inv(directions)
    return inverse


def zne_from_uvw() -> Matrix:
    """(3, 3), ZNE = matrix @ UVW for the orientation of the STS-2, by the formula above."""
    up, north, east = 1 / math.sqrt(3), 1 / math.sqrt(2), 1 / math.sqrt(6)
    return np.array([[up, up, up], [0.0, north, -north], [-2 * east, east, east]])


def zne_from_horizontals(azimuths_deg: tuple[float, float]) -> Matrix | None:
    """(3, 3) for a vertical and two horizontal channels; None if the horizontals are too close to one line.

    If each is within `ON_AXIS_DEG` of another axis, both are treated as lying on these axes, so that each can be used
    without the other.
    """
    quarters = [round(azimuth / 90.0) for azimuth in azimuths_deg]
    on_axis = all(abs(a - 90.0 * q) <= ON_AXIS_DEG for a, q in zip(azimuths_deg, quarters, strict=True))
    if on_axis and (quarters[0] - quarters[1]) % 2:
        axes = [((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[quarter % 4] for quarter in quarters]
    else:
        axes = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in azimuths_deg]
    (north_1, east_1), (north_2, east_2) = axes
    determinant = north_1 * east_2 - east_1 * north_2
    if abs(determinant) < INDEPENDENT:
        return None
    matrix = np.zeros((3, 3))
    matrix[0, 0] = 1.0
    matrix[1, 1:] = east_2 / determinant, -east_1 / determinant
    matrix[2, 1:] = -north_2 / determinant, north_1 / determinant
    return matrix


def mix(weights: Matrix, wave: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
    """Rotate in place: row r becomes the sum of weights[r, c] times row c, valid where all rows of the sum are.

    weights: (3, 3). wave, valid: (3, n). The sum is made row by row in float64, so that the value of a sample does not
    depend on the number of samples.
    """
    recorded, exists = wave.astype(np.float64), valid.copy()
    for row, weight in enumerate(weights):
        columns = np.flatnonzero(weight)
        whole = np.logical_and.reduce(exists[columns])
        total = weight[columns[0]] * recorded[columns[0]]
        for column in columns[1:]:
            total += weight[column] * recorded[column]
        wave[row], valid[row] = np.where(whole, total, 0.0), whole

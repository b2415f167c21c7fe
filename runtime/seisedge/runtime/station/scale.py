"""The physical value of one count of each row, and the rotation of the rows to Z, N and E, from what is known of a
sensor's three channels at one time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.records.channelcode import BOREHOLE, TRIAXIAL, VERTICAL
from seisedge.runtime.records.orientation import (
    ON_AXIS_DEG,
    Matrix,
    zne_from_horizontals,
    zne_from_triaxial,
    zne_from_uvw,
)
from seisedge.runtime.records.units import Quantity

# A 24-bit digitizer with a common seismometer, and with an accelerometer of 2 g; used only for the provisional bin of a
# station without a gain.
NOMINAL_COUNTS_PER_M_S = 6e8
NOMINAL_COUNTS_PER_M_S2 = 4.3e5
NOMINAL_GAIN: dict[Quantity, float] = {
    "velocity": NOMINAL_COUNTS_PER_M_S,
    "acceleration": NOMINAL_COUNTS_PER_M_S2,
}

NO_SHARE = 1e-6  # of an axis in a component: the rounding error of a right angle
NOMINAL_AZIMUTH_DEG = {"N": 0.0, "E": 90.0}


@dataclass(frozen=True, slots=True)
class Scale:
    """How the rows of a window are scaled and rotated, valid for an interval of time.

    polarity: (3,), ZNE, +1 or -1.
    metres_per_count: (3,), m/s per count, including the station correction; NaN for a component without a gain where
        another one has a gain. Without any gain a nominal one is used; magnitudes are then provisional, unless a
        station correction was fitted to it. The counts of an accelerometer are integrated: m/s per count and second.
    has_gain: a component has a gain.
    calibrated: amplitudes have a physical scale, by a gain or a station correction.
    weights: (3, 3), matrix from the rows as recorded to Z, N and E; None where they are these already.
    remarks: faults in the metadata, logged when the scale is first used.
    """

    polarity: npt.NDArray[np.float64]
    metres_per_count: npt.NDArray[np.float64]
    has_gain: bool
    calibrated: bool
    weights: Matrix | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """Gain and orientation of one channel at one time, from the station file and StationXML together.

    gain: counts per m/s, or per m/s**2 of an accelerometer, NaN where it is unknown. sign: -1 for a reversed
    channel, apart from its azimuth and dip.
    """

    letter: str
    gain: float
    sign: float
    azimuth_deg: float | None
    dip_deg: float | None


def scale_from(
    facts: Sequence[ChannelFacts], letters: str, remarks: list[str], nominal: float, station_correction: float | None
) -> Scale:
    """The scale of a sensor whose channels, in the order of its rows, have the orientation codes `letters`.

    remarks: faults in the metadata that are known so far; those of the directions are added. nominal: gain that is used
    where no channel has one. station_correction: of the magnitude, log10; None: not fitted.
    """
    of_axes = {TRIAXIAL: _triaxial, BOREHOLE: _borehole}.get(letters, _level)
    inverse = of_axes(facts, remarks)
    signs, gains = np.ones(3), np.full(3, np.nan)
    for row, fact in enumerate(facts):
        signs[row], gains[row] = fact.sign, fact.gain
    weights: Matrix | None = None
    polarity = np.diag(inverse) * signs
    if np.count_nonzero(inverse - np.diag(np.diag(inverse))):
        weights, gains = _weights(inverse * signs, gains)
        polarity = np.ones(3)
    has_gain = bool(np.isfinite(gains).any())
    correction: float = 10.0 ** (station_correction or 0.0)
    return Scale(
        polarity=polarity,
        metres_per_count=np.asarray(correction / (gains if has_gain else np.full(3, nominal))),
        has_gain=has_gain,
        calibrated=has_gain or station_correction is not None,
        weights=weights,
        remarks=tuple(remarks),
    )


def _borehole(facts: Sequence[ChannelFacts], remarks: list[str]) -> Matrix:
    """(3, 3) from 3, 1, 2 to ZNE, by the azimuths and dips in the metadata; the identity where these do not suffice."""
    stated = [(f.azimuth_deg, f.dip_deg) for f in facts if f.azimuth_deg is not None and f.dip_deg is not None]
    matrix = zne_from_triaxial([(a or 0.0, d or 0.0) for a, d in stated]) if len(stated) == len(facts) else None
    if matrix is None:
        remarks.append("1, 2 and 3 have no three independent directions in StationXML; they are not rotated")
        return np.eye(3)
    matrix[np.abs(matrix) < NO_SHARE] = 0.0  # so that an axis that is exactly vertical is used without the others
    return matrix


def _triaxial(facts: Sequence[ChannelFacts], remarks: list[str]) -> Matrix:
    """(3, 3) from U, V, W to ZNE, by the azimuths and dips in the metadata, or else those of an STS-2."""
    stated = [(f.azimuth_deg, f.dip_deg) for f in facts if f.azimuth_deg is not None and f.dip_deg is not None]
    if len(stated) == len(facts):
        matrix = zne_from_triaxial([(azimuth or 0.0, dip or 0.0) for azimuth, dip in stated])
        if matrix is not None:
            return matrix
        remarks.append("the azimuths and dips of U, V, W are not independent directions; those of an STS-2 are used")
    elif stated:
        remarks.append("not all of U, V, W have an azimuth and a dip; those of an STS-2 are used")
    return zne_from_uvw()


def _level(facts: Sequence[ChannelFacts], remarks: list[str]) -> Matrix:
    """(3, 3) from a vertical and two horizontals to ZNE; the identity where their azimuths are unknown."""
    for fact in facts:
        if fact.dip_deg is None:
            continue
        assumed, off_deg = "horizontal", abs(fact.dip_deg)
        if fact.letter == VERTICAL:
            assumed, off_deg = "vertical", 90.0 - abs(fact.dip_deg)
        if off_deg > ON_AXIS_DEG:
            remarks.append(f"{fact.letter} has a dip of {fact.dip_deg:g} degrees; it is used as {assumed}")
    azimuths = [
        NOMINAL_AZIMUTH_DEG.get(fact.letter) if fact.azimuth_deg is None else fact.azimuth_deg for fact in facts[1:]
    ]
    first, second = azimuths if len(azimuths) == 2 else (None, None)
    if first is None or second is None:
        if first is not second:
            remarks.append("only one of 1 and 2 has an azimuth; they are not rotated")
        return np.eye(3)
    matrix = zne_from_horizontals((first, second))
    if matrix is None:
        remarks.append(
            f"the horizontals at azimuths {first:g} and {second:g} degrees are parallel; they are not rotated"
        )
        return np.eye(3)
    return matrix


def _weights(signed: Matrix, gains: npt.NDArray[np.float64]) -> tuple[Matrix, npt.NDArray[np.float64]]:
    """Weights for counts from weights for velocities, and the gains (3,) of the resulting rows.

    Rows that are combined from several channels are in counts of the first of these, so that a model in counts sees
    true proportions. Their gain is NaN where one of the channels has none; its counts then have the same weight as
    those of the others.
    """
    weights, combined = signed.copy(), np.full(3, np.nan)
    triaxial = np.count_nonzero(signed[0]) > 1  # the vertical is combined from several channels
    for row in range(3):
        columns = np.arange(3) if triaxial else np.flatnonzero(signed[row])
        if np.isfinite(gains[columns]).all():
            combined[row] = gains[columns[0]]
            weights[row, columns] *= combined[row] / gains[columns]
    return weights, combined

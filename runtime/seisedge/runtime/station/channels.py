"""Channels of a station: which sensor it listens to, which row each channel is, and what one count means.

What is known of a channel comes from the station file and, where that is silent, from StationXML; it may change with
time, at the borders of StationXML's epochs. A sample is mixed to Z, N and E as at its own time, a window gets its
physical scale as at its onset: both depend on sample times and on nothing else.
"""

from __future__ import annotations

import bisect
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.config import ChannelConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.channelcode import COMPONENT_OF_ORIENTATION, HORIZONTALS, TRIAXIAL, VERTICAL, refusal_of
from seisedge.runtime.records.orientation import (
    ON_AXIS_DEG,
    Matrix,
    WeightsByTime,
    zne_from_horizontals,
    zne_from_triaxial,
    zne_from_uvw,
)
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import END_SLACK_NS, EVER_NS, ChannelEpoch, StationXml, epoch_at, said_of_units
from seisedge.runtime.records.units import metres_per_s

logger = logging.getLogger(__name__)

# A 24-bit digitizer behind a common seismometer; only for the provisional bin of a station without a gain.
NOMINAL_COUNTS_PER_M_S = 6e8

MISSING_S = 30.0  # one axis of a triaxial sensor lacks for so long: it is told
NOMINAL_AZIMUTH_DEG = {"N": 0.0, "E": 90.0}


@dataclass(frozen=True, slots=True)
class Scale:
    """What the rows of a window are, for a stretch of time.

    polarity: (3,), ZNE, +1 or -1.
    metres_per_count: (3,), m/s per count with the station correction; NaN for a component without a gain beside one
        with. With no gain at all a nominal one stands in; what comes of it is provisional unless a station correction
        was fitted to it.
    calibrated: amplitudes have a physical scale, by a gain or a station correction.
    weights: (3, 3), what the rows as recorded are mixed with to be Z, N and E; None where they are that already.
    remarks: what is amiss in it, told when it is first used.
    """

    polarity: npt.NDArray[np.float64]
    metres_per_count: npt.NDArray[np.float64]
    calibrated: bool
    weights: Matrix | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Facts:
    """One channel at one time, from the station file and StationXML together.

    given_azimuth: the azimuth is the station file's. sign: of all but the azimuth and dip.
    """

    letter: str
    gain: float
    sign: float
    azimuth_deg: float | None
    dip_deg: float | None


class Channels:
    """One sensor of a station: the first location, band and instrument heard, or those of the station file.

    Channels that are no seismometer's never count. Of horizontals the pair heard first is taken, N and E or 1 and 2;
    U, V and W are a sensor of their own and are never mixed with Z, N or E.

    metadata: goes before the StationXML file that the station file names.
    strict: raise InputError from `row_of` where the metadata have no gain for the first channel heard; else warn.
    """

    def __init__(
        self, station_id: str, config: StationConfig, metadata: StationXml | None = None, *, strict: bool = False
    ) -> None:
        self.station_id = station_id
        self._config = config
        if metadata is None and config.station is not None and config.station.stationxml is not None:
            metadata = StationXml.read(Path(config.station.stationxml))
        self._metadata = metadata
        self._strict = strict
        self._sensor: tuple[str, str] | None = None  # location, band and instrument code
        self._codes: dict[str, str] = {}  # row → channel code
        self._pieces: list[tuple[int, Scale]] = []  # from when on it holds; made when a channel is first heard
        self._weights: WeightsByTime = ()  # of `_pieces`
        self._refusals: dict[tuple[str, str], str | None] = {}  # by location and channel code
        self._told: set[str] = set()
        self._whole_ns: int | None = None  # of a triaxial sensor: the newest sample that all axes have
        self.ignored: dict[str, int] = {}  # packets of other channels, by source id
        self.reasons: dict[str, str] = {}  # why, by source id

    def state(self) -> tuple[tuple[str, str] | None, dict[str, str]]:
        """The sensor heard (location, band and instrument code), and the channel code in each row."""
        return self._sensor, dict(self._codes)

    def restore(self, sensor: tuple[str, str] | None, codes: dict[str, str]) -> None:
        """Go on listening to the same sensor."""
        self._sensor, self._codes = sensor, dict(codes)
        self._pieces = []

    @property
    def metadata(self) -> tuple[ChannelEpoch, ...]:
        """What StationXML says of this station; part of what its events depend on."""
        return self._metadata.station(self.station_id) if self._metadata is not None else ()

    @property
    def triaxial(self) -> bool:
        """True for U, V, W: nothing can be said without all three."""
        return any(code[-1] in TRIAXIAL for code in self._codes.values())

    def row_of(self, packet: Packet) -> str | None:
        """Row of a packet's channel, by the component's name (Z, N or E); None where it is not one of ours.

        Raises InputError, see `strict`.
        """
        code, location = packet.source_id.channel, packet.source_id.location
        row = COMPONENT_OF_ORIENTATION.get(code[-1:])
        sensor = (location, code[:-1])
        if row is not None and self._codes.get(row) == code and sensor == self._sensor:
            return row
        why = self._refusal(location, code)
        if why is not None or row is None or not (self._listed(code, location) and self._fits(sensor, code)):
            self._ignore(packet, why)
            return None
        if self._strict and not self._codes:
            self._require(location, code, packet.starttime_ns)
        self._sensor, self._codes[row] = sensor, code
        self._pieces = []
        self.at(packet.starttime_ns)  # what is amiss is told now, not at the first event
        return row

    def at(self, time_ns: int) -> Scale:
        """What rows and counts mean for a window with this onset."""
        pieces = self._made()
        _, scale = pieces[bisect.bisect_right(pieces, time_ns, key=lambda piece: piece[0]) - 1]
        for remark in scale.remarks:
            if remark not in self._told:
                self._told.add(remark)
                logger.warning("%s: at %s: %s", self.station_id, iso_from_ns(time_ns), remark)
        return scale

    @property
    def weights(self) -> WeightsByTime:
        """How the rows as recorded are combined to Z, N and E, by time; empty where they are these at all times."""
        self._made()
        return self._weights

    def check_axes(self, valid: npt.NDArray[np.bool_], start_ns: int, rate_hz: float) -> None:
        """Warn once where a triaxial sensor misses an axis for `MISSING_S`: then it has no vertical and no events.

        valid: (3, n), of the rows as recorded, which follow each other from `start_ns` on.
        """
        some = np.flatnonzero(valid.any(axis=0))
        if not self.triaxial or not len(some) or "axis" in self._told:
            return
        whole = np.flatnonzero(valid.all(axis=0))
        newest_ns = start_ns + ns_from_s(int(some[-1]) / rate_hz)
        if len(whole):
            self._whole_ns = max(self._whole_ns or 0, start_ns + ns_from_s(int(whole[-1]) / rate_hz))
        elif self._whole_ns is None:
            self._whole_ns = start_ns + ns_from_s(int(some[0]) / rate_hz)
        assert self._whole_ns is not None
        if newest_ns - self._whole_ns > MISSING_S * NS_PER_S:
            self._told.add("axis")
            missing = [letter for letter, exists in zip(TRIAXIAL, valid[:, some[-1]], strict=True) if not exists]
            logger.warning(
                "%s: %s of the triaxial sensor %s missing since %s: without all of U, V, W there is no vertical",
                self.station_id,
                " and ".join(missing),
                self._sensor[1] if self._sensor else "",
                iso_from_ns(self._whole_ns),
            )

    def _fits(self, sensor: tuple[str, str], code: str) -> bool:
        """True where a channel is of the same sensor as those heard so far, and goes with them."""
        if self._sensor not in (None, sensor):
            return False
        heard = {other[-1] for other in self._codes.values()}
        family = next((f for f in (TRIAXIAL, *HORIZONTALS) if code[-1] in f), VERTICAL)
        if family == VERTICAL:
            return not heard & set(TRIAXIAL)
        return heard <= set(family if family == TRIAXIAL else VERTICAL + family)

    def _listed(self, code: str, location: str) -> bool:
        config = self._config
        if config.channels and code not in config.channels:
            return False
        return not (config.station and config.station.location) or config.station.location == location

    def _refusal(self, location: str, code: str) -> str | None:
        """Why this channel is no seismometer's: by its code, or by the units in StationXML."""
        if (location, code) not in self._refusals:
            why = refusal_of(code)
            entry = self._config.channels.get(code)
            units = {epoch.input_units for epoch in self._epochs(location, code) if epoch.input_units}
            no_velocity = units and all(metres_per_s(name) is None for name in units)
            if why is None and no_velocity and not (entry and entry.sensitivity):
                why = f"its input units are {said_of_units(*sorted(units))}"
            self._refusals[location, code] = why
        return self._refusals[location, code]

    def _ignore(self, packet: Packet, why: str | None) -> None:
        name = str(packet.source_id)
        if name not in self.ignored:
            if why is None:
                heard = "the station file's channels"
                if self._sensor is not None:
                    heard = f"{', '.join(self._codes.values())} at location '{self._sensor[0]}'"
                why = f"this station listens to {heard}"
                if name[-1] not in COMPONENT_OF_ORIENTATION:
                    why = f"its last letter is none of {', '.join(COMPONENT_OF_ORIENTATION)}"
                logger.warning("%s: channel %s is ignored, %s", self.station_id, name, why)
            else:
                level = logging.DEBUG if why in self._told else logging.WARNING  # once for a sensor's channels
                self._told.add(why)
                logger.log(level, "%s: channel %s is refused: %s", self.station_id, name, why)
            self.reasons[name] = why
        self.ignored[name] = self.ignored.get(name, 0) + 1

    def _require(self, location: str, code: str, time_ns: int) -> None:
        entry = self._config.channels.get(code)
        if self._metadata is None or (entry is not None and entry.sensitivity is not None):
            return
        self._metadata.check(self.station_id, [code], location)
        epochs = self._epochs(location, code)
        epoch = epoch_at(epochs, time_ns)
        if epoch is None or epoch.fault:
            lack = self._lack(location, code, epoch)
            raise InputError(f"{self._metadata.path}: {self.station_id} {lack} at {iso_from_ns(time_ns)}")

    def _lack(self, location: str, code: str, epoch: ChannelEpoch | None) -> str:
        name = f"{code} at location '{location}'"
        if epoch is not None:
            return f"{name} {epoch.fault}"
        return f"{name} has no epoch" if self._epochs(location, code) else f"{name} is not there"

    def _epochs(self, location: str, code: str) -> tuple[ChannelEpoch, ...]:
        return tuple(e for e in self.metadata if e.channel == code and e.location == location)

    def _made(self) -> list[tuple[int, Scale]]:
        """The scales in order of time; the first holds from ever."""
        if not self._pieces:
            letters = self._letters()
            location, prefix = self._sensor or ("", "")
            epochs = [e for letter in letters for e in self._epochs(location, prefix + letter)]
            borders = {border for e in epochs for border in (e.start_ns, e.end_ns, e.end_ns + END_SLACK_NS)}
            borders.add(-EVER_NS)
            self._pieces = [(border, self._scale(letters, border)) for border in sorted(borders)]
            rotated = any(scale.weights is not None for _, scale in self._pieces)
            self._weights = tuple((border, scale.weights) for border, scale in self._pieces) if rotated else ()
        return self._pieces

    def _letters(self) -> str:
        """Orientation codes of the three rows, as far as they are decided."""
        heard = {code[-1] for code in self._codes.values()}
        family = next((f for f in (TRIAXIAL, *HORIZONTALS) if heard & set(f)), "")
        return family if family == TRIAXIAL else VERTICAL + family

    def _scale(self, letters: str, time_ns: int) -> Scale:
        location, prefix = self._sensor or ("", "")
        remarks: list[str] = []
        facts = [self._facts(location, prefix + letter, time_ns, remarks) for letter in letters]
        inverse = _triaxial(facts, remarks) if letters == TRIAXIAL else _level(facts, remarks)
        signs, gains = np.ones(3), np.full(3, np.nan)
        for row, fact in enumerate(facts):
            signs[row], gains[row] = fact.sign, fact.gain
        weights: Matrix | None = None
        polarity = np.diag(inverse) * signs
        if np.count_nonzero(inverse - np.diag(np.diag(inverse))):
            weights, gains = _weights(inverse * signs, gains)
            polarity = np.ones(3)
        has_gain = bool(np.isfinite(gains).any())
        setting = self._config.magnitude.station_correction
        correction: float = 10.0 ** (setting or 0.0)
        return Scale(
            polarity=polarity,
            metres_per_count=np.asarray(correction / (gains if has_gain else np.full(3, NOMINAL_COUNTS_PER_M_S))),
            calibrated=has_gain or setting is not None,
            weights=weights,
            remarks=tuple(remarks),
        )

    def _facts(self, location: str, code: str, time_ns: int, remarks: list[str]) -> _Facts:
        entry = self._config.channels.get(code, ChannelConfig())
        epoch = epoch_at(self._epochs(location, code), time_ns)
        gain, sign = entry.sensitivity, 1.0
        if gain is None and self._metadata is not None:
            if epoch is None or epoch.gain is None:
                remarks.append(f"{self._metadata.path}: {self._lack(location, code, epoch)}: no gain")
            else:
                gain, sign = abs(epoch.gain), np.sign(epoch.gain)
        azimuth_deg, dip_deg = entry.azimuth_deg, entry.dip_deg
        if epoch is not None:
            azimuth_deg = epoch.azimuth_deg if azimuth_deg is None else azimuth_deg
            dip_deg = epoch.dip_deg if dip_deg is None else dip_deg
        letter = code[-1]
        if letter == VERTICAL and (dip_deg or 0.0) > 0:
            sign = -sign
        if entry.polarity is not None:
            sign = float(entry.polarity)
            if letter in NOMINAL_AZIMUTH_DEG and azimuth_deg is not None and entry.azimuth_deg is None:
                reversed_ = np.cos(np.radians(azimuth_deg - NOMINAL_AZIMUTH_DEG[letter])) < 0
                azimuth_deg += 180.0 if reversed_ else 0.0  # the station file says which way round it is
        return _Facts(letter, np.nan if gain is None else gain, float(sign), azimuth_deg, dip_deg)


def _triaxial(facts: list[_Facts], remarks: list[str]) -> Matrix:
    """(3, 3) from U, V, W to ZNE, by stated directions or the common ones."""
    stated = [(f.azimuth_deg, f.dip_deg) for f in facts if f.azimuth_deg is not None and f.dip_deg is not None]
    if len(stated) == len(facts):
        matrix = zne_from_triaxial([(azimuth or 0.0, dip or 0.0) for azimuth, dip in stated])
        if matrix is not None:
            return matrix
        remarks.append("the azimuths and dips of U, V, W are not three directions; taken as an STS-2's")
    elif stated:
        remarks.append("not all of U, V, W have an azimuth and dip; taken as an STS-2's")
    return zne_from_uvw()


def _level(facts: list[_Facts], remarks: list[str]) -> Matrix:
    """(3, 3) from a vertical and two horizontals to ZNE; the identity where their azimuths are not known."""
    for fact in facts:
        if fact.dip_deg is None:
            continue
        taken, off_deg = "level", abs(fact.dip_deg)
        if fact.letter == VERTICAL:
            taken, off_deg = "vertical", 90.0 - abs(fact.dip_deg)
        if off_deg > ON_AXIS_DEG:
            remarks.append(f"{fact.letter} is said to dip {fact.dip_deg:g} degrees; it is taken as {taken}")
    azimuths = [
        NOMINAL_AZIMUTH_DEG.get(fact.letter) if fact.azimuth_deg is None else fact.azimuth_deg for fact in facts[1:]
    ]
    first, second = azimuths if len(azimuths) == 2 else (None, None)
    if first is None or second is None:
        if first is not second:
            remarks.append("one of 1 and 2 has an azimuth, the other not; they are not rotated")
        return np.eye(3)
    matrix = zne_from_horizontals((first, second))
    if matrix is None:
        remarks.append(
            f"horizontals at azimuths {first:g} and {second:g} degrees are one direction; they are not rotated"
        )
        return np.eye(3)
    return matrix


def _weights(signed: Matrix, gains: npt.NDArray[np.float64]) -> tuple[Matrix, npt.NDArray[np.float64]]:
    """Weights of counts from weights of velocities, and the gain (3,) of what they make.

    Rows that share channels come out in counts of the first of these, so that a model in counts sees their true
    proportions; NaN where one of the channels has no gain, which then counts like the others.
    """
    weights, made = signed.copy(), np.full(3, np.nan)
    whole = np.count_nonzero(signed[0]) > 1  # the vertical is made of several: a triaxial sensor
    for row in range(3):
        columns = np.arange(3) if whole else np.flatnonzero(signed[row])
        if np.isfinite(gains[columns]).all():
            made[row] = gains[columns[0]]
            weights[row, columns] *= made[row] / gains[columns]
    return weights, made

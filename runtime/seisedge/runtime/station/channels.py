"""Channels of one sensor: which sensor is used, which component each channel is, and the physical value of one count.

Gain and orientation of a channel come from the station file and, where it does not state them, from StationXML. They
may change with time, at the borders of the epochs in StationXML. A sample is rotated to Z, N and E by the orientation
at its own time; a window is scaled by the gain at its onset. Both depend on sample times only.
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.config import ChannelConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.channelcode import (
    BOREHOLE,
    COMPONENT_OF_ORIENTATION,
    GRAVIMETER,
    HORIZONTALS,
    TRIAXIAL,
    VERTICAL,
    contradiction_of,
    instrument_of,
    quantity_of_code,
    refusal_of,
    state_of_health_of,
)
from seisedge.runtime.records.codes import BLANK_LOCATION, location_from_text
from seisedge.runtime.records.orientation import (
    WeightsByTime,
)
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import (
    END_SLACK_NS,
    EVER_NS,
    RATE_TOLERANCE,
    ChannelEpoch,
    StationXml,
    epochs_at,
    said_of_units,
)
from seisedge.runtime.records.units import Quantity, quantity_of
from seisedge.runtime.station.scale import NOMINAL_AZIMUTH_DEG, NOMINAL_GAIN, ChannelFacts, Scale, scale_from
from seisedge.runtime.text import shortened

logger = logging.getLogger(__name__)

MAX_RATES = 16  # changes of the sampling rate of a channel that are remembered
MISSING_S = 30.0  # an axis of a triaxial sensor missing for so long is logged


class Channels:
    """One sensor of a station: the location, band and instrument of the first packet, or those of the station file.

    Of the horizontals the first pair received is used, N and E or 1 and 2. U, V and W are a sensor of their own and are
    never combined with Z, N or E, nor are 1, 2 and 3.

    quantity: what the sensor measures; channels of other sensors are refused.
    metadata: takes precedence over the StationXML file that the station file names.
    strict: raise InputError from `row_of` where the metadata have no gain for the first channel; otherwise log it.
    """

    def __init__(
        self,
        station_id: str,
        config: StationConfig,
        metadata: StationXml | None = None,
        *,
        quantity: Quantity = "velocity",
        strict: bool = False,
    ) -> None:
        self.station_id = station_id
        self._config = config
        self._quantity = quantity
        self._metadata = metadata if metadata is not None else metadata_of(config)
        self._strict = strict
        self._sensor: tuple[str, str] | None = None  # location, band and instrument code
        self._codes: dict[str, str] = {}  # row → channel code
        self._pieces: list[tuple[int, Scale]] = []  # start time and scale, in order of time; empty until it is needed
        self._weights: WeightsByTime = ()  # of `_pieces`
        self._rates: dict[str, list[tuple[int, float]]] = {}  # row → start time and sampling rate, in order of time
        self._refusals: dict[tuple[str, str], str | None] = {}  # by location and channel code
        self._logged: set[str] = set()
        self._whole_ns: int | None = None  # of a triaxial sensor: the newest sample that exists on all axes
        self.ignored: dict[str, int] = {}  # packets of other channels, by source id
        self.reasons: dict[str, str] = {}  # why they are not used, by source id

    def state(self) -> tuple[tuple[str, str] | None, dict[str, str]]:
        """The sensor (location; band and instrument code), and the channel code of each component."""
        return self._sensor, dict(self._codes)

    def restore(self, sensor: tuple[str, str] | None, codes: dict[str, str]) -> None:
        """Continue with the sensor and the channels of an earlier `state`."""
        self._sensor, self._codes = sensor, dict(codes)
        self._pieces = []

    @property
    def metadata(self) -> tuple[ChannelEpoch, ...]:
        """The epochs of this station in StationXML; its events depend on them."""
        return self._metadata.station(self.station_id) if self._metadata is not None else ()

    @property
    def triaxial(self) -> bool:
        """True for U, V, W: Z, N and E can be computed only where all three exist."""
        return any(code[-1] in TRIAXIAL for code in self._codes.values())

    def row_of(self, packet: Packet) -> str | None:
        """Component (Z, N or E) whose row a packet's channel is; None where the channel is not used.

        Raises InputError, see `strict`.
        """
        code, location = packet.source_id.channel, packet.source_id.location
        row = COMPONENT_OF_ORIENTATION.get(code[-1:])
        sensor = (location, code[:-1])
        if row is not None and self._codes.get(row) == code and sensor == self._sensor:
            self._note_rate(row, packet)
            return row
        why = self._refusal(location, code)
        if why is not None or row is None or not (self._listed(code, location) and self._fits(sensor, code)):
            self._ignore(packet, why)
            return None
        if self._strict and not self._codes:
            self._require(packet)
        self._sensor, self._codes[row] = sensor, code
        self._pieces = []
        self._note_rate(row, packet)
        self.at(packet.starttime_ns)  # logs faults in the metadata now, not at the first event
        return row

    def known_row_of(self, packet: Packet) -> str | None:
        """The row of a channel from which packets of the same rate have arrived; None for another channel."""
        code, location = packet.source_id.channel, packet.source_id.location
        row = COMPONENT_OF_ORIENTATION.get(code[-1:])
        if row is None or self._codes.get(row) != code or (location, code[:-1]) != self._sensor:
            return None
        rates = self._rates.get(row)
        noted = rates[-1][1] == packet.sampling_rate_hz if rates else not self.metadata
        return row if noted else None

    @property
    def codes(self) -> dict[str, str]:
        """Channel code of each component received, by the component in whose row it is."""
        return self._codes

    @property
    def name(self) -> str:
        """Location, band and instrument code of the sensor, as `00.HN` or `HN`; '' before its first packet."""
        return ".".join(filter(None, self._sensor)) if self._sensor is not None else ""

    @property
    def is_described(self) -> bool:
        """True if the station file or StationXML contains a channel of such a sensor."""
        return any(True for _ in self._described())

    @property
    def has_gain(self) -> bool:
        """True if the station file or StationXML has a gain for a channel of such a sensor, at some time."""
        return any(has_gain for _, has_gain in self._described())

    def _described(self) -> Iterator[tuple[str, bool]]:
        """Code of each channel in the station file and in StationXML, and whether it has a gain there."""
        for code, entry in self._config.channels.items():
            if quantity_of_code(code) == self._quantity:
                yield code, entry.sensitivity is not None
        for epoch in self.metadata:
            fits = quantity_of_code(epoch.channel) == self._quantity == epoch.quantity
            if fits and self._listed(epoch.channel, epoch.location):
                yield epoch.channel, epoch.gain is not None
        for sensor in self._config.sensors:
            if quantity_of_code(f"{sensor.code}Z") == self._quantity:
                yield f"{sensor.code}Z", False

    def depth_at(self, time_ns: int) -> float | None:
        """Depth of the sensor below the ground at a time, in metres; None where StationXML does not state it."""
        location, _ = self._sensor or ("", "")
        for row, code in sorted(self._codes.items()):  # whatever component came first
            for epoch in self._fitting(location, code, time_ns, self._rate_at(row, time_ns)):
                if epoch.depth_m is not None:
                    return epoch.depth_m
        return None

    def scales(self) -> list[tuple[int, Scale]]:
        """Start times and scales, in order of time; another list after a change."""
        return self._scales()

    def at(self, time_ns: int) -> Scale:
        """Scale of a window with this onset; logs each of its remarks once."""
        pieces = self._scales()
        _, scale = pieces[bisect.bisect_right(pieces, time_ns, key=lambda piece: piece[0]) - 1]
        for remark in scale.remarks:
            if remark not in self._logged:
                self._logged.add(remark)
                logger.warning("%s: at %s: %s", self.station_id, iso_from_ns(time_ns), remark)
        return scale

    @property
    def weights(self) -> WeightsByTime:
        """Matrices from the rows as recorded to Z, N and E, by time; empty where the rows are these at all times."""
        self._scales()
        return self._weights

    def check_axes(self, valid: npt.NDArray[np.bool_], start_ns: int, rate_hz: float) -> None:
        """Log once that an axis of a triaxial sensor is missing for `MISSING_S`: without it there are no events.

        valid: (3, n), of the rows as recorded, from `start_ns` on.
        """
        if valid.all():  # the usual case
            self._whole_ns = start_ns + ns_from_s((valid.shape[1] - 1) / rate_hz)
            return
        some = np.flatnonzero(valid.any(axis=0))
        if not self.triaxial or not len(some) or "axis" in self._logged:
            return
        whole = np.flatnonzero(valid.all(axis=0))
        newest_ns = start_ns + ns_from_s(int(some[-1]) / rate_hz)
        if len(whole):
            self._whole_ns = max(self._whole_ns or 0, start_ns + ns_from_s(int(whole[-1]) / rate_hz))
        elif self._whole_ns is None:
            self._whole_ns = start_ns + ns_from_s(int(some[0]) / rate_hz)
        assert self._whole_ns is not None
        if newest_ns - self._whole_ns > MISSING_S * NS_PER_S:
            self._logged.add("axis")
            missing = [letter for letter, exists in zip(TRIAXIAL, valid[:, some[-1]], strict=True) if not exists]
            logger.warning(
                "%s: the triaxial sensor %s has had no %s since %s; without all of U, V, W there is no vertical",
                self.station_id,
                self._sensor[1] if self._sensor else "",
                " and no ".join(missing),
                iso_from_ns(self._whole_ns),
            )

    def _fits(self, sensor: tuple[str, str], code: str) -> bool:
        """True where a channel belongs to the same sensor as the present channels and can be combined with them."""
        if self._sensor not in (None, sensor):
            return False
        present = {other[-1] for other in self._codes.values()}
        family = self._family(sensor, {code[-1]})
        if family == VERTICAL:
            return not present & set(TRIAXIAL) and self._family(sensor, present) != BOREHOLE
        return present <= set(family if family in (TRIAXIAL, BOREHOLE) else VERTICAL + family)

    def _family(self, sensor: tuple[str, str], letters: set[str]) -> str:
        """Orientation codes that are combined with these of a sensor."""
        if letters & set(BOREHOLE) and any(e.channel[-1] == BOREHOLE[0] for e in self._oriented(*sensor)):
            return BOREHOLE
        return next((family for family in (TRIAXIAL, *HORIZONTALS) if letters & set(family)), VERTICAL)

    def _oriented(self, location: str, prefix: str) -> Iterator[ChannelEpoch]:
        """The epochs of a sensor that have an azimuth and a dip."""
        for epoch in self.metadata:
            known = epoch.azimuth_deg is not None and epoch.dip_deg is not None
            if known and epoch.location == location and epoch.channel[:-1] == prefix:
                yield epoch

    def _listed(self, code: str, location: str) -> bool:
        config = self._config
        if config.channels and code not in config.channels:
            return False
        if config.sensors and all(sensor.code != code[:-1] for sensor in config.sensors):
            return False
        wanted = self._wanted_location(code)
        return not wanted or location_from_text(wanted) == location

    def _unlisted(self, code: str, location: str) -> str:
        """Why a channel of a suitable instrument is not used: what the station file states, or the sensor in use."""
        config = self._config
        if config.channels and code not in config.channels:
            return f"the station file lists the channels {', '.join(config.channels)}, not {code}"
        if not self._listed(code, location):
            codes = [sensor.code for sensor in config.sensors]
            if codes and code[:-1] not in codes:
                return f"the station file lists the sensors {', '.join(codes)}, not {code[:-1]}"
            wanted = self._wanted_location(code)
            return (
                f"the station file sets location = '{wanted}', and this channel has location '{location}'; "
                f"set location = '{location or BLANK_LOCATION}' to use it"
            )
        used = ", ".join(self._codes.values())
        return f"this station uses {used} at location '{self._sensor[0] if self._sensor else ''}'"

    def _wanted_location(self, code: str) -> str:
        """The location that the station file states for a channel; '' for any."""
        station = self._config.station
        sensor = next((sensor for sensor in self._config.sensors if sensor.code == code[:-1]), None)
        of_sensor = sensor.location if sensor is not None else ""
        return of_sensor or (station.location if station is not None else "")

    def _refusal(self, location: str, code: str) -> str | None:
        """Reason why a channel does not belong to such a sensor, by its code or by its units; None where it does."""
        if (location, code) not in self._refusals:
            why = refusal_of(code)
            entry = self._config.channels.get(code)
            units = {epoch.input_units for epoch in self._epochs(location, code) if epoch.input_units}
            quantities = {quantity_of(name) for name in units}
            if instrument_of(code) == GRAVIMETER and ("acceleration" in quantities or (entry and entry.unit)):
                why = None
            if why is None and units and self._quantity not in quantities and not (entry and entry.sensitivity):
                why = f"its input units are {_of_units(code, sorted(units))}"
            if why is None and code[-1:] == BOREHOLE[0] and self._family((location, code[:-1]), {"3"}) != BOREHOLE:
                why = "a channel 3 needs the azimuths and dips of 1, 2 and 3 in StationXML"
            self._refusals[location, code] = why
        return self._refusals[location, code]

    def _ignore(self, packet: Packet, why: str | None) -> None:
        name = str(packet.source_id)
        if name not in self.ignored:
            if why is None:
                why = self._unlisted(packet.source_id.channel, packet.source_id.location)
                if name[-1] not in COMPONENT_OF_ORIENTATION:
                    why = f"its last letter is not one of {', '.join(COMPONENT_OF_ORIENTATION)}"
                logger.warning("%s: channel %s is ignored: %s", self.station_id, name, why)
            else:
                quiet = why in self._logged or state_of_health_of(packet.source_id.channel)  # one warning per sensor
                level = logging.DEBUG if quiet else logging.WARNING
                self._logged.add(why)
                logger.log(level, "%s: channel %s is refused: %s", self.station_id, name, why)
            self.reasons[name] = why
        self.ignored[name] = self.ignored.get(name, 0) + 1

    def _note_rate(self, row: str, packet: Packet) -> None:
        """Remember the sampling rate of a row from the packet's time on: it selects among the epochs in StationXML."""
        rates = self._rates.setdefault(row, [])
        last_hz = rates[-1][1] if rates else 0.0
        if abs(packet.sampling_rate_hz - last_hz) <= RATE_TOLERANCE * last_hz or not self.metadata:
            return
        if rates and packet.starttime_ns <= rates[-1][0]:
            return  # a late packet from before the last change
        rates.append((packet.starttime_ns, packet.sampling_rate_hz))
        del rates[:-MAX_RATES]
        self._pieces = []

    def _rate_at(self, row: str, time_ns: int) -> float | None:
        """The sampling rate of a row at a time, that of its first packet at all earlier times.

        Without a packet of the row it is that of another one: they belong to one sensor. None before the first packet.
        """
        rates = self._rates.get(row) or next((rates for _, rates in sorted(self._rates.items())), [])
        at = bisect.bisect_right(rates, time_ns, key=lambda change: change[0])
        return rates[max(at - 1, 0)][1] if rates else None

    def _require(self, packet: Packet) -> None:
        code, location, time_ns = packet.source_id.channel, packet.source_id.location, packet.starttime_ns
        entry = self._config.channels.get(code)
        if self._metadata is None or (entry is not None and entry.sensitivity is not None):
            return
        self._metadata.check(self.station_id, [code], location)
        fitting = self._fitting(location, code, time_ns, packet.sampling_rate_hz)
        if not fitting or fitting[-1].fault:
            missing = self._missing(location, code, time_ns, fitting, packet.sampling_rate_hz)
            raise InputError(f"{self._metadata.path}: {self.station_id} {missing} at {iso_from_ns(time_ns)}")

    def _missing(
        self, location: str, code: str, time_ns: int, fitting: tuple[ChannelEpoch, ...], rate_hz: float | None
    ) -> str:
        """Why StationXML has no gain for a channel at a time, as a clause. fitting: of `_fitting`."""
        name = f"{code} at location '{location}'"
        if fitting:
            return f"{name} {fitting[-1].fault}"
        assert self._metadata is not None
        if faults := self._metadata.faults(self.station_id, code, location):
            return f"{name} has an epoch with an invalid value ({faults[0]})"
        others = epochs_at(self._epochs(location, code), time_ns)
        if others and rate_hz is not None:
            rates = " and ".join(f"{e.sampling_rate_hz:g}" for e in others)
            return f"{name} has an epoch of {rates} Hz, and the data have {rate_hz:g} Hz"
        return f"{name} has no epoch" if self._epochs(location, code) else f"{name} is missing"

    def _fitting(self, location: str, code: str, time_ns: int, rate_hz: float | None) -> tuple[ChannelEpoch, ...]:
        """Epochs of a channel that fit time and rate, the one that is used last."""
        return epochs_at(self._epochs(location, code), time_ns, rate_hz)

    def _epochs(self, location: str, code: str) -> tuple[ChannelEpoch, ...]:
        return tuple(e for e in self.metadata if e.channel == code and e.location == location)

    def _scales(self) -> list[tuple[int, Scale]]:
        """Start times and scales, in order of time; the first is valid at all earlier times."""
        if not self._pieces:
            letters = self._letters()
            location, prefix = self._sensor or ("", "")
            epochs = [e for letter in letters for e in self._epochs(location, prefix + letter)]
            borders = {border for e in epochs for border in (e.start_ns, e.end_ns, e.end_ns + END_SLACK_NS)}
            borders.add(-EVER_NS)
            borders.update(begin_ns for rates in self._rates.values() for begin_ns, _ in rates)
            self._pieces = [(border, self._scale(letters, border)) for border in sorted(borders)]
            rotated = any(scale.weights is not None for _, scale in self._pieces)
            self._weights = tuple((border, scale.weights) for border, scale in self._pieces) if rotated else ()
        return self._pieces

    def _letters(self) -> str:
        """Orientation codes of the three rows, as far as they follow from the channels received."""
        family = self._family(self._sensor or ("", ""), {code[-1] for code in self._codes.values()})
        if family in (TRIAXIAL, BOREHOLE):
            return family
        return VERTICAL if family == VERTICAL else VERTICAL + family

    def _scale(self, letters: str, time_ns: int) -> Scale:
        location, prefix = self._sensor or ("", "")
        remarks: list[str] = []
        facts = [self._facts(location, prefix + letter, time_ns, remarks) for letter in letters]
        correction = self._config.magnitude.station_correction
        return scale_from(facts, letters, remarks, NOMINAL_GAIN[self._quantity], correction)

    def _facts(self, location: str, code: str, time_ns: int, remarks: list[str]) -> ChannelFacts:
        entry = self._config.channels.get(code, ChannelConfig())
        rate_hz = self._rate_at(COMPONENT_OF_ORIENTATION[code[-1]], time_ns)
        fitting = self._fitting(location, code, time_ns, rate_hz)
        epoch = fitting[-1] if fitting else None
        gain, sign = entry.sensitivity, 1.0
        if gain is None and self._metadata is not None:
            if epoch is None or epoch.gain is None:
                missing = self._missing(location, code, time_ns, fitting, rate_hz)
                remarks.append(f"{self._metadata.path}: {missing}: no gain")
            else:
                gain, sign = abs(epoch.gain), np.sign(epoch.gain)
        if self._metadata is not None and len({(e.gain, e.azimuth_deg, e.dip_deg) for e in fitting}) > 1:
            begun = ", ".join(iso_from_ns(e.start_ns) for e in fitting if e.start_ns > -EVER_NS)
            remarks.append(
                f"{self._metadata.path}: {len(fitting)} epochs of {code} at location '{location}' overlap and differ "
                f"in gain or orientation (they begin at {begun}); the one that began last is used"
            )
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
                azimuth_deg += 180.0 if reversed_ else 0.0  # the polarity of the station file decides the direction
        return ChannelFacts(letter, np.nan if gain is None else gain, float(sign), azimuth_deg, dip_deg)


def _of_units(code: str, units: list[str]) -> str:
    """Units that are not those of a channel's instrument, and why: the end of a sentence."""
    quantity = quantity_of(units[0])
    contradiction = contradiction_of(code, quantity) if quantity in ("velocity", "acceleration") else None
    if contradiction is None or len(units) > 1:
        return said_of_units(*units)
    return f"{shortened(units[0])} ({quantity}), {contradiction}"


def metadata_of(config: StationConfig) -> StationXml | None:
    """The StationXML file that a station file names; None without one. Raises InputError."""
    if config.station is None or config.station.stationxml is None:
        return None
    return StationXml.read(Path(config.station.stationxml))

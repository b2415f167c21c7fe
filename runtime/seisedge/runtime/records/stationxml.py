"""StationXML: gain, units and orientation of the channels of a station, by time.

FDSN StationXML 1.x, https://docs.fdsn.org/projects/stationxml. Only the total sensitivity is used, not the frequency
response; it is correct if the response of the channel is flat within the band of the models.

A value that cannot be used, such as a dip of 240, makes its epoch unusable and not the file, which may describe a
thousand other channels: only a channel that is needed is refused.
"""

from __future__ import annotations

import contextlib
import functools
import math
from pathlib import Path

import msgspec

from seisedge.runtime.clock import ns_from_iso, ns_from_s
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.channelcode import contradiction_of
from seisedge.runtime.records.codes import BLANK_LOCATION, location_from_text
from seisedge.runtime.records.units import (
    MAX_GAIN,
    MIN_ACCELERATION_GAIN,
    MIN_GAIN,
    UNIT_OF,
    Quantity,
    ground_motion_of,
    quantity_of,
)
from seisedge.runtime.records.xmlfile import SPLIT, local_name, read_xml
from seisedge.runtime.text import quoted, shortened

VELOCITY = "M/S"
PLAIN_UNITS: dict[Quantity, str] = {"velocity": VELOCITY, "acceleration": "M/S**2"}
EVER_NS = 2**63 - 1  # end of an open epoch; negative: start of one without a start date
END_SLACK_NS = ns_from_s(1.0)  # an epoch often ends at 23:59:59 and the next one starts at 00:00:00
MAX_EPOCHS = 50_000  # of a file: a national network over decades
MAX_TEXT = 200  # characters of a value
RATE_TOLERANCE = 0.01  # relative: a drift of the digitizer is smaller, another stream of it has another rate
DIP_RANGE_DEG = (-90.0, 90.0)
AZIMUTH_RANGE_DEG = (-360.0, 360.0)  # the schema allows 0 to 360; -90 for 270 is unambiguous

ROOT = "FDSNStationXML"
CHANNEL = (ROOT, "Network", "Station", "Channel")
SENSITIVITY = (*CHANNEL, "Response", "InstrumentSensitivity")
STATION = (ROOT, "Network", "Station")
POSITION = ("latitude", "longitude")  # keys in TEXTS of a station
ELEVATION, MAX_ELEVATION_M = "elevation", 12_000.0  # also below the sea
TEXTS = {
    (*STATION, "Latitude"): "latitude",
    (*STATION, "Longitude"): "longitude",
    (*STATION, "Elevation"): ELEVATION,
    (*CHANNEL, "Azimuth"): "azimuth_deg",
    (*CHANNEL, "Dip"): "dip_deg",
    (*CHANNEL, "SampleRate"): "sampling_rate_hz",
    (*CHANNEL, "Depth"): "depth_m",
    (*SENSITIVITY, "Value"): "sensitivity",
    (*SENSITIVITY, "InputUnits", "Name"): "input_units",
    (*SENSITIVITY, "OutputUnits", "Name"): "output_units",
}
NUMBERS = ("azimuth_deg", "dip_deg", "sensitivity")


class ChannelEpoch(msgspec.Struct, frozen=True):
    """Metadata of a channel for the time [start_ns, end_ns); None for values that the file does not contain.

    sensitivity: output units per input unit, with its sign. input_units: as written, for capitals may differ from
    small letters (see `units`); a plain unit is always `M/S` or `M/S**2`. output_units: in capitals.
    """

    location: str
    channel: str
    start_ns: int
    end_ns: int
    sensitivity: float | None = None
    input_units: str | None = None
    output_units: str | None = None
    azimuth_deg: float | None = None
    dip_deg: float | None = None
    sampling_rate_hz: float | None = None
    depth_m: float | None = None

    def has_rate(self, rate_hz: float | None) -> bool:
        """True unless both rates are known and differ: the epoch then describes another stream."""
        if rate_hz is None or self.sampling_rate_hz is None:
            return True
        return abs(self.sampling_rate_hz / rate_hz - 1) <= RATE_TOLERANCE

    @property
    def quantity(self) -> Quantity | None:
        """Velocity or acceleration, by the input units; None for any other quantity."""
        motion = ground_motion_of(self.input_units or "")
        return motion[0] if motion is not None else None

    @property
    def gain(self) -> float | None:
        """Counts per m/s, or per m/s**2 of an accelerometer, with its sign; None where `fault` says why not."""
        motion = ground_motion_of(self.input_units or "")
        if self.fault is not None or self.sensitivity is None or motion is None:
            return None
        return self.sensitivity / motion[1]

    @property
    def fault(self) -> str | None:
        """The reason why the sensitivity cannot be used, as a clause for a message; None if it can."""
        if self.sensitivity is None:
            return "has no InstrumentSensitivity"
        if self.sensitivity == 0:
            return "has an InstrumentSensitivity of 0"
        motion = ground_motion_of(self.input_units or "")
        if motion is None:
            return f"has the input units {said_of_units(self.input_units)}"
        quantity, unit = motion
        if contradiction := contradiction_of(self.channel, quantity):
            return f"has the input units {shortened(self.input_units or '')} ({quantity}), {contradiction}"
        if "COUNT" not in (self.output_units or ""):
            return f"has a sensitivity in {shortened(self.output_units or '(no units)')}, and counts are wanted"
        gain, lowest = abs(self.sensitivity) / unit, MIN_GAIN if quantity == "velocity" else MIN_ACCELERATION_GAIN
        if not lowest <= gain <= MAX_GAIN:
            per = UNIT_OF[quantity]
            return f"has a sensitivity of {gain:g} counts per {per}, which is not between {lowest:g} and {MAX_GAIN:g}"
        return None


def said_of_units(*units: str | None) -> str:
    """Units that are no velocity, and what the models take: the end of a sentence."""
    names = []
    for name in units:
        quantity = quantity_of(name) if name else None
        names.append(f"{shortened(name or '(none)')}{f' ({quantity})' if quantity else ''}")
    taken = "the models take ground velocity, M/S or with an SI prefix as NM/S, or the acceleration of an accelerometer"
    return f"{', '.join(names)}, and {taken}"


class StationXml:
    """Content of a file: for each station (`NET.STA`) the epochs of its channels, in the order of the file."""

    def __init__(
        self,
        path: Path,
        stations: dict[str, tuple[ChannelEpoch, ...]],
        faults: dict[tuple[str, str, str], list[str]] | None = None,
        positions: dict[str, tuple[float, float]] | None = None,
        elevations: dict[str, float] | None = None,
    ) -> None:
        """faults: by station, location and channel, what is wrong with epochs that are left out. positions: latitude
        and longitude in degrees, by station. elevations: metres above sea level, by station.
        """
        self.path = path
        self._stations = stations
        self._faults = faults or {}
        self._positions = positions or {}
        self._elevations = elevations or {}

    @classmethod
    def read(cls, path: Path) -> StationXml:
        """Read a file; it is cached until it changes. Raises InputError if it cannot be read or is not StationXML."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise InputError(f"{path}: no such StationXML file") from None
        except OSError as error:
            raise InputError(f"{path}: the StationXML file cannot be read: {error.strerror}") from error
        return _read(path, stat.st_mtime_ns, stat.st_size)

    def station_ids(self) -> list[str]:
        """All stations of the file, sorted."""
        return sorted(self._stations)

    def position(self, station_id: str) -> tuple[float, float] | None:
        """Latitude and longitude of the station in degrees, of its last epoch; None if they are missing or invalid."""
        return self._positions.get(station_id)

    def elevation_m(self, station_id: str) -> float | None:
        """Elevation of the station above sea level, of its last epoch; None if it is missing or invalid."""
        return self._elevations.get(station_id)

    def contains(self, station_id: str) -> bool:
        """True if the file contains channels of the station, with or without a usable epoch."""
        return station_id in self._stations

    def station(self, station_id: str) -> tuple[ChannelEpoch, ...]:
        """All epochs of a station; empty if the file does not contain it."""
        return self._stations.get(station_id, ())

    def faults(self, station_id: str, channel: str = "", location: str = "") -> list[str]:
        """What is wrong with epochs that were left out, a sentence each; '' for any channel or location."""
        return [
            fault
            for (station, place, code), faults in self._faults.items()
            if station == station_id and channel in ("", code) and location in ("", place or BLANK_LOCATION)
            for fault in faults
        ]

    def check(self, station_id: str, channels: list[str], location: str = "") -> None:
        """Check that the station has a usable sensitivity for each of the channels, at least at some time.

        location: '' for any, '--' for the blank one. Raises InputError if the station or a channel is missing, has no
        usable epoch, or has an epoch with an invalid value.
        """
        for code in channels:
            for fault in self.faults(station_id, code, location):
                raise InputError(f"{self.path}: {fault}")
        epochs = self.station(station_id)
        if station_id not in self._stations:
            known = ", ".join(map(shortened, sorted(self._stations)[:5])) or "no station with channels"
            raise InputError(f"{self.path}: {station_id} is not in it; it has {known}")
        for code in channels:
            found = [e for e in epochs if e.channel == code and location in ("", e.location or BLANK_LOCATION)]
            if not found:
                known = ", ".join(map(shortened, sorted({e.channel for e in epochs})[:20])) or "no usable epoch"
                at = f" at location '{location}'" if location else ""
                raise InputError(f"{self.path}: {station_id} has no channel {code}{at}; it has {known}")
            faults = [epoch.fault for epoch in found]
            if all(faults):
                raise InputError(f"{self.path}: {station_id} {code} {faults[-1]}")


@functools.lru_cache(maxsize=8)
def _read(path: Path, _mtime_ns: int, _size: int) -> StationXml:
    reader = _Reader(path)
    read_xml(path, "the StationXML file", reader.start, reader.end, reader.data)
    stations = {key: tuple(epochs) for key, epochs in reader.stations.items()}
    return StationXml(path, stations, reader.faults, reader.positions, reader.elevations)


class _Reader:
    """Target of the XML parser: keeps only the few values that are used, so that large files need little memory."""

    def __init__(self, path: Path) -> None:
        self.stations: dict[str, list[ChannelEpoch]] = {}
        self.faults: dict[tuple[str, str, str], list[str]] = {}  # by station, location and channel
        self._path = path
        self.positions: dict[str, tuple[float, float]] = {}
        self.elevations: dict[str, float] = {}
        self._place: dict[str, str] = {}
        self._epochs = 0
        self._open: list[str] = []
        self._codes: dict[str, str] = {}  # of the current network and station
        self._attributes: dict[str, str] = {}  # of the current channel
        self._facts: dict[str, str] = {}
        self._key: str | None = None  # in TEXTS, of the element that is open
        self._text = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(local_name(tag))
        place = tuple(self._open)
        if len(place) == 1:
            self._root(attributes)
        elif place[-1] in ("Network", "Station") and len(place) <= 3:
            self._codes[place[-1]] = attributes.get("code", "").strip()[:MAX_TEXT]
            self._place = {}
        elif place == CHANNEL:
            self._attributes, self._facts = attributes, {}
        self._key, self._text = TEXTS.get(place), ""

    def data(self, text: str) -> None:
        if self._key is not None:
            self._text = (self._text + text)[: MAX_TEXT + 1]

    def end(self, _tag: str) -> None:
        if self._key is not None and self._key in (*POSITION, ELEVATION):
            self._place[self._key] = self._text.strip()
            self._key = None
        elif self._key is not None:
            self._facts[self._key] = self._text.strip()
            self._key = None
        elif tuple(self._open) == STATION:
            self._add_position()
        elif tuple(self._open) == CHANNEL:
            self._add()
        self._open.pop()

    def _root(self, attributes: dict[str, str]) -> None:
        if self._open != [ROOT]:
            root = shortened(self._open[0])
            raise InputError(f"{self._path}: not StationXML: the root element is {root}, not {ROOT}")
        version = attributes.get("schemaVersion", "")
        if version.split(".")[0] != "1":
            raise InputError(f"{self._path}: StationXML of version {quoted(version)}; this release reads 1.x")

    def _add_position(self) -> None:
        """Add the position and the elevation of the station that ends here, as far as they are valid."""
        station_id = f"{self._codes.get('Network', '')}.{self._codes.get('Station', '')}"
        with contextlib.suppress(KeyError, ValueError):
            elevation_m = float(self._place[ELEVATION])
            if abs(elevation_m) <= MAX_ELEVATION_M:
                self.elevations[station_id] = elevation_m
        with contextlib.suppress(KeyError, ValueError):
            latitude, longitude = (float(self._place[key]) for key in POSITION)
            if abs(latitude) <= 90 and abs(longitude) <= 180:
                self.positions[station_id] = latitude, longitude

    def _add(self) -> None:
        """Add the epoch of the channel that ends here, or the reason why it is left out."""
        self._epochs += 1
        if self._epochs > MAX_EPOCHS:
            raise InputError(f"{self._path}: the StationXML file has more than {MAX_EPOCHS} channel epochs; {SPLIT}")
        station_id = f"{self._codes.get('Network', '')}.{self._codes.get('Station', '')}"
        code = self._attributes.get("code", "").strip()[:MAX_TEXT]
        location = location_from_text(self._attributes.get("locationCode", "").strip()[:MAX_TEXT])
        epochs = self.stations.setdefault(station_id, [])
        try:
            epochs.append(self._epoch(location, code))
        except ValueError as error:
            fault = f"{shortened(station_id)} {shortened(code)}: {error}"
            self.faults.setdefault((station_id, location, code), []).append(fault)

    def _epoch(self, location: str, code: str) -> ChannelEpoch:
        """Raises ValueError with the value that cannot be used."""
        rate_hz = self._facts.get("sampling_rate_hz")
        return ChannelEpoch(
            location=location,
            channel=code,
            start_ns=self._time("startDate", -EVER_NS),
            end_ns=self._time("endDate", EVER_NS),
            sensitivity=self._number("sensitivity"),
            input_units=_input_units(self._facts.get("input_units")),
            output_units=self._facts["output_units"].upper() if "output_units" in self._facts else None,
            azimuth_deg=self._number("azimuth_deg", AZIMUTH_RANGE_DEG),
            dip_deg=self._number("dip_deg", DIP_RANGE_DEG),
            sampling_rate_hz=_positive(rate_hz),
            depth_m=_finite(self._facts.get("depth_m")),
        )

    def _number(self, key: str, bounds: tuple[float, float] | None = None) -> float | None:
        text = self._facts.get(key)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{key} must be a number; got {quoted(text)}")
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            raise ValueError(f"{key} must be from {bounds[0]:g} to {bounds[1]:g}; got {value:g}")
        return value

    def _time(self, key: str, default_ns: int) -> int:
        text = self._attributes.get(key)
        if text is None:
            return default_ns
        try:
            return ns_from_iso(text)
        except ValueError:
            raise ValueError(f"{key} must be a time as 2019-07-07T00:00:00; got {quoted(text)}") from None


def _positive(text: str | None) -> float | None:
    """A sampling rate; None for 0, which channels of states have, and for anything that is no number."""
    try:
        value = float(text or 0)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _finite(text: str | None) -> float | None:
    """A depth; None for anything that is no number: a gain must not depend on it."""
    try:
        value = float(text or math.nan)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _input_units(text: str | None) -> str | None:
    """As written; units without a prefix in one spelling, so that no state of a station depends on the case."""
    motion = ground_motion_of(text) if text is not None else None
    return PLAIN_UNITS[motion[0]] if motion is not None and motion[1] == 1 else text


def epochs_at(epochs: tuple[ChannelEpoch, ...], time_ns: int, rate_hz: float | None = None) -> tuple[ChannelEpoch, ...]:
    """The epochs that cover a time and have this rate, in order of their start; see `ChannelEpoch.has_rate`."""
    of_rate = [e for e in epochs if e.has_rate(rate_hz)]
    covering = [e for e in of_rate if e.start_ns <= time_ns < e.end_ns]
    if not covering:
        covering = [e for e in of_rate if e.start_ns <= time_ns < e.end_ns + END_SLACK_NS]
    return tuple(sorted(covering, key=lambda e: e.start_ns))


def epoch_at(epochs: tuple[ChannelEpoch, ...], time_ns: int, rate_hz: float | None = None) -> ChannelEpoch | None:
    """Of the epochs of `epochs_at` the one that began last; None if there is none."""
    return next(reversed(epochs_at(epochs, time_ns, rate_hz)), None)

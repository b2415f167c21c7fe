"""StationXML: gain, units and orientation of the channels of a station, by time.

FDSN StationXML 1.x, https://docs.fdsn.org/projects/stationxml. Only the total sensitivity is used, not the frequency
response; it is correct if the response of the channel is flat within the band of the models.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import msgspec

from seisedge.runtime.clock import ns_from_iso, ns_from_s
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.units import MAX_GAIN, MIN_GAIN, metres_per_s, quantity_of

VELOCITY = "M/S"
EVER_NS = 2**63 - 1  # end of an open epoch; negative: start of one without a start date
END_SLACK_NS = ns_from_s(1.0)  # an epoch often ends at 23:59:59 and the next one starts at 00:00:00
CHUNK = 1 << 16

ROOT = "FDSNStationXML"
CHANNEL = (ROOT, "Network", "Station", "Channel")
SENSITIVITY = (*CHANNEL, "Response", "InstrumentSensitivity")
TEXTS = {
    (*CHANNEL, "Azimuth"): "azimuth_deg",
    (*CHANNEL, "Dip"): "dip_deg",
    (*SENSITIVITY, "Value"): "sensitivity",
    (*SENSITIVITY, "InputUnits", "Name"): "input_units",
    (*SENSITIVITY, "OutputUnits", "Name"): "output_units",
}
NUMBERS = ("azimuth_deg", "dip_deg", "sensitivity")


class ChannelEpoch(msgspec.Struct, frozen=True):
    """Metadata of a channel for the time [start_ns, end_ns); None for values that the file does not contain.

    sensitivity: output units per input unit, with its sign. input_units: as written, for capitals may differ from
    small letters (see `units`); a plain metre per second is always `M/S`. output_units: in capitals.
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

    @property
    def gain(self) -> float | None:
        """Counts per m/s of ground velocity, with its sign; None where `fault` says why not."""
        if self.fault is not None or self.sensitivity is None:
            return None
        return self.sensitivity / (metres_per_s(self.input_units or "") or 1.0)

    @property
    def fault(self) -> str | None:
        """The reason why the sensitivity cannot be used, as a clause for a message; None if it can."""
        if self.sensitivity is None:
            return "has no InstrumentSensitivity"
        if self.sensitivity == 0:
            return "has an InstrumentSensitivity of 0"
        if metres_per_s(self.input_units or "") is None:
            return f"has the input units {said_of_units(self.input_units)}"
        if "COUNT" not in (self.output_units or ""):
            return f"has a sensitivity in {self.output_units or '(no units)'}, and counts are wanted"
        gain = abs(self.sensitivity) / (metres_per_s(self.input_units or "") or 1.0)
        if not MIN_GAIN <= gain <= MAX_GAIN:
            return f"has a sensitivity of {gain:g} counts per m/s, which is not between {MIN_GAIN:g} and {MAX_GAIN:g}"
        return None


def said_of_units(*units: str | None) -> str:
    """Units that are no velocity, and what the models take: the end of a sentence."""
    names = []
    for name in units:
        quantity = quantity_of(name) if name else None
        names.append(f"{name or '(none)'}{f' ({quantity})' if quantity else ''}")
    return f"{', '.join(names)}, and the models take ground velocity, {VELOCITY} or with an SI prefix as NM/S"


class StationXml:
    """Content of a file: for each station (`NET.STA`) the epochs of its channels, in the order of the file."""

    def __init__(self, path: Path, stations: dict[str, tuple[ChannelEpoch, ...]]) -> None:
        self.path = path
        self._stations = stations

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

    def station(self, station_id: str) -> tuple[ChannelEpoch, ...]:
        """All epochs of a station; empty if the file does not contain it."""
        return self._stations.get(station_id, ())

    def check(self, station_id: str, channels: list[str], location: str = "") -> None:
        """Check that the station has a usable sensitivity for each of the channels, at least at some time.

        location: '' for any. Raises InputError if the station or a channel is missing, or has no usable epoch.
        """
        epochs = self.station(station_id)
        if not epochs:
            known = ", ".join(sorted(self._stations)[:5]) or "no station with channels"
            raise InputError(f"{self.path}: {station_id} is not in it; it has {known}")
        for code in channels:
            found = [e for e in epochs if e.channel == code and location in ("", e.location)]
            if not found:
                known = ", ".join(sorted({e.channel for e in epochs}))
                at = f" at location '{location}'" if location else ""
                raise InputError(f"{self.path}: {station_id} has no channel {code}{at}; it has {known}")
            faults = [epoch.fault for epoch in found]
            if all(faults):
                raise InputError(f"{self.path}: {station_id} {code} {faults[-1]}")


@functools.lru_cache(maxsize=8)
def _read(path: Path, _mtime_ns: int, _size: int) -> StationXml:
    import xml.etree.ElementTree as ET  # takes 10 ms, which a station without StationXML saves

    reader = _Reader(path)
    parser = ET.XMLParser(target=reader)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                parser.feed(chunk)
        parser.close()
    except OSError as error:
        raise InputError(f"{path}: the StationXML file cannot be read: {error.strerror}") from error
    except ET.ParseError as error:
        raise InputError(f"{path}: not XML: {error}") from error
    return StationXml(path, {key: tuple(epochs) for key, epochs in reader.stations.items()})


class _Reader:
    """Target of the XML parser: keeps only the few values that are used, so that large files need little memory."""

    def __init__(self, path: Path) -> None:
        self.stations: dict[str, list[ChannelEpoch]] = {}
        self._path = path
        self._open: list[str] = []
        self._codes: dict[str, str] = {}  # of the current network and station
        self._attributes: dict[str, str] = {}  # of the current channel
        self._facts: dict[str, str] = {}
        self._text: list[str] = []

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise InputError(f"{self._path}: has a DOCTYPE, which StationXML does not allow; remove it")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(tag.rpartition("}")[2])
        self._text = []
        if len(self._open) == 1:
            self._root(attributes)
        elif self._open[-1] in ("Network", "Station") and len(self._open) <= 3:
            self._codes[self._open[-1]] = attributes.get("code", "").strip()
        elif tuple(self._open) == CHANNEL:
            self._attributes, self._facts = attributes, {}

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, _tag: str) -> None:
        place = tuple(self._open)
        if place in TEXTS:
            self._facts[TEXTS[place]] = "".join(self._text).strip()
        elif place == CHANNEL:
            station_id = f"{self._codes.get('Network', '')}.{self._codes.get('Station', '')}"
            self.stations.setdefault(station_id, []).append(self._epoch(station_id))
        self._open.pop()
        self._text = []

    def _root(self, attributes: dict[str, str]) -> None:
        if self._open != [ROOT]:
            raise InputError(f"{self._path}: not StationXML: the root element is {self._open[0]}, not {ROOT}")
        version = attributes.get("schemaVersion", "")
        if version.split(".")[0] != "1":
            raise InputError(f"{self._path}: StationXML of version '{version}'; this release reads 1.x")

    def _epoch(self, station_id: str) -> ChannelEpoch:
        code = self._attributes.get("code", "").strip()
        name = f"{station_id} {code}"
        numbers = {key: self._number(name, key) for key in NUMBERS}
        return ChannelEpoch(
            location=self._attributes.get("locationCode", "").strip().replace("--", ""),
            channel=code,
            start_ns=self._time(name, "startDate", -EVER_NS),
            end_ns=self._time(name, "endDate", EVER_NS),
            input_units=_input_units(self._facts.get("input_units")),
            output_units=self._facts["output_units"].upper() if "output_units" in self._facts else None,
            **numbers,
        )

    def _number(self, name: str, key: str) -> float | None:
        text = self._facts.get(key)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{self._path}: {name}: {key} must be a number; got '{text}'")
        return value

    def _time(self, name: str, key: str, default_ns: int) -> int:
        text = self._attributes.get(key)
        if text is None:
            return default_ns
        try:
            return ns_from_iso(text)
        except ValueError:
            raise InputError(
                f"{self._path}: {name}: {key} must be a time as 2019-07-07T00:00:00; got '{text}'"
            ) from None


def _input_units(text: str | None) -> str | None:
    """As written; a plain metre per second in one spelling, so that no state of a station depends on the case."""
    return VELOCITY if text is not None and metres_per_s(text) == 1 else text


def epoch_at(epochs: tuple[ChannelEpoch, ...], time_ns: int) -> ChannelEpoch | None:
    """The epoch that covers a time, the one that began last if there are several; None if there is none."""
    covering = [e for e in epochs if e.start_ns <= time_ns < e.end_ns]
    if not covering:
        covering = [e for e in epochs if e.start_ns <= time_ns < e.end_ns + END_SLACK_NS]
    return max(covering, key=lambda e: e.start_ns, default=None)

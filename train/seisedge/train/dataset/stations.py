"""Positions and gains of stations, from StationXML or from the station files of `seisedge run`.

Gains are read by the StationXML reader of the runtime, so that training and station use the same values.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.config import load_config
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.channelcode import quantity_of_code
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.records.stationxml import EVER_NS, PLAIN_UNITS, ChannelEpoch, StationXml, epoch_at
from seisedge.runtime.text import shortened

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """A position, valid in [start_ns, end_ns)."""

    latitude_deg: float
    longitude_deg: float
    elevation_m: float | None
    start_ns: int = -EVER_NS
    end_ns: int = EVER_NS


class Stations:
    """Positions of stations (`NET.STA`) and gains of their channels, by time."""

    def __init__(self) -> None:
        self._sites: dict[str, list[Site]] = {}
        self._epochs: dict[str, tuple[ChannelEpoch, ...]] = {}
        self._inventories: list[StationXml] = []

    def __len__(self) -> int:
        return len(self._sites)

    @classmethod
    def read(cls, paths: list[Path]) -> Stations:
        """Read StationXML (.xml), station files (.toml) and folders of them. Raises InputError."""
        stations = cls()
        for path in paths:
            if not (path.is_file() or path.is_dir()):  # also a FIFO, which might never end
                raise InputError(f"--stations {path}: no such file or folder")
            files = (
                sorted(p for p in path.rglob("*") if p.suffix in (".xml", ".toml") and p.is_file())
                if path.is_dir()
                else [path]
            )
            if not files:
                raise InputError(f"--stations {path}: the folder has no StationXML (.xml) or station file (.toml)")
            for file in files:
                if file.suffix == ".toml":
                    stations._add_station_file(file)
                else:
                    stations._add_stationxml(file)
        return stations

    def site(self, station: str, time_ns: int) -> Site | None:
        """The position of NET.STA at a time; None if unknown."""
        covering = [s for s in self._sites.get(station, ()) if s.start_ns <= time_ns < s.end_ns]
        return max(covering, key=lambda s: s.start_ns, default=None)

    def networks(self) -> dict[str, str]:
        """Station code → network code, of the codes that only one network has."""
        found: dict[str, set[str]] = {}
        for name in {*self._sites, *self._epochs}:
            network, _, code = name.partition(".")
            found.setdefault(code, set()).add(network)
        return {code: networks.pop() for code, networks in found.items() if len(networks) == 1}

    def add_site(self, station: str, site: Site) -> bool:
        """Add the position of NET.STA; False if the files state a position of this station, which is then kept."""
        if station in self._sites:
            return False
        self._sites[station] = [site]
        return True

    def stationxml(self, station: str) -> StationXml | None:
        """The first StationXML file that contains NET.STA; None if there is none."""
        return next((inventory for inventory in self._inventories if inventory.contains(station)), None)

    def gain(self, channel: SourceId, time_ns: int, rate_hz: float) -> float | str:
        """Counts per m/s of a channel with this sampling rate, or per m/s**2 of an accelerometer.

        Where there is no gain, the reason as a clause.
        """
        epochs = self._epochs.get(channel.station_id, ())
        fitting = tuple(e for e in epochs if e.channel == channel.channel and e.location in (channel.location, "*"))
        if not fitting:
            return "no StationXML or station file has a gain for the channel"
        epoch = epoch_at(fitting, time_ns, rate_hz)
        if epoch is None and epoch_at(fitting, time_ns) is not None:
            return "StationXML has only an epoch of another sampling rate at the time of the window"
        if epoch is None:
            return "StationXML has no epoch of the channel at the time of the window"
        return f"the channel {epoch.fault}" if epoch.gain is None else epoch.gain

    def _add_stationxml(self, path: Path) -> None:
        inventory = StationXml.read(path)  # raises if the file is not StationXML or exceeds its limits
        self._inventories.append(inventory)
        sites = _sites_of(path)
        for station, site in sites:
            self._sites.setdefault(station, []).append(site)
        for station in {station for station, _ in sites}:  # a station may occur in several files
            self._epochs[station] = (*self._epochs.get(station, ()), *inventory.station(station))
            for fault in inventory.faults(station):
                logger.warning("%s: %s; this epoch is not used", path, fault)

    def _add_station_file(self, path: Path) -> None:
        config = load_config(path)
        identity = config.station
        if identity is None:
            raise InputError(f"--stations {path}: the table [station] is missing")
        station = f"{identity.network}.{identity.station}"
        if identity.latitude_deg is not None and identity.longitude_deg is not None:
            site = Site(identity.latitude_deg, identity.longitude_deg, None)
            self._sites.setdefault(station, []).append(site)
        self._epochs[station] = tuple(
            ChannelEpoch("*", code, -EVER_NS, EVER_NS, entry.sensitivity, PLAIN_UNITS[quantity], "COUNTS")
            for code, entry in config.channels.items()
            if entry.sensitivity and (quantity := quantity_of_code(code)) is not None
        )


def _sites_of(path: Path) -> list[tuple[str, Site]]:
    """Station and position of every Station element."""
    out = []
    network = ""
    for action, element in ET.iterparse(path, events=("start", "end")):
        tag = element.tag.rpartition("}")[2]
        if action == "start" and tag == "Network":
            network = element.get("code", "").strip()
        elif action == "end" and tag == "Station":
            values = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
            start, end = element.get("startDate"), element.get("endDate")
            name = f"{network}.{element.get('code', '').strip()}"
            try:
                site = Site(
                    float(values["Latitude"]),
                    float(values["Longitude"]),
                    float(values["Elevation"]) if values.get("Elevation") else None,
                    ns_from_iso(start) if start else -EVER_NS,
                    ns_from_iso(end) if end else EVER_NS,
                )
                if not (abs(site.latitude_deg) <= 90 and abs(site.longitude_deg) <= 360):  # also nan
                    raise ValueError
            except (KeyError, ValueError):
                logger.warning(
                    "%s: station %s is not used: its Latitude, Longitude, startDate or endDate is missing or invalid",
                    path,
                    shortened(name),
                )
            else:
                out.append((name, site))
            element.clear()
    return out

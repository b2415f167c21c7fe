"""Short station files: from StationXML, from the streams of a SeedLink server, or from both."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.channelcode import (
    ACCELEROMETER,
    BANDS,
    COMPONENT_OF_ORIENTATION,
    instrument_of,
    refusal_of,
)
from seisedge.runtime.records.codes import BLANK_LOCATION, LOCATION
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.urls import shown_url

if TYPE_CHECKING:
    from seisedge.runtime.sources._seedlink_info import Stream

# Band codes of at least 80 Hz first, then those of 10 to 80 Hz; slower streams do not carry the band of the models.
PREFERRED_BANDS = "HECDFGBS"


def toml_text(text: str) -> str:
    """A basic string of TOML; JSON strings are valid there."""
    return json.dumps(text, ensure_ascii=False)


def station_file_text(
    name: str, metadata: StationXml | None, path: Path | None, server: str | None = None, streams: Sequence[Stream] = ()
) -> str:
    """The text of the station file of NET.STA.

    metadata, path: StationXML, and its path as it is written. server: the URL of a SeedLink server without stations,
    which has these streams of the station.
    """
    network, _, station = name.partition(".")
    lines = []
    if server is not None:
        lines += [f"source = {toml_text(f'{server}/{network}_{station}')}", ""]
    lines += ["[station]", f"network = {toml_text(network)}", f"station = {toml_text(station)}"]
    sensor = _sensor(streams)
    if sensor is not None:
        lines.append(f"location = {toml_text(sensor[0] or BLANK_LOCATION)}")
    if metadata is not None and path is not None:
        position = metadata.position(name)
        if position is not None:
            lines += [f"latitude_deg = {position[0]!r}", f"longitude_deg = {position[1]!r}"]
        lines.append(f"stationxml = {toml_text(text_from_path(path))}")
        lines += ["", *_sensors_of(name, metadata)]
    if server is not None:
        lines += ["", *_channels(streams, sensor, has_gains=metadata is not None)]
    return "\n".join(lines) + "\n"


def _sensors_of(name: str, metadata: StationXml) -> list[str]:
    usable = [epoch for epoch in metadata.station(name) if epoch.fault is None]
    sensors = sorted({(e.location or BLANK_LOCATION, e.channel[:-1]) for e in usable if refusal_of(e.channel) is None})
    listed = ", ".join(f"{location}.{band}?" for location, band in sensors) or "none"
    return [f'# sensors with a gain in the StationXML file: {listed}; location = "00" above selects one']


def _sensor(streams: Sequence[Stream]) -> tuple[str, str] | None:
    """Location, and band and instrument code, of the sensor that the station file uses; None if no stream fits."""
    found = {
        (one.location, one.channel[:2])
        for one in streams
        if _is_used(one.channel) and one.channel[0] in PREFERRED_BANDS and re.fullmatch(LOCATION, one.location)
    }
    return min(found, key=lambda one: (one[1][1] == ACCELEROMETER, PREFERRED_BANDS.index(one[1][0]), one), default=None)


def _is_used(channel: str) -> bool:
    known = len(channel) == 3 and channel[0] in BANDS and channel[2] in COMPONENT_OF_ORIENTATION
    return known and refusal_of(channel) is None and instrument_of(channel) != "G"


def _channels(streams: Sequence[Stream], sensor: tuple[str, str] | None, *, has_gains: bool) -> list[str]:
    """The tables of the channels of a sensor, and a comment with all streams."""
    listed = sorted(f"{one.location or BLANK_LOCATION}.{one.channel}" for one in streams)
    lines = [f"# Streams of the station on the server: {', '.join(listed) or 'none'}"]
    if sensor is None:
        return [*lines, "# None of them is a seismometer or an accelerometer of at least 10 Hz."]
    if not has_gains:
        lines += [
            "# Set the sensitivity of each channel, counts per m/s (of an accelerometer: per m/s**2), or stationxml in",
            "# [station]; without it magnitudes are provisional.",
        ]
    for channel in sorted(
        {one.channel for one in streams if (one.location, one.channel[:2]) == sensor and _is_used(one.channel)}
    ):
        lines.append(f"[channels.{channel}]")
        if not has_gains:
            lines.append("#sensitivity = 1.0e9")
    return lines


def server_of(url: str) -> str:
    """A URL of a server without user, stations and query."""
    scheme, _, rest = shown_url(url).partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"

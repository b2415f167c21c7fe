"""Network, station and location codes, as defined by the FDSN source identifiers.

https://docs.fdsn.org/projects/source-identifiers/en/v1.0/definition.html

A code has up to 8 capital letters and digits; a station or location code may also have dashes. A location code may be
blank, which is written as two dashes where an empty text has another meaning. SEED, and with it miniSEED 2 and
SeedLink 3, has shorter codes; see `fits_seed`.
"""

from __future__ import annotations

import re

from seisedge.runtime.records.packet import SourceId

NETWORK = "[A-Z0-9]{1,8}"
STATION = "[A-Z0-9-]{1,8}"
LOCATION = "[A-Z0-9-]{0,8}"
NETWORK_PATTERN = "[A-Z0-9?*]{1,8}"  # '?' for any character, '*' for any text
STATION_PATTERN = "[A-Z0-9?*-]{1,8}"
BLANK_LOCATION = "--"

SEED_FORM = "in SEED a network has up to 2, a station up to 5, a location up to 2 and a channel 3 characters"


def station_from_text(text: str, *, patterns: bool = False) -> tuple[str, str] | None:
    """Network and station of `NET_STA`, with `patterns` also of `*_A??`; None for any other text."""
    network, station = (NETWORK_PATTERN, STATION_PATTERN) if patterns else (NETWORK, STATION)
    match = re.fullmatch(f"({network})_({station})", text)
    return (match[1], match[2]) if match else None


def location_from_text(text: str) -> str:
    """A location code as it is in a `SourceId`: two dashes are the blank one."""
    return "" if text == BLANK_LOCATION else text


def station_fits_seed(network: str, station: str) -> bool:
    """True if SEED has room for both codes; a pattern fits if it can match such codes."""
    return all(len(code.replace("*", "")) <= longest for code, longest in ((network, 2), (station, 5)))


def fits_seed(source_id: SourceId) -> bool:
    """True if SEED has room for all codes of a channel."""
    return (
        station_fits_seed(source_id.network, source_id.station)
        and len(source_id.location) <= 2
        and len(source_id.channel) == 3
        and "_" not in source_id.channel
    )

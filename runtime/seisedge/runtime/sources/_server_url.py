"""Parse and check `SCHEME://host[:port][/NET_STA,…][?select=EH?,…&from=earliest|latest|TIME]`.

SeedLink also has `protocol=3|4`.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from seisedge.runtime.addresses import host_fault
from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.codes import station_from_text
from seisedge.runtime.suggestion import suggestion

SEEDLINK_PORT = 18_000
DATALINK_PORT = 16_000
EARLIEST = "earliest"
LATEST = "latest"

_KEYS = {"seedlink": ("select", "from", "protocol"), "datalink": ("select", "from")}
_PORTS = {"seedlink": SEEDLINK_PORT, "datalink": DATALINK_PORT}
_SELECTOR = re.compile(r"!?(?:[A-Z0-9?*-]{1,5}(?:\.[A-Z])?|[A-Z0-9?*-]{0,8}_[A-Z0-9?*]+_[A-Z0-9?*]*_[A-Z0-9?*]+)")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Server, stations, channels and start time of a URL.

    stations: (network, station) pairs; empty for all stations of the server.
    selectors: patterns of SeedLink 3, [LL]CCC, or 4, LOC_B_S_SS, with '?'; a leading '!' excludes; empty for all.
    start: 'earliest', 'latest', a time in ns; None if the URL does not state it.
    protocol: 3, 4; None for the highest that the server offers.
    """

    host: str
    port: int
    stations: tuple[tuple[str, str], ...]
    selectors: tuple[str, ...]
    start: str | int | None
    protocol: int | None = None


def address_from_url(url: str, scheme: str = "seedlink") -> ServerAddress:
    """Raises InputError that names the invalid part of the URL and the expected form."""
    form, keys = f"{scheme}://host:port/NET_STA?select=EH?&from=earliest", _KEYS[scheme]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url}: the port must be a number from 1 to 65535 ({form})") from error
    if port == 0:
        raise InputError(f"{url}: the port must be a number from 1 to 65535 ({form})")
    if not host:
        raise InputError(f"{url}: a host must follow '{scheme}://' ({form})")
    if fault := host_fault(host):
        raise InputError(f"{url}: {fault} ({form})")
    selectors: tuple[str, ...] = ()
    start: str | int | None = None
    protocol: int | None = None
    query = f"{parts.query}#{parts.fragment}" if parts.fragment else parts.query
    for item in filter(None, query.split("&")):
        key, _, value = item.partition("=")
        value = unquote(value)
        if key == "select":
            selectors = tuple(_checked(url, pattern) for pattern in filter(None, value.split(",")))
        elif key == "from":
            start = _start(url, value)
        elif key == "protocol" and key in keys:
            if value not in ("3", "4"):
                raise InputError(f"{url}: protocol={value} must be 3 or 4, or omitted for the highest of the server")
            protocol = int(value)
        else:
            raise InputError(f"{url}: unknown key '{key}'; {suggestion(key, keys)}")
    names = [name for name in unquote(parts.path).strip("/").split(",") if name]
    stations = tuple(_station(url, name) for name in names)
    return ServerAddress(host, port or _PORTS[scheme], stations, selectors, start, protocol)


def _station(url: str, name: str) -> tuple[str, str]:
    codes = station_from_text(name, patterns=True)
    if codes is None:
        raise InputError(f"{url}: '{name}' is not a station; write NET_STA, for example PB_B918")
    return codes


def _checked(url: str, pattern: str) -> str:
    if not _SELECTOR.fullmatch(pattern):
        raise InputError(f"{url}: select={pattern} is not a channel pattern; write EHZ, EH?, 00EH?, !EHZ or 00_E_H_Z")
    return pattern


def _start(url: str, value: str) -> str | int:
    if value in (EARLIEST, LATEST):
        return value
    if value[:1] in string.digits and value:
        try:
            return ns_from_iso(value)
        except ValueError:
            pass
    raise InputError(f"{url}: from={value} must be 'earliest', 'latest' or a time such as 2019-07-07T08:16:00Z")

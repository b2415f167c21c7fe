"""Parse and check `SCHEME://host[:port][/NET_STA,…][?select=EH?,…&from=earliest|latest|TIME]`.

SeedLink also has `protocol=3|4`.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from seisedge.runtime.addresses import host_fault
from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.codes import station_from_text
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.urls import shown_url

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
    form, keys, shown = f"{scheme}://host:port/NET_STA?select=EH?&from=earliest", _KEYS[scheme], shown_url(url)
    parts, host, port = server_from_url(url, form)
    if not host:
        raise InputError(f"{shown}: a host must follow '{scheme}://' ({form})")
    if port == 0:
        raise InputError(f"{shown}: the port must be a number from 1 to 65535 ({form})")
    selectors: tuple[str, ...] = ()
    start: str | int | None = None
    protocol: int | None = None
    for item in filter(None, parts.query.split("&")):
        key, _, value = item.partition("=")
        value = unquote(value)
        if key == "select":
            selectors = tuple(_checked(shown, pattern) for pattern in filter(None, value.split(",")))
        elif key == "from":
            start = _start(shown, value)
        elif key == "protocol" and key in keys:
            if value not in ("3", "4"):
                raise InputError(f"{shown}: protocol={value} must be 3 or 4, or omitted for the highest of the server")
            protocol = int(value)
        else:
            raise InputError(f"{shown}: unknown key '{key}'; {suggestion(key, keys)}")
    names = [name for name in unquote(parts.path).strip("/").split(",") if name]
    stations = tuple(_station(shown, name) for name in names)
    return ServerAddress(host, port or _PORTS[scheme], stations, selectors, start, protocol)


def server_from_url(url: str, form: str) -> tuple[SplitResult, str, int | None]:
    """Parts, host ('' if missing) and port of a URL whose host can be looked up.

    form: the expected form of the URL, for messages. Raises InputError.
    """
    shown = shown_url(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise InputError(f"{shown}: the host is not an IPv6 address in brackets ({form})") from error
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # parts of a password: not to be shown
        raise InputError(
            f"{shown}: a '/', '?' or '#' in a user name or password must be written as %2F, %3F or %23 ({form})"
        )
    if parts.fragment:
        raise InputError(f"{shown}: a URL of a source has no part after '#' ({form})")
    if host and (fault := host_fault(host)):
        raise InputError(f"{shown}: {fault} ({form})")
    try:
        return parts, host, parts.port
    except ValueError as error:
        raise InputError(f"{shown}: the port must be a number from 1 to 65535 ({form})") from error


def _station(shown: str, name: str) -> tuple[str, str]:
    codes = station_from_text(name, patterns=True)
    if codes is None:
        raise InputError(f"{shown}: '{name}' is not a station; write NET_STA, for example PB_B918")
    return codes


def _checked(shown: str, pattern: str) -> str:
    if not _SELECTOR.fullmatch(pattern):
        raise InputError(f"{shown}: select={pattern} is not a channel pattern; write EHZ, EH?, 00EH?, !EHZ or 00_E_H_Z")
    return pattern


def _start(shown: str, value: str) -> str | int:
    if value in (EARLIEST, LATEST):
        return value
    if value[:1] in string.digits and value:
        try:
            return ns_from_iso(value)
        except ValueError:
            pass
    raise InputError(f"{shown}: from={value} must be 'earliest', 'latest' or a time such as 2019-07-07T08:16:00Z")

"""What a SeedLink server has, by its reply to INFO STREAMS: stations and channels."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from seisedge.runtime.errors import ConnectError, FailedError
from seisedge.runtime.records.codes import location_from_text, station_from_text
from seisedge.runtime.records.miniseed import text_from_record
from seisedge.runtime.sources._base import TICK_S
from seisedge.runtime.sources._cutter import printable
from seisedge.runtime.sources._link import DIAL_TIMEOUT_S, Lost, loss_reason
from seisedge.runtime.sources._seedlink_conversation import Conversation
from seisedge.runtime.sources._seedlink_dialect import DIALECTS, versions_offered
from seisedge.runtime.sources._server_url import address_from_url
from seisedge.runtime.urls import shown_url

MAX_STREAMS = 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stream:
    """One channel that a server has."""

    network: str
    station: str
    location: str
    channel: str


def streams_of(url: str) -> list[Stream]:
    """The data streams of the server of a URL, of the stations in the URL if it has any.

    Raises InputError for a URL that cannot be used, ConnectError without a connection, FailedError if the server does
    not reply to INFO STREAMS as it should.
    """
    address = address_from_url(url)
    shown = shown_url(url)
    try:
        with socket.create_connection((address.host, address.port), DIAL_TIMEOUT_S) as link:
            link.settimeout(TICK_S)
            version, parts = _result(_asked(Conversation(link), address.protocol))
    except (OSError, Lost) as error:
        raise ConnectError(
            f"{shown}: no answer from {address.host} port {address.port}: {loss_reason(error)}; check that the server "
            "is running and that host and port are correct"
        ) from error
    if parts is None:
        raise FailedError(f"{shown}: the server refuses INFO STREAMS; write the station file by hand")
    try:
        found = list(_of_json(parts) if version == 4 else _of_xml(parts))
    except (ValueError, LookupError, TypeError, AttributeError, SyntaxError, RecursionError) as error:
        text = printable(f"{type(error).__name__}: {error}")
        raise FailedError(f"{shown}: the reply to INFO STREAMS cannot be parsed: {text}") from error
    wanted = set(address.stations)
    valid = (one for one in found[:MAX_STREAMS] if station_from_text(f"{one.network}_{one.station}") is not None)
    return [one for one in valid if not wanted or (one.network, one.station) in wanted]


def _result(steps: Generator[None, None, T]) -> T:
    """Run a conversation to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def _asked(conversation: Conversation, protocol: int | None) -> Generator[None, None, tuple[int, list[bytes] | None]]:
    """The version, and the parts of the reply to INFO STREAMS."""
    conversation.send("HELLO")
    hello = yield from conversation.line("HELLO")
    yield from conversation.line("HELLO")  # the organisation
    offered = versions_offered(hello)
    version = protocol if protocol in offered else max(offered, default=3)
    if version == 4:
        refusal = yield from conversation.ask("SLPROTO 4.0")
        if refusal:
            raise Lost(f"it offers SeedLink 4 but refused 'SLPROTO 4.0' ({refusal})")
    conversation.cutter = DIALECTS[version]().cutter()
    parts = yield from conversation.info("STREAMS")
    return version, parts


def _of_xml(parts: list[bytes]) -> Generator[Stream]:
    from xml.etree import ElementTree

    for station in ElementTree.fromstring("".join(map(text_from_record, parts))).iter("station"):
        for stream in station.iter("stream"):
            if stream.get("type", "D") == "D":
                location = location_from_text(stream.get("location", "").strip())
                yield Stream(station.attrib["network"], station.attrib["name"], location, stream.attrib["seedname"])


def _of_json(parts: list[bytes]) -> Generator[Stream]:
    reply: dict[str, Any] = json.loads(b"".join(parts))
    for station in reply.get("station", []):
        network, _, code = station["id"].partition("_")
        for stream in station.get("stream", []):
            location, *channel = stream["id"].split("_")
            if stream.get("subformat", "D") == "D" and len(channel) == 3:
                short = all(len(part) == 1 for part in channel)
                name = "".join(channel) if short else "_".join(channel)
                yield Stream(network, code, location, name)

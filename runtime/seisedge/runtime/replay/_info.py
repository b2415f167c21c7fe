"""Replies to INFO: XML in miniSEED log records for SeedLink 3, JSON for SeedLink 4."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import quoteattr

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.replay._recording import Entry, Station
from seisedge.runtime.sources._seedlink_position import SEQUENCE_MODULUS

INFO_RECORD_BYTES = 512
CAPABILITIES = (
    "dialup",
    "multistation",
    "window-extraction",
    "info:id",
    "info:capabilities",
    "info:stations",
    "info:streams",
)
_DATA_OFFSET = 64
_HEADER = struct.Struct(">6scc5s2s3s2sHHBBBxHHhhBBBBiHH")  # fixed section of data header, 48 bytes
_BLOCKETTE_1000 = struct.Struct(">HHBBBx")
_TEXT_ENCODING = 0

# of a station: number of records no longer kept, number of records released so far, sequence number of the first record
Progress = Callable[[Station], tuple[int, int, int]]


def info_packets(text: str, is_error: bool = False) -> list[bytes]:
    """`text` as SLINFO packets; all but the last are marked as continued."""
    data = text.encode("utf-8")
    size = INFO_RECORD_BYTES - _DATA_OFFSET
    pieces = [data[k : k + size] for k in range(0, len(data), size)] or [b""]
    packets = []
    for number, piece in enumerate(pieces, start=1):
        more = b"SLINFO *" if number < len(pieces) else b"SLINFO  "
        packets.append(more + _log_record(number, piece, b"ERR" if is_error else b"INF"))
    return packets


def _log_record(number: int, text: bytes, channel: bytes) -> bytes:
    header = _HEADER.pack(
        f"{number:06d}".encode("ascii"),
        b"D",
        b" ",
        b"INFO ",
        b"  ",
        channel,
        b"SL",
        *(1970, 1, 0, 0, 0, 0),  # text has no time
        len(text),
        *(0, 0),  # nor a rate
        *(0, 0, 0),
        1,  # one blockette follows
        0,
        _DATA_OFFSET,
        48,
    )
    exponent = INFO_RECORD_BYTES.bit_length() - 1
    blockette = _BLOCKETTE_1000.pack(1000, 0, _TEXT_ENCODING, 1, exponent)
    return (header + blockette).ljust(_DATA_OFFSET, b"\0") + text.ljust(INFO_RECORD_BYTES - _DATA_OFFSET, b"\0")


def info_text(level: str, software: str, site: str, stations: Iterable[Station], progress: Progress) -> str | None:
    """The XML for INFO `level`; None for an unsupported level."""
    inner = ""
    if level == "CAPABILITIES":
        inner = "".join(f"<capability name={quoteattr(name)}/>" for name in CAPABILITIES)
    elif level in ("STATIONS", "STREAMS"):
        inner = "".join(_station(station, progress, level == "STREAMS") for station in stations)
    elif level != "ID":
        return None
    head = f"<seedlink software={quoteattr(software)} organization={quoteattr(site)}>"
    return f'<?xml version="1.0"?>\n{head}{inner}</seedlink>\n'


def info_json(level: str, software: str, site: str, stations: Iterable[Station], progress: Progress) -> str:
    """The JSON for INFO `level`; begins with an `error` for an unsupported level."""
    answer: dict[str, Any] = {"software": software, "organization": site}
    if level == "CAPABILITIES":
        answer["capability"] = ["SLPROTO:4.0", "SLPROTO:3.1"]
    elif level == "FORMATS":
        answer["format"] = {
            "2": {"mimetype": "application/vnd.fdsn.mseed", "subformat": {"D": "data"}},
            "3": {"mimetype": "application/vnd.fdsn.mseed3", "subformat": {"D": "data"}},
        }
    elif level in ("STATIONS", "STREAMS"):
        answer["station"] = [_station_4(station, progress, level == "STREAMS") for station in stations]
    elif level != "ID":
        error = {"code": "UNSUPPORTED", "message": f"INFO {level} is not supported"}
        return json.dumps({"error": error} | answer)
    return json.dumps(answer)


def _station_4(station: Station, progress: Progress, with_streams: bool) -> dict[str, Any]:
    n_gone, n, first = progress(station)
    found: dict[str, Any] = {
        "id": f"{station.network}_{station.code}",
        "description": "replayed",
        "start_seq": first + n_gone,
        "end_seq": first + max(n - 1, 0),
        "backfill": -1,
    }
    if with_streams:
        found["stream"] = [
            {
                "id": f"{location}_{channel if '_' in channel else '_'.join(channel)}",
                "format": "2",
                "subformat": "D",
                "start_time": iso_from_ns(first_entry.starttime_ns),
                "end_time": iso_from_ns(last_entry.release_ns),
            }
            for (location, channel), first_entry, last_entry in _present(station, n_gone, n)
        ]
    return found


def _station(station: Station, progress: Progress, with_streams: bool) -> str:
    n_gone, n, first = progress(station)
    first, last = ((first + k) % SEQUENCE_MODULUS if n else 0 for k in (n_gone, n - 1))
    streams = "".join(_streams(_present(station, n_gone, n))) if with_streams else ""
    return (
        f'<station name={quoteattr(station.code)} network={quoteattr(station.network)} description="replayed"'
        f' begin_seq="{first:06X}" end_seq="{last:06X}" stream_check="enabled">{streams}</station>'
    )


def _present(station: Station, n_gone: int, n: int) -> list[tuple[tuple[str, str], Entry, Entry]]:
    """The channels of the records `n_gone` to `n`; before the first record, those of the recording, without a length.

    A server is asked for its streams before it is asked for data, with which the replay begins.
    """
    if n:
        return _spans(station.entries[n_gone:n])
    return [(key, first, first) for key, first, _ in _spans(station.entries)]


def _streams(spans: list[tuple[tuple[str, str], Entry, Entry]]) -> Iterable[str]:
    for (location, channel), first, last in spans:
        yield (
            f'<stream location={quoteattr(location)} seedname={quoteattr(channel)} type="D"'
            f' begin_time="{_time(first.starttime_ns)}" end_time="{_time(last.release_ns)}"/>'
        )


def _spans(entries: list[Entry]) -> list[tuple[tuple[str, str], Entry, Entry]]:
    """(location, channel), first and last entry of each channel, in order."""
    first: dict[tuple[str, str], Entry] = {}
    last: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        key = (entry.source_id.location, entry.source_id.channel)
        first.setdefault(key, entry)
        last[key] = entry
    return [(key, first[key], last[key]) for key in sorted(first)]


def _time(time_ns: int) -> str:
    return iso_from_ns(time_ns)[:24].replace("-", "/").replace("T", " ")

"""Names of the files: of an event's snippet, and of a day file of the archive.

FOLDER/NET.STA/2019-07-07/NET.STA-20190707T081625.290.mseed, .json and .txt
FOLDER/2019/NET/STA/CHA.D/NET.STA.LOC.CHA.D.2019.188

Codes come from the wire and an event id from a page's request: every character other than a letter, a digit, a dash or
an inner dot is escaped, so that no name leaves its folder.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import SourceId

RECORDS, EVENT, REASON = ".mseed", ".json", ".txt"
MAX_NAME = 96  # characters of one code; a longer one is cut, and gets a digest
DAY_S = 86_400

_EVENT_ID = re.compile(r"(.{1,600})-(\d{4})(\d{2})(\d{2})T\d{6}\.\d{3}", re.DOTALL)
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]|^\.|\.$|^-+$")
_SNIPPET = re.compile(r"[A-Za-z0-9.%_-]+-(\d{4})(\d{2})(\d{2})T\d{6}\.\d{3}\.(mseed|json|txt)")
_DAY_FILE = re.compile(r"[^.]*\.[^.]+\.[^.]*\.[^.]+\.D\.(\d{4})\.(\d{3})")


def safe_name(text: str) -> str:
    """A text as one name of a file or folder: `../A` becomes `%2E.%2FA`; an empty text becomes `%`."""
    name = _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace")), text)
    if len(name) > MAX_NAME:
        name = f"{name[:MAX_NAME]}%{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return name or "%"


def snippet_path(folder: Path, event_id: str) -> Path | None:
    """The path of an event's snippet, without the suffix; None for a text that is no event id."""
    match = _EVENT_ID.fullmatch(event_id)
    if match is None:
        return None
    station, stamp = safe_name(match[1]), event_id[len(match[1]) + 1 :]
    return folder / station / f"{match[2]}-{match[3]}-{match[4]}" / f"{station}-{stamp}"


def with_suffix(path: Path, suffix: str) -> Path:
    """`Path.with_suffix` would replace the milliseconds."""
    return path.with_name(path.name + suffix)


def day_path(root: Path, source_id: SourceId, day: int) -> Path:
    """The file of a channel and a day of an SDS archive; day: since 1970."""
    codes = (source_id.network, source_id.station, source_id.channel, source_id.location)
    network, station, channel, location = (safe_name(code).replace(".", "%2E") for code in codes)
    location = location if source_id.location else ""
    date = datetime.fromtimestamp(day * DAY_S, UTC)
    year = f"{date.year:04d}"
    name = f"{network}.{station}.{location}.{channel}.D.{year}.{date.timetuple().tm_yday:03d}"
    return root / year / network / station / f"{channel}.D" / name


def day_of(time_ns: int) -> int:
    """Days since 1970."""
    return time_ns // (DAY_S * NS_PER_S)


def day_of_snippet(name: str) -> int | None:
    """The day of a file of a snippet by its name; None for any other file."""
    match = _SNIPPET.fullmatch(name)
    return None if match is None else _day(f"{match[1]}{match[2]}{match[3]}", "%Y%m%d")


def day_of_day_file(name: str) -> int | None:
    """The day of a file of an SDS archive by its name; None for any other file."""
    match = _DAY_FILE.fullmatch(name)
    return None if match is None else _day(f"{match[1]}{match[2]}", "%Y%j")


def _day(text: str, form: str) -> int | None:
    try:
        return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) // DAY_S
    except ValueError:
        return None

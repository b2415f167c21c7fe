"""The files of an archive: SDS archives, folders, files and lists of files, on this machine or at a URL of fsspec."""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from seisedge.runtime.archive.reading import ArchiveFile, index_of
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.errors import DataError, InputError, SeisedgeError
from seisedge.runtime.sources.sds import DAY_NS, OVERLAP_NS, YEARS
from seisedge.runtime.urls import shown_url

MAX_COPIES = 24  # of remote files that a worker keeps on its disk: those of three days and eight channels
APART_NS = 2 * DAY_NS  # records of a file farther apart than this are planned as those of two files
SDS_NAME = "NET.STA.LOC.CHA.D.YEAR.DAY"

_SDS = re.compile(r"([^./]+)\.([^./]+)\.[^./]*\.[^./]+\.D\.(\d{4})\.(\d{3})")


@dataclass(slots=True)
class Inputs:
    """files: by station id, in the order of one run over all of them. unusable: files that are not analysed, and why.

    other_files: number of files in folders that are not miniSEED.
    """

    files: dict[str, list[ArchiveFile]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    other_files: int = 0

    def all_files(self) -> list[ArchiveFile]:
        """Each file once, by URL."""
        return [file for _, file in sorted({file.url: file for files in self.files.values() for file in files}.items())]


def is_url(place: str) -> bool:
    """True for a URL that fsspec opens."""
    return "://" in place and not place.startswith("file:")


class LocalFiles:
    """Copies of remote files on this machine, at most MAX_COPIES; the least recently used is removed first.

    They are in a new folder in `parent`, by default that for temporary files, which is removed with this object.
    """

    def __init__(self, parent: str | None = None) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._copies: dict[str, Path] = {}

    def __call__(self, url: str) -> Path:
        """Path of a file; a remote one is copied. Raises DataError where that fails."""
        if not is_url(url):
            return Path(url)
        path = self._copies.pop(url, None)
        if path is None:
            path = self._copy(url)
        self._copies[url] = path
        return path

    def _copy(self, url: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="seisedge-archive-", dir=self._parent))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # also at the end of the process
        while len(self._copies) >= MAX_COPIES:
            self._copies.pop(next(iter(self._copies))).unlink(missing_ok=True)
        path = self._folder / hashlib.sha256(url.encode()).hexdigest()[:32]
        try:
            with fsspec.open(url, "rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except Exception as error:  # each file system has errors of its own
            path.unlink(missing_ok=True)
            raise DataError(f"cannot be read: {_reason(error)}") from error
        return path


def find_inputs(
    data: Sequence[str], *, stations: Sequence[str] = (), local: Callable[[str], Path] | None = None
) -> Inputs:
    """All files of `data`: `sds:ROOT`, folders, files, and URLs of these.

    stations: patterns of station ids, as `PB.*`; none: all. A file whose name is that of an SDS file is not opened; of
    any other the headers are read. Raises InputError for a place that does not exist or cannot be listed, and DataError
    where nothing of it is miniSEED.
    """
    local = local or LocalFiles()
    inputs = Inputs()
    seen: set[str] = set()
    for place in data:
        found = list(_listed(place))
        names = 0
        for file, named in found:
            if file.url in seen:
                continue
            seen.add(file.url)
            names += _add(file, inputs, stations, local, named=named)
        if place.startswith("sds:") and not found:
            raise InputError(f"{place}: the folder has no files; sds: needs the root folder of an SDS archive")
        if place.startswith("sds:") and not names:
            raise InputError(
                f"{place}: no SDS archive: none of its {len(found)} files has a name of the form "
                f"YEAR/NET/STA/CHA.D/{SDS_NAME}; give a plain folder without sds:"
            )
    if not inputs.files:
        of = f" of the stations {', '.join(stations)}" if stations else ""
        why = "".join(f"; {url}: {reason}" for url, reason in list(inputs.unusable.items())[:3])
        raise DataError(f"{', '.join(map(shown_url, data))}: no miniSEED{of} in {len(seen)} file(s){why}")
    return inputs


def _add(file: ArchiveFile, inputs: Inputs, stations: Sequence[str], local: Callable[[str], Path], named: bool) -> bool:
    """Add a file to the stations in it; True where its name is that of an SDS file."""
    by_name = _sds_file(file)
    if by_name is not None:
        station_id, placed = by_name
        if _wanted(station_id, stations):
            inputs.files.setdefault(station_id, []).append(placed)
        return True
    try:
        columns, _ = index_of(local(file.url))
    except SeisedgeError as error:
        if named or "no usable record" in str(error) or "cannot be read" in str(error):
            inputs.unusable[file.url] = str(error)
        else:
            inputs.other_files += 1
        return False
    stations_of = np.array([source_id.station_id for source_id in columns.channels])[columns.channel]
    for station_id in dict.fromkeys(source_id.station_id for source_id in columns.channels):
        if _wanted(station_id, stations):
            times = np.sort(columns.last_ns[stations_of == station_id])
            # with a record whose clock was years wrong, the file has data on both sides and none between
            for part in np.split(times, np.flatnonzero(np.diff(times) > APART_NS) + 1):
                placed = replace(file, low_ns=int(part[0]), high_ns=int(part[-1]) + 1)
                inputs.files.setdefault(station_id, []).append(placed)
    return False


def _wanted(station_id: str, stations: Sequence[str]) -> bool:
    return not stations or any(fnmatch.fnmatchcase(station_id, pattern) for pattern in stations)


def _sds_file(file: ArchiveFile) -> tuple[str, ArchiveFile] | None:
    """Station id and place of a file with the name of an SDS file."""
    match = _SDS.fullmatch(file.url.rpartition("/")[2])
    if match is None or int(match[3]) not in YEARS or not 1 <= int(match[4]) <= 366:
        return None
    day_ns = ns_from_iso(f"{int(match[3]):04d}-01-01") + (int(match[4]) - 1) * DAY_NS
    placed = replace(file, low_ns=day_ns - OVERLAP_NS, high_ns=day_ns + DAY_NS + OVERLAP_NS, day_ns=day_ns)
    return f"{match[1]}.{match[2]}", placed


def _listed(place: str) -> Iterator[tuple[ArchiveFile, bool]]:
    """The files of a place, in order, and whether the file itself was named. Raises InputError."""
    root = place.removeprefix("sds:").removeprefix("file:")
    if is_url(root):
        yield from _listed_remote(root)
        return
    path = Path(root)
    if place.startswith("sds:") and not path.is_dir():
        raise InputError(f"{place}: {path} is not a folder; sds: needs the root folder of an SDS archive")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        yield _local_file(path), True
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield _local_file(file), False


def _local_file(path: Path) -> ArchiveFile:
    stat = path.stat()
    return ArchiveFile(str(path), 0, 0, stat.st_size, stat.st_mtime)


def _listed_remote(url: str) -> Iterator[tuple[ArchiveFile, bool]]:
    shown = shown_url(url)
    try:
        files, path = fsspec.core.url_to_fs(url)
        found: dict[str, dict[str, Any]] = files.find(path, detail=True)
    except Exception as error:  # each file system has errors of its own
        raise InputError(f"{shown}: cannot be listed: {_reason(error)}") from error
    if not found:
        raise InputError(f"{shown}: no such file or folder")
    for name, facts in sorted(found.items()):
        yield (
            ArchiveFile(files.unstrip_protocol(name), 0, 0, int(facts.get("size") or 0), _mtime(facts)),
            name == path,
        )


def _mtime(facts: dict[str, Any]) -> float | None:
    """Time of the last change in seconds, as the storage states it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = facts.get(key)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def _reason(error: Exception) -> str:
    """An exception of a file system as a clause."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        text += "; install the package of this kind of storage"
    return text


def unit_starts(files: Sequence[ArchiveFile], unit_ns: int) -> list[int]:
    """Starts of the units of one station that can have data, in order."""
    starts: set[int] = set()
    for file in files:
        low, high = (file.low_ns, file.high_ns) if file.day_ns is None else (file.day_ns, file.day_ns + DAY_NS)
        starts.update(range(low // unit_ns * unit_ns, high, unit_ns))
    return sorted(starts)


def parse_unit(text: str) -> int:
    """`1d`, `6h` or `30m` in ns. Raises InputError for a length that does not divide a day, or below 10 minutes."""
    match = re.fullmatch(r"(\d{1,4})([dhm])", text)
    unit_ns = int(match[1]) * {"d": 86_400, "h": 3600, "m": 60}[match[2]] * NS_PER_S if match else 0
    if not unit_ns or DAY_NS % unit_ns or unit_ns < 600 * NS_PER_S:
        raise InputError(f"--unit {text}: must be 1d or a part of a day of at least 10m that divides it, as 6h or 30m")
    return unit_ns

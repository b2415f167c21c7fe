"""An SDS archive (SeisComP Data Structure), day by day in order of time.

YEAR/NET/STA/CHAN.D/NET.STA.LOC.CHAN.D.YEAR.DAY, one file per channel and day.
https://www.seiscomp.de/seiscomp3/doc/applications/slarchive/SDS.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources.miniseed import MiniSeedSource, RecordIndex, path_from_url

logger = logging.getLogger(__name__)

DAY_NS = 86_400 * NS_PER_S
YEARS = range(1900, 2200)
OVERLAP_NS = 7200 * NS_PER_S  # how far records of a day's file may end before or after that day

_NAME = re.compile(r"[^.]*\.[^.]+\.[^.]*\.[^.]+\.D\.(\d{4})\.(\d{3})")


class SdsSource(MiniSeedSource):
    """All channels of an archive, merged in order of the records' last samples.

    The headers of two days are in memory at a time, so that an archive of years needs as much memory, and starts as
    soon, as one of a week. A record may end up to two hours beyond the day of its file. Files with other names, and
    those of years outside `YEARS`, are skipped. Raises InputError if `root` is not a folder, DataError if no day file
    has usable data.
    """

    def __init__(self, root: Path, url: str) -> None:
        super().__init__([root], url)
        if not root.is_dir():
            raise InputError(f"{url}: {root} is not a folder; sds: needs the root folder of an SDS archive")
        self._root = root

    def _index_in_parts(self) -> Iterator[RecordIndex]:
        held, any_records, why = RecordIndex(), False, ""
        for start_ns, paths in self._days():
            ready, held = held.split(start_ns - OVERLAP_NS)
            if len(ready):
                yield ready
            for path in paths:
                fault = self._index_file(path, held)
                if fault is not None:
                    logger.warning("%s: passed over: %s", path, fault)
                    why = why or f"; {path}: {fault}"
            any_records = any_records or len(held) > 0
        if not any_records:
            raise DataError(f"{self._root}: no day file with miniSEED in this SDS archive{why}")
        held.sort()
        yield held

    def _days(self) -> list[tuple[int, list[Path]]]:
        """Start and files of each day, in order."""
        days: dict[tuple[int, int], list[Path]] = {}
        others = 0
        for path in self._root.rglob("*"):
            match = _NAME.fullmatch(path.name)
            if match and path.is_file() and int(match[1]) not in YEARS:
                logger.warning("%s: skipped: the year of a day file must be %d to %d", path, YEARS[0], YEARS[-1])
            elif match and path.is_file() and 1 <= int(match[2]) <= 366:
                days.setdefault((int(match[1]), int(match[2])), []).append(path)
            elif path.is_file():
                others += 1
        if others:
            logger.info("%s: skipped %d files that are not day files", self._root, others)
        return [
            (ns_from_iso(f"{year:04d}-01-01") + (day - 1) * DAY_NS, sorted(days[year, day]))
            for year, day in sorted(days)
        ]


@register_source("sds")
def _sds_source(url: str, options: SourceOptions) -> SdsSource:
    """`sds:DIR`"""
    path, values = path_from_url(url)
    if values:
        raise InputError(f"{url}: sds: has no keys; write sds:DIR")
    return SdsSource(Path(path), url)

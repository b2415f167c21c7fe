"""Library: what snippets and archives have, for whoever shows it. The disk is asked each time."""

from __future__ import annotations

import logging
import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import StationConfig
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.miniseed import HEADER_BYTES, is_header, record_length
from seisedge.runtime.snippets.archive import day_files, entries_of
from seisedge.runtime.snippets.names import RECORDS, snippet_path, with_suffix
from seisedge.runtime.sources._uniform import uniform_records

logger = logging.getLogger(__name__)

JOINED_NS = 2 * NS_PER_S  # a shorter gap is not listed
MAX_FILES = 1024  # whose spans are remembered, by path and size

Span = tuple[int, int]  # from and to, ns


class SnippetLibrary:
    """The files of the stations of a run. Its methods may be called from any thread, and do not raise."""

    def __init__(self, configs: Mapping[str, StationConfig]) -> None:
        self._snippets = {key: Path(one.snippets.folder) for key, one in configs.items() if one.snippets is not None}
        self._archives = {key: Path(one.archive.folder) for key, one in configs.items() if one.archive is not None}
        self._spans: OrderedDict[Path, tuple[int, list[Span]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, event_id: str) -> Path | None:
        """The miniSEED file of an event; None where there is none, or for a text that is no event id."""
        folder = self._snippets.get(event_id.rpartition("-")[0])
        path = None if folder is None else snippet_path(folder, event_id)
        if path is None:
            return None
        path = with_suffix(path, RECORDS)
        try:
            return path if path.is_file() else None
        except OSError:
            return None

    def availability(self, station_id: str, from_ns: int, to_ns: int) -> list[Span]:
        """The spans of which the archive has records of any channel, in order; gaps under 2 s are not listed."""
        folder = self._archives.get(station_id)
        if folder is None or from_ns >= to_ns:
            return []
        found = [span for path in day_files(folder, station_id, from_ns, to_ns) for span in self._of_file(path)]
        cut = [(max(start, from_ns), min(end, to_ns)) for start, end in found if start < to_ns and end > from_ns]
        return joined(cut)

    def _of_file(self, path: Path) -> list[Span]:
        try:
            size = path.stat().st_size
            with self._lock:
                known = self._spans.get(path)
            if known is not None and known[0] == size:
                return known[1]
            spans = joined(_spans_of(path))
        except (OSError, ValueError) as error:  # a file that is removed or empty
            logger.debug("%s: cannot be read: %s", text_from_path(path), error)
            return []
        with self._lock:
            self._spans[path] = size, spans
            self._spans.move_to_end(path)
            if len(self._spans) > MAX_FILES:
                self._spans.popitem(last=False)
        return spans


def joined(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that overlap or nearly touch as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] <= JOINED_NS:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _spans_of(path: Path) -> list[Span]:
    """The span of each record. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        if len(head) == HEADER_BYTES and is_header(head, 0):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found = uniform_records(data, record_length(head, 0) or 0)
            if found is not None:
                return list(zip(found.first_sample_ns.tolist(), found.last_sample_ns.tolist(), strict=True))
    return [(entry.start_ns, entry.end_ns) for entry in entries_of(path)]

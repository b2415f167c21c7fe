"""Retention: what is deleted so that the archive and the snippets stay within their limits, oldest first.

The disk is asked each time; no index can disagree with it. Snippets of events are deleted for free space only when no
file of an archive on the same disk is left, and never for a record of an archive; the newest day of the archives is
not deleted for one either. What cannot be kept free by deleting is kept free by not writing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.snippets.names import DAY_S, day_of_day_file, day_of_snippet

logger = logging.getLogger(__name__)

MB = 1_000_000
BLOCK_BYTES = 512  # unit of `st_blocks`
OVERHEAD_BYTES = 16_384  # of a write, besides its bytes: the last block of the file, and new folders
LOG_S = 600.0  # between two messages about deleted files of one folder
PART_AGE_S = 600.0  # after which the remains of a process that was killed are removed
_PART = re.compile(r"\..*\.[0-9a-f]{8}\.part")
_MILLISECONDS_END = re.compile(r"\.(mseed|json|txt)$")

Kind = Literal["archive", "snippets"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one folder."""

    folder: Path
    kind: Kind
    keep_days: float
    max_mb: float
    min_free_mb: float


@dataclass(slots=True)
class Deleted:
    """Totals of this run."""

    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Item:
    """What is deleted at once: a day file of the archive, or all files of an event."""

    day: int
    name: str
    paths: list[Path] = field(default_factory=list)
    bytes: int = 0  # on the disk
    newest_s: float = 0.0  # when it was last written


class Retention:
    """The limits of all folders of a run. Its methods may be called from any thread; none raises but `room`.

    now_s: wall clock.
    """

    def __init__(self, limits: Sequence[Limits], now_s: Callable[[], float] = time.time) -> None:
        self.limits = tuple(limits)
        self.deleted = {one.folder: Deleted() for one in limits}
        self._now_s = now_s
        self._newest_ns: int | None = None  # of the data of this run
        self._unlogged: dict[tuple[Path, str], Deleted] = {}  # by folder and reason
        self._logged_s: dict[tuple[Path, str], float] = {}
        self._undeletable = False  # the last file that was to be deleted, which has been logged
        self._lock = threading.Lock()

    def note(self, time_ns: int) -> None:
        """Data of this time have arrived: a clock that is ahead must not make them old."""
        self._newest_ns = time_ns

    def enforce(self) -> None:
        """Delete what is too old or too much, and what the free space requires."""
        with self._lock:
            for one in self.limits:
                self._shrink(one)
            for one in self.limits:
                self._free(one, 0)
            self._log(LOG_S)

    def close(self) -> None:
        """Log what was deleted since the last time."""
        with self._lock:
            self._log(0.0)

    @contextlib.contextmanager
    def room(self, folder: Path, size: int) -> Iterator[None]:
        """While `size` bytes are written to a folder: no other thread writes, so that the space is still there.

        Raises OSError (ENOSPC) if they would leave less free than `min_free_mb`.
        """
        one = next(limits for limits in self.limits if limits.folder == folder)
        size += OVERHEAD_BYTES
        with self._lock:
            free = self._free(one, size)
            if free is not None and not _is_enough(free, size, one):
                text = f"{free / MB:.3g} MB are free, less than min_free_mb = {one.min_free_mb:g}; free some space"
                raise OSError(errno.ENOSPC, text)
            yield

    def _shrink(self, one: Limits) -> None:
        """Age and bytes. An item is as old as its data or its file, whichever is younger."""
        items = _items(one)
        now_s = self._now_s()
        if self._newest_ns is not None:
            now_s = min(now_s, self._newest_ns / NS_PER_S)
        oldest_s = now_s - one.keep_days * DAY_S
        aged = [item for item in items if max((item.day + 1) * DAY_S, item.newest_s) < oldest_s]
        self._delete(one, aged, f"older than keep_days = {one.keep_days:g}")
        gone = {id(item) for item in aged}
        kept = [item for item in items if id(item) not in gone]
        excess = sum(item.bytes for item in kept) - one.max_mb * MB
        self._delete(one, _first(kept, excess), f"more than max_mb = {one.max_mb:g}")

    def _free(self, one: Limits, size: int) -> float | None:
        """Delete until `size` bytes more leave `min_free_mb`; returns the free bytes."""
        free = free_bytes(one.folder)
        if _is_enough(free, size, one):
            return free
        for item, other in self._deletable(one, for_archive=one.kind == "archive" and size > 0):
            if not self._delete(other, [item], f"less than min_free_mb = {one.min_free_mb:g} were free"):
                break
            free = free_bytes(one.folder)
            if _is_enough(free, size, one):
                break
        return free

    def _deletable(self, one: Limits, *, for_archive: bool) -> Iterator[tuple[_Item, Limits]]:
        """What may be deleted on the disk of a folder, in this order. for_archive: for a record of an archive."""
        device = _device(one.folder)
        kinds: list[Kind] = ["archive"] if for_archive else ["archive", "snippets"]
        for kind in kinds:
            found = [other for other in self.limits if other.kind == kind and _device(other.folder) == device]
            items = [(item, other) for other in found for item in _items(other)]
            items.sort(key=lambda pair: (pair[0].day, pair[0].name))
            newest = items[-1][0].day if items else 0
            yield from (pair for pair in items if not for_archive or pair[0].day < newest)

    def _delete(self, one: Limits, items: Sequence[_Item], why: str) -> bool:
        """False if a file could not be deleted; the others are then left for the next time."""
        files = freed = 0
        done = True
        for item in items:
            done = done and all(self._unlink(path, one.folder) for path in item.paths)
            if not done:
                break
            files += len(item.paths)
            freed += item.bytes
        if files:
            for total in (self.deleted[one.folder], self._unlogged.setdefault((one.folder, why), Deleted())):
                total.files += files
                total.bytes += freed
            self._log(LOG_S)
        return done

    def _log(self, least_s: float) -> None:
        """Log what was deleted, and for the same reason no sooner than `least_s` after the last time."""
        now_s = time.monotonic()
        for key, total in self._unlogged.items():
            folder, why = key
            if not total.files or now_s - self._logged_s.get(key, -math.inf) < least_s:
                continue
            self._logged_s[key] = now_s
            size_mb = total.bytes / MB
            logger.info("%s: deleted %d files, %.1f MB: %s", text_from_path(folder), total.files, size_mb, why)
            total.files = total.bytes = 0

    def _unlink(self, path: Path, root: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            level = logging.DEBUG if self._undeletable else logging.WARNING
            self._undeletable = True
            logger.log(level, "%s: cannot be deleted: %s", text_from_path(path), error.strerror)
            return False
        self._undeletable = False
        with contextlib.suppress(OSError):  # not empty
            for parent in path.parents[: len(path.relative_to(root).parts) - 1]:
                parent.rmdir()
        return True


def _first(items: Iterable[_Item], excess: float) -> list[_Item]:
    """The oldest items that together have `excess` bytes."""
    found = []
    for item in items:
        if excess <= 0:
            break
        found.append(item)
        excess -= item.bytes
    return found


def _items(one: Limits) -> list[_Item]:
    """Oldest first. Files with other names are left alone; remains of a killed process are removed."""
    items: dict[str, _Item] = {}
    day_of = day_of_day_file if one.kind == "archive" else day_of_snippet
    for folder, _, names in os.walk(one.folder):
        for name in names:
            path = Path(folder, name)
            day = day_of(name)
            try:
                found = path.lstat()
                if _PART.fullmatch(name) and one.kind == "snippets" and time.time() - found.st_mtime > PART_AGE_S:
                    path.unlink()
            except OSError:
                continue
            if day is None:
                continue
            key = _MILLISECONDS_END.sub("", name) if one.kind == "snippets" else name
            item = items.setdefault(key, _Item(day, key))
            item.paths.append(path)
            item.bytes += found.st_blocks * BLOCK_BYTES
            item.newest_s = max(item.newest_s, found.st_mtime)
    return sorted(items.values(), key=lambda item: (item.day, item.name))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest parent that exists. Raises OSError."""
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def free_bytes(folder: Path) -> float | None:
    """Bytes that this user may still write to the disk of a folder; None where the disk does not answer."""
    try:
        found = os.statvfs(_existing(folder))
    except OSError:
        return None
    return float(found.f_bavail * found.f_frsize)


def _is_enough(free: float | None, size: int, one: Limits) -> bool:
    """True also where the disk does not answer: nothing is deleted then, and a write reports the fault."""
    return free is None or free - size >= one.min_free_mb * MB


def _device(folder: Path) -> int | None:
    try:
        return _existing(folder).stat().st_dev
    except OSError:
        return None

"""The request of a client: channels by pattern, start, end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from seisedge.runtime.records.codes import fits_seed, location_from_text, station_fits_seed
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.replay._recording import Station
from seisedge.runtime.sources._seedlink_position import SEQUENCE_MODULUS

_PATTERN = re.compile(
    r"(?P<no>!?)(?:(?P<location>[A-Z0-9?-]{2})?(?P<channel>[A-Z0-9?]{3}|\*)(?:\.(?P<kind>[A-Z]))?|(?P<only_kind>[A-Z]))"
)
_PATTERN_4 = re.compile(
    r"(?P<no>!?)(?:\*|(?P<location>[A-Z0-9?*-]*)_(?P<channel>[A-Z0-9?*]+_[A-Z0-9?*]*_[A-Z0-9?*]+))?"
    r"(?:\.[A-Z0-9?*](?P<kind>[A-Z?*])?)?(?P<as_is>:NATIVE)?"
)


@dataclass(frozen=True, slots=True)
class Selector:
    """One pattern: '?' matches any character, a leading '!' excludes.

    Of SeedLink 3, [!][LL]CCC[.T] with '-' for a blank location; or of SeedLink 4, [!]LOC_B_S_SS[.FT][:native].
    """

    negative: bool
    location: str  # '' for any
    channel: str
    kind: str  # '' or 'D' for data; other kinds are never sent
    version: int = 3

    @classmethod
    def from_text(cls, text: str) -> Selector | None:
        """None if `text` is not a pattern."""
        match = _PATTERN.fullmatch(text)
        if not match:
            return None
        kind = match["kind"] or match["only_kind"] or ""
        return cls(bool(match["no"]), match["location"] or "", match["channel"] or "*", kind)

    @classmethod
    def from_text_4(cls, text: str) -> Selector | None:
        """None if `text` is not a pattern of SeedLink 4, or requests a conversion of records."""
        match = _PATTERN_4.fullmatch(text)
        if not match or text in ("", "!"):
            return None
        kind = (match["kind"] or "").replace("?", "").replace("*", "")
        location = "*" if match["location"] is None else location_from_text(match["location"])
        return cls(bool(match["no"]), location, match["channel"] or "*", kind, version=4)

    def matches(self, source_id: SourceId) -> bool:
        if self.kind not in ("", "D"):
            return False
        if self.version == 4:
            channel = source_id.channel if "_" in source_id.channel else "_".join(source_id.channel)
            return fnmatchcase(source_id.location, self.location) and fnmatchcase(channel, self.channel)
        location = source_id.location.ljust(2, "-")
        return (not self.location or fnmatchcase(location, self.location)) and fnmatchcase(
            source_id.channel, self.channel
        )


def is_selected(source_id: SourceId, selectors: Iterable[Selector]) -> bool:
    """True if a positive pattern matches, or there is none, and no negative pattern matches."""
    positive, taken = False, False
    for selector in selectors:
        if selector.negative:
            if selector.matches(source_id):
                return False
        else:
            positive = True
            taken = taken or selector.matches(source_id)
    return taken or not positive


@dataclass(slots=True)
class Request:
    """A client's request for one station, or for several by patterns; None for what was not specified."""

    network: str = "*"
    station: str = "*"
    selectors: tuple[Selector, ...] = ()
    sequence: int | None = None
    begin_ns: int | None = None
    end_ns: int | None = None
    dial_up: bool = False  # FETCH: 'END' after the last record
    from_now: bool = True  # DATA without a number
    seed_only: bool = False  # SeedLink 3: only what has codes of SEED

    def takes(self, station: Station) -> bool:
        if self.seed_only and not station_fits_seed(station.network, station.code):
            return False
        return fnmatchcase(station.network, self.network) and fnmatchcase(station.code, self.station)


@dataclass(slots=True)
class Subscription:
    """The entries of a station for a client: those of [next, stop) that match `request`."""

    station: Station
    request: Request
    first_sequence: int
    modulus: int = SEQUENCE_MODULUS  # of sequence numbers
    next: int = 0
    stop: int = 0
    selected: dict[SourceId, bool] = field(default_factory=dict)  # by channel; a client may send many patterns

    def set_range(self, n_released: int, n_gone: int = 0) -> None:
        """Set `next` and `stop`; `n_released` entries are complete, and the first `n_gone` of them no longer kept.

        A number that is no longer kept starts at the next new entry, without an error, as ringserver does.
        """
        entries, request = self.station.entries, self.request
        self.next, self.stop = n_gone, len(entries)
        if request.sequence is not None:
            index = self._index_from_sequence(request.sequence)
            self.next = index if index >= n_gone else n_released or len(entries)
        elif request.begin_ns is None and request.from_now:
            self.next = max(n_gone, n_released)
        if request.end_ns is not None:
            end_ns = request.end_ns
            self.stop = max((k + 1 for k, entry in enumerate(entries) if entry.starttime_ns < end_ns), default=0)

    def sequence(self, index: int) -> int:
        return (self.first_sequence + index) % self.modulus

    def takes(self, index: int) -> bool:
        entry, request = self.station.entries[index], self.request
        selected = self.selected.get(entry.source_id)
        if selected is None:
            name = entry.source_id
            selected = is_selected(name, request.selectors) and (fits_seed(name) or not request.seed_only)
            self.selected[name] = selected
        return (
            selected
            and (request.begin_ns is None or entry.release_ns >= request.begin_ns)
            and (request.end_ns is None or entry.starttime_ns < request.end_ns)
        )

    def _index_from_sequence(self, sequence: int) -> int:
        """Index of a sequence number: a future one waits for the next record, a past one starts at the oldest."""
        n = len(self.station.entries)
        index = (sequence - self.first_sequence) % self.modulus
        if index <= n:
            return index
        return n if (index - n) < self.modulus // 2 else 0

"""Events of the page: the newest revision of each event, bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.event import Event

MAX_EVENTS = 500  # about 2 kB each
HIDDEN = ("source",)  # its URL or path


@dataclass(frozen=True, slots=True)
class Shown:
    """One event as JSON. revision: the newest one."""

    station: str
    onset_ns: int
    revision: int
    retracted: bool
    json: bytes


class EventBook:
    """The events of all stations; beyond MAX_EVENTS the oldest entries are removed."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Shown] = OrderedDict()
        self.truncated = False  # an event was removed

    def add(self, event: Event) -> bool:
        """Note a revision; False for one that is older than the one shown."""
        known = self._by_id.get(event.id)
        if known is not None and known.revision > event.revision:
            return False
        plain: dict[str, Any] = msgspec.to_builtins(event)
        text = msgspec.json.encode({key: value for key, value in plain.items() if key not in HIDDEN})
        retracted = event.status == "retracted"
        self._by_id[event.id] = Shown(event.station, ns_from_iso(event.onset), event.revision, retracted, text)
        while len(self._by_id) > MAX_EVENTS:
            self._by_id.popitem(last=False)
            self.truncated = True
        return True

    def get(self, event_id: str) -> Shown | None:
        return self._by_id.get(event_id)

    def page(self, station: str | None, before_ns: int | None, limit: int) -> tuple[list[tuple[str, Shown]], bool]:
        """Up to `limit` events before a time, newest onset first, and whether there are more."""
        found = [
            (key, shown)
            for key, shown in self._by_id.items()
            if (station is None or shown.station == station) and (before_ns is None or shown.onset_ns < before_ns)
        ]
        found.sort(key=lambda pair: (pair[1].onset_ns, pair[0]), reverse=True)
        return found[:limit], len(found) > limit

    def count_since(self, station: str, from_ns: int) -> int:
        """Events of a station with an onset from a time on that were not retracted."""
        return sum(s.station == station and s.onset_ns >= from_ns and not s.retracted for s in self._by_id.values())

    def newest_ns(self, station: str) -> int | None:
        """Onset of the newest event of a station that was not retracted."""
        return max((s.onset_ns for s in self._by_id.values() if s.station == station and not s.retracted), default=None)

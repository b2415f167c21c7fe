"""Emitted: which lines were already emitted, by this run or an earlier one.

A run that resumes from an older token computes some lines a second time. An event is recognised by (id, revision), a
hop by its position: hops of a station come in order, so that all up to the last emitted one are repetitions.

A run of another version, with other models or settings, computes lines of the same events with another content. What
was delivered is kept: such a line gets the next free revision, so that each (id, revision) has one content in every
sink, and an event that was not final yet becomes final. After the last revision of an event nothing more is emitted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.journal.outbox import MAX_UNSAVED
from seisedge.runtime.journal.revision_content import RevisionContent, content_of_revision


@dataclass(frozen=True, slots=True, order=True)
class HopPosition:
    """Position of a hop among those of its station: first by the epoch of the station's clock, then by time."""

    epoch: int
    time: str

    @classmethod
    def parse(cls, text: str) -> HopPosition:
        """Inverse of `str`; a text without an epoch is of epoch 0. Raises ValueError."""
        epoch, slash, time = text.rpartition("/")
        return cls(int(epoch) if slash else 0, time)

    def __str__(self) -> str:
        return f"{self.epoch}/{self.time}"


class Emitted:
    """Keys of the lines emitted. hops: by station, the stored position of the last hop emitted by an earlier run."""

    def __init__(self, hops: Mapping[str, str]) -> None:
        self._hops: dict[str, HopPosition] = {}
        for station, text in hops.items():
            with contextlib.suppress(ValueError):  # a damaged one: hops of this station can be emitted again
                self._hops[station] = HopPosition.parse(text)
        self._unsaved_events: dict[tuple[str, int], RevisionContent] = {}  # oldest first
        self._unsaved_hops: set[str] = set()  # stations

    def add(self, line: Event | Hop, epoch: int, is_stored: Callable[[str, int], bool]) -> bool:
        """Note a line as emitted; False if it was before.

        epoch: of the station's clock. is_stored: whether a revision of an event is in the database.
        """
        if isinstance(line, Event):
            key = (line.id, line.revision)
            if key in self._unsaved_events or is_stored(*key):
                return False
            self._unsaved_events[key] = content_of_revision(line)
            if len(self._unsaved_events) > MAX_UNSAVED:
                del self._unsaved_events[next(iter(self._unsaved_events))]
            return True
        position = HopPosition(epoch, line.time)
        last = self._hops.get(line.station)
        if last is not None and position <= last:
            return False
        self._hops[line.station] = position
        self._unsaved_hops.add(line.station)
        return True

    def numbered(self, line: Event, stored: Mapping[int, RevisionContent | None]) -> Event | None:
        """The line with the revision under which it is to be emitted; None where its event has ended before.

        stored: by revision, what the database has of the event; None where its content is unknown.
        """
        unsaved = {revision: content for (event, revision), content in self._unsaved_events.items() if event == line.id}
        known = {**stored, **unsaved}
        ended = any(content.last for content in known.values() if content is not None)
        if line.revision not in known:
            return None if ended else line
        mine = content_of_revision(line)
        unknown = known[line.revision] is None
        if ended or unknown or any(content is not None and content.digest == mine.digest for content in known.values()):
            return line  # a repetition
        return msgspec.structs.replace(line, revision=max(known) + 1, status=line.status if mine.last else "update")

    def epoch_of(self, station_id: str) -> int | None:
        """Epoch of the station's last hop; None if it has emitted none."""
        last = self._hops.get(station_id)
        return None if last is None else last.epoch

    @property
    def unsaved_events(self) -> list[tuple[str, int]]:
        """(id, revision) of events that no transaction has stored, oldest first; at most the newest MAX_UNSAVED."""
        return list(self._unsaved_events)

    @property
    def unsaved_contents(self) -> dict[tuple[str, int], RevisionContent]:
        """By (id, revision), the content of events that no transaction has stored."""
        return dict(self._unsaved_events)

    @property
    def unsaved_hops(self) -> dict[str, str]:
        """By station, the position of its last hop, if no transaction has stored it."""
        return {station: str(self._hops[station]) for station in sorted(self._unsaved_hops)}

    def stored(self) -> None:
        """A transaction has stored all keys."""
        self._unsaved_events.clear()
        self._unsaved_hops.clear()

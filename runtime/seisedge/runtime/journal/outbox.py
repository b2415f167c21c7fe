"""Outbox: lines on their way from the journal to the sinks."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from seisedge.runtime.event import Event, Hop

MAX_TIMED = 256  # lines whose time to be stored is known; sinks that are up take them at once
MAX_UNSAVED = 10_000  # lines held while the disk fails or where there is none

# Built at import, in one thread: msgspec resolves a type when it is first used and shows other threads the unfinished
# result, so that two sinks that decode their first line at once can crash the process (kill -9 test, once in some 150
# starts). Every release from 0.18.6 to 0.22.0 crashes in a script of four threads; no lower bound avoids it.
_EVENT, _HOP = msgspec.json.Decoder(Event), msgspec.json.Decoder(Hop)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the outbox; `body` is its JSON, `journal_ms` how long it took to be stored, where this run knows."""

    seq: int
    station: str
    kind: str  # event, hop
    body: bytes
    journal_ms: float | None = None

    def decoded(self) -> Event | Hop:
        """The line, with the time of the transaction that holds it: the stored form cannot know that."""
        line = _EVENT.decode(self.body) if self.kind == "event" else _HOP.decode(self.body)
        if self.journal_ms is None:
            return line
        stored_ms, before = round(self.journal_ms, 3), line.latency_ms
        latency = msgspec.structs.replace(before, journal=stored_ms, total=round(before.total + stored_ms, 3))
        return msgspec.structs.replace(line, latency_ms=latency)


class Unsaved:
    """Lines that no transaction holds yet, bounded; and how long the last ones that one holds took to get there.

    lines: oldest first. keys: (id, revision) of events, in order; longer than their lines, which may be given out.
    stored_ms: by number. Use under the journal's lock.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.keys: dict[tuple[str, int], None] = {}
        self.stored_ms: dict[int, float] = {}
        self._made_s: dict[int, float] = {}

    def add(self, line: Line, now_s: float | None) -> None:
        """now_s: on the clock that `stored` uses; None where nobody will know how long it took."""
        self.lines.append(line)
        if now_s is not None:
            self._made_s[line.seq] = now_s

    def add_key(self, key: tuple[str, int]) -> None:
        """An event that must not be said again."""
        self.keys[key] = None
        if len(self.keys) > MAX_UNSAVED:
            del self.keys[next(iter(self.keys))]

    def stored(self, now_s: float) -> None:
        """A transaction holds all of it now."""
        self.stored_ms |= {seq: (now_s - made_s) * 1e3 for seq, made_s in self._made_s.items()}
        for seq in list(self.stored_ms)[:-MAX_TIMED]:
            del self.stored_ms[seq]
        self._made_s.clear()
        self.lines.clear()
        self.keys.clear()

    def trim(self, given: int, *, all_given: bool) -> int:
        """Keep to the bound; with `all_given`, drop what all sinks have, up to number `given`. Returns how many
        lines went that some sink has not.
        """
        if all_given:
            self.lines = [line for line in self.lines if line.seq > given]
        excess = self.lines[: max(len(self.lines) - MAX_UNSAVED, 0)]
        del self.lines[: len(excess)]
        for line in excess:
            self._made_s.pop(line.seq, None)
        return sum(line.seq > given for line in excess)

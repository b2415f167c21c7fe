"""Outbox: a line on its way from the journal to the sinks."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from seisedge.runtime.event import Event, Hop

# Made here, in one thread: msgspec 0.22 resolves a type when it first meets it and shows others the half-made result,
# so that two sinks that decode their first line at once can crash the process (kill -9 test, once in some 150 starts).
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

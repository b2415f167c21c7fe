"""Line: one emitted line on its way to the sinks, as stored JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from seisedge.runtime.event import Event, Hop

LineKind = Literal["event", "hop"]

# Built at import, in one thread: msgspec resolves a type on first use and shows other threads the unfinished result.
# Two sinks that decode their first line at the same time could crash the process (about once in 150 starts). Every
# release from 0.18.6 to 0.22.0 crashes in a script of four threads; no lower bound avoids it.
_EVENT, _HOP = msgspec.json.Decoder(Event), msgspec.json.Decoder(Hop)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the outbox.

    seq: its number; lines are delivered in this order. body: JSON without a line end.
    journal_ms: from `add` to the end of the transaction that stored it; None if this run did not measure it.
    """

    seq: int
    station: str
    kind: LineKind
    body: bytes
    journal_ms: float | None = None

    def decoded(self) -> Event | Hop:
        """The event or hop. `journal_ms` is added to its latency here: the stored JSON was written before that time
        was known.
        """
        line = _EVENT.decode(self.body) if self.kind == "event" else _HOP.decode(self.body)
        if self.journal_ms is None:
            return line
        journal_ms = round(self.journal_ms, 3)
        latency = msgspec.structs.replace(
            line.latency_ms, journal=journal_ms, total=round(line.latency_ms.total + journal_ms, 3)
        )
        return msgspec.structs.replace(line, latency_ms=latency)

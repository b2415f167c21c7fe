"""Line: one emitted line on its way to the sinks, as stored JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from seisedge.runtime.event import Event, Hop

# Built at import, in one thread: msgspec resolves a type on first use and shows other threads the unfinished result.
# Two sinks that decode their first line at the same time could crash the process (about once in 150 starts). Every
# release from 0.18.6 to 0.22.0 crashes in a script of four threads; no lower bound avoids it.
_DECODERS: dict[str, msgspec.json.Decoder[Event] | msgspec.json.Decoder[Hop]] = {
    "event": msgspec.json.Decoder(Event),
    "hop": msgspec.json.Decoder(Hop),
}

_ID = re.compile(rb'"id":"([!#-\[\]-~]{1,200})"')
_REVISION = re.compile(rb'"revision":([0-9]{1,9})')


class Undecodable(Exception):
    """The stored line is damaged; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the outbox.

    seq: its number; lines are delivered in this order. kind: `event` or `hop`. body: JSON without a line end. The kind
    and the body of a damaged line can be anything.
    journal_ms: from `add` to the end of the transaction that stored it; None if this run did not measure it.
    """

    seq: int
    station: str
    kind: str
    body: bytes
    journal_ms: float | None = None

    def decoded(self) -> Event | Hop:
        """The event or hop. `journal_ms` is added to its latency here: the stored JSON was written before that time
        was known.

        Raises Undecodable.
        """
        line = self._stored()
        if self.journal_ms is None:
            return line
        journal_ms = round(self.journal_ms, 3)
        latency = msgspec.structs.replace(
            line.latency_ms, journal=journal_ms, total=round(line.latency_ms.total + journal_ms, 3)
        )
        return msgspec.structs.replace(line, latency_ms=latency)

    def _stored(self) -> Event | Hop:
        decoder = _DECODERS.get(self.kind)
        if decoder is None:
            raise Undecodable(f"the kind of the line must be event or hop; it is {self.kind[:20]!a}")
        try:
            line = decoder.decode(self.body)
        except Exception as error:  # whatever a parser raises for bytes of any kind, such as RecursionError
            raise Undecodable(f"{type(error).__name__}: {str(error)[:200]!a}") from None
        if line.station != self.station:
            raise Undecodable("the line is stored for another station than its JSON names")
        return line

    @property
    def event_id(self) -> tuple[str, int | None] | None:
        """(id, revision) found in the JSON text of an event, also of a damaged one; None if there is no id."""
        found, revision = _ID.search(self.body), _REVISION.search(self.body)
        if found is None:
            return None
        return found[1].decode("ascii"), None if revision is None else int(revision[1])

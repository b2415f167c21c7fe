"""Source: where packets come from. One file a source; each is a subclass with two hooks.

A source is opened, iterated once and closed. Files give back-pressure by being iterated; live sources yield
`None` at least every `TICK_S` while nothing comes, so that the station can look at its clocks.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from seisedge.runtime.packet import Packet

TICK_S = 0.5


@dataclass(slots=True)
class SourceCounters:
    """What a source has met so far; the station reports it at the end and in its metrics."""

    records: int = 0
    bytes: int = 0
    bad_records: int = 0  # quarantined: not decodable, rate 0, absurd time
    skipped_bytes: int = 0  # between records, while looking for the next good one
    truncated: int = 0  # a last record that ends too early
    reconnects: int = 0


class Source(abc.ABC):
    """Base of all sources.

    url: as the user gave it, for messages and for the event's `source` field.
    live: True where packets come at the pace of the world and losing the connection is not the end.
    """

    live: bool = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.counters = SourceCounters()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:  # noqa: B027  a hook, not every source needs it
        """Check what can be checked before the first packet; raises InputError with one sentence."""

    @abc.abstractmethod
    def packets(self) -> Iterator[Packet | None]:
        """Packets in the order of the source; None as a tick while waiting; ends when there is no more."""

    def close(self) -> None:  # noqa: B027  a hook, not every source needs it
        """Give back files and sockets; may be called twice, and from another thread to end `packets`."""

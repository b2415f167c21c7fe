"""Registry of sources by URL scheme: a new source is one file and one decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from seisedge.runtime.sources._base import Source

DATA_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Options of a source besides its URL.

    until_end: end when the server reports the end of the data.
    connect_timeout_s: raise ConnectError after this time without a connection; None: no limit in a live run.
    resume: last processed token per station id ('NET.STA'), from the journal.
    resume_ns: per station id, time of the last sample processed up to that token. A source that can only resume from
        the oldest token of several stations uses it to drop packets that a station already processed: a resumed
        station must not receive a packet from before its position.
    data_timeout_s: a live connection without data for this time is closed and opened again.
    """

    until_end: bool = False
    connect_timeout_s: float | None = None
    resume: Mapping[str, str] = field(default_factory=dict)
    resume_ns: Mapping[str, int] = field(default_factory=dict)
    data_timeout_s: float = DATA_TIMEOUT_S


SourceFactory = Callable[[str, SourceOptions], Source]
FACTORIES: dict[str, SourceFactory] = {}


def register_source(scheme: str) -> Callable[[SourceFactory], SourceFactory]:
    """Decorate the function that makes the source of a URL `scheme:…`. Raises ValueError for a second one."""

    def register(factory: SourceFactory) -> SourceFactory:
        if scheme in FACTORIES:
            raise ValueError(f"source scheme {scheme!r} is already registered")
        FACTORIES[scheme] = factory
        return factory

    return register

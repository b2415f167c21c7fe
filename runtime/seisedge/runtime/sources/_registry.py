"""Which source reads which kind of URL: a new source is one file and one decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from seisedge.runtime.sources._base import Source

DATA_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a run asks of a source besides its URL.

    until_end: end when the server says that all is sent.
    connect_timeout_s: give up with ConnectError after so long without a connection; None: never in a live run.
    resume: last token taken per station id ('NET.STA'), from the journal.
    resume_ns: per station id, a time that no sample taken up to that token is after. A source that can only go back to
        the oldest token of several stations tells by it what a station was given before, and does not give it again:
        a station that goes on from a place must see no packet from before it.
    data_timeout_s: a live connection without data for so long is given up and made anew.
    """

    until_end: bool = False
    connect_timeout_s: float | None = None
    resume: Mapping[str, str] = field(default_factory=dict)
    resume_ns: Mapping[str, int] = field(default_factory=dict)
    data_timeout_s: float = DATA_TIMEOUT_S


SourceFactory = Callable[[str, SourceOptions], Source]
FACTORIES: dict[str, SourceFactory] = {}


def register_source(scheme: str) -> Callable[[SourceFactory], SourceFactory]:
    """Decorate the function that makes a source of a URL `scheme:…`; a scheme has one source."""

    def register(factory: SourceFactory) -> SourceFactory:
        if scheme in FACTORIES:
            raise ValueError(f"source scheme {scheme!r} is registered already")
        FACTORIES[scheme] = factory
        return factory

    return register

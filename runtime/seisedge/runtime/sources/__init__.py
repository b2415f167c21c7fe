"""Sources of packets, one file per kind."""

from seisedge.runtime.sources._base import TICK_S, LinkState, Source, SourceCounters
from seisedge.runtime.sources._open import known_schemes, open_source
from seisedge.runtime.sources._registry import SourceOptions, register_source

__all__ = [
    "TICK_S",
    "LinkState",
    "Source",
    "SourceCounters",
    "SourceOptions",
    "known_schemes",
    "open_source",
    "register_source",
]

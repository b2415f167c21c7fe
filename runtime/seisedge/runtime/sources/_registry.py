"""Which source reads which kind of URL: a new source is one file and one decorator."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seisedge.runtime.errors import InputError
from seisedge.runtime.sources._base import Source

# The modules that register the built-in sources, looked into at the first `open_source`.
BUILT_IN = tuple(
    f"seisedge.runtime.sources.{name}" for name in ("miniseed", "sds", "seedlink", "datalink", "shake_udp")
)

DATA_TIMEOUT_S = 120.0

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a run asks of a source besides its URL.

    until_end: end when the server says that all is sent.
    connect_timeout_s: give up with ConnectError after so long without a connection; None: never in a live run.
    resume: last token taken per station id ('NET.STA'), from the journal.
    data_timeout_s: a live connection without data for so long is given up and made anew.
    """

    until_end: bool = False
    connect_timeout_s: float | None = None
    resume: Mapping[str, str] = field(default_factory=dict)
    data_timeout_s: float = DATA_TIMEOUT_S


def closest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` where one of the known words is near, else ''."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


SourceFactory = Callable[[str, SourceOptions], Source]
_FACTORIES: dict[str, SourceFactory] = {}


def register_source(scheme: str) -> Callable[[SourceFactory], SourceFactory]:
    """Decorate the function that makes a source of a URL `scheme:…`; a scheme has one source."""

    def register(factory: SourceFactory) -> SourceFactory:
        if scheme in _FACTORIES:
            raise ValueError(f"source scheme {scheme!r} is registered already")
        _FACTORIES[scheme] = factory
        return factory

    return register


def known_schemes() -> list[str]:
    """Schemes that `open_source` understands, in alphabetical order."""
    for module in BUILT_IN:
        importlib.import_module(module)
    return sorted(_FACTORIES)


def open_source(
    where: str | Path | Sequence[str | Path],
    *,
    until_end: bool = False,
    connect_timeout_s: float | None = None,
    resume: Mapping[str, str] | None = None,
    data_timeout_s: float = DATA_TIMEOUT_S,
) -> Source:
    """The source for a URL, a path, or several paths merged into one; not yet opened.

    Raises InputError for an unknown scheme or a URL that cannot be used.
    """
    schemes = known_schemes()
    places = [where] if isinstance(where, str | Path) else list(where)
    options = SourceOptions(
        until_end=until_end,
        connect_timeout_s=connect_timeout_s,
        resume=dict(resume or {}),
        data_timeout_s=data_timeout_s,
    )
    scheme = _scheme(places[0]) if len(places) == 1 else None
    if scheme is not None:
        if scheme not in _FACTORIES:
            known = ", ".join(schemes)
            raise InputError(
                f"{places[0]}: unknown kind of source '{scheme}' (known: {known}){closest(scheme, schemes)}"
            )
        return _FACTORIES[scheme](str(places[0]), options)
    for place in places:
        if _scheme(place) is not None:
            raise InputError(f"{place}: a source URL cannot be merged with other data; give it alone")
    from seisedge.runtime.sources.miniseed import MiniSeedSource

    return MiniSeedSource(places)


def _scheme(place: str | Path) -> str | None:
    """The scheme of a URL; None for a path."""
    if isinstance(place, Path):
        return None
    match = _SCHEME.match(place)
    return match[1].lower() if match and not Path(place).exists() else None

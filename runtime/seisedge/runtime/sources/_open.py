"""From a URL or paths to the source that reads them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seisedge.runtime.errors import InputError
from seisedge.runtime.sources._base import Source
from seisedge.runtime.sources._registry import DATA_TIMEOUT_S, FACTORIES, SourceOptions
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.urls import shown_url

# The modules that register the built-in sources; imported by the first `open_source`.
BUILT_IN = tuple(
    f"seisedge.runtime.sources.{name}" for name in ("miniseed", "sds", "seedlink", "datalink", "shake_udp")
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def known_schemes() -> list[str]:
    """Schemes of `open_source`, in alphabetical order."""
    for module in BUILT_IN:
        importlib.import_module(module)
    return sorted(FACTORIES)


def open_source(
    where: str | Path | Sequence[str | Path],
    *,
    until_end: bool = False,
    connect_timeout_s: float | None = None,
    resume: Mapping[str, str] | None = None,
    resume_ns: Mapping[str, int] | None = None,
    data_timeout_s: float = DATA_TIMEOUT_S,
) -> Source:
    """The source for a URL, a path, or several paths merged into one; not yet opened.

    Options: see `SourceOptions`. Raises InputError for an empty text, an unknown scheme or an invalid URL.
    """
    schemes = known_schemes()
    places = [where] if isinstance(where, str | Path) else list(where)
    if "" in places:  # as a path it would be the working directory
        raise InputError("the source is empty; expected a URL, a file or a folder (is a shell variable not set?)")
    options = SourceOptions(
        until_end=until_end,
        connect_timeout_s=connect_timeout_s,
        resume=dict(resume or {}),
        resume_ns=dict(resume_ns or {}),
        data_timeout_s=data_timeout_s,
    )
    scheme = _scheme(places[0]) if len(places) == 1 else None
    if scheme is not None:
        if scheme not in FACTORIES:
            raise InputError(
                f"{shown_url(str(places[0]))}: unknown kind of source '{scheme}'; {suggestion(scheme, schemes)}"
            )
        return FACTORIES[scheme](str(places[0]), options)
    for place in places:
        if _scheme(place) is not None:
            shown = shown_url(str(place))
            raise InputError(f"{shown}: a source URL cannot be combined with other data; give only the URL")
    from seisedge.runtime.sources.miniseed import MiniSeedSource  # one of BUILT_IN, already imported

    return MiniSeedSource(places)


def _scheme(place: str | Path) -> str | None:
    """The scheme of a URL; None for a path."""
    if isinstance(place, Path):
        return None
    match = _SCHEME.match(place)
    return match[1].lower() if match and not Path(place).exists() else None

"""The weight of each source of the data, if a recipe does not name the sources.

The weights of the bundled recipes name the sources of the bundled data set. For data with other source names, each
source is weighted by its number of events. The run reports and stores these weights.
"""

from __future__ import annotations

import msgspec

from seisedge.train.archive.archive import Archive
from seisedge.train.recipes.recipe import Recipe

ALL = "*"


def with_sources(recipe: Recipe, archive: Archive) -> tuple[Recipe, list[str]]:
    """The recipe with weights for the sources in the archive, and messages for the user.

    The weight of a key `*` (`blast/*`, `mass movement/*` in non_tectonic) is shared among the sources not named. If the
    archive contains none of the named sources, all its sources are used. The messages name unused sources.
    """
    data = recipe.data
    events = _events(archive)
    tables = {
        "tectonic": {s: n for (k, s), n in events.items() if k == "tectonic"},
        "non_tectonic": {f"{k}/{s}": n for (k, s), n in events.items() if k in ("blast", "mass movement")},
        "noise": {s: n for (k, s), n in events.items() if k == "noise"},
    }
    notes: list[str] = []
    named = {name: dict(getattr(data, name)) for name in tables}
    sources = set(archive.sources)
    known = {key.split("/")[-1] for table in named.values() for key in table}
    if not known & (sources | {ALL}):
        wanted = {name: {ALL: 1.0} if table else {} for name, table in named.items()}
        if named["non_tectonic"]:
            kinds = {key.split("/")[0] for key in tables["non_tectonic"]}
            wanted["non_tectonic"] = {f"{kind}/{ALL}": 1.0 for kind in sorted(kinds)}
        notes.append(
            f"recipe '{recipe.name}' names the sources {', '.join(sorted(known))}, the data have "
            f"{', '.join(sorted(sources))}: each source is weighted by its number of events"
        )
        named = wanted
    weights = {name: _spread(table, tables[name]) for name, table in named.items()}
    used = {key.split("/")[-1] for table in weights.values() for key in table} | set(data.distance_only)
    unused = sorted(sources - used)
    if unused:
        notes.append(
            f"sources not named in recipe '{recipe.name}' are not used: {', '.join(unused)} (a weight for '*' uses all)"
        )
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(data, **weights)), notes


def _events(archive: Archive) -> dict[tuple[str, str], int]:
    """Number of events by kind and source; for noise, the number of records that contain noise."""
    seen: dict[tuple[str, str], set[str]] = {}
    for record in archive.records:
        if record.kind != "noise":
            seen.setdefault((record.kind, record.source), set()).add(record.event)
        if record.noise_end > 0:
            seen.setdefault(("noise", record.source), set()).add(record.name)
    return {key: len(names) for key, names in seen.items()}


def _spread(table: dict[str, float], present: dict[str, int]) -> dict[str, float]:
    """`table` with each wildcard replaced by the sources it matches and that are not named, in proportion to counts."""
    out = {key: weight for key, weight in table.items() if not key.endswith(ALL)}
    for key, weight in table.items():
        if key.endswith(ALL):
            prefix = key.removesuffix(ALL)
            hits = {k: n for k, n in present.items() if k.startswith(prefix) and k not in table}
            out |= {k: weight * n / sum(hits.values()) for k, n in hits.items()}
    return out

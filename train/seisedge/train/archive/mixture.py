"""How much each source of the data weighs, where a recipe does not know the data by name.

The weights of the bundled recipes are those of the bundled set. Data of one's own have other names: then every
source of a class weighs as many events as it has, and this is said and kept with the run.
"""

from __future__ import annotations

import msgspec

from seisedge.train.archive.archive import Archive
from seisedge.train.recipes.recipe import Recipe

ALL = "*"


def with_sources(recipe: Recipe, archive: Archive) -> tuple[Recipe, list[str]]:
    """The recipe with weights for the sources that are in the archive, and what to say about it.

    A key `*` (`blast/*`, `mass movement/*` among non_tectonic) shares its weight among the sources not named. A
    recipe none of whose names is in the archive takes every source. Sources left aside are named.
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
            f"recipe '{recipe.name}' weighs {', '.join(sorted(known))}; the data are {', '.join(sorted(sources))}: "
            "each source weighs as many events as it has"
        )
        named = wanted
    weights = {name: _spread(table, tables[name]) for name, table in named.items()}
    used = {key.split("/")[-1] for table in weights.values() for key in table} | set(data.distance_only)
    unused = sorted(sources - used)
    if unused:
        notes.append(
            f"not named in recipe '{recipe.name}' and not used: {', '.join(unused)} (a weight for '*' takes all)"
        )
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(data, **weights)), notes


def _events(archive: Archive) -> dict[tuple[str, str], int]:
    """Events by kind and source; of noise, the records that hold some."""
    seen: dict[tuple[str, str], set[str]] = {}
    for record in archive.records:
        if record.kind != "noise":
            seen.setdefault((record.kind, record.source), set()).add(record.event)
        if record.noise_end > 0:
            seen.setdefault(("noise", record.source), set()).add(record.name)
    return {key: len(names) for key, names in seen.items()}


def _spread(table: dict[str, float], present: dict[str, int]) -> dict[str, float]:
    """`table` with its wildcards spread over what is present and not named, in proportion to its count."""
    out = {key: weight for key, weight in table.items() if not key.endswith(ALL)}
    for key, weight in table.items():
        if key.endswith(ALL):
            prefix = key.removesuffix(ALL)
            hits = {k: n for k, n in present.items() if k.startswith(prefix) and k not in table}
            out |= {k: weight * n / sum(hits.values()) for k, n in hits.items()}
    return out

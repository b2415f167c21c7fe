"""The weight of each source of the data, if a recipe does not name the sources, and of each of several folders.

The weights of the bundled recipes name the sources of the bundled data set. In a folder of other sources, each source
is weighted by its number of events. Of several folders each has the same weight in each class, unless `data.mix` states
others. The run reports and stores the weights.
"""

from __future__ import annotations

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.suggestion import suggestion
from seisedge.train.archive.archive import Archive
from seisedge.train.recipes.recipe import Recipe

ALL = "*"
Table = dict[str, float]


def with_sources(recipe: Recipe, archive: Archive) -> tuple[Recipe, list[str]]:
    """The recipe with weights for the sources in the archive, and messages for the user.

    The weight of a key `*` (`blast/*`, `mass movement/*` in non_tectonic) is shared among the sources not named. If a
    folder contains none of the named sources, all its sources are used. The messages name unused sources. Raises
    InputError for an unknown folder in `data.mix`.
    """
    shares = _shares(recipe, archive)
    data, events = recipe.data, _events(archive)
    present: dict[str, Table] = {
        "tectonic": {s: n for (k, s), n in events.items() if k == "tectonic"},
        "non_tectonic": {f"{k}/{s}": n for (k, s), n in events.items() if k in ("blast", "mass movement")},
        "noise": {s: n for (k, s), n in events.items() if k == "noise"},
    }
    notes: list[str] = []
    weights: dict[str, Table] = {name: {} for name in present}
    for folder, share in shares.items():
        sources = {s for s in archive.sources if archive.folder_of.get(s, folder) == folder}
        own = {name: {k: n for k, n in table.items() if _source(k) in sources} for name, table in present.items()}
        named, note = _named(recipe, sources, own)
        notes += note
        for name, table in named.items():
            found = _spread(table, own[name])
            if len(shares) > 1:  # of one folder, the weights of the recipe are used as they are
                found = {k: w for k, w in found.items() if k in own[name]}
                total = sum(found.values())
                found = {k: w / total * share for k, w in found.items()} if total > 0 else {}
            weights[name] |= {k: w for k, w in found.items() if w > 0}
    if len(shares) > 1:
        if not data.noise:  # a magnitude recipe draws from all its tables: they keep their weights to each other
            for name, table in weights.items():
                size, total = sum(getattr(data, name).values()), sum(table.values())
                weights[name] = {k: w * size / total for k, w in table.items()}
        notes.append(
            "share of each class by folder: " + ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
        )
    used = {_source(key) for table in weights.values() for key in table} | set(data.distance_only)
    wanted = {s for s in archive.sources if shares.get(archive.folder_of.get(s, ""), 1) > 0}
    unused = sorted(wanted - used)
    if unused:
        notes.append(
            f"sources not named in recipe '{recipe.name}' are not used: {', '.join(unused)} (a weight for '*' uses all)"
        )
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(data, **weights)), notes


def _shares(recipe: Recipe, archive: Archive) -> Table:
    """Share of each folder: as in `data.mix`, the rest in equal parts. Raises InputError."""
    folders = list(dict.fromkeys(archive.folder_of.values())) or [""]
    given = recipe.data.mix
    for name in given:
        if name not in folders:
            raise InputError(f"data.mix: no data folder is called '{name}'; {suggestion(name, folders)}")
    rest = 1 - sum(given.values())
    others = [name for name in folders if name not in given]
    if rest < -1e-9 or (others and rest <= 1e-9) or (not others and rest > 1e-9):
        stated = ", ".join(f"{name} {share:g}" for name, share in given.items())
        raise InputError(
            f"data.mix: the shares ({stated}) must "
            + (f"leave a part of 1 to {', '.join(others)}" if others else "sum to 1")
        )
    return {name: given[name] if name in given else rest / len(others) for name in folders}


def require_contribution(recipe: Recipe, archive: Archive, used: list[int]) -> None:
    """Raise InputError if no record of a folder is trained on or held out, unless its share in `data.mix` is 0."""
    helpful = {archive.records[i].source for i in used} | {r.source for r in archive.records if r.split == "test"}
    reached = {archive.folder_of[s] for s in helpful if s in archive.folder_of}
    for name in dict.fromkeys(archive.folder_of.values()):
        if name not in reached and recipe.data.mix.get(name, 1) > 0:
            kinds = sorted({r.kind for r in archive.records if archive.folder_of[r.source] == name})
            raise InputError(
                f"--data {name}: no record is used by recipe '{recipe.name}' (kinds: {', '.join(kinds) or 'none'}); "
                f"leave the folder out, or give --mix {name}=0 if this is intended"
            )


def _source(key: str) -> str:
    """The source in the key of a table: `pnw` of `pnw` and of `blast/pnw`."""
    return key.split("/", 1)[1] if key.startswith(("blast/", "mass movement/")) else key


def _named(recipe: Recipe, sources: set[str], present: dict[str, Table]) -> tuple[dict[str, Table], list[str]]:
    """The tables of the recipe; for sources that it does not name, tables that use all of them, and a message."""
    named = {name: dict(getattr(recipe.data, name)) for name in present}
    known = {_source(key) for table in named.values() for key in table} | set(recipe.data.distance_only)
    if known & (sources | {ALL}):
        return named, []
    wanted: dict[str, Table] = {name: {ALL: 1.0} if table else {} for name, table in named.items()}
    if named["non_tectonic"]:
        kinds = {key.split("/")[0] for key in present["non_tectonic"]}
        wanted["non_tectonic"] = {f"{kind}/{ALL}": 1.0 for kind in sorted(kinds)}
    note = (
        f"recipe '{recipe.name}' names the sources {', '.join(sorted(known))}, the data have "
        f"{', '.join(sorted(sources))}: each source is weighted by its number of events"
    )
    return wanted, [note] if sources else []


def _events(archive: Archive) -> dict[tuple[str, str], int]:
    """Number of events by kind and source; for noise, the number of records that contain noise."""
    seen: dict[tuple[str, str], set[str]] = {}
    for record in archive.records:
        if record.kind != "noise":
            seen.setdefault((record.kind, record.source), set()).add(record.event)
        if record.noise_end > 0:
            seen.setdefault(("noise", record.source), set()).add(record.name)
    return {key: len(names) for key, names in seen.items()}


def _spread(table: Table, present: Table) -> Table:
    """`table` with each wildcard replaced by the sources it matches and that are not named, in proportion to counts."""
    out = {key: weight for key, weight in table.items() if not key.endswith(ALL)}
    for key, weight in table.items():
        if key.endswith(ALL):
            prefix = key.removesuffix(ALL)
            hits = {k: n for k, n in present.items() if k.startswith(prefix) and k not in table}
            out |= {k: weight * n / sum(hits.values()) for k, n in hits.items()}
    return out

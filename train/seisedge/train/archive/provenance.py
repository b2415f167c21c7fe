"""What a model file states about its training data: values from the data, else 'not stated'.

The metadata give the magnitude types (`source_magnitude_type`), the licences (`trace_licence`) and the events. The file
`sources.toml` in the same folder gives what has no column, one table for each source (column `subset`):

    [pnw]
    part = "before 2019-07-07"           # if the folder contains only a part of the source
    licence = "CC BY 4.0"                # used for records without trace_licence
    region = "Pacific Northwest"
    not_for.magnitude = ["..."]          # by task: uses for which a model trained on this source is not valid
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from seisedge.runtime.card import MAGNITUDE_CODE, UNSPECIFIED_SCALE
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.text import reason_of
from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.dataset.event_hashes import joined_texts, text_from_keys

FILE = "sources.toml"
NOT_STATED = "not stated"
SPELLINGS = ("M", "ML", "MLv", "MLh", "Md", "Mh", "Mw", "Mwp", "Mwc", "Mwb", "Mwr", "Mww", "Ms", "mb", "mB", "Mc")

Task = Literal["event_type", "magnitude", "onset"]


class SourceFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of `sources.toml`."""

    part: str = ""
    licence: str = ""
    region: str = ""
    not_for: dict[Task, list[str]] = {}


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Stored in the run and copied to the card.

    data: 'SOURCE (LICENCE)' of each source. magnitude_types: type in the catalogue ('' if not stated) → number of
    records, of the real ones if there are any. not_for: limits that follow from the data, not from the recipe.
    event_hashes: of real events, see `dataset.event_hashes`. n_unnamed_records: training records without an event id.
    """

    data: list[str]
    magnitude_types: dict[str, int]
    not_for: list[str]
    event_hashes: str
    n_unnamed_records: int


def provenance_of(archive: Archive, used: Sequence[int], folders: Sequence[Path], task: Task) -> Provenance:
    """Provenance of the records with the indices `used`. Raises InputError if a `sources.toml` is invalid."""
    records = [archive.records[i] for i in used]
    facts = read_facts(folders)
    sources = sorted({r.source for r in records})
    real = [r for r in records if not r.synthetic] or records
    types = Counter(r.magnitude_type for r in real if r.magnitude is not None)
    groups = {r.group for r in records}
    return Provenance(
        data=[_described(name, [r for r in records if r.source == name], facts.get(name, [])) for name in sources],
        magnitude_types=dict(sorted(types.items())),
        not_for=_limits(sources, facts, task),
        event_hashes=text_from_keys(
            r.key for r in archive.records if r.group in groups and not r.synthetic
        ),  # events of a group share samples
        n_unnamed_records=sum(not r.key for r in records),
    )


def with_initial_weights(own: Provenance, earlier: Provenance | None) -> Provenance:
    """Add the training data of the initial weights (`earlier`); None: the weights do not state their training data."""
    if earlier is None:
        return msgspec.structs.replace(own, data=[*own.data, f"the initial weights (training data {NOT_STATED})"])
    return msgspec.structs.replace(
        own,
        data=[*own.data, *(f"by the initial weights: {text}" for text in earlier.data if text not in own.data)],
        event_hashes=joined_texts(own.event_hashes, earlier.event_hashes),
        n_unnamed_records=own.n_unnamed_records + earlier.n_unnamed_records,
    )


def read_facts(folders: Iterable[Path]) -> dict[str, list[SourceFacts]]:
    """Source → its tables in the `sources.toml` of the folders; the file is optional. Raises InputError."""
    out: dict[str, list[SourceFacts]] = {}
    for folder in folders:
        path = folder / FILE
        if not path.is_file():
            continue
        try:
            tables = msgspec.convert(tables_from_toml(read_up_to(path, MAX_BYTES)), dict[str, SourceFacts])
        except (OSError, ValueError, OverflowError) as error:  # ValidationError is a ValueError
            raise InputError(f"{path}: must contain one valid table for each source: {reason_of(error)}") from error
        for name, facts in tables.items():
            out.setdefault(name, []).append(facts)
    return out


def _described(name: str, records: Sequence[Record], facts: Sequence[SourceFacts]) -> str:
    beside = _stated(f.licence for f in facts)
    licences = sorted({r.licence or beside for r in records})
    text = "; ".join(licence or f"licence {NOT_STATED}" for licence in licences)
    parts = _stated(f.part for f in facts)
    synthetic = sum(r.synthetic for r in records)
    return f"{name or 'unnamed source'}{' ' + parts if parts else ''} ({text})" + (
        f", {synthetic} of {len(records)} records synthetic" if synthetic else ""
    )


def _stated(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _limits(sources: Sequence[str], facts: dict[str, list[SourceFacts]], task: Task) -> list[str]:
    regions = {name: _stated(f.region for f in facts.get(name, [])) for name in sources}
    where = [region or f"{name or 'unnamed source'} (region {NOT_STATED})" for name, region in regions.items()]
    limits = [f"regions other than those of the training data: {'; '.join(dict.fromkeys(where))}"]
    stated = (limit for name in sources for f in facts.get(name, []) for limit in f.not_for.get(task, []))
    return list(dict.fromkeys([*limits, *stated]))


def magnitude_scale(types: dict[str, int]) -> tuple[str, str]:
    """Code and remark for the magnitudes of a model. types: type in the catalogue ('': not stated) → number of records.

    If all records have one type that is a valid code, that code in its usual spelling. Else 'M', and the remark lists
    the types.
    """
    merged: Counter[str] = Counter()
    for name, count in types.items():
        merged[spelling_of(name)] += count
    if len(merged) == 1 and MAGNITUDE_CODE.fullmatch(next(iter(merged))):
        return next(iter(merged)), ""
    if not any(merged):
        return UNSPECIFIED_SCALE, "the data do not state the magnitude type"
    found = sorted(merged.items(), key=lambda item: (not item[0], -item[1], item[0]))
    listed = ", ".join(f"{name or NOT_STATED} ({count} records)" for name, count in found)
    return UNSPECIFIED_SCALE, f"as catalogued: {listed}; not converted"


def spelling_of(name: str) -> str:
    """A magnitude type in its usual spelling ('ml' → 'ML'). mb and mB are different types and are not changed."""
    if name in SPELLINGS:
        return name
    close = [code for code in SPELLINGS if code.lower() == name.lower()]
    return close[0] if len(close) == 1 else name

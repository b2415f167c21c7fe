"""Makes samplers from a recipe and an archive: defines which records are candidates for which label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record, Wanted
from seisedge.train.archive.sampler import Candidates, NuisanceSpec, Sampler
from seisedge.train.models._base import Geometry, Model, OnsetModel
from seisedge.train.recipes.recipe import Recipe

RecordFilter = Callable[[Record], bool]


def wanted_of(recipe: Recipe, model: Model) -> Wanted:
    """Which records a training reads."""
    return Wanted(
        leave_out=recipe.data.leave_out, synthetic=recipe.data.synthetic, untyped=isinstance(model, OnsetModel)
    )


@dataclass(frozen=True)
class Part:
    """Definition of the candidates of one label: noise or event, and the weight of each source."""

    label: int
    noise: bool
    weight: dict[str, float]


def parts_of(recipe: Recipe, model: Model) -> list[Part]:
    """One part for each label of a recipe; a magnitude recipe has one part, all events with a magnitude."""
    data = recipe.data
    tectonic = {f"tectonic/{source}": weight for source, weight in data.tectonic.items()}
    if model.task == "magnitude":
        teachers = {f"tectonic/{source}": weight for source, weight in data.distance_only.items()}
        return [Part(0, False, tectonic | data.non_tectonic | teachers)]
    parts = [Part(0, False, tectonic), Part(1, False, dict(data.non_tectonic))]
    return [*parts, Part(2, True, dict(data.noise))] if len(model.labels) == 3 else parts


def usable(recipe: Recipe, model: Model, record: Record, part: Part) -> bool:
    """True if the record may be used for the part: by class, by source, and by the conditions of the recipe."""
    if part.noise:
        return record.noise_end > 0 and record.source in part.weight
    if f"{record.kind}/{record.source}" not in part.weight:
        return False
    if model.task == "magnitude" and record.magnitude is None:
        return record.source in recipe.data.distance_only and record.distance_km is not None
    return record.visible or not recipe.data.visible_only


def candidates_of(recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter) -> list[Candidates]:
    """One entry for each label, from the records for which `chosen` is true. Raises InputError if one is empty."""
    out = []
    for part in parts_of(recipe, model):
        indices = [i for i, r in enumerate(archive.records) if chosen(r) and usable(recipe, model, r, part)]
        if not indices:
            raise InputError(f"recipe '{recipe.name}': {_nothing_for(model, archive, part)}")
        out.append(Candidates(archive, indices, part.weight, part.noise))
    return out


def _nothing_for(model: Model, archive: Archive, part: Part) -> str:
    """Why a part has no record, as part of a sentence."""
    if model.task == "magnitude" and not any(r.magnitude is not None for r in archive.records):
        return "the data contain no magnitude (column source_magnitude), which this task needs"
    what = model.labels[part.label] if model.task == "event_type" else "events with a magnitude"
    kinds = sorted({r.kind for r in archive.records})
    return f"the data contain no training record for {what}, only records of the kinds {', '.join(kinds)}"


def notes_on_short_records(archive: Archive, geometry: Geometry) -> list[str]:
    """Messages about records shorter than the window: they are used for the answers they reach, the rest is masked."""
    short = sum(r.n_samples < geometry.n_samples for r in archive.records)
    if not short:
        return []
    length_s = geometry.n_samples / geometry.rate_hz
    return [f"{short} records are shorter than the window of {length_s:g} s; the missing part is masked"]


def nuisance_of(recipe: Recipe) -> NuisanceSpec:
    """The nuisance table of the recipe."""
    n = recipe.nuisance
    return NuisanceSpec(
        tuple(n.answers_s), n.jitter_s, n.continuous_share, n.event_inside_s, n.vertical_share, n.subset_share
    )


def sampler_of(
    recipe: Recipe,
    model: Model,
    archive: Archive,
    chosen: RecordFilter,
    seed: int,
    prior: Sequence[float] | None = None,
) -> Sampler:
    """A sampler over the chosen records; all labels equally likely unless `prior` says otherwise."""
    candidates = candidates_of(recipe, model, archive, chosen)
    return Sampler(archive, candidates, prior or [1.0] * len(candidates), model.geometry, nuisance_of(recipe), seed)

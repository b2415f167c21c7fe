"""From a recipe and an archive to samplers: which record stands for which label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.archive.sampler import Candidates, NuisanceSpec, Sampler
from seisedge.train.models._base import Geometry, Model
from seisedge.train.recipes.recipe import Recipe

RecordFilter = Callable[[Record], bool]


@dataclass(frozen=True)
class Part:
    """Candidates of one label: where they come from and how much each source weighs."""

    label: int
    noise: bool
    weight: dict[str, float]


def parts_of(recipe: Recipe, model: Model) -> list[Part]:
    """The labels of a recipe as parts; a magnitude recipe has one, all events with a magnitude."""
    data = recipe.data
    tectonic = {f"tectonic/{source}": weight for source, weight in data.tectonic.items()}
    if model.task == "magnitude":
        teachers = {f"tectonic/{source}": weight for source, weight in data.distance_only.items()}
        return [Part(0, False, tectonic | data.non_tectonic | teachers)]
    parts = [Part(0, False, tectonic), Part(1, False, dict(data.non_tectonic))]
    return [*parts, Part(2, True, dict(data.noise))] if len(model.labels) == 3 else parts


def usable(recipe: Recipe, model: Model, record: Record, part: Part) -> bool:
    """May this record stand for the part, by class, source, and what the recipe asks of it."""
    if part.noise:
        return record.noise_end > 0 and record.source in part.weight
    if f"{record.kind}/{record.source}" not in part.weight:
        return False
    if model.task == "magnitude" and record.magnitude is None:
        return record.source in recipe.data.distance_only and record.distance_km is not None
    return record.visible or not recipe.data.visible_only


def candidates_of(recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter) -> list[Candidates]:
    """One entry a label, of the records for which `chosen` is true. Raises InputError where one is empty."""
    out = []
    for part in parts_of(recipe, model):
        indices = [i for i, r in enumerate(archive.records) if chosen(r) and usable(recipe, model, r, part)]
        if not indices:
            raise InputError(f"recipe '{recipe.name}': {_nothing_for(model, archive, part)}")
        out.append(Candidates(archive, indices, part.weight, part.noise))
    return out


def _nothing_for(model: Model, archive: Archive, part: Part) -> str:
    """Why no record can be had for a part, in words that go into a sentence."""
    if model.task == "magnitude" and not any(r.magnitude is not None for r in archive.records):
        return "the data hold no magnitude (column source_magnitude), and this task learns nothing else"
    what = model.labels[part.label] if model.task == "event_type" else "events with a magnitude"
    kinds = sorted({r.kind for r in archive.records})
    return f"the data hold no training record for {what}; of kinds there are {', '.join(kinds)}"


def notes_on_short_records(archive: Archive, geometry: Geometry) -> list[str]:
    """What to say of records shorter than the window: they serve the answers they carry, the rest is masked."""
    short = sum(r.n_samples < geometry.n_samples for r in archive.records)
    if not short:
        return []
    length_s = geometry.n_samples / geometry.rate_hz
    return [f"{short} records are shorter than the window of {length_s:g} s; what they lack of it is masked"]


def nuisance_of(recipe: Recipe) -> NuisanceSpec:
    """The recipe's nuisance table."""
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

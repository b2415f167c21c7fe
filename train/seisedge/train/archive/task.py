"""Makes samplers from a recipe and an archive: defines which records are candidates for which label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seisedge.runtime.card import highest_pass_hz
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record, Wanted
from seisedge.train.archive.sampler import Candidates, NuisanceSpec, Sampler
from seisedge.train.models._base import Geometry, Model, OnsetModel
from seisedge.train.recipes.recipe import Recipe

RecordFilter = Callable[[Record], bool]


def wanted_of(recipe: Recipe, model: Model) -> Wanted:
    """Which records a training reads."""
    return dataclasses.replace(
        selection_of(recipe), synthetic=recipe.data.synthetic, untyped=isinstance(model, OnsetModel)
    )


def selection_of(recipe: Recipe) -> Wanted:
    """The conditions of the recipe on all records, those of an evaluation too."""
    data = recipe.data
    return Wanted(
        leave_out=data.leave_out, max_magnitude=data.max_magnitude, max_distance_km=data.max_distance_km,
        after_s_s=data.after_s_s, unlabelled=data.unlabelled,
    )  # fmt: skip


def with_train_records(recipe: Recipe, model: Model, archive: Archive, seed: int) -> Archive:
    """The archive in which only `data.train_records` of each label are training records; the others have no side.

    Raises InputError if there are fewer.
    """
    wanted = recipe.data.train_records
    if not wanted:
        return archive
    if model.task != "event_type":
        raise InputError(f"recipe '{recipe.name}': data.train_records is for event types; remove the key")
    if unknown := sorted(set(wanted) - set(model.labels)):
        raise InputError(
            f"recipe '{recipe.name}': data.train_records.{unknown[0]} is no label of model '{recipe.model}'; its "
            f"labels are {', '.join(model.labels)}"
        )
    drop: set[int] = set()
    for part in parts_of(recipe, model):
        label = model.labels[part.label]
        if label not in wanted:
            continue
        usable_ones = [
            i for i, r in enumerate(archive.records) if r.split == "train" and usable(recipe, model, r, part)
        ]
        if len(usable_ones) < wanted[label]:
            raise InputError(
                f"recipe '{recipe.name}': data.train_records needs {wanted[label]} training records for {label}, but "
                f"the data contain {len(usable_ones)}; add data, or lower the number "
                f"(--set data.train_records.{label}={len(usable_ones)})"
            )
        usable_ones.sort(key=lambda i: archive.records[i].name)
        order = np.random.default_rng(seed).permutation(len(usable_ones))
        drop |= {usable_ones[k] for k in order[wanted[label] :]}
    records = [dataclasses.replace(r, split="") if i in drop else r for i, r in enumerate(archive.records)]
    return dataclasses.replace(archive, records=records)


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
    if part.noise:
        return (
            "the data contain no training record for noise; build them with noise windows (seisedge dataset build "
            "--noise 1, or --noise-before-p), add data with noise (--data), or train without this class "
            "(--without noise)"
        )
    return f"the data contain no training record for {what}, only records of the kinds {', '.join(kinds)}"


def check_fits(recipe: Recipe, model: Model) -> None:
    """Raises InputError if the band or the answers of the recipe do not fit the window of the model."""
    g = model.geometry
    longest_s = g.n_samples / g.rate_hz - g.onset_s
    if recipe.nuisance.answers_s[-1] > longest_s + 1e-9:
        raise InputError(
            f"recipe '{recipe.name}': nuisance.answers_s ends at {recipe.nuisance.answers_s[-1]:g} s, but the "
            f"window of model '{recipe.model}' ends {longest_s:g} s after the onset; remove the longer answers"
        )
    if recipe.data.pass_hz > highest_pass_hz(g.rate_hz):
        raise InputError(
            f"recipe '{recipe.name}': data.pass_hz must be at most {highest_pass_hz(g.rate_hz):g} Hz for model "
            f"'{recipe.model}' at {g.rate_hz:g} Hz; got {recipe.data.pass_hz:g} Hz"
        )


def notes_on_short_records(archive: Archive, geometry: Geometry) -> list[str]:
    """Messages about records shorter than the window: they are used for the answers they reach, the rest is masked."""
    short = sum(r.n_samples < geometry.n_samples for r in archive.records)
    if not short:
        return []
    length_s = geometry.n_samples / geometry.rate_hz
    return [f"{short} records are shorter than the window of {length_s:g} s; the missing part is masked"]


def notes_on_faint_records(recipe: Recipe, archive: Archive) -> list[str]:
    """Messages about records whose signal is not visible, if the recipe does not use them."""
    faint = sum(not r.visible and r.kind != "noise" for r in archive.records)
    if not faint or not recipe.data.visible_only:
        return []
    return [
        f"{faint} records of events are not used for training: no visible signal (column trace_visible; "
        "--set data.visible_only=false uses them)"
    ]


def notes_on_horizontals(sampler: Sampler) -> list[str]:
    """A message if records have three components, but no window is drawn with them."""
    has = sum(int(c.three.sum()) for c in sampler.candidates)
    if not has or any(bucket.three and bucket.weight > 0 for bucket in sampler.buckets):
        return []
    why = (
        "nuisance.vertical_share is 1"
        if sampler.spec.vertical_share >= 1
        else "a label has no record with three components that is long enough"
    )
    return [
        f"the model is trained on the vertical only, since {why}; {has} records have horizontals, and its answers on "
        "three components, which are evaluated, are not reliable"
    ]


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

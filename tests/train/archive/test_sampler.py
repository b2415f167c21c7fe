"""The class is independent of the nuisance parameters, which are drawn first."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.sampler import Candidates, NuisanceSpec, Sampler
from seisedge.train.archive.task import notes_on_horizontals, sampler_of
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe, recipe_names


@pytest.fixture(scope="module")
def sampler(archive: Archive) -> Sampler:
    recipe = load_recipe("event-type")
    return sampler_of(recipe, create_model(recipe.model), archive, lambda r: r.split == "train", 3)


def chi_squared(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    """Chi-square statistic for the independence of two labelings, and its degrees of freedom."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    wanted = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(((table - wanted) ** 2 / wanted).sum()), (table.shape[0] - 1) * (table.shape[1] - 1)


def test_class_is_independent_of_every_nuisance_parameter(sampler: Sampler) -> None:
    draw = sampler.draw(30_000)
    assert draw.label.max() == 2
    for nuisance in (draw.bucket, draw.length, draw.keep @ np.array([1, 2, 4])):
        value, freedom = chi_squared(draw.label, np.unique(nuisance, return_inverse=True)[1])
        assert freedom > 0
        assert value < freedom + 4 * np.sqrt(2 * freedom)  # beyond the 99.9 % point for these sizes


def test_the_test_of_independence_can_fail(sampler: Sampler) -> None:
    draw = sampler.draw(3_000)
    tied = np.where(draw.label == 1, 1, draw.keep[:, 1].astype(int))
    value, freedom = chi_squared(draw.label, tied)
    assert value > freedom + 4 * np.sqrt(2 * freedom)


def test_every_drawn_window_is_inside_its_record(sampler: Sampler, archive: Archive) -> None:
    draw = sampler.draw(2_000)
    size = np.array([archive.records[i].n_samples for i in draw.record])
    assert (draw.start >= -1).all()  # rounding of the onset
    assert (draw.start + draw.length <= np.minimum(size, draw.bound) + 1).all()
    noise = draw.label == 2
    end = np.array([archive.records[i].noise_end for i in draw.record])
    assert (draw.start + draw.length <= end)[noise].all()
    assert not any(archive.records[i].split == "test" for i in draw.record)


def test_triggered_onsets_have_jitter_and_continuous_ones_any_position(sampler: Sampler, archive: Archive) -> None:
    draw = sampler.draw(8_000)
    rate, lead = archive.rate_hz, sampler.geometry.onset_s
    onset_s = (np.array([archive.records[i].onset for i in draw.record]) - draw.start) / rate
    event = draw.label < 2
    triggered = np.array([sampler.buckets[b].position is None for b in draw.bucket])
    off = onset_s[event & triggered] - lead
    assert np.abs(off).max() <= sampler.spec.jitter_s + 0.02
    assert off.std() == pytest.approx(sampler.spec.jitter_s / np.sqrt(3), rel=0.05)
    anywhere = onset_s[event & ~triggered]
    assert anywhere.min() < 0 < 40 < anywhere.max()
    assert anywhere.max() <= 45 - sampler.spec.event_inside_s + 0.02


def test_both_kinds_of_non_tectonic_and_all_events_have_equal_weight(sampler: Sampler, archive: Archive) -> None:
    draw = sampler.draw(40_000)
    vertical = ~draw.keep[:, 1:].any(1) & draw.keep[:, 0]
    some = [archive.records[i] for i in draw.record[(draw.label == 1) & vertical]]
    blasts = [r.event for r in some if r.kind == "blast"]
    named = load_recipe("event-type").data.non_tectonic
    weights = {key: weight for key, weight in named.items() if key.split("/")[1] in archive.sources}
    assert len(blasts) / len(some) == pytest.approx(weights["blast/pnw"] / sum(weights.values()), abs=0.03)
    counts = np.unique(blasts, return_counts=True)[1]
    assert counts.max() < 3 * counts.mean()  # though events have 1 to 20 records


def test_same_seed_same_draws(archive: Archive) -> None:
    recipe = load_recipe("magnitude")
    model = create_model(recipe.model)
    a, b, c = (sampler_of(recipe, model, archive, lambda r: r.split == "train", s).draw(64) for s in (1, 1, 2))
    assert np.array_equal(a.record, b.record)
    assert np.array_equal(a.start, b.start)
    assert not np.array_equal(a.record, c.record)


def test_a_nuisance_cell_without_records_of_one_class_is_not_drawn(archive: Archive) -> None:
    recipe = load_recipe("event-type")
    only_verticals = msgspec.structs.replace(recipe.data, non_tectonic={"blast/pnw": 1.0})
    recipe = msgspec.structs.replace(recipe, data=only_verticals)
    sampler = sampler_of(recipe, create_model(recipe.model), archive, lambda r: True, 1)
    assert not any(bucket.three for bucket in sampler.buckets)
    [note] = notes_on_horizontals(sampler)
    assert "since a label has no record with three components" in note


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains_on_horizontals_as_it_is_evaluated(name: str) -> None:
    assert load_recipe(name).nuisance.vertical_share < 1


def test_a_training_on_the_vertical_only_is_noted(archive: Archive) -> None:
    recipe, notes = load_recipe("event-type"), dict[float, list[str]]()
    for share in (0.5, 1.0):
        nuisance = msgspec.structs.replace(recipe.nuisance, vertical_share=share)
        changed = msgspec.structs.replace(recipe, nuisance=nuisance)
        notes[share] = notes_on_horizontals(sampler_of(changed, create_model(recipe.model), archive, lambda r: True, 1))
    assert not notes[0.5]
    assert len(notes[1.0]) == 1
    assert "since nuisance.vertical_share is 1" in notes[1.0][0]


def test_no_nuisance_cell_at_all_is_an_error(archive: Archive) -> None:
    short = Candidates(archive, list(archive.indices(source="phasenet_ncedc")[:5]), {"phasenet_ncedc": 1.0}, True)
    model = create_model("ganet_small")
    with pytest.raises(InputError, match="no combination of window length"):
        Sampler(archive, [short], [1.0], model.geometry, NuisanceSpec((40.0,)), 1)


def test_cut_windows_contain_the_samples_of_the_record(sampler: Sampler, archive: Archive) -> None:
    draw = sampler.draw(50)
    x, valid = WindowCutter(archive, sampler.geometry, torch.device("cpu")).cut(draw)
    for i in range(50):
        r, start = draw.record[i], draw.start[i]
        for c in range(3):
            there = valid[i, c].numpy() > 0
            assert not there[draw.length[i] :].any()
            assert draw.keep[i, c] or not there.any()
            at = np.flatnonzero(there)
            assert np.array_equal(x[i, c].numpy()[at], archive.waveform[r, c, start + at])
    assert (x[valid == 0] == 0).all()


def test_noise_that_opened_a_trigger_is_cut_around_its_onset(archive: Archive) -> None:
    """In triggered use the station's window begins at the trigger; noise from anywhere is no substitute."""
    recipe = load_recipe("event-type")
    geometry = create_model(recipe.model).geometry
    rate, lead, jitter_s = geometry.rate_hz, geometry.onset_s * geometry.rate_hz, 2.0
    first = next(i for i, r in enumerate(archive.records) if r.noise_end >= 40 * rate and r.split == "train")
    events = [i for i, r in enumerate(archive.records) if r.kind == "tectonic" and r.visible and r.split == "train"]
    spec = NuisanceSpec((3.0, 10.0), jitter_s, continuous_share=0.0, vertical_share=1.0)
    starts = {}
    for triggered in (False, True):
        record = dataclasses.replace(archive.records[first], kind="noise", onset=20 * rate, triggered_noise=triggered)
        changed = dataclasses.replace(
            archive, records=[*archive.records[:first], record, *archive.records[first + 1 :]]
        )
        noise = Candidates(changed, [first], {record.source: 1.0}, True)
        weight = {f"tectonic/{archive.records[i].source}": 1.0 for i in events}
        parts = [Candidates(changed, events, weight, False), noise]
        draw = Sampler(changed, parts, [1.0, 1.0], geometry, spec, 1).draw(400)
        starts[triggered] = draw.start[draw.label == 1] - (record.onset - lead)
    assert np.abs(starts[True]).max() <= jitter_s * rate + 1
    assert np.abs(starts[False]).max() > jitter_s * rate + 40

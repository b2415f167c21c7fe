"""Weights of sources that a recipe does not name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, load_archive
from seisedge.train.archive.mixture import require_contribution, with_sources
from seisedge.train.dataset.columns import BUNDLED_SOURCES
from seisedge.train.recipes.recipe import load_recipe


def renamed(archive: Archive, names: dict[str, str]) -> Archive:
    """The same records with other source names."""
    records = [dataclasses.replace(r, source=names.get(r.source, r.source)) for r in archive.records]
    sources = sorted({r.source for r in records})
    return dataclasses.replace(archive, records=records, sources=sources, folder_of=dict.fromkeys(sources, "data"))


@pytest.mark.parametrize("name", ["event-type", "magnitude"])
def test_the_bundled_recipes_keep_their_weights_on_bundled_data(archive: Archive, name: str) -> None:
    recipe = load_recipe(name)
    assert with_sources(recipe, archive)[0] == recipe


def test_other_sources_are_weighted_by_their_events(archive: Archive) -> None:
    mine = renamed(archive, {source: f"my-{source}" for source in archive.sources})
    recipe, notes = with_sources(load_recipe("event-type"), mine)
    events = len({r.event for r in archive.records if r.kind == "blast"})
    assert set(recipe.data.non_tectonic) == {"blast/my-pnw", "mass movement/my-esec", "mass movement/my-sechilienne"}
    assert recipe.data.non_tectonic["blast/my-pnw"] == 1.0  # all blasts together weigh as much as all mass movements
    assert events > 20
    tectonic = recipe.data.tectonic
    n = {s: len({r.event for r in mine.records if r.source == s and r.kind == "tectonic"}) for s in tectonic}
    assert tectonic == pytest.approx({s: n[s] / sum(n.values()) for s in n})
    assert set(recipe.data.noise) == {"my-pnw", "my-esec", "my-phasenet_ncedc"}
    assert len(notes) == 1
    assert "my-pnw" in notes[0]
    magnitude, _ = with_sources(load_recipe("magnitude"), mine)
    assert magnitude.data.noise == {}


def test_a_source_that_is_not_named_is_reported(archive: Archive) -> None:
    mine = renamed(archive, {"sechilienne": "mine"})
    recipe, notes = with_sources(load_recipe("event-type"), mine)
    assert recipe == load_recipe("event-type")
    assert notes == ["sources not named in recipe 'event-type' are not used: mine (a weight for '*' uses all)"]


def test_a_wildcard_uses_sources_that_are_not_named(archive: Archive) -> None:
    weights = {"data.tectonic": {"pnw": 0.5, "*": 0.5}, "data.non_tectonic": {"blast/*": 1.0}}
    recipe, _ = with_sources(load_recipe("event-type", weights), archive)
    assert recipe.data.tectonic["pnw"] == 0.5
    assert sum(recipe.data.tectonic.values()) == pytest.approx(1.0)
    assert set(recipe.data.tectonic) == {"pnw", "phasenet_ncedc", "ridgecrest"}
    assert recipe.data.non_tectonic == {"blast/pnw": 1.0}


def divided(archive: Archive, source: str, new: str) -> Archive:
    """The records of one source in a folder of their own, under the source `new`."""
    mine = renamed(archive, {source: new})
    return dataclasses.replace(mine, folder_of=dict.fromkeys(mine.sources, "datasets") | {new: "own"})


def by_folder(table: dict[str, float], archive: Archive) -> dict[str, float]:
    out: dict[str, float] = {}
    for key, weight in table.items():
        name = archive.folder_of[key.removeprefix("blast/").removeprefix("mass movement/")]
        out[name] = out.get(name, 0.0) + weight
    return out


@pytest.mark.parametrize(
    ("mix", "share"), [({}, 0.5), ({"own": 0.7}, 0.7), ({"datasets": 0.9}, 0.1), ({"own": 0.0}, 0)]
)
def test_folders_have_equal_shares_or_those_of_mix(archive: Archive, mix: dict[str, float], share: float) -> None:
    mine = divided(archive, "pnw", "own")
    recipe, notes = with_sources(load_recipe("event-type", {"data.mix": mix}), mine)
    for table in (recipe.data.tectonic, recipe.data.non_tectonic, recipe.data.noise):
        assert by_folder(table, mine).get("own", 0) == pytest.approx(share)
        assert by_folder(table, mine)["datasets"] == pytest.approx(1 - share)
    assert f"share of each class by folder: datasets {1 - share:.2g}, own {share:.2g}" in notes
    again, _ = with_sources(recipe, mine)  # as `prune` does
    assert again.data.tectonic == pytest.approx(recipe.data.tectonic)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"onw": 0.5}, "no data folder is called 'onw'; did you mean 'own'"),
        ({"own": 1.0}, r"the shares \(own 1\) must leave a part of 1 to datasets"),
        ({"own": 0.5, "datasets": 0.4}, "must sum to 1"),
    ],
)
def test_bad_mixtures(archive: Archive, mix: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_sources(load_recipe("event-type", {"data.mix": mix}), divided(archive, "pnw", "own"))


def test_a_folder_that_contributes_nothing_is_an_error(archive: Archive) -> None:
    """esec has no magnitude, and no record of it is held out here."""
    mine = divided(archive, "esec", "own")
    records = [dataclasses.replace(r, split="train") if r.source == "own" else r for r in mine.records]
    mine = dataclasses.replace(mine, records=records)
    used = [i for i, r in enumerate(records) if r.source != "own"]
    with pytest.raises(InputError, match=r"--data own: no record is used by recipe 'magnitude' .* give --mix own=0"):
        require_contribution(load_recipe("magnitude"), mine, used)
    require_contribution(load_recipe("magnitude", {"data.mix": {"own": 0.0}}), mine, used)
    require_contribution(
        load_recipe("magnitude"), mine, [*used, records.index(next(r for r in records if r.source == "own"))]
    )


def test_a_folder_without_usable_records_has_no_list_of_sources(archive: Archive) -> None:
    folders = dict.fromkeys(archive.sources, "datasets") | {"tremor": "own"}  # all records of `own` are left out
    _, notes = with_sources(load_recipe("event-type"), dataclasses.replace(archive, folder_of=folders))
    assert notes == ["share of each class by folder: datasets 0.5, own 0.5"]


def test_a_folder_never_takes_the_name_of_a_source(tmp_path: Path) -> None:
    assert {s for name in ("event-type", "magnitude") for s in sources_of(name)} <= set(BUNDLED_SOURCES)
    folders = [write_set(tmp_path / name, make_rows(10), make_arrays(10)) for name in ("pnw", "a/mine", "b/mine")]
    made = load_archive(folders, 40.0, 15.0)
    assert made.folder_of == {"pnw (folder)": "pnw", "mine": "mine", "mine (folder)": "mine-2"}


def sources_of(name: str) -> set[str]:
    data = load_recipe(name).data
    keys = [*data.tectonic, *data.noise, *data.distance_only, *(key.split("/")[1] for key in data.non_tectonic)]
    return set(keys)


def test_the_tables_of_a_magnitude_recipe_keep_their_weights_to_each_other(archive: Archive) -> None:
    mine = divided(archive, "ridgecrest", "own")
    given = load_recipe("magnitude", {"data.mix": {"own": 0.25}, "data.tectonic": {"pnw": 0.6, "own": 0.6}})
    recipe, _ = with_sources(given, mine)
    assert recipe.data.tectonic == pytest.approx({"pnw": 0.9, "own": 0.3})
    assert recipe.data.non_tectonic == pytest.approx({"blast/pnw": 0.5})
    assert recipe.data.distance_only == {"phasenet_ncedc": 0.5}

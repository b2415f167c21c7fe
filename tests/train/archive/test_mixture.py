"""Weights of sources that a recipe does not name."""

from __future__ import annotations

import dataclasses

import pytest

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.mixture import with_sources
from seisedge.train.recipes.recipe import load_recipe


def renamed(archive: Archive, names: dict[str, str]) -> Archive:
    """The same records with other source names."""
    records = [dataclasses.replace(r, source=names.get(r.source, r.source)) for r in archive.records]
    return dataclasses.replace(archive, records=records, sources=sorted({r.source for r in records}))


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

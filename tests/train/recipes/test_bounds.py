"""Values of a recipe that would make a useless run are refused before the data are read, each with its bounds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from seisedge.runtime.errors import InputError
from seisedge.train.archive.task import check_fits
from seisedge.train.models import create_model, describe_model
from seisedge.train.recipes.recipe import Recipe, load_recipe, recipe_from_json, recipe_names


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimisation.rate", math.inf, "rate must be from 0 to 10"),
        ("optimisation.rate", math.nan, "rate"),
        ("optimisation.rate", 1e6, "rate must be from 0 to 10"),
        ("optimisation.batch", 10**9, "batch must be from 1 to 4096"),
        ("optimisation.steps", 10**23, "steps must be from 0 to 1e"),
        ("optimisation.weight_decay", -1.0, "weight_decay must be from 0"),
        ("optimisation.magnitude_shift", math.inf, "magnitude_shift must be from 0 to 3"),
        ("optimisation.consistency", -1.0, "consistency must be from 0"),
        ("optimisation.station_rate", math.nan, "station_rate must be from 0"),
        ("optimisation.distance_weight", -1.0, "distance_weight must be from 0"),
        ("data.pass_hz", -5.0, "pass_hz must be from 0.1 to 1000"),
        ("data.tectonic.pnw", -1.0, "tectonic.pnw must be from 0"),
        ("data.noise.pnw", math.nan, "noise.pnw must be from 0"),
        ("data.tectonic", {"pnw": 0.0}, "tectonic: all weights are 0"),
        ("data.non_tectonic", {"pnw": 1.0}, "must be 'blast/SOURCE' or 'mass movement/SOURCE'"),
        ("nuisance.answers_s", [], "answers_s must ascend, with 1 to 32 answers"),
        ("nuisance.answers_s", [10.0, 3.0], "answers_s must ascend"),
        ("nuisance.answers_s", [3.0, 3.0], "answers_s must ascend"),
        ("nuisance.answers_s", [-3.0, 10.0], "answers_s must be above 0 s and at most 600 s"),
        ("nuisance.answers_s", [1e9], "answers_s must be above 0 s and at most 600 s"),
        ("nuisance.answers_s", [math.nan], "answers_s must be above 0 s"),
        ("nuisance.vertical_share", 1.5, "vertical_share must be from 0 to 1"),
        ("nuisance.jitter_s", math.inf, "jitter_s must be from 0 to 60"),
        ("min_coverage", 2.0, "min_coverage must be from 0 to 1"),
        ("augmentation", [{"name": "gain-error", "spread": math.inf}], "spread must be a finite number"),
        ("name", "../../escaped", "name must contain no /"),
        ("name", "/tmp/absolute", "name must contain no /"),
        ("name", "..", "name must contain no /"),
        ("name", "a\\b", "name must contain no /"),
        ("name", "", "name must have 1 to 100 printable characters"),
        ("name", "a\nb", "name must have 1 to 100 printable characters"),
        ("name", "é" * 60, "name must have 1 to 100 printable characters"),
    ],
)
def test_a_useless_value_is_refused_with_its_bounds(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("event-type", {key: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_name_of_a_stored_recipe_is_checked_too() -> None:
    """A checkpoint decides where `export` writes."""
    stored = msgspec.to_builtins(load_recipe("event-type")) | {"name": "../../escaped"}
    with pytest.raises(msgspec.ValidationError, match="name must contain no /"):
        recipe_from_json(msgspec.json.encode(stored).decode())


@pytest.mark.parametrize("name", recipe_names())
def test_the_bundled_recipes_fit_their_models(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    check_fits(recipe, describe_model(recipe.model, **recipe.arguments))


def test_a_recipe_takes_missing_values_from_its_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "ganet-without-cbam"\nname = "mine"\n[optimisation]\nsteps = 7\n')
    mine, base = load_recipe(str(path)), load_recipe("ganet-without-cbam")
    assert (mine.name, mine.about, mine.group, mine.row, mine.optimisation.steps) == ("mine", "", "", 0, 7)
    own = {key: getattr(mine, key) for key in ("name", "about", "group", "row")}
    replaced = msgspec.structs.replace(base.optimisation, steps=7)
    assert mine == msgspec.structs.replace(base, optimisation=replaced, **own)
    assert (mine.model, mine.arguments) == ("ganet_paper", {"n_classes": 2, "cbam": []})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "ganet-papr"\nname = "x"', "got 'ganet-papr'; did you mean 'ganet-paper'"),
        ('base = ["ganet-paper"]\nname = "x"', "base must be the name of a bundled recipe; got ['ganet-paper']"),
        ('base = "mine.toml"\nname = "x"', "base must be the name of a bundled recipe; got 'mine.toml'"),
        ('base = "ganet-paper"', "missing required field `name`"),
        ('base = "ganet-paper"\nname = "x"\noptimisation = 3', "Expected `object`, got `int` - at `$.optimisation`"),
        ('base = "ganet-paper"\nname = "x"\n[optimisation]\nstep = 3', "optimisation.step: unknown key"),
    ],
)
def test_a_base_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("nuisance.answers_s", [3.0, 41.0], "ends at 41 s, but the window of model 'ganet_small' ends 40 s after"),
        ("data.pass_hz", 19.5, "data.pass_hz must be at most 19.375 Hz"),
    ],
)
def test_answers_and_band_must_fit_the_window_of_the_model(key: str, value: Any, message: str) -> None:
    recipe: Recipe = load_recipe("event-type", {key: value})
    with pytest.raises(InputError, match=message):
        check_fits(recipe, create_model(recipe.model, **recipe.arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 10**6}, "arguments.width: must be from 0 to 256; got 1000000"),
        ({"n_bands": 0}, "its arguments cannot be used"),
        ({"dropout": math.nan}, "arguments.dropout: must be from 0 to 256; got nan"),
        ({"shape": {"widths": [10**6]}}, "arguments.shape: must be from 0 to 1024"),
        ({"shape": {"stem": 3}}, "its arguments cannot be used"),
    ],
)
def test_arguments_of_a_model(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        create_model("ganet_small", **arguments)
    assert message in str(caught.value)

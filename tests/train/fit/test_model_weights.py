"""Initial weights from a model file: the network computes what the file computes, and the card's events stay known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.engines import open_engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import model_path
from seisedge.train.dataset.event_hashes import hashes_from_text
from seisedge.train.fit.model_weights import recipe_for, weights_of_model_file
from seisedge.train.fit.stage import load_weights
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.run_file import load_run

pytest.importorskip("onnx", reason="onnx is not installed")


def test_the_weights_of_the_bundled_model_give_its_probabilities() -> None:
    path = model_path("event-type")
    recipe = recipe_for(load_recipe("event-type"), path)
    model = create_model(recipe.model, **recipe.arguments)
    assert load_weights(model, weights_of_model_file(path, recipe), "full")[0].count("not loaded") == 0
    engine = open_engine(path)
    model.temperature.fill_(engine.card.temperature)
    rng = np.random.default_rng(1)
    x = (1000 * rng.standard_normal((4, 3, 1800))).astype(np.float32)
    x[:, :, 300:700] *= 20
    valid = np.ones_like(x)
    valid[1, 1:], valid[2, :, 900:] = 0, 0
    with torch.no_grad():
        ours = model.eval()(torch.from_numpy(x), torch.from_numpy(valid)).numpy()
    theirs = engine.infer(x, valid)[0]
    assert np.abs(ours - theirs).max() < 1e-4
    assert sum(p.numel() for p in model.parameters()) <= engine.card.parameters * 1.2
    assert recipe.optimisation.batch_norm == "frozen"


def test_without_noise_the_last_layer_keeps_the_two_other_classes() -> None:
    path = model_path("event-type")
    two = recipe_for(load_recipe("event-type-few", {"arguments.n_classes": 2, "data.noise": {}}), path)
    model = create_model(two.model, **two.arguments)
    assert "not loaded" not in load_weights(model, weights_of_model_file(path, two), "late-layers")[0]
    three = weights_of_model_file(path, recipe_for(load_recipe("event-type"), path))
    assert torch.equal(model.last_layer().weight, three["trunk.classify.weight"][:2])  # type: ignore[arg-type]


def test_only_event_type_models() -> None:
    for recipe, model in (("magnitude", "magnitude"), ("event-type", "magnitude"), ("ganet-paper", "event-type")):
        with pytest.raises(InputError, match=r"from event type models of the recipe event-type"):
            recipe_for(load_recipe(recipe), model_path(model))


def test_a_training_from_the_bundled_model(tmp_path: Path) -> None:
    rows = make_rows(20, split="train")
    for i, row in enumerate(rows):
        row["source_type"] = ("earthquake", "quarry blast", "noise")[i % 3]
    data = write_set(tmp_path / "mine", rows, make_arrays(20), block=True)
    out = tmp_path / "run"
    arguments = ["train", "event-type", "--data", str(data), "-o", str(out), "--from", "event-type"]
    result = CliRunner().invoke(main, [*arguments, "--set", "optimisation.steps=1", "--set", "optimisation.batch=4"])
    assert result.exit_code == 0, result.output
    assert "batch norm is frozen" in result.output
    run = load_run(out)
    assert run.provenance is not None
    card = open_engine(model_path("event-type")).card
    known = hashes_from_text(run.provenance.event_hashes, "run")
    assert hashes_from_text(card.training.event_hashes or "", "card") < known  # evaluate does not use them
    result = CliRunner().invoke(main, ["train", "event-type-few", "--data", str(data), "-o", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "transfer 'late-layers' needs initial weights; give --from event-type" in result.output
    start = weights_of_model_file(model_path("event-type"), run.recipe)
    assert torch.allclose(run.state["stem.0.weight"], start["stem.0.weight"], atol=0.02)

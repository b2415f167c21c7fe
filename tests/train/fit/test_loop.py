"""The training loop on a few records: the loss falls, and the same seed gives the same weights."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from seisedge.train.archive.archive import Archive
from seisedge.train.fit.loop import Settings, Trained, train_model
from seisedge.train.fit.stage import Stage
from seisedge.train.recipes.recipe import Recipe, load_recipe

CPU = torch.device("cpu")


def tiny(name: str, **more: object) -> Recipe:
    arguments = {"arguments.width": 8, "optimisation.batch": 16, "optimisation.average": 0.9}
    return load_recipe(name, arguments | {key.replace("__", "."): value for key, value in more.items()})


def run(recipe: Recipe, archive: Archive, seed: int = 1) -> Trained:
    return train_model(recipe, archive, lambda r: r.split == "train", seed, CPU)


@pytest.mark.parametrize("name", ["event-type", "magnitude"])
def test_loss_goes_down(few: Archive, name: str) -> None:
    recipe = tiny(name, optimisation__steps=40, optimisation__rate=8e-3, arguments__dropout=0.0)
    log = run(msgspec.structs.replace(recipe, augmentation=[]), few).log  # 40 steps are few for made noise
    first = np.mean([row["loss"] for row in log[:5]])
    last = np.mean([row["loss"] for row in log[-10:]])
    assert last < first - 0.05


def test_same_seed_same_weights(few: Archive) -> None:
    recipe = tiny("event-type", optimisation__steps=3)
    a, b, c = (run(recipe, few, seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_station_terms_are_learned_where_the_gain_is_unknown(few: Archive) -> None:
    trained = run(tiny("magnitude", optimisation__steps=5), few)
    unknown = {r.station for r in few.records if r.gain is None and r.split == "train"}
    assert set(trained.station_term) < unknown  # only those of the recipe's records
    assert any(term != 0 for term in trained.station_term.values())


def test_the_f1_on_held_out_records_is_the_mean_of_the_labels(few: Archive) -> None:
    """With known answers: the network of the average is replaced by one that answers the first label always."""
    recipe = load_recipe("event-type", {"arguments.width": 8, "optimisation.steps": 1, "optimisation.batch": 4})
    stage = Stage(
        recipe, few, lambda r: r.split == "train" and r.fold != 0, 1, CPU,
        lambda r: r.split == "train" and r.fold == 0, None, Settings(), lambda _: None,
    )  # fmt: skip
    assert stage.validation is not None
    classify = stage.average.last_layer()
    assert isinstance(classify, torch.nn.Linear)
    with torch.no_grad():
        classify.weight.zero_()
        classify.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    # Each label has the same weight: precision 1/3 and recall 1 give 1/2 for the first label, 0 for the other two
    assert stage.validation.measure(stage.objective, stage.average)[2] == pytest.approx(1 / 6)

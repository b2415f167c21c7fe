"""Two copies of each window, which have to get the same probabilities."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.fit.loop import train_model
from seisedge.train.fit.objective import disagreement
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.recipes.recipe import Recipe, load_recipe

CPU = torch.device("cpu")
SIZE = 8
NOISY = [{"name": "white-noise", "snr_db": [0.0, 10.0]}]


def recipe_of(name: str, weight: float, **values: Any) -> Recipe:
    narrow = {} if name == "onset" or "image" in name else {"arguments.width": 8}
    steps = {"optimisation.batch": SIZE, "optimisation.steps": 2, "optimisation.consistency": weight}
    return load_recipe(name, narrow | steps | values)


def stage_of(recipe: Recipe, archive: Archive) -> Stage:
    return Stage(recipe, archive, lambda r: r.split == "train", 1, CPU, None, None, Settings(), lambda _: None)


@pytest.mark.parametrize("name", ["event-type", "magnitude"])
def test_the_loss_grows_by_the_divergence_between_the_copies(name: str, few: Archive) -> None:
    stage = stage_of(recipe_of(name, 3.0, augmentation=NOISY), few)
    plain = stage_of(recipe_of(name, 0.0, augmentation=NOISY), few)
    x, valid, *rest = batch = stage.batch()
    assert len(x) == len(valid) == 2 * SIZE and not torch.equal(x[:SIZE], x[SIZE:])
    for column in rest:  # label, record, shift
        assert torch.equal(column[:SIZE], column[SIZE:])
    model = stage.model.eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the weights of the last layer of a new network are 0
            parameter.add_(0.05 * torch.randn_like(parameter))
        plain.model.load_state_dict(model.state_dict())
        plain.model.eval()
        gain = stage.objective.facts.gain[batch[3]] if name == "magnitude" else torch.ones(2 * SIZE)  # type: ignore[union-attr, index]
        p, q = model(x * (10 ** batch[4] / gain)[:, None, None], valid).clamp(min=1e-7).chunk(2)
        apart = ((p - q) * (p / q).log()).sum(1).mean()
        assert apart > 1e-3
        torch.testing.assert_close(
            stage.objective(*batch)[0] - plain.objective(*batch)[0], 3 * apart, rtol=1e-3, atol=1e-5
        )


def test_equal_rows_do_not_disagree() -> None:
    p = torch.softmax(torch.randn(4, 5), 1)
    assert float(disagreement(torch.cat([p, p]))) == 0.0
    half = disagreement(torch.tensor([[0.9, 0.1], [0.5, 0.5]]))
    assert float(half) == pytest.approx(0.4 * float(torch.tensor(9.0).log()), rel=1e-5)


def test_it_brings_the_copies_together(few: Archive) -> None:
    def apart_after(weight: float) -> float:
        recipe = recipe_of("magnitude", weight, augmentation=NOISY, **{"optimisation.steps": 30})
        trained = train_model(recipe, few, lambda r: r.split == "train", 1, CPU)
        stage = stage_of(recipe_of("magnitude", 1.0, augmentation=NOISY), few)
        stage.model.load_state_dict(trained.model.state_dict())
        stage.model.eval()
        with torch.no_grad():
            x, valid, _, record, _ = stage.batch()
            ground = x / stage.objective.facts.gain[record][:, None, None]  # type: ignore[union-attr, index]
            return float(disagreement(stage.model(ground, valid)))

    assert apart_after(30.0) < 0.7 * apart_after(0.0)


def test_models_of_pictures_and_of_streams_are_refused(few: Archive) -> None:
    picture = recipe_of("image-cnn", 1.0)
    with pytest.raises(InputError, match=r"optimisation\.consistency needs a model with waveforms"):
        stage_of(picture, few)
    with pytest.raises(InputError, match=r"optimisation\.consistency: an onset detector"):
        stage_of(recipe_of("onset", 1.0), few)

"""Learning from a teacher in addition to labels, and initial station terms, as used to fine-tune pruned models."""

from __future__ import annotations

import copy

import msgspec
import pytest
import torch

from seisedge.train.archive.archive import Archive
from seisedge.train.fit.loop import train_model
from seisedge.train.fit.objective import TEACHER_WEIGHT, Objective
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe, load_recipe

CPU = torch.device("cpu")


def recipe_of(name: str) -> Recipe:
    return load_recipe(name, {"arguments.width": 8, "optimisation.batch": 8, "optimisation.steps": 2})


def teacher_of(recipe: Recipe) -> Model:
    torch.manual_seed(5)
    teacher = create_model(recipe.model, **recipe.arguments).eval()
    with torch.no_grad():
        for parameter in teacher.parameters():  # the weights of the last layer of a new network are 0
            parameter.add_(0.05 * torch.randn_like(parameter))
    teacher.temperature.fill_(1.7)
    return teacher


def stage_of(recipe: Recipe, archive: Archive, settings: Settings) -> Stage:
    return Stage(recipe, archive, lambda r: r.split == "train", 1, CPU, None, None, settings, lambda _: None)


@pytest.fixture(params=["event-type", "magnitude"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return recipe_of(request.param)


def test_the_loss_grows_by_the_divergence_from_the_teacher(recipe: Recipe, few: Archive) -> None:
    """The divergence is Σ p log(p / q); 0 if model and teacher are equal."""
    teacher = teacher_of(recipe)
    stage = stage_of(recipe, few, Settings(teacher=teacher))
    plain = stage_of(recipe, few, Settings())
    batch = stage.batch()
    model = stage.model.eval()
    plain.model.load_state_dict(model.state_dict())
    plain.model.eval()
    assert isinstance(stage.objective, Objective)
    with torch.no_grad():
        x = stage.objective.in_unit(batch[0] * 10 ** batch[4][:, None, None], batch[3])
        p, q = teacher(x, batch[1]), model(x, batch[1]).clamp(min=1e-7)
        apart = (p * (p.clamp(min=1e-7) / q).log()).sum(1).mean()
        loss = stage.objective(*batch)[0]
        assert apart > 1e-3
        torch.testing.assert_close(loss - plain.objective(*batch)[0], TEACHER_WEIGHT * apart, rtol=1e-3, atol=1e-5)
        model.load_state_dict(teacher.state_dict())
        plain.model.load_state_dict(teacher.state_dict())
        torch.testing.assert_close(stage.objective(*batch)[0], plain.objective(*batch)[0], rtol=1e-5, atol=1e-5)


def test_the_teacher_is_neither_trained_nor_stored(recipe: Recipe, few: Archive) -> None:
    teacher = teacher_of(recipe)
    before = copy.deepcopy(teacher.state_dict())
    stage = stage_of(recipe, few, Settings(teacher=teacher))
    plain = stage_of(recipe, few, Settings())
    assert stage.objective.state_dict().keys() == plain.objective.state_dict().keys()
    trained = train_model(recipe, few, lambda r: r.split == "train", 1, CPU, settings=Settings(teacher=teacher))
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert float(trained.model.temperature) == pytest.approx(1.7)


def test_initial_station_terms_are_kept_at_a_learning_rate_of_0(few: Archive) -> None:
    recipe = recipe_of("magnitude")
    still = msgspec.structs.replace(recipe, optimisation=msgspec.structs.replace(recipe.optimisation, station_rate=0.0))
    unknown = sorted({r.station for r in few.records if r.gain is None})
    known = dict.fromkeys(unknown[1:], 0.25)
    stage = stage_of(still, few, Settings(station_term=known))
    assert set(stage.terms()) & set(known)
    assert all(value == known.get(station, 0.0) for station, value in stage.terms().items())
    settings = Settings(station_term=known)
    trained = train_model(still, few, lambda r: r.split == "train", 1, CPU, settings=settings)
    assert trained.station_term == stage.terms()
    trained = train_model(recipe, few, lambda r: r.split == "train", 1, CPU, settings=settings)
    assert trained.station_term != stage.terms()


def test_counts_become_metres_per_second_by_gain_and_station_term(few: Archive) -> None:
    stage = stage_of(recipe_of("magnitude"), few, Settings())
    stations = sorted({r.station for r in few.records if r.gain is None})
    assert isinstance(stage.objective, Objective)
    stage.objective.set_terms({stations[0]: 1.0})
    with_gain = next(i for i, r in enumerate(few.records) if r.gain is not None)
    without = next(i for i, r in enumerate(few.records) if r.gain is None and r.station == stations[0])
    x = stage.objective.in_unit(torch.ones(2, 3, 4), torch.tensor([with_gain, without]))
    facts = stage.objective.facts
    assert float(x[0, 0, 0]) == pytest.approx(1 / float(facts.gain[with_gain]))
    assert float(x[1, 0, 0]) == pytest.approx(1 / (10 * float(facts.gain[without])))
    plain = stage_of(recipe_of("event-type"), few, Settings())
    assert isinstance(plain.objective, Objective)
    assert torch.equal(plain.objective.in_unit(torch.ones(1, 3, 4), torch.tensor([0])), torch.ones(1, 3, 4))

"""Pruning from a run to a run, by the training loop, on a tiny run of each task."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import onnx
import pytest
import torch
from tests.export.conftest import bundled

from seisedge.export.exported import Exported
from seisedge.export.gate import Rule
from seisedge.export.prune import run as prune_module
from seisedge.export.prune.run import Pruned, PruneSpec, prune_run, teacher_of, tuning_recipe, write_pruned
from seisedge.export.prune.select import network_macs
from seisedge.runtime.card import Comparison
from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.fit.stage import Settings
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.run_file import Run, load_run

SPEC = PruneSpec(ratio=0.3, steps=3, windows=60, accept_points=100, draws=20)
TASKS = ["event-type", "magnitude"]


def silent(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module", params=[TASKS[0], *(pytest.param(task, marks=pytest.mark.long) for task in TASKS[1:])])
def run(request: pytest.FixtureRequest, some_records: Archive) -> Run:
    """A run that was never trained: random weights, a temperature of its own, a fitted station term."""
    recipe = load_recipe(request.param, {"optimisation.batch": 8, "arguments.width": 8})
    torch.manual_seed(4)
    model = create_model(recipe.model, **recipe.arguments)
    model.temperature.fill_(1.7)
    unknown = sorted({r.station for r in some_records.records if r.gain is None})
    return Run(
        recipe=recipe, seed=1, state=model.state_dict(), station_term=dict.fromkeys(unknown, 0.25),
        data_sha256=some_records.sha256, data_sources=["pnw"], n_events=1, n_records=1, split_rule="by event",
        metrics=[], date="2026-01-01T00:00:00Z", seisedge_version="0",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pruned(run: Run, some_records: Archive) -> Pruned:
    """The figures of the run's own evaluation are left out; they are tested with training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prune_module, "evaluation_of", lambda *_: None)
        return prune_run(run, some_records, SPEC, silent)


def test_the_child_is_a_run_of_fewer_multiply_adds(run: Run, pruned: Pruned, tmp_path: Path) -> None:
    before, after = pruned.network_macs
    assert after <= 0.7 * before
    assert (network_macs(run.model()), network_macs(pruned.run.model())) == (before, after)
    write_pruned(pruned, tmp_path, [tmp_path / "data"], tmp_path / "child")
    child = load_run(tmp_path / "child")
    assert child.recipe.arguments.keys() == {*run.recipe.arguments, "shape"}
    assert child.pruning.startswith(f"{1 - after / before:.0%} of the network's multiply-adds removed from the run of ")
    assert "3 steps of fine-tuning, seed 1" in child.pruning
    assert child.station_term == run.station_term and child.recipe.optimisation == run.recipe.optimisation
    assert float(child.model().temperature) == pytest.approx(1.7)
    comparison = msgspec.json.decode((tmp_path / "child" / "gate.json").read_bytes(), type=Comparison)
    assert comparison == pruned.comparison and comparison.accepted_points == 100
    rows = (tmp_path / "child" / "log.csv").read_text().splitlines()
    assert rows[0].startswith("step,epoch,loss,") and rows[-1].startswith("3,")


@pytest.mark.long
def test_fine_tuning_learns_from_the_mean_of_the_run_and_the_teachers(
    run: Run, some_records: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run.model()
    with torch.no_grad():
        for parameter in other.parameters():  # the weights of the last layer of a new network are 0
            parameter.add_(0.05 * torch.randn(parameter.shape))
    other.temperature.fill_(0.9)
    second = dataclasses.replace(run, state=other.state_dict())

    class Reached(Exception):
        """Ends the pruning where the fine-tuning would begin."""

    def compared(*_: object, settings: Settings, **__: object) -> None:
        x = torch.randn(3, 3, other.geometry.n_samples, generator=torch.Generator().manual_seed(2))
        x = x if other.unit == "counts" else x * 1e-6
        valid = torch.ones_like(x)
        assert settings.teacher is not None
        assert float(settings.teacher.temperature) == pytest.approx(1.7)
        with torch.no_grad():
            mean = (run.model()(x, valid) + other.eval()(x, valid)) / 2
            assert torch.allclose(settings.teacher(x, valid), mean, atol=1e-5)
            assert not torch.allclose(run.model()(x, valid), mean, atol=1e-3)
        raise Reached

    monkeypatch.setattr(prune_module, "train_model", compared)
    with pytest.raises(Reached):
        prune_run(run, some_records, dataclasses.replace(SPEC, teachers=(second,)), silent)


def test_a_teacher_with_other_labels_is_refused(run: Run) -> None:
    name = "magnitude" if run.recipe.name == "event-type" else "event-type"
    recipe = load_recipe(name, {"arguments.width": 8})
    other = dataclasses.replace(run, recipe=recipe, state=create_model(recipe.model, **recipe.arguments).state_dict())
    with pytest.raises(InputError, match=f"--teacher: the run of recipe '{name}' .* has other labels"):
        teacher_of(run, [other])


def test_it_is_refused_before_training_where_the_gate_could_not_accept_it(
    run: Run, some_records: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = bundled(run.recipe.name).card

    def never(*_: object, **__: object) -> None:
        raise AssertionError("must not be called")

    monkeypatch.setattr(prune_module, "train_model", never)
    monkeypatch.setattr(prune_module, "select", never)
    monkeypatch.setattr(prune_module, "export_run", lambda run: Exported(run.model(), onnx.ModelProto(), card))
    with pytest.raises(FailedError, match=r"not tested at 0\.5 points: \d+ held-out events, 200 are needed"):
        prune_run(run, some_records, dataclasses.replace(SPEC, accept_points=None), silent)
    with pytest.raises(AssertionError, match="must not be called"):
        prune_run(run, some_records, dataclasses.replace(SPEC, accept_points=None, allow_drop=True), silent)


def test_fine_tuning_with_consistency_keeps_the_augmentations() -> None:
    recipe = load_recipe("magnitude", {"optimisation.consistency": 2.0})
    tuning = tuning_recipe(recipe, {}, None)
    assert tuning.augmentation == recipe.augmentation and tuning.optimisation.consistency == 2.0
    plain = load_recipe("magnitude", {"optimisation.consistency": 0.0})
    assert [table["name"] for table in tuning_recipe(plain, {}, None).augmentation] == ["gap"]


def test_fine_tuning_is_the_recipe_at_half_the_rate_and_half_the_length() -> None:
    recipe = load_recipe("magnitude")
    o = tuning_recipe(recipe, {}, None).optimisation
    assert (o.steps, o.rate, o.station_rate) == (450, recipe.optimisation.rate / 2, 0)
    by_epochs = msgspec.structs.replace(recipe.optimisation, steps=0, epochs=9, transfer="last-layer", patience=3)
    recipe = msgspec.structs.replace(recipe, optimisation=by_epochs)
    o = tuning_recipe(recipe, {}, None).optimisation
    assert (o.steps, o.epochs, o.transfer, o.patience) == (0, 5, "full", 0)
    o = tuning_recipe(recipe, {}, 70).optimisation
    assert (o.steps, o.epochs) == (70, 0)
    assert SPEC.rule == Rule(pruned=True, accept_points=100)

"""Pruning: what is left computes what it did, what is gone is gone from the exported graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from seisedge.cli import main
from seisedge.export.flops import count_flops
from seisedge.export.graph import network_nodes
from seisedge.export.onnx import checked_graph
from seisedge.export.prune import surgery as surgery_module
from seisedge.export.prune.ghost import GhostSurgery
from seisedge.export.prune.select import Target, block_effects, choose, importance_of, network_macs
from seisedge.export.prune.surgery import Surgery, channels_of, prunable_models, register_surgery, surgery_on
from seisedge.runtime.errors import InputError
from seisedge.train.models import create_model, describe_model, model_names
from seisedge.train.models._base import Model
from seisedge.train.models.ganet import GANetSmall
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.run_file import Run, save_run

NAMES = ["ganet_small", "resnet18_cbam_small"]


def lively(name: str, **arguments: Any) -> Model:
    """Weights and statistics that are not at their start."""
    torch.manual_seed(3)
    model = create_model(name, **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.1)
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return model


def windows(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(6, 3, model.geometry.n_samples) * (1e-6 if model.unit == "m/s" else 100)
    valid = torch.ones_like(x)
    valid[1, 1:] = 0
    valid[2, :, 500:] = 0
    return x, valid


def child_of(
    surgery: Surgery, name: str, units: dict[str, int], keep: dict[str, torch.Tensor], dropped: set[int]
) -> Model:
    child = create_model(name, shape=surgery.shape(units, dropped)).eval()
    surgery.copy(child, keep, dropped)
    return child


@pytest.mark.parametrize("name", NAMES)
def test_with_everything_kept_the_same_bits(name: str) -> None:
    model = lively(name)
    surgery = surgery_on(model, name)
    units = {g.name: g.units for g in surgery.groups()}
    child = child_of(surgery, name, units, {n: torch.arange(u) for n, u in units.items()}, set())
    x, valid = windows(model)
    assert torch.equal(model(x, valid), child(x, valid))


def silence(module: nn.Module, channels: torch.Tensor) -> None:
    """The channels of a batch norm's output become 0."""
    assert isinstance(module, nn.BatchNorm1d)
    with torch.no_grad():
        module.weight[channels] = 0
        module.bias[channels] = 0


def test_silent_maps_of_a_ghost_block_go_without_a_trace() -> None:
    model = lively("ganet_small")
    surgery = surgery_on(model, "ganet_small")
    units = {g.name: g.units for g in surgery.groups()}
    keep = {n: torch.arange(u) for n, u in units.items()}
    inside = torch.tensor([1, 5, 20])  # maps, and with them their ghosts
    block = model.get_submodule("trunk.bottlenecks.1.expand")
    for part in (block.get_submodule("primary.1"), block.get_submodule("cheap.1")):
        silence(part, inside)
    last = torch.arange(0, 96, 2)  # through pooling and attention to the classifier
    classify = model.get_submodule("trunk.classify")
    assert isinstance(classify, nn.Linear)
    silence(model.get_submodule("trunk.last.1"), last)
    stay = {"inside 1": keep["inside 1"][~torch.isin(keep["inside 1"], inside)]}
    child = child_of(surgery, "ganet_small", units | {"inside 1": 33}, keep | stay, set())
    x, valid = windows(model)
    torch.testing.assert_close(child(x, valid), model(x, valid), rtol=0, atol=2e-6)


def test_silent_channels_inside_a_residual_block_go_without_a_trace() -> None:
    model = lively("resnet18_cbam_small")
    surgery = surgery_on(model, "resnet18_cbam_small")
    units = {g.name: g.units for g in surgery.groups()}
    keep = {n: torch.arange(u) for n, u in units.items()}
    gone = torch.tensor([0, 3, 39])
    silence(model.get_submodule("trunk.blocks.5.body.1"), gone)
    stay = {"inside 5": keep["inside 5"][~torch.isin(keep["inside 5"], gone)]}
    child = child_of(surgery, "resnet18_cbam_small", units | {"inside 5": 37}, keep | stay, set())
    x, valid = windows(model)
    torch.testing.assert_close(child(x, valid), model(x, valid), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_dropped_block_is_one_passed_over(name: str) -> None:
    model = lively(name)
    surgery = surgery_on(model, name)
    units = {g.name: g.units for g in surgery.groups()}
    keep = {n: torch.arange(u) for n, u in units.items()}
    x, valid = windows(model)
    effects = block_effects(model, surgery, x, valid)
    assert set(effects) == ({2, 4} if name == "ganet_small" else {1, 3, 5, 7})
    for place, effect in effects.items():
        child = child_of(surgery, name, units, keep, {place})
        with torch.no_grad():
            got = float((child(x, valid) - model(x, valid)).abs().mean())
        assert got == pytest.approx(effect, abs=1e-6)
        assert effect > 0


WHOLE = {"ganet_small": 1_043_032, "resnet18_cbam_small": 2_456_612}  # of the bundled models' graphs


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_multiply_adds_are_chosen(name: str) -> None:
    model = lively(name)
    surgery = surgery_on(model, name)
    x, valid = windows(model)

    def losses() -> Any:
        yield model(x, valid).clamp(min=1e-6).log()[:, 0].neg()

    importance = importance_of(model, surgery.groups(), losses)
    for group in surgery.groups():
        assert importance[group.name].shape == (group.units,)
        assert (importance[group.name] > 0).any()
    choice = choose(surgery, Target(name, {}, 0.5), importance, {}, lambda _: None)
    assert choice.macs_before == network_macs(model) == WHOLE[name]
    assert 0.4 * choice.macs_before < choice.macs_after <= 0.5 * choice.macs_before
    for group in surgery.groups():
        kept = channels_of(group, choice.keep[group.name])
        assert len(set(kept.tolist())) == len(kept) >= group.units / 2


@pytest.mark.long
@pytest.mark.parametrize("name", ["ganet_small", "resnet18_cbam_small"])
def test_what_is_gone_is_gone_from_the_exported_graph(name: str) -> None:
    model = lively(name)
    surgery = surgery_on(model, name)
    units = {g.name: g.units - g.step for g in surgery.groups()}
    keep = {n: torch.arange(u) for n, u in units.items()}
    child = child_of(surgery, name, units, keep, set())
    graph = checked_graph(child)
    assert count_flops(graph, network_nodes(graph)).macs == network_macs(child) < WHOLE[name]


def test_widths_that_would_lose_a_learned_shortcut_do_not_fit() -> None:
    surgery = surgery_on(lively("ganet_small"), "ganet_small")
    units = {g.name: g.units for g in surgery.groups()}
    assert surgery.fits(units, set())
    assert not surgery.fits(units | {"width 1": units["width 0"]}, set())


def test_what_cannot_be_pruned_is_refused() -> None:
    model = lively("ganet_small", width=8)
    surgery = surgery_on(model, "ganet_small")
    importance = {g.name: torch.ones(g.units) for g in surgery.groups()}
    with pytest.raises(InputError, match=r"--ratio 0\.99: too large: at the smallest widths "):
        choose(surgery, Target("ganet_small", {"width": 8}, 0.99), importance, {}, lambda _: None)


def run_of(recipe: str, folder: Path) -> Path:
    """A run that has a recipe, weights of no training, and no data."""
    folder.mkdir()
    loaded = load_recipe(recipe)
    run = Run(
        recipe=loaded,
        seed=1,
        state=create_model(loaded.model, **loaded.arguments).state_dict(),
        station_term={},
        data_sha256="",
        data_sources=[],
        n_events=0,
        n_records=0,
        split_rule="",
        metrics=[],
        date="",
        seisedge_version="",
    )
    save_run(run, folder / "checkpoint.pt")
    return folder


OTHERS = {"ganet-paper": "ganet_paper", "resnet18-cbam-1d": "resnet18_cbam_1d"}
OTHERS["resnet18-cbam-image-paper"] = "resnet18_cbam_image"
OTHERS["onset"] = "onset_tcn"


CLASSES = {"ganet-paper": "GANetPaper", "resnet18-cbam-1d": "ResNetPaper", "resnet18-cbam-image-paper": "ResNetImage"}
CLASSES["onset"] = "OnsetNet"


@pytest.mark.parametrize("recipe", OTHERS)
@pytest.mark.parametrize("command", ["prune {} --ratio 0.5", "release {} --prune 0.5 -o {}-release"])
def test_other_models_are_refused_before_anything_is_read_or_trained(
    recipe: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data are not there: who looked at them would fail otherwise."""
    monkeypatch.chdir(tmp_path)
    run_of(recipe, tmp_path / "run")
    result = CliRunner().invoke(main, [*command.format("run", "run").split(), "--data", "nowhere"])
    assert result.exit_code == 2
    assert result.output == (
        f"Error: run: model '{OTHERS[recipe]}' cannot be pruned: {CLASSES[recipe]} has no registered surgery; "
        "models with one: ganet_small, resnet18_cbam_small; export the run without pruning\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_every_registered_model_is_prunable_or_refused() -> None:
    assert set(prunable_models()) == set(NAMES)
    for name in set(model_names()) - set(NAMES):
        with pytest.raises(InputError, match=f"model '{name}' cannot be pruned"):
            surgery_on(describe_model(name), name)
    for name in NAMES:
        assert surgery_on(create_model(name), name).groups()


def test_a_plug_in_brings_its_own_surgery(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass of a prunable network may have other layers: it is refused until it registers a surgery."""

    class Wider(GANetSmall):
        pass

    model = lively("ganet_small")
    model.__class__ = Wider
    monkeypatch.setattr(surgery_module, "_SURGERIES", dict(surgery_module._SURGERIES))
    with pytest.raises(InputError, match="model 'wider' cannot be pruned: Wider has no registered surgery"):
        surgery_on(model, "wider")
    register_surgery(Wider)(GhostSurgery)
    assert isinstance(surgery_on(model, "wider"), GhostSurgery)
    with pytest.raises(ValueError, match="Wider already has a surgery: GhostSurgery"):
        register_surgery(Wider)(GhostSurgery)

"""Tests of all registered models."""

from __future__ import annotations

import importlib
import math
from typing import Any

import msgspec
import pytest
import torch
from tests.train.models.narrow import NARROW

from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.estimate import bins_of
from seisedge.train.models import create_model, describe_model, model_names, parameter_count, register_model
from seisedge.train.models._base import EventTypeModel, MagnitudeModel, Model, OnsetModel
from seisedge.train.models.amplitude_duration import AmplitudeDuration
from seisedge.train.models.attention_2d import Attention, attention_2d
from seisedge.train.models.capsnet_saad import POSITIONS, SIZE, TYPES, ClassCapsules
from seisedge.train.models.cbam import CBAM
from seisedge.train.models.ghost import GhostBottleneck, GhostModule
from seisedge.train.recipes.recipe import load_recipe, recipe_names

SMALL = {"ganet_small": 500_000, "resnet18_cbam_small": 1_500_000, "onset_tcn": 100_000}


def batch(model: Model, size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """One record with three complete components, one with a vertical that ends half way."""
    n = model.geometry.n_samples
    x = torch.randn(size, 3, n, generator=torch.Generator().manual_seed(1)) * 1e-5
    valid = torch.ones_like(x)
    valid[-1, 1:] = 0
    valid[-1, :, n // 2 :] = 0
    return torch.where(valid > 0.5, x, 0.0), valid


@pytest.fixture(params=model_names(), scope="module")
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    return create_model(request.param, **NARROW.get(request.param, {}))


def test_forward_gives_probabilities(model: Model) -> None:
    x, valid = batch(model)
    p = model.eval()(x, valid)
    if isinstance(model, OnsetModel):
        assert p.shape == (2, model.block_hops, len(model.labels))
        assert (p <= 1).all()
        exclusive = p[..., 2:]  # P and S are independent of the classes
    else:
        assert p.shape == (2, len(model.labels))
        exclusive = p
    assert torch.allclose(exclusive.sum(-1), torch.ones(exclusive.shape[:-1]), atol=1e-5)
    assert (p >= 0).all()


def test_the_band_is_below_the_nyquist_frequency(model: Model) -> None:
    low, high = model.band_hz
    assert 0 <= low < high < model.geometry.rate_hz / 2  # a card requires it


def test_backward_reaches_every_parameter(model: Model) -> None:
    model.train()
    x, valid = batch(model)
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    if isinstance(model, MagnitudeModel):
        for parameter in model.parameters():  # a head that is initialised to zero passes no gradient
            if parameter.ndim > 1 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        target, distance = torch.tensor([1.23, 2.5]), torch.tensor([1.1, float("nan")])
        *parts, raw = model.losses(x, valid, target, torch.zeros(2), distance)
        torch.testing.assert_close(raw, model.raw(x, valid))
        loss = torch.stack(parts).sum()
    elif isinstance(model, OnsetModel):
        loss = model.raw(x, valid).square().sum()
    else:
        loss = torch.nn.functional.cross_entropy(model.raw(x, valid), torch.tensor([0, 1]))
    loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    model.zero_grad()


@pytest.mark.parametrize("hidden", [float("nan"), 1e9])
def test_masked_samples_change_no_output_bit(model: Model, hidden: float) -> None:
    x, valid = batch(model)
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(x, valid), model(torch.where(valid > 0.5, x, hidden), valid))


def test_degenerate_input_gives_finite_probabilities(model: Model) -> None:
    n = model.geometry.n_samples
    model.eval()
    one = torch.zeros(1, 3, n)
    one[0, 0, n // 2] = 1
    with torch.no_grad():
        for valid in (torch.zeros(1, 3, n), torch.ones(1, 3, n), one):
            for value in (0.0, 1.0, -4e8):
                p = model(torch.full((1, 3, n), value), valid)
                assert torch.isfinite(p).all()
                exclusive = p[..., 2:] if isinstance(model, OnsetModel) else p
                assert exclusive.sum(-1).numpy() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_shipped_geometry_is_small(name: str) -> None:
    model = create_model(name)
    assert sum(p.numel() for p in model.parameters()) <= SMALL[name]
    assert model.geometry.n_samples <= 3000


def test_paper_geometry() -> None:
    model = create_model("ganet_paper")
    assert parameter_count(model) == pytest.approx(1.57e6, rel=0.01)
    assert (model.geometry.n_samples, model.geometry.rate_hz) == (10_000, 100.0)
    assert create_model("ganet_paper", n_classes=2).labels == ["tectonic", "non-tectonic"]
    assert create_model("resnet18_cbam_1d").labels[9] == "(0.9,1.0]"
    assert len(create_model("resnet18_cbam_1d").labels) == 30


@pytest.mark.parametrize(
    ("name", "stated", "tolerance"),
    [
        ("capsnet_saad", 40.32e3, 0.01), ("cnn_liu", 1.36e6, 0.01), ("vgg_jia", 11.37e3, 0.03),
        ("resnet_jia", 7.13e6, 0.015), ("googlenet_jia", 5.12e6, 0.01), ("cnn_barama", 5.20e6, 0.01),
        ("cnn_zhu", 80.06e3, 0.03), ("ganet_paper", 1.57e6, 0.005),
    ],
)  # fmt: skip
def test_the_networks_of_paper_b_have_its_numbers_of_parameters(name: str, stated: float, tolerance: float) -> None:
    model = describe_model(name, n_classes=2)
    assert parameter_count(model) == pytest.approx(stated, rel=tolerance)
    assert (model.geometry.n_samples, model.geometry.rate_hz) == (10_000, 100.0)
    with pytest.raises(InputError, match="n_classes must be 2 or 3; got 4"):
        create_model(name, n_classes=4)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("capsnet_saad", slice(3)), ("cnn_liu", slice(None)), ("vgg_jia", slice(0, None, 2)),  # two layers in a block
        ("cnn_barama", slice(None)), ("cnn_zhu", slice(None)),
    ],
)  # fmt: skip
def test_the_filters_are_those_of_the_table_in_the_docstring(name: str, layers: slice) -> None:
    text = importlib.import_module(f"seisedge.train.models.{name}").__doc__ or ""
    filters = [m.out_channels for m in describe_model(name).modules() if isinstance(m, torch.nn.Conv1d)]
    assert f"| {', '.join(map(str, filters[layers]))} |" in text
    assert "https://" in text or name == "cnn_liu"


def test_the_layers_of_ga_net_are_those_of_the_table_in_its_docstring() -> None:
    text = importlib.import_module("seisedge.train.models.ganet").__doc__ or ""
    model = create_model("ganet_paper").eval()
    stem, trunk = model.get_submodule("stem"), model.get_submodule("trunk")
    shapes = []
    layers = [stem, *trunk.get_submodule("bottlenecks").children(), trunk.get_submodule("last")]
    for layer in layers:
        layer.register_forward_hook(
            lambda _, inputs, out: shapes.append((out[0] if isinstance(out, tuple) else out).shape)
        )
    with torch.no_grad():
        model(torch.randn(1, 3, 10_000), torch.ones(1, 3, 10_000))
    (_, of_stem, n_stem), *between, (_, of_last, n_last) = shapes
    assert f"| convolution, ReLU | 7 | 2 | {of_stem} | {n_stem} |" in text
    widths = ", ".join(str(width) for _, width, _ in between)
    assert f"| {widths} | {between[0][2]} to {between[-1][2]} |" in text
    assert f"| convolution, ReLU | 1 | 1 | {of_last} | {n_last} |" in text


@pytest.mark.parametrize(
    ("name", "of_torchvision"),
    [
        ("alexnet_image", 61_100_840), ("vgg16_image", 138_357_544), ("resnet18_image", 11_689_512),
        ("resnet34_image", 21_797_672), ("resnet50_image", 25_557_032),
    ],
)  # fmt: skip
def test_the_networks_of_paper_a_have_the_parameters_of_their_sources(name: str, of_torchvision: int) -> None:
    """As torchvision documents them for 1000 classes; here there are 30."""
    model = describe_model(name)
    inputs = model.last_layer().in_features
    assert isinstance(inputs, int)
    assert parameter_count(model) == of_torchvision - 970 * (inputs + 1)
    final = describe_model("resnet18_image", attention="cbam", shrinkage=True)
    assert parameter_count(final) == parameter_count(describe_model("resnet18_cbam_image")) == 11_370_854
    with pytest.raises(InputError, match="attention must be none, se, eca, cbam; got 'sea'"):
        describe_model(name, attention="sea")
    with pytest.raises(InputError, match="marks must be none or catalogue; got 'some'"):
        describe_model(name, marks="some")


@pytest.mark.parametrize("kind", ["se", "eca"])
def test_attention_weighs_each_channel_as_a_whole(kind: Attention) -> None:
    torch.manual_seed(1)
    x = torch.rand(2, 64, 5, 7) + 0.1
    weight = attention_2d(kind, 64)(x) / x
    assert torch.allclose(weight, weight[..., :1, :1].expand_as(x), atol=1e-5)
    assert weight[..., 0, 0].std(1).min() > 1e-3  # it differs between channels
    assert attention_2d("none", 64)(x) is x


def test_amplitude_and_duration_of_a_known_record() -> None:
    """10 µm/s of 5 Hz from the onset for 20 s, on noise of 0.1 µm/s, on two components; the third is missing."""
    model = create_model("amplitude_duration").eval()
    assert isinstance(model, AmplitudeDuration)
    t = torch.arange(6000) / 100 - 7.5
    wave = torch.sin(2 * math.pi * 5 * t) * torch.where((t >= 0) & (t < 20), 1e-5, 1e-7)
    x, valid = wave.expand(1, 3, 6000), torch.ones(1, 3, 6000)
    valid[:, 2] = 0
    amplitude, duration = model.features(x, valid)
    assert amplitude.item() == pytest.approx(math.log10(1e-5 / math.sqrt(2)), abs=0.02)
    assert 10 ** duration.item() == pytest.approx(20, abs=0.6)
    with torch.no_grad():
        location = model.raw(x, valid)[0, 0].item()
    a, b = model.regress.weight[0].tolist()
    expected = a * amplitude.item() + b * duration.item() + model.regress.bias.item()
    assert location == pytest.approx(expected, abs=1e-4)


def test_the_last_layer_of_every_model_can_be_trained_alone(model: Model) -> None:
    names = {name for name, p in model.named_parameters() if any(p is q for q in model.last_layer().parameters())}
    assert names
    assert len({name.split(".")[-2] for name in names}) == 1


def test_routing_lets_a_capsule_with_agreement_win() -> None:
    """All inputs vote for the same vector of class 0 and for vectors of class 1 that cancel out."""
    capsules = ClassCapsules(2)
    with torch.no_grad():
        capsules.matrices.zero_()
        capsules.matrices[:, 0] = torch.eye(SIZE)
        capsules.matrices[::2, 1], capsules.matrices[1::2, 1] = torch.eye(SIZE), -torch.eye(SIZE)
        u = torch.full((1, TYPES * POSITIONS, SIZE), 0.1)
        agreed, cancelled = capsules(u)[0].exp().sqrt().tolist()
    summed = TYPES * POSITIONS * 0.1 * SIZE**0.5  # of all votes, before the coupling
    coupling = 1 / (1 + math.exp(-2 * 0.1 * SIZE**0.5))  # two updates by û · v, |v| almost 1; without routing: 1/2
    assert agreed == pytest.approx(coupling * summed, rel=0.01)
    assert cancelled < 1e-3


@pytest.mark.parametrize(
    "recipe", [name for name in recipe_names() if name.startswith(("ganet-w", "ganet-c", "ganet-b"))]
)
def test_the_ablations_of_ganet(recipe: str) -> None:
    """Each differs from GA-Net in what its name states, and in nothing else but description and group."""
    row, whole = load_recipe(recipe), load_recipe("ganet-paper")
    own = {"name": "x", "about": "", "group": "", "row": 0, "not_for": [], "arguments": {}}
    assert msgspec.structs.replace(row, **own) == msgspec.structs.replace(whole, **own)
    run = recipe in ("ganet-cbam-all", "ganet-without-cbam", "ganet-without-ghost", "ganet-bottlenecks-8")
    model = (create_model if run else describe_model)(row.model, **row.arguments)
    places = {"input": 16, "bottleneck": 32, "flatten": 696}  # channels of the attention
    shared = [m.channel.shared[0] for m in model.modules() if isinstance(m, CBAM)]
    channels = {layer.in_channels for layer in shared if isinstance(layer, torch.nn.Conv1d)}
    named = {"bottleneck", "flatten"}
    if recipe.startswith("ganet-cbam-"):
        named = set(recipe.split("-")[2:])
    if recipe in ("ganet-cbam-all", "ganet-without-cbam"):
        named = set(places) if recipe == "ganet-cbam-all" else set()
    assert {place for place, width in places.items() if width in channels} == named
    assert any(type(m) is GhostModule for m in model.modules()) == (recipe != "ganet-without-ghost")
    depth = int(recipe[-1]) if recipe[-1].isdigit() else 5
    assert sum(type(m) is GhostBottleneck for m in model.modules()) == depth
    if run:
        x, valid = batch(model)
        assert torch.isfinite(model.eval()(x, valid)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cbam": ["stem"]}, "cbam must be a list of input, bottleneck, flatten"),
        ({"cbam": "input"}, "cbam must be a list"),
        ({"bottlenecks": 9}, "bottlenecks must be from 1 to 8"),
        ({"n_classes": 4}, "n_classes must be 2 or 3"),
    ],
)
def test_arguments_that_ganet_does_not_have(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_model("ganet_paper", **arguments)


def test_magnitude_bins_are_closed_above() -> None:
    import numpy as np

    model = create_model("resnet18_cbam_small")
    assert isinstance(model, MagnitudeModel)
    assert len(model.labels) == 32
    labels = [model.labels[k] for k in bins_of(model.edges, np.array([-0.3, 0.0, 0.05, 1.0, 1.01, 3.0, 3.1]))]
    assert labels == ["≤0.0", "≤0.0", "(0.0,0.1]", "(0.9,1.0]", "(1.0,1.1]", "(2.9,3.0]", ">3.0"]


def test_a_gain_moves_only_the_location() -> None:
    model = create_model("resnet18_cbam_small").eval()
    x, valid = batch(model)
    with torch.no_grad():
        for parameter in model.head[-1].parameters():  # type: ignore[union-attr, index]  # of that model
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
        before, after = model.raw(x, valid), model.raw(x * 100, valid)
    slope = model.slope.item()  # type: ignore[operator]  # a parameter of that model
    assert torch.allclose(after[:, 0] - before[:, 0], torch.full((2,), 2 * slope), atol=2e-3)
    assert torch.allclose(after[:, 1], before[:, 1], atol=2e-3)


def test_noise_below_the_floor_changes_nothing() -> None:
    """Noise of 0.1 % of the peak before and after a pulse, or none."""
    generator = torch.Generator().manual_seed(3)
    plain, floored = create_model("resnet18_cbam_small"), create_model("resnet18_cbam_small", noise_floor=0.03)
    n = plain.geometry.n_samples
    x = torch.randn(2, 3, n, generator=generator)
    x[..., :200] = x[..., 280:] = 0.0
    noisy, valid = x + 1e-3 * torch.randn(x.shape, generator=generator), torch.ones_like(x)
    valid[1, 1:] = 0

    def most(model: Model) -> float:
        first, second = (model.features(wave, valid) for wave in (x, noisy))  # type: ignore[operator]  # of that model
        return float((first[0] - second[0]).abs().max())

    assert most(plain) > 1.0
    assert most(floored) < 0.05
    loud = floored.features(x + 0.3 * (noisy - x) / 1e-3, valid)[0] - floored.features(x, valid)[0]  # type: ignore[operator]
    assert float(loud.abs().max()) > 0.3


@pytest.mark.parametrize("noise_floor", [1.0, 3.0])
def test_a_floor_outside_its_range_is_refused(noise_floor: float) -> None:
    with pytest.raises(InputError, match="noise_floor must be from 0 to below 1"):
        create_model("resnet18_cbam_small", noise_floor=noise_floor)


def test_a_model_is_described_without_its_weights() -> None:
    described, built = describe_model("ganet_small"), create_model("ganet_small")
    assert {(n, p.shape) for n, p in described.named_parameters()} == {
        (n, p.shape) for n, p in built.named_parameters()
    }
    assert all(p.is_meta for p in described.parameters())
    assert (described.geometry, described.labels) == (built.geometry, built.labels)


def test_a_name_is_registered_once() -> None:
    def ganet_small() -> EventTypeModel:
        raise AssertionError

    with pytest.raises(ValueError, match="registered already"):
        register_model(ganet_small)


def test_unknown_names_and_arguments_raise_an_error() -> None:
    with pytest.raises(InputError, match="did you mean 'ganet_small'"):
        create_model("ganet_smal")
    with pytest.raises(InputError, match=r"model 'ganet_small'.*depth"):
        create_model("ganet_small", depth=3)

"""--weights: a file with the tensors of a torchvision network, made here by its documented names; wrong files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.fit.imagenet import require_imagenet
from seisedge.train.fit.request import weights_from
from seisedge.train.fit.stage import load_weights
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import Recipe, load_recipe


def resnet18(width: int = 64) -> dict[str, torch.Tensor]:
    """Names and shapes of torchvision's resnet18, written down by hand; each value is random."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (width, 3, 7, 7)}
    norms = {"bn1": width}
    before = width
    for stage in (1, 2, 3, 4):
        channels = width << (stage - 1)
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (channels, before, 3, 3)
            shapes[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            norms |= {f"{name}.bn1": channels, f"{name}.bn2": channels}
            if stage > 1 and block == 0:
                shapes[f"{name}.downsample.0.weight"] = (channels, before, 1, 1)
                norms[f"{name}.downsample.1"] = channels
            before = channels
    for name, channels in norms.items():
        shapes |= {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{name}.num_batches_tracked"] = ()
    shapes |= {"fc.weight": (1000, before), "fc.bias": (1000,)}
    generator = torch.Generator().manual_seed(3)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def narrow(**arguments: Any) -> Recipe:
    return load_recipe(
        "image-resnet18-last-layer", {f"arguments.{k}": v for k, v in ({"width": 4} | arguments).items()}
    )


def saved(tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save(tensors, folder / "w.pth")
    return folder / "w.pth"


@pytest.mark.parametrize("added", [{}, {"attention": "cbam", "shrinkage": True}])
def test_all_layers_but_the_last_are_loaded(tmp_path: Path, added: dict[str, Any]) -> None:
    given = resnet18(4)
    recipe = narrow(**added)
    require_imagenet(saved(given, tmp_path), recipe)
    model = create_model(recipe.model, **recipe.arguments)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_weights(model, weights_from(tmp_path / "w.pth"), "last-layer")
    after = model.state_dict()
    for name, value in given.items():
        if not name.startswith("fc."):
            assert torch.equal(after[name], value.to(after[name].dtype)), name
    assert torch.equal(after["fc.weight"], before["fc.weight"])
    assert {name for name in after if name not in given and "shrink" not in name and "attend" not in name} == {
        "temperature"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer3.1.bn2.running_var": None}, "tensor 'layer3.1.bn2.running_var' is missing"),
        ({"conv1.weight": torch.zeros(4, 1, 7, 7)}, "tensor 'conv1.weight' has shape (4, 1, 7, 7), the network of"),
        ({"layer1.2.conv1.weight": torch.zeros(4, 4, 3, 3)}, "tensor 'layer1.2.conv1.weight' is not in the network"),
        ({"bn1.bias": torch.full((4,), torch.nan)}, "the weights of 'bn1.bias' are not finite"),
    ],
)
def test_weights_of_another_network(tmp_path: Path, change: dict[str, torch.Tensor | None], message: str) -> None:
    given = {name: value for name, value in (resnet18(4) | change).items() if value is not None}
    with pytest.raises(InputError) as caught:
        require_imagenet(saved(given, tmp_path), narrow())
    assert message in str(caught.value)
    assert str(caught.value).startswith("--weights ")
    assert "\n" not in str(caught.value)


def test_the_command_refuses_other_weights_before_it_reads_data(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["train", *arguments, "--data", "nowhere", "-o", str(tmp_path / "run")])
        assert result.exit_code == 2, result.output
        assert not (tmp_path / "run").exists()
        return result.output

    file = str(saved(resnet18(4), tmp_path))
    assert "has shape (4, 3, 7, 7), the network of recipe 'image-resnet18' has (64, 3, 7, 7)" in run(
        "image-resnet18", "--weights", file
    )
    assert "model 'ganet_small' of recipe 'event-type' is no network of torchvision" in run(
        "event-type", "--weights", file
    )
    assert "--from and --weights both give initial weights" in run("image-resnet18", "--weights", file, "--from", file)
    assert "--weights none.pth: no such run or weights file" in run("image-resnet18", "--weights", "none.pth")
    assert "nowhere" in run("image-resnet18", "--weights", file, "--set", "arguments.width=4")  # the weights fit

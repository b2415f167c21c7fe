"""What only a machine with an NVIDIA card shows; skipped elsewhere. `make gpu` runs these tests on such a machine."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.engines._cuda import open_device
from seisedge.runtime.errors import EngineError
from seisedge.train.archive.archive import find_dataset, load_archive
from seisedge.train.fit.feed import WindowFeed
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
ROOT = Path(__file__).parents[2]


@needs_card
@pytest.mark.parametrize("name", ["event-type", "magnitude"])
def test_network_gives_the_same_on_the_card(name: str) -> None:
    recipe = load_recipe(name)
    torch.manual_seed(0)
    model = create_model(recipe.model, **recipe.arguments).eval()
    x = torch.randn(4, 3, 1800 if name == "event-type" else 1400)
    valid = torch.ones_like(x)
    with torch.no_grad():
        expected = model.raw(x, valid)
        found = model.cuda().raw(x.cuda(), valid.cuda()).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)  # TF32 products


@needs_card
def test_windows_are_cut_and_augmented_on_the_card() -> None:
    recipe = load_recipe("event-type", {"optimisation.batch": 16, "optimisation.steps": 2})
    archive = load_archive([find_dataset(ROOT)], 40.0, 15.0)
    device = torch.device("cuda")
    stage = Stage(recipe, archive, lambda r: r.split == "train", 1, device, None, None, Settings(), print)
    assert isinstance(stage.feed, WindowFeed)
    drawn = stage.feed.chain.waveform(*stage.feed.cutter.cut(stage.feed.sampler.draw(16)))
    tensors = [part for part in drawn if isinstance(part, torch.Tensor)]
    assert tensors and all(part.is_cuda for part in tensors)
    assert all(bool(torch.isfinite(part).all()) for part in tensors if part.is_floating_point())


@needs_card
def test_training_on_the_card_leaves_weights_that_load_without_one(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "event-type", "--data", str(ROOT / "datasets"), "--device", "cuda", "-o", str(out)]
    done = CliRunner().invoke(main, [*command, "--limit", "80", "--set", "optimisation.steps=3"])
    assert done.exit_code == 0, done.output
    checkpoint = next(out.glob("*.pt"))
    found = torch.load(checkpoint, map_location="cpu", weights_only=True)
    assert found


def test_buffers_of_the_engine_reach_the_card_and_return() -> None:
    """The part of the TensorRT engine that needs pycuda and no TensorRT."""
    try:
        device = open_device()
    except EngineError as error:
        pytest.skip(str(error))
    host, back = device.pinned((3, 1800)), device.pinned((3, 1800))
    host[:] = np.random.default_rng(0).normal(size=host.shape)
    address = device.allocate(host.nbytes)
    began, ended = device.mark(), device.mark()
    began.record()
    device.to_device(address, host)
    device.to_host(back, address)
    ended.record()
    device.wait()
    assert np.array_equal(back, host) and ended.ms_since(began) >= 0.0

"""The line plot: pixels with a known result, and equality in torch and onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from seisedge.export.onnx import graph_from_model, strip_metadata
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter, show_marks
from seisedge.train.archive.task import sampler_of
from seisedge.train.models import create_model
from seisedge.train.models._base import PictureModel
from seisedge.train.models.picture import LinePlot
from seisedge.train.recipes.recipe import load_recipe


def drawn(x: torch.Tensor, valid: torch.Tensor | None = None, side: int = 4) -> torch.Tensor:
    plot = LinePlot(x.shape[-1], side)
    out: torch.Tensor = plot(x, torch.ones_like(x) if valid is None else valid)
    return out


def test_a_ramp_is_a_connected_diagonal() -> None:
    x = torch.arange(8, dtype=torch.float32).expand(1, 3, 8)
    expected = [  # -1 to 1 in steps of 2/7; rows at 0.75 to -0.75, a line 0.25 to either side
        [0, 0, 1, 1],
        [0, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
    ]
    assert drawn(x)[0, 0].tolist() == expected


def test_scale_and_offset_do_not_change_the_picture() -> None:
    x = torch.randn(2, 3, 6000, generator=torch.Generator().manual_seed(1))
    picture = drawn(x, side=224)
    assert 0.1 < float(picture.mean()) < 0.7
    assert float((drawn(x * 1e-7 + 1e-6, side=224) != picture).float().mean()) < 1e-3
    assert float((drawn(-x, side=224).flip(2) != picture).float().mean()) < 1e-3


def test_columns_without_valid_samples_are_empty() -> None:
    x = torch.randn(1, 3, 6000, generator=torch.Generator().manual_seed(1))
    valid = torch.ones_like(x)
    valid[0, 0, 3000:] = 0
    valid[0, 1] = 0
    picture = drawn(x, valid, 224)
    assert picture[0, 0, :, :111].any(0).all()
    assert not picture[0, 0, :, 112:].any()
    assert not picture[0, 1].any()
    assert torch.equal(picture, drawn(torch.where(valid > 0.5, x, torch.nan), valid, 224))
    flat = drawn(torch.full((1, 3, 6000), 7.0), side=224)
    assert set(flat[0, 0].sum(0).tolist()) <= {1.0, 2.0}, "a constant must be a horizontal line"


def test_marks_are_at_the_catalogued_times(archive: Archive) -> None:
    plot = LinePlot(6000)
    marks = torch.tensor([[750.0, float("nan"), 7000.0], [0.0, 5999.0, -3.0]])
    lines = plot.marked(torch.zeros(2, 3, 224, 224), marks).all(2)  # (batch, 3, column)
    assert lines.nonzero().tolist() == [[0, 0, 28], [1, 0, 0], [1, 1, 223]]


def test_a_model_with_marks_cannot_be_exported(archive: Archive) -> None:
    model = create_model("resnet18_cbam_image", marks="catalogue").eval()
    x = torch.zeros(1, 3, 6000)
    with pytest.raises(InputError, match="cannot be exported or run at a station"):
        model(x, torch.ones_like(x))
    recipe = load_recipe("resnet18-cbam-image-paper")
    sampler = sampler_of(recipe, create_model("resnet18_cbam_small"), archive, lambda r: r.split == "train", 1)
    draw = sampler.draw(4)
    cutter = WindowCutter(archive, model.geometry, torch.device("cpu"))
    show_marks(model, cutter, draw)
    assert isinstance(model, PictureModel)
    assert model.marks is not None
    onset = [archive.records[i].onset for i in draw.record] - draw.start
    assert model.marks[:, 0].numpy() == pytest.approx(onset, abs=1e-2)
    with pytest.raises(InputError, match="marks must be none or catalogue"):
        create_model("resnet18_cbam_image", marks="some")


@pytest.mark.long
def test_onnxruntime_and_torch_agree() -> None:
    torch.manual_seed(0)
    model = create_model("resnet18_cbam_image").eval()
    file = strip_metadata(graph_from_model(model)).SerializeToString()
    x = torch.randn(2, 3, 6000, generator=torch.Generator().manual_seed(4)).cumsum(-1)
    valid = torch.ones_like(x)
    valid[1, :, 4000:] = 0
    valid[1, 2] = 0
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"waveform": x.numpy(), "valid": valid.numpy()})[0]
    with torch.no_grad():
        ours = model(x, valid).numpy()
    assert np.abs(ours - theirs).max() < 1e-4
    assert ours.std(1).min() > 0

"""All forms of storing samples on a device give the same windows, within the stated accuracy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.samples import Resident, Streamed, samples_on
from seisedge.train.archive.task import sampler_of
from seisedge.train.fit.precision import autocast, keep_float32, wants_bf16
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def draw(few: Archive) -> Draw:
    recipe = load_recipe("event-type")
    return sampler_of(recipe, create_model(recipe.model), few, lambda r: True, 3).draw(64)


def whole_numbers(archive: Archive) -> Archive:
    return dataclasses.replace(archive, waveform=np.clip(archive.waveform, -3e4, 3e4).round())


def test_samples_that_fit_are_stored_exactly_and_integers_as_int16(few: Archive) -> None:
    size = few.waveform.size
    plain = samples_on(few, CPU, 5 * size)
    assert isinstance(plain, Resident)
    assert plain.waveform.dtype == torch.float32
    assert plain.notes == []
    small = samples_on(whole_numbers(few), CPU, 5 * size)
    assert isinstance(small, Resident)
    assert small.waveform.dtype == torch.int16
    half = samples_on(few, CPU, 3 * size)
    assert isinstance(half, Resident)
    assert half.waveform.dtype == torch.float16
    assert "stored as float16" in half.notes[0]
    streamed = samples_on(few, CPU, 3 * size - 1)
    assert isinstance(streamed, Streamed)
    assert "streamed from host memory" in streamed.notes[0]


@pytest.mark.parametrize("share", [5, 2.9])
def test_int16_and_streaming_are_exact(few: Archive, draw: Draw, share: float) -> None:
    archive = whole_numbers(few) if share == 5 else few
    geometry = create_model("ganet_small").geometry
    budget = round(share * few.waveform.size)
    x, valid = WindowCutter(archive, geometry, CPU, budget).cut(draw)
    y, there = WindowCutter(archive, geometry, CPU).cut(draw)
    assert torch.equal(x, y)
    assert torch.equal(valid, there)


def test_float16_is_as_exact_as_stated(few: Archive, draw: Draw) -> None:
    geometry = create_model("ganet_small").geometry
    x, valid = WindowCutter(few, geometry, CPU, 3 * few.waveform.size).cut(draw)
    y, there = WindowCutter(few, geometry, CPU).cut(draw)
    assert torch.equal(valid, there)
    assert not torch.equal(x, y)
    rows = torch.from_numpy(few.waveform[draw.record]).double(), torch.from_numpy(few.valid[draw.record])
    mean = (rows[0] * rows[1]).sum(-1) / rows[1].sum(-1).clamp(min=1)
    away = (y - mean[..., None]).abs() * valid
    largest = away.amax(-1, keepdim=True)  # below 6e-5 of the largest float16 has fewer digits
    assert ((x - y).abs() * valid <= 5e-4 * away + 1e-7 * largest + 1e-6 * mean.abs()[..., None]).all()


def test_the_front_end_stays_float32(few: Archive, draw: Draw) -> None:
    torch.manual_seed(0)
    model = create_model("ganet_small", p_over_s=True).eval()
    x, valid = WindowCutter(few, model.geometry, CPU).cut(draw)
    front, stem = model.front, model.stem
    assert isinstance(front, torch.nn.Module) and isinstance(stem, torch.nn.Module)
    inputs: list[torch.Tensor] = []  # of the network, without the two masks: the features of the filterbank
    outputs: list[torch.dtype] = []
    stem.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    stem.register_forward_hook(lambda _module, _arguments, output: outputs.append(output.dtype))
    with torch.no_grad():
        plain, expected = model.raw(x, valid), front(x, valid)[0]
        keep_float32(model, CPU)
        assert wants_bf16("bf16", CPU)
        assert not wants_bf16("auto", CPU)
        with autocast(True, CPU):
            z, half = front(x, valid)[0], model.raw(x, valid)
    assert z.dtype == torch.float32
    assert torch.equal(z, expected)
    assert torch.equal(inputs[0], inputs[1])
    assert outputs == [torch.float32, torch.bfloat16]
    assert torch.allclose(half.float(), plain, atol=0.05)
    assert not torch.equal(half.float(), plain)

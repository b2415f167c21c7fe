"""A loss that is not finite stops the training, and weights that are not finite are neither written nor read."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.fit.test_loop import run, tiny

from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.subject import subject_from
from seisedge.train.fit.request import STATE, read_request, weights_from
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.run_file import Run, load_run, save_run


def small_run(**more: Any) -> Run:
    recipe = load_recipe("event-type", {"arguments.width": 8})
    state = create_model(recipe.model, **recipe.arguments).state_dict()
    values: dict[str, Any] = {
        "recipe": recipe, "seed": 1, "state": dict(state), "station_term": {}, "data_sha256": "", "data_sources": [],
        "n_events": 1, "n_records": 1, "split_rule": "", "metrics": [], "date": "", "seisedge_version": "",
    }  # fmt: skip
    return Run(**values | more)


def with_nan(run: Run) -> Run:
    name = next(k for k, v in run.state.items() if v.dtype.is_floating_point and v.ndim > 1)
    return dataclasses.replace(run, state=run.state | {name: torch.full_like(run.state[name], math.nan)})


@pytest.mark.parametrize("name", ["event-type", "magnitude"])
def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_records(few: Archive, name: str) -> None:
    waveform = few.waveform.copy()
    waveform[:] = np.inf  # behind the checks of the reader
    broken = dataclasses.replace(few, waveform=waveform)
    recipe = tiny(name, optimisation__steps=3, optimisation__batch=4)
    with pytest.raises(FailedError, match=r"^step 1: the loss is nan") as caught:
        run(recipe, broken)
    named = str(caught.value).partition("of this batch: ")[2].split(", ")
    assert 0 < len(named) <= 4
    assert {text.partition(" (")[0] for text in named} <= {r.name for r in few.records}


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="tensors are not finite"):
        save_run(with_nan(small_run()), tmp_path / "checkpoint.pt")
    with pytest.raises(FailedError, match=r"station term of XX\.A"):
        save_run(small_run(station_term={"XX.A": math.inf}), tmp_path / "checkpoint.pt")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "good.pt"
    save_run(small_run(), good)
    assert load_run(good).recipe.name == "event-type"
    with monkeypatch.context() as patched:
        patched.setattr("seisedge.train.run_file.not_finite", lambda _: "")  # as an earlier release wrote it
        save_run(with_nan(small_run()), tmp_path / "bad.pt")
    with pytest.raises(InputError, match=r"bad\.pt: 1 tensors are not finite"):
        load_run(tmp_path / "bad.pt")
    with pytest.raises(InputError, match="are not finite; give other weights"):
        weights_from(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "it contains a list, not a dictionary"),
        ({"format": 99}, "format 99, written by a version of seisedge"),
        ({"format": 3}, "not a checkpoint of seisedge: 'recipe' is missing"),
        ({"format": 3, "recipe": "{}"}, "not a checkpoint of seisedge"),
        ({"huge": torch.zeros(1).expand(10**12)}, "a tensor of 1000000000000 elements, more than the file has"),
    ],
)
def test_a_foreign_checkpoint_is_one_sentence(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError) as caught:
        load_run(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_run(small_run(), path)
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    cases = [b"", b"\0" * 100, data[:1000], data[: len(data) // 2], data[:-50]]
    for _ in range(20):
        damaged = bytearray(data)
        for place in rng.integers(0, 4000, 5):
            damaged[place] = rng.integers(256)
        cases.append(bytes(damaged))
    refused = 0
    for case in cases:
        path.write_bytes(case)
        try:
            load_run(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= 5  # damage may hit a part that is not read


def test_a_checkpoint_decides_no_path(tmp_path: Path) -> None:
    """Its recipe names the model file that `export` writes."""
    path = tmp_path / "checkpoint.pt"
    save_run(small_run(), path)
    values = torch.load(path, weights_only=True)
    torch.save(values | {"recipe": values["recipe"].replace('"event-type"', '"../../escaped"')}, path)
    with pytest.raises(InputError, match=r"name must contain no / or"):
        load_run(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b'{"recipe": 1}'])
def test_a_damaged_request_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).mkdir()
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json: not the parameters of a training: ") as caught:
        read_request(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"[" * 100_000, b"\xff", b"[]", b'{"a": 1}'])
def test_a_damaged_split_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    save_run(small_run(), tmp_path / "checkpoint.pt")
    if content is None:
        os.mkfifo(tmp_path / "split.json")
    else:
        (tmp_path / "split.json").write_bytes(content)
    with pytest.raises(InputError, match=r"split\.json: cannot be read"):
        subject_from(str(tmp_path), torch.device("cpu"))

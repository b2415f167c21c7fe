"""`seisedge train` from the command line: a small run, and one error message for each invalid input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set
from torch.torch_version import TorchVersion

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.recipes.recipe import load_recipe, recipe_names
from seisedge.train.run_file import load_run


def train(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["train", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("recipe", ["event-type", "magnitude"])
def test_a_small_run_writes_all_files(
    tmp_path: Path, datasets: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.13.0+cu130"))  # the package metadata have no build tag
    out = tmp_path / "run"
    code, text = train(
        recipe, "--data", str(datasets), "--limit", "250", "-o", str(out), "--seed", "3",
        "--set", "optimisation.steps=3", "--set", "optimisation.batch=8", "--set", "arguments.width=8",
    )  # fmt: skip
    assert code == 0, text
    run = load_run(out)
    assert run.seed == 3
    assert run.recipe.optimisation.steps == 3
    n = run.model().geometry.n_samples
    p = run.model()(torch.zeros(1, 3, n), torch.zeros(1, 3, n))
    assert torch.isfinite(p).all()
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert set(rows[0]) >= {"epoch", "loss", "score", "rate", "held_loss", "samples_s", "seconds"}
    request = json.loads((out / "run.json").read_text())
    assert request["seed"] == 3
    assert request["data_sha256"] == run.data_sha256
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert f"training: step 3/3 (epoch {float(rows[-1]['epoch']):.1f}), loss" in text
    assert "samples/s, 0:00 left" in text
    metrics = json.loads((out / "metrics.json").read_text())
    baselines = {m.get("baseline", "") for m in metrics}
    assert baselines >= ({"commonest class"} if recipe == "event-type" else {"median magnitude"})
    assert (out / "metrics.md").read_text().startswith(f"# {recipe}:")
    sides = json.loads((out / "split.json").read_text())
    by_event: dict[str, set[str]] = {}
    for side in sides.values():
        by_event.setdefault(side["event"], set()).add(side["split"])
    assert all(len(sides) == 1 for sides in by_event.values())
    assert json.loads((out / "versions.json").read_text())["torch"] == "2.13.0+cu130"


def test_list_shows_every_recipe() -> None:
    """The recipes for use come first; those of the papers follow below the headings of their tables, in their order."""
    code, text = train("--list")
    assert code == 0
    head, *lines = text.splitlines()
    assert head.split() == ["recipe", "model", "parameters", "window", "description"]
    assert [line.split()[0] for line in lines[:4]] == ["event-type", "event-type-few", "magnitude", "onset"]
    heading, shown = "", []
    for line in lines:
        if line.startswith("Paper "):
            heading = line
        elif line:
            name = line.split()[0]
            shown.append(name)
            recipe = load_recipe(name)
            assert recipe.group == heading
            assert line.index(recipe.about) == head.index("description")
    assert sorted(shown) == recipe_names()
    table = [name for name in shown if load_recipe(name).group.startswith("Paper B.3")]
    assert table[0] == "ganet-cbam-input"
    assert table[-1] == "ganet-cbam-all"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RECIPE is missing"),
        (["event-typ"], "did you mean 'event-type'"),
        (["nothing.toml"], "nothing.toml: no such file"),
        (["event-type", "--data", "nowhere"], "metadata.csv is missing"),
        (["event-type", "--device", "cuda:9999"], "--device cuda:9999"),
        (["event-type", "--device", "tpu"], "must be auto, cpu or cuda"),
        (["event-type", "--device", "meta"], "must be auto, cpu or cuda"),
        (["event-type", "--seed", "12345678901234567890123"], "'--seed'"),
        (["event-type", "--set", "steps"], "must be KEY=VALUE"),
        (["event-type", "--set", "optimisation.step=4"], "step"),
        (["event-type", "--set", "optimisation.steps='many'"], "steps"),
        (["event-type", "--set", "model='resnet9'"], "no model named 'resnet9'"),
        (["event-type", "--split", "evnt"], "split 'evnt': must be event, time"),
        (["event-type", "--set", "data.split='region:1,2'"], "must be SOUTH,WEST,NORTH,EAST"),
        (["event-type", "--frobnicate"], "--frobnicate"),
        (["event-type", "--set", "optimisation.optimiser=sgd"], "sgd"),
        (["event-type", "--set", "augmentation=[{name='gapp'}]"], "did you mean 'gap'"),
        (
            ["magnitude", "--data", "{datasets}", "--set", "augmentation=[{name='clipping'}]"],
            "'clipping' changes the amplitude",
        ),
        (
            ["event-type", "--data", "{datasets}", "--set", "augmentation=[{name='picture-flip'}]"],
            "needs a model with a picture as input",
        ),
    ],
)
def test_bad_input(arguments: list[str], message: str, datasets: Path, tmp_path: Path) -> None:
    small = ["--limit", "100", "-o", str(tmp_path)] if "--data" in arguments else []
    code, text = train(*[a.format(datasets=datasets) if "{datasets}" in a else a for a in arguments], *small)
    assert code == 2, text
    assert message in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        ("magnitude", {}, "the data contain no magnitude (column source_magnitude)"),
        ("event-type", {}, "the data contain no training record for non-tectonic, only records of the kinds tectonic"),
        ("event-type", {"split": ["train", "test"] * 10, "source_id": "e"}, "event e in two parts (1 such"),
    ],
)
def test_data_that_do_not_fit_the_recipe(tmp_path: Path, recipe: str, more: dict[str, Any], message: str) -> None:
    rows = make_rows(20)
    for key, value in more.items():
        for i, row in enumerate(rows):
            row[key] = value[i] if isinstance(value, list) else value
    data = write_set(tmp_path / "mine", rows, make_arrays(20))
    code, text = train(recipe, "--data", str(data), "-o", str(tmp_path / "run"))
    assert code == 2, text
    assert message in text
    assert not (tmp_path / "run").exists()


def test_training_on_another_set_with_short_records(tmp_path: Path) -> None:
    rows, arrays = make_rows(40), make_arrays(40, length=3000)
    for i, row in enumerate(rows):
        kind = ("earthquake", "quarry blast", "noise")[i % 3]
        row |= {"source_type": kind, "trace_P_arrival_sample": "" if kind == "noise" else 1200}
    data = write_set(tmp_path / "mine", rows, arrays, block=True)
    code, text = train(
        "event-type", "--data", str(data), "--split", "event", "-o", str(tmp_path / "run"),
        "--set", "optimisation.steps=2", "--set", "optimisation.batch=4", "--set", "arguments.width=8",
    )  # fmt: skip
    assert code == 0, text
    assert "40 records are shorter than the window of 45 s; the missing part is masked" in text
    assert "each source is weighted by its number of events" in text
    assert load_run(tmp_path / "run").recipe.data.tectonic == {"mine": 1.0}


def test_outside_a_clone_data_is_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = train("event-type")
    assert code == 2
    assert "give --data DIR" in text


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("trace_name\nx\n", "no column trace_sampling_rate_hz"),
        ("trace_name,trace_sampling_rate_hz,source_type\n", "no records"),
    ],
)
def test_bad_metadata(tmp_path: Path, metadata: str, message: str) -> None:
    (tmp_path / "metadata.csv").write_text(metadata)
    (tmp_path / "waveforms.hdf5").write_bytes(b"")
    code, text = train("event-type", "--data", str(tmp_path))
    assert code == 2
    assert message in text


@pytest.mark.parametrize(
    "text",
    ["a = [" + "\n[" * 50_000, "\xff", "a = 1" + "0" * 2400, "[optimisation]\nsteps = 0x" + "f" * 2000, "a" * 300_000],
    ids=range(5),
)
def test_a_hostile_recipe_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"r\.toml: ") as caught:
        load_recipe(str(path))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        load_recipe(str(tmp_path / "none.toml"))

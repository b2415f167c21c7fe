"""No command replaces a result that exists already, unless --overwrite is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main

SMALL = ("--set", "optimisation.steps=2", "--set", "optimisation.batch=4", "--set", "arguments.width=8")


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, arrays = make_rows(40), make_arrays(40, length=6000)
    for i, row in enumerate(rows):
        row |= {"source_magnitude": 1 + i / 20, "trace_gain_counts_per_m_s": 1e9, "split": "train"}
    return write_set(tmp_path_factory.mktemp("data") / "mine", rows, arrays, block=True)


def test_a_finished_run_is_kept_until_overwrite(tmp_path: Path, data: Path) -> None:
    out = _run_of(tmp_path)
    first = (out / "checkpoint.pt").read_bytes()
    (out / "event-type.onnx").write_text("model of the old checkpoint")
    (out / "notes.txt").write_text("mine")
    begin = ("train", "magnitude", "--data", data, "-o", out, *SMALL)

    code, text = run(*begin, "--seed", "2")
    assert code == 2
    assert f"{out}: already contains a result (checkpoint.pt); give another folder with -o, or --overwrite" in text
    assert (out / "checkpoint.pt").read_bytes() == first

    code, text = run(*begin, "--set", "data.tectonic={}", "--overwrite")
    assert code == 2  # before the first step nothing is removed
    assert (out / "checkpoint.pt").read_bytes() == first

    code, text = run(*begin, "--seed", "2", "--overwrite")
    assert code == 0, text
    assert json.loads((out / "run.json").read_text())["seed"] == 2
    assert (out / "checkpoint.pt").read_bytes() != first
    assert not (out / "event-type.onnx").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_of_other_files_is_not_used(tmp_path: Path, data: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    code, text = run("train", "magnitude", "--data", data, "-o", tmp_path, *SMALL)
    assert code == 2
    assert f"{tmp_path}: is not empty; give another folder with -o, or --overwrite" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        (("evaluate", "event-type", "--data", "{data}", "-o", "{out}"), "report.json"),
        (("dataset", "build", "{data}/metadata.csv", "{data}", "-o", "{out}"), "metadata.csv"),
        (("release", "event-type", "-o", "{out}"), "MODEL.md"),
        (("train", "event-type", "--data", "{data}", "-o", "{out}"), "checkpoint.pt"),
    ],
)
def test_folders_with_results_are_refused_before_any_work(
    tmp_path: Path, data: Path, arguments: tuple[str, ...], made: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / made).write_text("precious")
    code, text = run(*(a.format(data=data, out=out) for a in arguments))
    assert code == 2, text
    assert str(out) in text
    assert "give another folder with -o" in text
    assert (out / made).read_text() == "precious"


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "{run}", "-o", "{out}"),
        ("quantize", "{model}", "--precision", "fp16", "-o", "{out}"),
        ("calibrate", "{station}", "--catalogue", "{station}", "{station}", "-o", "{out}"),
    ],
)
def test_files_are_refused_before_any_work(tmp_path: Path, datasets: Path, arguments: tuple[str, ...]) -> None:
    out = tmp_path / "kept"
    out.write_text("precious")
    models = datasets.parent / "runtime/seisedge/runtime"
    names = {
        "run": _run_of(tmp_path),
        "model": models / "models/event-type.onnx",
        "station": models / "demo/data/stations/PB.B918.toml",
        "out": out,
    }
    code, text = run(*(a.format(**names) for a in arguments))
    assert code == 2, text
    assert f"{out}: already exists; give another file with -o, or --overwrite" in text
    assert out.read_text() == "precious"


def _run_of(tmp_path: Path) -> Path:
    """A run folder with an untrained model."""
    from seisedge.train.models import create_model
    from seisedge.train.recipes.recipe import load_recipe
    from seisedge.train.run_file import Run, save_run

    recipe = load_recipe("event-type", {"arguments.width": 8})
    state = create_model(recipe.model, **recipe.arguments).state_dict()
    (tmp_path / "run").mkdir()
    save_run(
        Run(recipe, 1, state, {}, "", [], 0, 0, "", [], "2026-01-01T00:00:00Z", "0"), tmp_path / "run/checkpoint.pt"
    )
    return tmp_path / "run"

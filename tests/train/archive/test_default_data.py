"""The data of `evaluate` and `export` without --data, and the commands that are printed as the next step."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import fingerprint
from seisedge.train.archive.default_data import folders_or_training_data
from seisedge.train.fit.request import Request, write_request
from seisedge.train.recipes.recipe import load_recipe

SHAPE = "{stem = 8, widths = [8, 8], expanded = [16, 16], strides = [2, 1], last = 32}"


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    return result.exit_code, result.output


def next_of(text: str) -> list[str]:
    """The arguments of the command that an output names as the next step."""
    line = re.findall(r"next: (.+)", text)
    assert len(line) == 1, text
    words = shlex.split(line[0])
    assert words[0] == "seisedge"
    return words[1:]


def small_set(folder: Path, seed: int = 0) -> Path:
    rows = make_rows(30, split="train")
    for i, row in enumerate(rows):
        row |= {"source_type": ("earthquake", "quarry blast", "noise")[i % 3]}
    return write_set(folder, rows, make_arrays(30, seed=seed), block=True)


@pytest.mark.long
def test_the_next_command_exports_a_run_outside_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_set(tmp_path / "mine")
    out = "runs/my swarm"
    code, text = run(
        "train", "event-type", "--data", "mine", "-o", out,
        "--set", "optimisation.steps=2", "--set", "optimisation.batch=4", "--set", f"arguments.shape={SHAPE}",
    )  # fmt: skip
    assert code == 0, text
    code, exported = run(*next_of(text))
    assert code == 0, exported


@pytest.fixture
def a_run(tmp_path: Path) -> tuple[Path, Path, str]:
    """A run folder with its run.json, its data and their fingerprint."""
    data = small_set(tmp_path / "mine")
    sha256 = fingerprint([data])
    write_request(Request(load_recipe("magnitude"), [str(data)], 1, data_sha256=sha256), tmp_path / "run")
    return tmp_path / "run", data, sha256


def test_missing_and_changed_data_are_errors(a_run: tuple[Path, Path, str], datasets: Path) -> None:
    out, data, sha256 = a_run
    assert folders_or_training_data([], out, sha256) == [data]
    assert folders_or_training_data([], out / "model.onnx", sha256) == [data]
    assert folders_or_training_data([datasets], out, sha256) == [datasets]
    small_set(data, seed=1)
    with pytest.raises(InputError, match=rf"{data}, have changed since the training; give --data {data} to use"):
        folders_or_training_data([], out, sha256)
    shutil.rmtree(data)
    with pytest.raises(InputError, match=rf"{data}, no longer exist; give --data DIR"):
        folders_or_training_data([], out, sha256)


def test_the_clone_is_used_only_for_what_was_trained_on_it(
    a_run: tuple[Path, Path, str], datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _, sha256 = a_run
    monkeypatch.chdir(datasets.parent)
    assert folders_or_training_data([], Path("event-type"), fingerprint([datasets])) == [datasets]
    of_detector = [datasets, datasets / "onsets", datasets / "noise"]
    assert folders_or_training_data([], Path("onset"), fingerprint(of_detector)) == of_detector
    # These bundled models have training data that are not in the repository
    for name in ("event-type", "magnitude"):
        assert folders_or_training_data([], Path(name), sha256, leaves_out_events=True) == [datasets]
    with pytest.raises(InputError, match=r"event-type: the place of its training data is not known"):
        folders_or_training_data([], Path("event-type"), sha256)
    with pytest.raises(InputError, match=r"onset: the place of its training data is not known"):
        folders_or_training_data([], Path("onset"), sha256, leaves_out_events=True)
    with pytest.raises(InputError, match=r"other.onnx: the place of its training data is not known"):
        folders_or_training_data([], Path("other.onnx"), sha256)
    with pytest.raises(InputError, match=r"is not known \(run.json is missing\); give --data DIR"):
        folders_or_training_data([], out.parent, sha256)

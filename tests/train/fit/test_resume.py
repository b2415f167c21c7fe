"""An interrupted and resumed training gives exactly the weights of an uninterrupted one."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.checkpoint import CheckpointFile, save_atomically, tensors_from
from seisedge.train.dataset.event_hashes import joined_texts, text_from_keys
from seisedge.train.fit.loop import Row, Trained, train_model
from seisedge.train.fit.stage import Stage
from seisedge.train.recipes.recipe import Recipe, load_recipe
from seisedge.train.run_file import load_run, save_run

CPU = torch.device("cpu")


class Interrupted(Exception):
    """A power failure between two steps."""


def left_out(record: Record) -> bool:
    return record.split == "train" and record.fold == 0


def run(recipe: Recipe, archive: Archive, checkpoint: CheckpointFile | None = None, stop_at: int = 0) -> Trained:
    def report(row: Row, _: Stage) -> None:
        if row["step"] == stop_at:
            raise Interrupted

    return train_model(
        recipe,
        archive,
        lambda r: r.split == "train" and r.fold != 0,
        1,
        CPU,
        report,
        held_out=left_out,
        checkpoint=checkpoint,
    )


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("event-type", {"optimisation.optimiser": "ranger", "optimisation.schedule": "plateau"}),
        ("magnitude", {"optimisation.patience": 3}),
    ],
)
def test_resumed_weights_are_identical(few: Archive, tmp_path: Path, name: str, more: dict[str, object]) -> None:
    recipe = load_recipe(name, {"arguments.width": 8, "optimisation.batch": 32, "optimisation.steps": 8, **more})
    whole = run(recipe, few)
    checkpoint = CheckpointFile(tmp_path / "state.pt", every_s=0)
    with pytest.raises(Interrupted):
        run(recipe, few, checkpoint, stop_at=6)  # the state was written one step earlier
    (tmp_path / "state.pt.part").write_bytes(b"cut off while it was written")
    rest = run(recipe, few, checkpoint)
    a, b = whole.model.state_dict(), rest.model.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert whole.station_term == rest.station_term
    assert whole.decisions == rest.decisions
    strip = [{k: str(v) for k, v in row.items() if k not in ("seconds", "samples_s")} for row in whole.log]
    assert strip == [{k: str(v) for k, v in row.items() if k not in ("seconds", "samples_s")} for row in rest.log]


def test_a_state_of_another_training_is_an_error(few: Archive, tmp_path: Path) -> None:
    base = {"optimisation.batch": 8, "optimisation.steps": 1}
    checkpoint = CheckpointFile(tmp_path / "state.pt", every_s=0)
    run(load_recipe("event-type", base | {"arguments.width": 8}), few, checkpoint)
    with pytest.raises(InputError, match="not a state of this training"):
        run(load_recipe("event-type", base | {"arguments.width": 12}), few, checkpoint)
    (tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(InputError, match="not a state of this training"):
        run(load_recipe("event-type", base | {"arguments.width": 8}), few, checkpoint)


def arguments(data: Path, out: Path, steps: int = 8) -> list[str]:
    return [
        "train", "event-type", "--data", str(data), "--split", "event", "-o", str(out), "--checkpoint-every", "0",
        "--set", f"optimisation.steps={steps}", "--set", "optimisation.batch=4", "--set", "arguments.width=8",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 synthetic records of 30 s."""
    rows, arrays = make_rows(40), make_arrays(40, length=3000)
    for i, row in enumerate(rows):
        kind = ("earthquake", "quarry blast", "noise")[i % 3]
        row |= {"source_type": kind, "trace_P_arrival_sample": "" if kind == "noise" else 1200}
    return write_set(tmp_path_factory.mktemp("data") / "mine", rows, arrays, block=True)


def test_killed_in_the_middle_and_resumed(small_set: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "seisedge.cli", *arguments(small_set, killed, steps=300)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    state = killed / "state" / "calibration.pt"
    until = time.monotonic() + 120
    while not state.is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state.is_file()
    assert not (killed / "checkpoint.pt").exists()
    step = torch.load(state, weights_only=True)["step"]
    assert 0 < step < 300

    again = CliRunner().invoke(main, arguments(small_set, killed))
    assert again.exit_code == 2
    assert "contains an interrupted training" in again.output
    request = json.loads((killed / "run.json").read_text())
    request["recipe"]["optimisation"]["steps"] = step + 4  # the remaining steps of 300 would take too long
    (killed / "run.json").write_text(json.dumps(request))
    resumed = CliRunner().invoke(main, ["train", "--resume", str(killed)])
    assert resumed.exit_code == 0, resumed.output
    assert f"step {step + 4}/{step + 4}" in resumed.output
    assert load_run(killed).recipe.optimisation.steps == step + 4
    assert not (killed / "state").exists()
    finished = CliRunner().invoke(main, ["train", "--resume", str(killed)])
    assert finished.exit_code == 2
    assert "this run is finished" in finished.output


def test_a_run_starts_from_the_weights_of_another(small_set: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert CliRunner().invoke(main, arguments(small_set, first, steps=2)).exit_code == 0
    run = load_run(first)
    assert run.provenance is not None
    elsewhere = msgspec.structs.replace(run.provenance, data=["elsewhere (CC0)"], event_hashes=text_from_keys(["far"]))
    save_run(dataclasses.replace(run, provenance=elsewhere), first / "checkpoint.pt")
    more = ["--from", str(first), "--set", "optimisation.transfer=last-layer", "--set", "optimisation.average=0.0"]
    result = CliRunner().invoke(main, [*arguments(small_set, second, steps=2), *more])
    assert result.exit_code == 0, result.output
    stated = load_run(second).provenance
    assert stated is not None
    assert stated.data == [*run.provenance.data, "by the initial weights: elsewhere (CC0)"]
    assert stated.event_hashes == joined_texts(run.provenance.event_hashes, elsewhere.event_hashes)
    a, b = load_run(first).state, load_run(second).state
    changed = {key for key in a if not torch.equal(a[key], b[key])}
    assert {"trunk.classify.weight", "trunk.classify.bias"} <= changed <= {
        "trunk.classify.weight", "trunk.classify.bias", "temperature"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--from", "nowhere"], "--from nowhere: no such run or weights file"),
        (["--from", "{text}"], "text.pt: not a file of tensors: it is damaged, was not written by torch.save, or"),
        (["--from", "{other}"], "no tensor matches this recipe's model"),
        (["--from", "{other}", "--set", "optimisation.transfer=scratch"], "transfer 'scratch' uses no initial weights"),
        (["--set", "optimisation.transfer=last-layer"], "give --from event-type, --from RUN or --weights FILE"),
        (["--set", "optimisation.loss=ordinal"], "needs ordered labels"),
        (["--set", "optimisation.steps=0"], "needs steps or epochs, for example"),
        (["--resume", "nowhere"], "--resume takes all parameters from RUN"),
    ],
)
def test_bad_input(small_set: Path, tmp_path: Path, more: list[str], message: str) -> None:
    (tmp_path / "text.pt").write_text("weights")
    torch.save({"layer.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    more = [m.format(text=tmp_path / "text.pt", other=tmp_path / "other.pt") for m in more]
    result = CliRunner().invoke(main, [*arguments(small_set, tmp_path / "run", steps=1), *more])
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_out_of_memory_is_an_error_message(small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB")

    monkeypatch.setattr(Stage, "loss", full)
    result = CliRunner().invoke(main, arguments(small_set, tmp_path / "run"))
    assert result.exit_code == 1
    assert "out of memory; reduce the batch (--set optimisation.batch=16)" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()  # no state was saved, so nothing can be resumed


def test_a_full_disk_before_the_first_state_leaves_nothing(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_values: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    out = tmp_path / "run"
    out.mkdir()
    monkeypatch.setattr("seisedge.train.checkpoint.save_atomically", full)
    result = CliRunner().invoke(main, arguments(small_set, out))
    assert result.exit_code == 1 and "No space left on device" in result.output, result.output
    assert list(out.iterdir()) == []


def test_a_state_that_cannot_be_written_is_an_error_of_its_file(tmp_path: Path) -> None:
    """The largest file of this process is small, so that writing fails in the middle, as on a full disk."""
    path, limits = tmp_path / "state.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            save_atomically({"weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
    save_atomically({"weights": torch.ones(3)}, path)
    assert tensors_from(path, "a state")["weights"].tolist() == [1, 1, 1]

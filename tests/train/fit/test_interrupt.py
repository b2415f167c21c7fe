"""A signal during a training: the step ends, the state is saved, and the message states how to resume."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.train.fit import loop
from seisedge.train.fit.interrupt import stop_request
from seisedge.train.fit.stage import Stage
from seisedge.train.run_file import load_run

SHAPE = "{stem = 8, widths = [8, 8], expanded = [16, 16], strides = [2, 1], last = 32}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_is_saved_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    rows = make_rows(20, split="train")
    for i, row in enumerate(rows):
        row["source_type"] = ("earthquake", "quarry blast")[i % 2]
    data = write_set(tmp_path / "mine", rows, make_arrays(20), block=True)
    out = tmp_path / "my run"
    steps = []
    real = loop.train_step

    def step(stage: Stage) -> None:
        real(stage)
        steps.append(stage.step)
        if len(steps) == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(loop, "train_step", step)
    arguments = ["train", "event-type", "--data", str(data), "-o", str(out), "--without", "noise"]
    arguments += ["--set", "optimisation.steps=5", "--set", "optimisation.batch=4", "--set", f"arguments.shape={SHAPE}"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    told = re.search(r"Error: interrupted at step 3 of 5; the state is saved; next: (.*)", result.output)
    assert told is not None, result.output
    assert shlex.split(told[1]) == ["seisedge", "train", "--resume", str(out)]
    result = CliRunner().invoke(main, shlex.split(told[1])[1:])
    assert result.exit_code == 0, result.output
    assert steps == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]  # both trainings, no step twice
    assert load_run(out).model().labels == ["tectonic", "non-tectonic"]


def test_the_second_signal_has_its_usual_effect() -> None:
    with stop_request() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_data_without_noise_name_the_three_ways_out(tmp_path: Path) -> None:
    rows = make_rows(20, split="train")
    for i, row in enumerate(rows):
        row["source_type"] = ("earthquake", "quarry blast")[i % 2]
    data = write_set(tmp_path / "mine", rows, make_arrays(20), block=True)
    result = CliRunner().invoke(main, ["train", "event-type", "--data", str(data), "-o", str(tmp_path / "run")])
    assert result.exit_code == 2
    for way in ("seisedge dataset build --noise 1", "--noise-before-p", "--without noise"):
        assert way in result.output

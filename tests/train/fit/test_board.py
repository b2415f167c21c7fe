"""The log as TensorBoard files and as a plot; a message if the package for it is missing."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import pytest

from seisedge.train.fit.board import draw_curves, write_board
from seisedge.train.fit.progress import clock, line_of


def rows() -> list[dict[str, float]]:
    keys = ("loss", "score", "rate", "samples_s", "seconds")
    return [
        {"step": s, "epoch": s / 10, "held_loss": 1 / s if s % 2 else math.nan, "held_score": 0.5}
        | dict.fromkeys(keys, 1.0 / s)
        for s in range(1, 9)
    ]


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make the import fail as if the package were not installed."""
    true_import = builtins.__import__

    def fail(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith(package):
            raise ImportError(name)
        return true_import(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", fail)


def test_event_files_contain_every_value(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    said: list[str] = []
    write_board(tmp_path, {"training": rows()}, said.append)
    assert said == []
    events = EventAccumulator(str(tmp_path / "training")).Reload()
    assert [(e.step, round(e.value, 6)) for e in events.Scalars("loss")] == [(s, round(1 / s, 6)) for s in range(1, 9)]
    assert [e.step for e in events.Scalars("held_loss")] == [1, 3, 5, 7]


@pytest.mark.parametrize("package", ["torch.utils.tensorboard", "matplotlib"])
def test_a_missing_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    without(monkeypatch, package)
    said: list[str] = []
    if package == "matplotlib":
        draw_curves(tmp_path / "loss.png", {"training": rows()}, "title", "accuracy", said.append)
    else:
        write_board(tmp_path, {"training": rows()}, said.append)
    assert len(said) == 1
    assert "pip install" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_the_plot_is_written(tmp_path: Path) -> None:
    draw_curves(tmp_path / "loss.png", {"calibration": rows(), "training": rows()}, "title", "accuracy", pytest.fail)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_progress_line() -> None:
    row = rows()[3] | {"samples_s": 812.4, "seconds": 900.0}
    line = line_of(row, "training", 12, "accuracy", 1625)
    assert line == "training: step 4/12 (epoch 0.4), loss 0.2500, accuracy 0.250, 812 samples/s, 0:16 left"
    assert "held out: loss 0.3333, accuracy 0.500" in line_of(rows()[2], "training", 12, "accuracy", 1625)
    assert [clock(s) for s in (7, 750, 3723)] == ["0:07", "12:30", "1:02:03"]

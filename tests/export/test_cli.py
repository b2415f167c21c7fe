"""`seisedge export` from the command line: a tiny run to a file, and bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.train.cli import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    out = tmp_path_factory.mktemp("run")
    arguments = ["event-type", "--data", str(datasets), "--limit", "150", "-o", str(out)]
    arguments += ["--set", "optimisation.steps=2", "--set", "optimisation.batch=8", "--set", "arguments.width=8"]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out


def export(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["export", *arguments])
    return result.exit_code, result.output


def test_run_to_file_twice_the_same_bytes(run: Path, tmp_path: Path, datasets: Path) -> None:
    files = []
    for name in ("a.onnx", "b.onnx"):
        code, text = export(str(run), "-o", str(tmp_path / name), "--data", str(datasets), "--windows", "8")
        assert code == 0, text
        assert "agree within" in text
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none", None, "no checkpoint.pt there"),
        ("text", b"hello", "not a checkpoint"),
        ("empty", b"", "not a checkpoint"),
    ],
)
def test_bad_run(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if content is not None:
        (folder / "checkpoint.pt").write_bytes(content)
    code, text = export(str(folder))
    assert code == 2
    assert message in text
    assert "Traceback" not in text


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "checkpoint.pt")
    code, text = export(str(tmp_path))
    assert code == 2
    assert "not a checkpoint of seisedge" in text

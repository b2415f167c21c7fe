"""`seisedge export` from the command line: a tiny run to a file, the same bytes everywhere, and bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.train.commands.train import command as train

ROOT = Path(__file__).parents[3]

SHAPE = "{stem = 8, widths = [8, 8], expanded = [16, 16], strides = [2, 1], last = 32}"
MARK = "wiechert"  # of all that the other machine has: its user, host, folders

# `seisedge export` as another user, on a host of another name, from another checkout
ELSEWHERE = f"""
import platform, socket, sys
from pathlib import Path
socket.gethostname = socket.getfqdn = platform.node = lambda *_: "{MARK}-host"
import seisedge.export.onnx, seisedge.runtime.card, seisedge.train.fit.run
here = Path.cwd().parent
for module in (seisedge.export.onnx, seisedge.runtime.card, seisedge.train.fit.run):
    assert Path(module.__file__).is_relative_to(here), module.__file__
from seisedge.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    out = tmp_path_factory.mktemp("run")
    arguments = ["event-type", "--data", str(datasets), "--limit", "150", "-o", str(out)]
    arguments += ["--set", "optimisation.steps=2", "--set", "optimisation.batch=8", "--set", f"arguments.shape={SHAPE}"]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out


def export(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["export", *arguments])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def exported(run: Path, datasets: Path) -> Path:
    path = run / "here.onnx"
    code, text = export(str(run), "-o", str(path), "--data", str(datasets), "--windows", "8")
    assert code == 0, text
    assert "agree within" in text
    return path


@pytest.fixture(scope="module")
def exported_elsewhere(run: Path, datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, by a copy of the packages in another folder, in another process, as somebody else."""
    checkout = tmp_path_factory.mktemp(f"{MARK}-checkout")
    for root in ("runtime", "train", "export"):
        shutil.copytree(ROOT / root, checkout / root, ignore=shutil.ignore_patterns("__pycache__"))
    home = checkout / "home"
    home.mkdir()
    copied = shutil.copytree(run, checkout / "copied-run")
    someone = dict.fromkeys(("USER", "LOGNAME", "USERNAME"), f"{MARK}-user") | {"HOSTNAME": f"{MARK}-host"}
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(home))
    path = os.pathsep.join(str(checkout / root) for root in ("runtime", "train", "export"))
    arguments = ["export", str(copied), "-o", str(copied / "there.onnx"), "--data", str(datasets), "--windows", "16"]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=home,
        env=os.environ | someone | folders | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return copied / "there.onnx"


def test_the_same_run_gives_the_same_bytes_from_any_checkout_and_process(
    exported: Path, exported_elsewhere: Path
) -> None:
    assert exported.read_bytes() == exported_elsewhere.read_bytes()


def texts_of(message: Any) -> Iterator[str]:
    """Every string of a protobuf message, and every bytes field but the tensors' own data."""
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if hasattr(one, "ListFields"):
                yield from texts_of(one)
            elif isinstance(one, str):
                yield one
            elif isinstance(one, bytes) and field.name != "raw_data":
                yield one.decode()


def test_nothing_of_the_machine_is_in_the_file_or_its_card(exported_elsewhere: Path) -> None:
    """Names in the graph are words and dots: no path fits into them, no line of code, no address of a stack."""
    data = exported_elsewhere.read_bytes()
    private = [MARK, str(exported_elsewhere.parent), tempfile.gettempdir(), str(ROOT), str(Path.cwd())]
    private += [sys.prefix, "site-packages", "dist-packages", "seisedge/", "Traceback", 'File "', ".py"]
    for trace in private:
        assert trace.encode() not in data, trace
    graph = onnx.load_from_string(data)
    assert [p.key for p in graph.metadata_props] == ["seisedge.card"]
    facts = json.loads(graph.metadata_props[0].value)
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", facts["training"].pop("event_hashes"))  # base64 has slashes, too
    card = json.dumps(facts)
    del graph.metadata_props[:]
    texts = list(texts_of(graph))
    assert len(texts) > 500
    assert [text for text in texts if not re.fullmatch(r"[\w.]*|\d+\*batch", text)] == []
    assert str(Path.home()) in ("/", "") or str(Path.home()) not in card
    assert re.search(r"[\w.-]+/[\w.-]+/", card) is None  # no path of two folders in it


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none", None, "checkpoint.pt is missing"),
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

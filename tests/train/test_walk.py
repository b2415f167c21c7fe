"""The walk of a stranger: the commands of README.md and docs/training.md, literally, with their output."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests import transcripts
from tests.paths import ROOT

pytestmark = pytest.mark.long
# The one change of a command: minutes of training.
SHORT = " --set optimisation.steps=6 --set optimisation.batch=8 --set arguments.width=8"


def shell(folder: Path, command: str) -> tuple[int, str]:
    """Exit status and output of a line of the shell in which `seisedge` is this checkout."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin/seisedge"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m seisedge.cli "$@"\n')
    program.chmod(0o755)
    roots = [str(ROOT / name) for name in ("runtime", "train", "export")]
    environment = os.environ | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(roots),
        "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr + done.stdout


def test_the_transcripts_of_the_training_page(tmp_path: Path) -> None:
    for name in ("runtime", "datasets", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    variables = ""
    wrong = []
    for step in transcripts.steps_of(ROOT / "docs/training.md"):
        if transcripts.assignments_of(step.command):
            variables += f"{step.command}; "
            continue
        code, text = shell(tmp_path, variables + step.command)
        assert code == 0, text
        found = transcripts.difference(step.shown, text.splitlines())
        if found:
            wrong.append(f"{step.command}\n  {found}")
    assert not wrong, "\n".join(wrong)


def commands_of_readme() -> list[str]:
    """The commands of README.md under 'Train on your own data', without the installation and the comments."""
    part = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Train on your own data")[2]
    block = re.search(r"```\n(.*?)```", part, re.DOTALL)
    assert block is not None
    lines = [line.partition("  #")[0].strip() for line in block[1].splitlines()]
    return [line for line in lines if line.startswith("seisedge")]


def test_the_walk_with_an_own_archive(tmp_path: Path) -> None:
    from tests.stranger import make

    make(ROOT / "datasets", tmp_path)
    steps = commands_of_readme()
    build = steps[0]
    code, text = shell(tmp_path, build)
    assert code == 2
    assert "2 events have no type, the first is" in text and "--untyped skip" in text
    code, text = shell(tmp_path, f"{build} --untyped skip --magnitude-type ML,mb")
    assert code == 0, text
    for line in (
        "2 entries of the catalogue left out: no type (--untyped skip)",
        "1 implausible values of source_depth_km are treated as missing: -999 (1)",
        "1 implausible values of source_magnitude are treated as missing: -999 (1)",
        "sensor 00.EH? is used, not 10.EH?",
        "type 'sonic boom': not used for training",
        "left out: XX.CCC has neither a pick nor a known position",
    ):
        assert line in text, f"{line} is missing in\n{text}"
    printed = re.search(r"next: (seisedge .*)", text)
    assert printed is not None
    assert printed[1] == steps[1]
    code, text = shell(tmp_path, "seisedge config new --stationxml stations.xml XX.DDD > station.toml")
    assert code == 0, text
    for step in steps[1:]:
        short = SHORT if step.startswith("seisedge train event") else ""
        code, text = shell(tmp_path, step + short)
        assert code == 0 or (code == 1 and "a correction needs at least 4 consistent events" in text), f"{step}\n{text}"
    assert (tmp_path / "event-type.onnx").is_file()
    code, text = shell(tmp_path, "seisedge run sds:ARCHIVE --stationxml stations.xml --events events.jsonl")
    assert code == 0, text
    assert "XX.CCC: not in" in text and "its packets are ignored" in text
    code, text = shell(tmp_path, steps[0] + " --untyped skip")
    assert code == 2
    assert "already contains" in text or "is not empty" in text
    code, text = shell(tmp_path, steps[3])
    assert code == 2
    assert "--overwrite to replace it" in text

"""Damaged inputs of the workstation end in exit 0, 1 or 2 with a sentence, within 2 GB and 60 s each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.train.hostile_fuzz import KINDS, VALUES, outcome

ROOT = Path(__file__).parents[2]


def run(kinds: str, first: int, last: int) -> None:
    paths = [str(ROOT / name) for name in ("runtime", "export", "train")]
    found = subprocess.run(
        [sys.executable, "-m", "tests.train.hostile_fuzz", kinds, str(first), str(last)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert found.returncode == 0, (lines[-1:], found.stderr[-2000:])
    ended = [line for line in lines if "exit" in line]
    assert [line for line in ended if line["fault"]] == []
    for kind in kinds.split(","):
        assert {line["case"] for line in ended if line["kind"] == kind} == set(range(first, last))


def test_a_sample() -> None:
    run(",".join(KINDS), 0, 2)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many(kind: str) -> None:
    run(kind, 2, 150)


def test_a_traceback_and_a_missing_sentence_are_faults(tmp_path: Path) -> None:
    assert "\x00" in VALUES
    assert outcome(["dataset", "info", str(tmp_path)])["fault"] == ""
    assert outcome(["no-such-command"])["exit"] == 2

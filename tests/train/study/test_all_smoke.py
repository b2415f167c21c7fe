"""`seisedge study --all --smoke` on the bundled data, in a process of its own: nine minutes on two idle cores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seisedge.train.study.table import load_study, study_names


@pytest.mark.long
def test_every_study_runs_with_smoke(tmp_path: Path, datasets: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "seisedge.cli",
        "study",
        "--all",
        "--smoke",
        "--data",
        str(datasets),
        "-o",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in study_names():
        study = load_study(name)
        table = json.loads((out / name / "table.json").read_text())
        page = (out / name / "table.md").read_text()
        rows = {row["name"]: row for row in table["rows"]}
        for row in study.row:
            if row.helper or row.each_source or not row.recipe:
                continue
            found = rows[row.name]
            assert not found.get("missing"), f"{name}, {row.name}: {found['missing']}"
            measured = [key for key in study.columns if "value" in found["cells"][key]]
            assert measured, f"{name}, {row.name}: no figure"
            assert found["smoke"]
        trained = any(row.recipe for row in study.row)
        assert ("**Smoke run" in page) == trained
        plots = [p for p in study.plots if (out / name / f"{p}.png").is_file()]
        assert set(plots) >= {"bars"} & set(study.plots), name

"""`seisedge evaluate` on data that show hardly anything: a report, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main

FACTS = {"source_magnitude": 2.0, "trace_gain_counts_per_m_s": 4e8}
CASES: dict[str, dict[str, Any]] = {
    "one event": {"source_id": "e"},
    "nothing visible": {"trace_visible": "false"},
    "noise only": {"source_type": "noise", "trace_P_arrival_sample": "", "source_id": "", "source_magnitude": ""},
}


@pytest.mark.parametrize("case", CASES)
def test_of_event_types(case: str, tmp_path: Path) -> None:
    rows = make_rows(4, **FACTS)
    for row in rows:
        row |= CASES[case]
    data = write_set(tmp_path / "mine", rows, make_arrays(4))
    out = tmp_path / "report"
    words = ["evaluate", "event-type", "--data", str(data), "--draws", "20", "--no-curves", "-o", str(out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    figures = {f["what"] for f in report["figures"]}
    assert "accuracy" in figures
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "roc.png").exists() == (case == "one event")


def test_a_magnitude_model_needs_an_event(tmp_path: Path) -> None:
    rows = make_rows(4, **FACTS)
    for row in rows:
        row |= CASES["noise only"]
    data = write_set(tmp_path / "mine", rows, make_arrays(4))
    result = CliRunner().invoke(main, ["evaluate", "magnitude", "--data", str(data), "-o", str(tmp_path / "report")])
    assert result.exit_code == 2
    assert "no record is suitable to evaluate magnitude" in result.output

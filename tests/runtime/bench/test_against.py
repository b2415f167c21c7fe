"""`bench compare --against`: rounds of two builds in turn."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from tests.runtime.bench.made import made_report

from seisedge.cli import main
from seisedge.runtime.bench import against
from seisedge.runtime.bench.against import Subject, compare_against
from seisedge.runtime.bench.compare import check_comparable, overall
from seisedge.runtime.bench.model import Plan
from seisedge.runtime.errors import InputError

PLAN = Plan(engines=("onnxruntime",), paces_ms=(0.0, 10.0), rounds=10)


def made_environment(folder: Path, script: str) -> Path:
    """A virtual environment of which only the interpreter exists."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return folder


def subjects() -> list[Subject]:
    window = np.zeros((1, 3, 8), np.float32)
    return [Subject("made", Path("made.onnx"), [(window, window)])]


@pytest.mark.parametrize(("slower", "verdict"), [(1.0, "same"), (1.25, "worse"), (0.75, "better")])
def test_a_change_is_found_in_a_drifting_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slower: float, verdict: str
) -> None:
    """The machine becomes twice as slow during the measurement; both builds meet that."""
    calls: list[bool] = []

    def made_round(request: dict[str, Any], python: Path | None = None) -> dict[str, Any]:
        is_old = python is not None
        calls.append(is_old)
        speed = (1 + len(calls) // 2 / 10) * (1.0 if is_old else slower)
        random = np.random.default_rng(len(calls))
        samples = [np.rint(2e5 * speed * np.exp(random.normal(0, 0.05, 1000))).astype(int).tolist() for _ in range(2)]
        cold = dict.fromkeys(("numpy", "import", "load", "first"), 10**7)
        return {"rows": [{"samples_ns": x} for x in samples], "cold_ns": cold, "resident_kib": 10**5, "versions": {}}

    monkeypatch.setattr(against, "run_round", made_round)
    limits = {"p99": 0.1, "memory": 0.1, "cold": 0.1}
    old = made_environment(tmp_path / "old", "exit 0")
    rows, _ = compare_against(subjects(), old, PLAN, limits)
    assert len(rows) == 4 and [row.verdict for row in rows if row.figure == "p99"] == [verdict] * 2
    assert {row.verdict for row in rows if row.figure in ("memory", "cold")} == {"same"}
    assert calls[:4] == [True, False, False, True]
    rows, _ = compare_against(subjects(), old, PLAN, {"p99.9": 0.1})
    assert overall(rows) in ("same", "worse", "better", "inconclusive") and rows[0].change is not None


def test_too_few_inferences_for_a_percentile_are_inconclusive() -> None:
    assert against._value("p99", [1] * 99) is None and against._value("p99", [1] * 100) is not None
    row = against._compared("made", "p99", 0.1, [[None, 1.0], [1.0, 1.0]])
    assert row.verdict == "inconclusive" and "--row-s" in row.reason


def test_what_is_not_an_environment_is_one_sentence(tmp_path: Path) -> None:
    for arguments, sentence in (
        (["--against", str(tmp_path)], "has no bin/python"),
        (["a.json"], "give two reports"),
        (["a.json", "b.json", "--against", str(tmp_path)], "leave out the reports"),
    ):
        done = CliRunner().invoke(main, ["bench", "compare", *arguments])
        assert done.exit_code == 2 and sentence in done.output and len(done.output.strip().splitlines()) == 1
    broken = made_environment(tmp_path / "old", 'echo "ModuleNotFoundError: No module named seisedge" >&2; exit 1')
    done = CliRunner().invoke(main, ["bench", "compare", "--against", str(broken), "--rounds", "2", "--row-s", "0.05"])
    assert done.exit_code == 2 and "seisedge is not installed there" in done.output and str(broken) in done.output


def test_reports_of_different_windows_are_refused() -> None:
    other = msgspec.structs.replace(made_report(), windows="8 real windows of mine.mseed")
    with pytest.raises(InputError, match=r"different windows: .* measure both with the same data"):
        check_comparable(made_report(), other, other_machine=False)

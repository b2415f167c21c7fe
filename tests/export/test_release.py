"""What a release chooses and prints, on rows made by hand; all steps together are a long test."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.export.conftest import bundled

from seisedge.cli import main
from seisedge.export.graph import open_model
from seisedge.export.latency import Latency
from seisedge.export.page import page_of
from seisedge.export.release import Release, Variant, choose
from seisedge.runtime.card import Comparison, ModelCard
from seisedge.runtime.errors import FailedError
from seisedge.train.evaluation.curves import DAMAGED, EARLY

ROOT = Path(__file__).parents[2]

CARD = msgspec.structs.replace(bundled("event-type").card, comparison=None)


def row(name: str, cpu_ms: float, card: ModelCard = CARD, inside: bool = True) -> Variant:
    return Variant(
        name=name,
        card=card,
        size=200_000,
        file=bundled("event-type").path if inside else None,
        score=0.775,
        low=0.7,
        high=0.85,
        agreement_with_full=0.995,
        mean_dp_with_full=0.001,
        comparison=None,
        latency=Latency(cpu_ms, 2 * cpu_ms, cpu_ms, 300),
    )


INT8 = msgspec.structs.replace(CARD, precision="int8", weight_bytes=(CARD.weight_bytes or 0) // 4)


def test_the_fastest_inside_the_gate_is_chosen_and_the_slower_are_named() -> None:
    chosen = choose(
        [row("fp32", 1.2), row("int8", 1.5, INT8), row("pruned", 0.9), row("pruned + int8", 0.1, INT8, False)]
    )
    name, why = chosen["onnxruntime, one x86-64 thread"]
    assert name == "pruned"
    assert why == "0.90 ms measured, fp32 1.20 ms; not chosen, because not faster than fp32 on this machine: int8"
    name, why = chosen["TensorRT, Jetson Orin Nano 8 GB (Super)"]
    assert name == "int8"  # the least floor: its network runs at the int8 rate
    assert "not measured" in why


def test_a_lower_precision_that_gains_next_to_nothing_is_not_chosen() -> None:
    rows = [row("fp32", 1.2), row("pruned", 0.70), row("pruned + int8", 0.68, INT8)]
    assert choose(rows)["onnxruntime, one x86-64 thread"][0] == "pruned"
    rows[-1] = row("pruned + int8", 0.6, INT8)
    assert choose(rows)["onnxruntime, one x86-64 thread"][0] == "pruned + int8"


def test_nothing_inside_the_gate_is_a_failure() -> None:
    with pytest.raises(FailedError, match="no model that the gate accepts"):
        choose([row("int8", 1.0, INT8, inside=False)])


def test_without_curves_the_page_says_so() -> None:
    rows = [row("fp32", 1.2)]
    page = page_of(Release("event-type", rows, choose(rows), 2_400), "a machine", None)
    assert "made with `--no-curves`" in page
    assert "Only the full model was made." in page


def test_the_page_says_what_could_not_be_tested() -> None:
    """Three rows: accepted in a coarse test, not accepted in it, passed; nobody reads "inside" of the first two."""
    c = Comparison(
        parent_sha256="ab", windows=2_400, agreement=1.0, mean_dp=0.0, score="accuracy", parent_score=0.8,
        child_score=0.8, loss_points=0.0, low=0.0, high=0.0, allowed_points=1.333, n_events=75, passed=False,
        verdict="not tested", accepted_points=2.0,
    )  # fmt: skip
    fine = msgspec.structs.replace(c, allowed_points=0.5, n_events=200, passed=True, verdict="passed")
    coarse = msgspec.structs.replace(c, accepted_points=None)
    rows = [
        row("fp32", 1.2),
        dataclasses.replace(row("int8", 1.5, INT8), comparison=c),
        dataclasses.replace(row("fp16", 1.5, inside=False), comparison=coarse),
        dataclasses.replace(row("pruned", 0.9), comparison=fine),
    ]
    page = page_of(Release("event-type", rows, choose(rows), 2_400), "a machine", None)
    lines = {
        name: [line for line in page.splitlines() if line.startswith(name)]
        for name in ("| int8 ", "| fp16 ", "| pruned ", "- int8", "- fp16")
    }
    assert "| not tested at 0.5 points, tested at 1.33 |" in lines["| int8 "][0]
    assert "| not tested at 0.5 points, tested at 1.33, not written |" in lines["| fp16 "][0]
    assert "| inside |" in lines["| pruned "][0]
    text = "cannot be tested at 0.5 points (75 events, 200 are needed); tested at 1.33 points: not worse than that"
    assert lines["- int8"][0].endswith(f"; {text}; accepted with --accept-resolution 2.")
    assert lines["- fp16"][0].endswith(f"; {text}.")
    assert "Not accepted by the gate, and not in this folder: fp16." in page


@pytest.mark.long
def test_the_whole_line_from_a_run(tmp_path: Path, datasets: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "release"
    arguments = ["train", "event-type", "--data", str(datasets), "-o", str(run), "--set", "optimisation.steps=60"]
    result = CliRunner().invoke(main, [*arguments, "--set", "arguments.width=8"])
    assert result.exit_code == 0, result.output
    arguments = ["release", str(run), "--data", str(datasets), "-o", str(out), "--prune", "0.3", "--steps", "20"]
    arguments += ["--windows", "2000", "--accept-resolution", "5"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    page = (out / "MODEL.md").read_text(encoding="utf-8")
    cards = {p.name.removesuffix(".card.json"): json.loads(p.read_bytes()) for p in out.glob("*.card.json")}
    assert cards.keys() == {p.stem for p in out.glob("*.onnx")} >= {"event-type"}
    for name, card in cards.items():
        assert (
            msgspec.json.decode((out / f"{name}.card.json").read_bytes(), type=ModelCard)
            == open_model(out / f"{name}.onnx").card
        )
        assert (card["comparison"] is None) if name == "event-type" else card["comparison"]["verdict"] == "not tested"
        assert f"`{name}.onnx`" in page
    report = json.loads((out / "evaluation" / "report.json").read_bytes())
    assert {figure["on"] for figure in report["figures"]} >= {EARLY, DAMAGED}
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert {"evaluation/report.md", "evaluation/early.png", "evaluation/damage.png"} <= set(links)
    assert all((out / link).is_file() for link in links)
    for path in [*out.glob("**/*.md"), *out.glob("**/*.json"), *out.glob("*.onnx")]:
        for folder in (tmp_path, ROOT, Path.home()):
            assert f"{folder}/".encode() not in path.read_bytes(), path
    assert (
        subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=out, check=False).returncode == 0
    )
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2 and "is not empty" in again.output

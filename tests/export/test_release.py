"""What a release chooses and says, on rows made by hand; the whole line is a long test."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.export.conftest import bundled

from seisedge.cli import main
from seisedge.export.latency import Latency
from seisedge.export.page import page_of, table_of
from seisedge.export.release import Release, Variant, choose, write_sums
from seisedge.runtime.card import ModelCard
from seisedge.runtime.errors import FailedError

CARD = msgspec.structs.replace(
    bundled("event-type").card, front_end_macs=2_246_400, front_end_flops=5_101_633, weight_bytes=181_288
)


def row(name: str, cpu_ms: float, card: ModelCard = CARD, inside: bool = True) -> Variant:
    return Variant(
        name=name,
        card=card,
        size=200_000,
        file=Path(f"{name}.onnx") if inside else None,
        score=0.775,
        low=0.7,
        high=0.85,
        agreement_with_full=0.995,
        mean_dp_with_full=0.001,
        comparison=None,
        latency=Latency(cpu_ms, 2 * cpu_ms, cpu_ms, 300),
    )


INT8 = msgspec.structs.replace(CARD, precision="int8")


def test_the_fastest_inside_the_gate_is_chosen_and_the_slower_are_named() -> None:
    chosen = choose(
        [row("fp32", 1.2), row("int8", 1.5, INT8), row("pruned", 0.9), row("pruned + int8", 0.1, INT8, False)]
    )
    name, why = chosen["onnxruntime, one x86-64 thread"]
    assert name == "pruned"
    assert why == "0.90 ms measured against 1.20 of fp32; no faster than fp32 here and not chosen: int8"
    name, why = chosen["TensorRT, Jetson Orin Nano 8 GB (Super)"]
    assert name == "int8"  # the least floor: its network runs at the int8 rate
    assert "projected and not measured" in why


def test_nothing_inside_the_gate_is_a_failure() -> None:
    with pytest.raises(FailedError, match="no model of the release"):
        choose([row("int8", 1.0, INT8, inside=False)])


def test_the_page_says_what_not_to_trust_it_with() -> None:
    rows = [row("fp32", 1.2), row("int8", 1.5, INT8, inside=False)]
    release = Release("event-type", rows, choose(rows[:1]), 2_400)
    page = page_of(release, "a machine", None)
    for item in CARD.not_for:
        assert f"- {item}" in page
    assert all(len(line.split("|")) == len(table_of(release)[0].split("|")) for line in table_of(release))
    assert "fp32 68% of the multiply-adds, 70% of the FLOP" in page
    assert CARD.training.data_sha256 in page
    assert "projected, not measured" in page


def test_sums_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.onnx").write_bytes(b"a")
    (tmp_path / "sub" / "b.md").write_bytes(b"b")
    write_sums(tmp_path)
    rows = [line.split("  ") for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert rows == [[hashlib.sha256(b"a").hexdigest(), "a.onnx"], [hashlib.sha256(b"b").hexdigest(), "sub/b.md"]]


@pytest.mark.long
def test_the_whole_line_from_a_run(tmp_path: Path, datasets: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "release"
    arguments = ["train", "event-type", "--data", str(datasets), "-o", str(run), "--set", "optimisation.steps=60"]
    result = CliRunner().invoke(main, [*arguments, "--set", "arguments.width=8"])
    assert result.exit_code == 0, result.output
    arguments = ["release", str(run), "--data", str(datasets), "-o", str(out), "--prune", "0.3", "--steps", "20"]
    result = CliRunner().invoke(main, [*arguments, "--no-curves", "--windows", "2000"])
    assert result.exit_code == 0, result.output
    assert (out / "event-type.onnx").is_file()
    assert "## Not to be trusted with" in (out / "MODEL.md").read_text()
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2 and "not empty" in again.output

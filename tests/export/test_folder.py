"""A release on disk, of real files on real windows: the page against the cards, the files and what is recomputed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from tests.export.conftest import bundled

from seisedge.export import quantize, release
from seisedge.export.card import with_costs
from seisedge.export.folder import write_folder
from seisedge.export.fp16 import half_precision
from seisedge.export.gate import Parent, Rule, answers_of
from seisedge.export.gate_windows import HeldOut, gate_windows
from seisedge.export.graph import ModelFile, bytes_of, open_model, trained_layers
from seisedge.export.page import Curves
from seisedge.export.release import ORIGINAL, Release
from seisedge.train.archive.archive import Archive

SECTIONS = [
    "Purpose",
    "Limits",
    "Recommended files",
    "Precision and pruning",
    "Effect of each step",
    "FLOPs by operator",
    "Data",
    "Metrics on held-out events",
    "Early answers and damaged records",
    "Roofline",
]


def spoiled(graph: onnx.ModelProto) -> onnx.ModelProto:
    """In fp16, its last layer upside down."""
    out = half_precision(graph)
    name = out.graph.node[trained_layers(out)[-1]].input[1]
    weights = next(t for t in out.graph.initializer if t.name == name)
    weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), name))
    return out


@pytest.fixture(scope="module")
def held(some_records: Archive) -> HeldOut:
    return gate_windows(bundled("event-type").card, some_records, 160)


@pytest.fixture(scope="module")
def made(held: HeldOut, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Release]]:
    """Of the bundled model, a spoiled fp16, which the gate refuses, and a whole one in the place of int8."""
    out = tmp_path_factory.mktemp("release")
    source = bundled("event-type")
    card = msgspec.structs.replace(with_costs(source.card, source.graph), comparison=None)
    (out / "event-type.onnx").write_bytes(bytes_of(source.graph, card))
    full = open_model(out / "event-type.onnx")

    def whole(model: ModelFile, calibration: HeldOut, parent: Parent, rule: Rule, say: Any) -> quantize.Lower:
        return quantize.fp16_from(model, parent, rule)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "int8_from", whole)
        patch.setattr(release, "fp16_from", spoiled_from)
        rows = [
            (ORIGINAL, full),
            *release.Gate(held, held, Rule(accept_points=100), out, lambda _: None).lower(full, ""),
        ]
        it = release._measured("event-type", rows, held)
    (out / "evaluation").mkdir()
    for name in ("report.md", "early.png"):
        (out / "evaluation" / name).write_bytes(b"curves")
    write_folder(it, out, "a machine of the test", Curves("x.onnx", "evaluation/report.md", ["evaluation/early.png"]))
    yield out, it


def spoiled_from(model: ModelFile, parent: Parent, rule: Rule) -> quantize.Lower:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "half_precision", spoiled)
        return quantize.fp16_from(model, parent, rule)


@pytest.fixture(scope="module")
def page(made: tuple[Path, Release]) -> dict[str, str]:
    """Section → text."""
    text = (made[0] / "MODEL.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(text: str) -> list[dict[str, str]]:
    """The first table of a section."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def card_of(folder: Path, name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / f"{name}.card.json").read_text(encoding="utf-8"))
    return card


FILES = {"fp32": "event-type", "int8": "event-type-int8"}  # rows that were written


def test_every_section_is_there(page: dict[str, str]) -> None:
    assert list(page) == SECTIONS
    assert all(text.strip() for text in page.values())


def test_use_limits_data_and_licences_are_those_of_the_card(page: dict[str, str], made: tuple[Path, Release]) -> None:
    card = card_of(made[0], "event-type")
    assert all(label in page["Purpose"] for label in card["labels"])
    assert page["Limits"].strip().splitlines() == [f"- {item}" for item in card["not_for"]]
    training = card["training"]
    for fact in (training["data_sha256"], training["split"], training["licence"], str(training["n_records"])):
        assert fact in page["Data"]
    assert re.findall("^- (.*)$", page["Data"], re.MULTILINE) == training["data"]


def test_figures_and_intervals_are_those_of_the_card(page: dict[str, str], made: tuple[Path, Release]) -> None:
    rows, metrics = table(page["Metrics on held-out events"]), card_of(made[0], "event-type")["metrics"]
    assert len(rows) == len(metrics) > 10
    for got, m in zip(rows, metrics, strict=True):
        assert (got["on"], got["what"], got["model or baseline"]) == (
            m["subset"],
            m["name"],
            m.get("baseline", "model"),
        )
        assert got["value"] == f"{m['value']:.3f}"
        assert got["95 % interval"] == (f"{m['low']:.3f} to {m['high']:.3f}" if "low" in m else "")
        assert (got["records"], got["events"]) == (str(m["n_records"]), str(m["n_events"]))


def test_the_precision_table_is_that_of_the_files(
    page: dict[str, str], made: tuple[Path, Release], held: HeldOut
) -> None:
    """Cost by the card and the file beside it; the score and the agreement worked out anew."""
    rows = {row["model"]: row for row in table(page["Precision and pruning"])}
    assert list(rows) == ["fp32", "fp16", "int8"]
    full = answers_of((made[0] / "event-type.onnx").read_bytes(), held)
    for name, stem in FILES.items():
        card, file = card_of(made[0], stem), (made[0] / f"{stem}.onnx").read_bytes()
        p, got = answers_of(file, held), rows[name]
        right = (p.argmax(1) == held.target)[held.scored].mean()
        assert got["precision"] == card["precision"]
        assert got["parameters"] == f"{card['parameters']:,}"
        assert got["MFLOP"] == f"{card['flops'] / 1e6:.2f}"
        assert got["of that network"] == f"{(card['macs'] - card['front_end_macs']) / 1e6:.2f}"
        assert got["kB"] == f"{len(file) / 1e3:.0f}"
        assert got["accuracy"] == f"{right:.3f}"
        low, high = (float(x) for x in got["95 % interval"].split(" to "))
        assert low <= right <= high and low < high
        assert got["agreement"] == f"{(p.argmax(1) == full.argmax(1)).mean():.2%}"
        assert got["mean abs Δp"] == f"{np.abs(p - full).mean():.4f}"
    tested = f"tested at {card_of(made[0], 'event-type-int8')['comparison']['allowed_points']:.3g}"
    assert [rows[name]["gate"] for name in rows] == [
        "parent of all",
        f"outside, {tested}, not written",
        f"not tested at 0.5 points, {tested}",
    ]
    assert float(rows["fp16"]["agreement"].strip("%")) < 90
    for v in made[1].variants:
        assert v.latency is not None
        assert rows[v.name]["p50 ms"] == f"{v.latency.p50_ms:.2f}"
        assert rows[v.name]["p99 ms"] == f"{v.latency.p99_ms:.2f}"
        assert 0 < v.latency.p50_ms <= v.latency.p99_ms
    assert "a machine of the test" in page["Precision and pruning"]


def test_what_each_step_cost_is_the_gates(page: dict[str, str], made: tuple[Path, Release]) -> None:
    cost = {line.split(":")[0]: line for line in page["Effect of each step"].strip().splitlines()}
    assert list(cost) == ["- fp16", "- int8"]
    c = card_of(made[0], "event-type-int8")["comparison"]
    assert f"loss {c['loss_points']:+.2f} points, 95 % interval {c['low']:+.2f} to {c['high']:+.2f}" in cost["- int8"]
    assert c["n_events"] < 200
    assert f"; {c['n_events']} events, tested at {c['allowed_points']:.3g} points; " in cost["- int8"]
    assert cost["- int8"].endswith(": not worse than that; accepted with --accept-resolution 100.")
    refused = next(v.comparison for v in made[1].variants if v.name == "fp16")
    assert refused is not None and refused.loss_points > refused.allowed_points
    assert f"loss {refused.loss_points:+.2f} points" in cost["- fp16"]
    assert cost["- fp16"].endswith(f"; outside the gate, tested at {refused.allowed_points:.3g} points.")


def test_flops_add_up(page: dict[str, str], made: tuple[Path, Release]) -> None:
    *operators, total, weights, _ = table(page["FLOPs by operator"])
    for name, stem in FILES.items():
        card = card_of(made[0], stem)
        counted = {row["of one inference"]: int(row[name].replace(",", "")) for row in operators}
        by_operator = card["flops_by_operator"]
        assert counted == {kind: by_operator.get(kind, 0) for kind in counted} and counted.keys() >= by_operator.keys()
        assert total[name] == f"{sum(counted.values()):,}" == f"{card['flops']:,}"
        assert weights[name] == f"{card['weight_bytes']:,}"
    assert "Not counted: data movement and casts." in page["FLOPs by operator"]


def test_what_the_gate_refused_is_not_in_the_folder_and_said_so(
    page: dict[str, str], made: tuple[Path, Release]
) -> None:
    models = {f"{stem}{suffix}" for stem in FILES.values() for suffix in (".onnx", ".card.json")}
    assert {p.name for p in made[0].iterdir()} == models | {"MODEL.md", "SHA256SUMS", "evaluation"}
    assert "Not accepted by the gate, and not in this folder: fp16." in page["Recommended files"]
    assert "fp16" not in {name for name, _ in made[1].chosen.values()}
    for name, _ in made[1].chosen.values():
        assert f"**{name}**, `{FILES[name]}.onnx`" in page["Recommended files"]
    assert [line for line in page["Roofline"].splitlines() if line in ("fp32", "fp16", "int8")] == list(FILES)


def test_links_lead_to_files_of_the_folder(made: tuple[Path, Release]) -> None:
    text = (made[0] / "MODEL.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links == ["evaluation/report.md", "evaluation/early.png"]
    assert all((made[0] / link).is_file() for link in links)
    assert str(made[0]) not in text and str(Path.cwd()) not in text


def test_sums_are_checked_by_sha256sum(made: tuple[Path, Release], page: dict[str, str], tmp_path: Path) -> None:
    copy = shutil.copytree(made[0], tmp_path / "copy")

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=copy, capture_output=True, text=True, check=False
        )

    sums = {line[66:]: line[:64] for line in (copy / "SHA256SUMS").read_text().splitlines()}
    assert set(sums) == {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    assert check().returncode == 0
    for row in table(page["Recommended files"]):
        assert row["sha256"].strip("`") == sums[row["file"].strip("`")]
    model = copy / "event-type-int8.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    failed = check()
    assert failed.returncode == 1
    assert "event-type-int8.onnx: FAILED" in failed.stdout

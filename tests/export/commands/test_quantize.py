"""`seisedge quantize` and `seisedge gate` on the bundled model and the bundled data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.export.conftest import bundled

from seisedge.cli import main
from seisedge.export.graph import open_model

ACCEPT = ("--accept-resolution", "2")


def seisedge(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shutil.copy(bundled("magnitude").path, tmp_path)
    return tmp_path / "magnitude.onnx"


@pytest.mark.long
def test_fp16_of_the_bundled_model_is_not_tested_at_half_a_point(source: Path, datasets: Path) -> None:
    arguments = ["quantize", str(source), "--precision", "fp16", "--data", str(datasets), "--windows", "2000"]
    code, text = seisedge(*arguments)
    assert code == 1
    assert "cannot be tested at 0.5 points (7 events, 200 are needed); tested at 14.3 points" in text
    assert "magnitude-fp16.onnx: not written, not tested at 0.5 points" in text and "inside" not in text
    assert [p.name for p in source.parent.iterdir()] == ["magnitude.onnx"]
    code, text = seisedge(*arguments, "--accept-resolution", "14.3")
    assert code == 0, text
    assert "accepted with --accept-resolution 14.3" in text and "inside" not in text
    made = open_model(source.with_name("magnitude-fp16.onnx"))
    parent = open_model(source)
    assert made.card.precision == "fp16"
    c = made.card.comparison
    assert c is not None and made.card.quantization is not None
    q = made.card.quantization
    assert (q.calibration_sha256, q.calibration_windows, q.kept) == ("", 0, []) and q.layers > 30
    assert c.parent_sha256 == parent.sha256 and c.windows == 2_000
    assert (c.verdict, c.passed, c.required_points, c.accepted_points) == ("not tested", False, 0.5, 14.3)
    assert made.card.front_end_macs == parent.card.front_end_macs == 366_336
    assert made.card.metrics == parent.card.metrics
    code, text = seisedge("quantize", str(made.path), "--precision", "int8", "--data", str(datasets))
    assert code == 2 and "the precision is fp16" in text
    code, text = seisedge("inspect", str(made.path), "--roofline")
    assert code == 0 and "Jetson AGX Orin" in text and "projected, not measured" in text
    assert "cannot be tested at 0.5 points" in text and "accepted with --accept-resolution 14.3" in text
    arguments = ["gate", str(source), str(made.path), "--data", str(datasets), "--windows", "2000"]
    code, text = seisedge(*arguments)
    assert code == 1 and "magnitude-fp16.onnx: not tested at 0.5 points" in text and "inside" not in text
    code, text = seisedge(*arguments, "--accept-resolution", "15", "--json")
    assert code == 0, text
    found = json.loads(text)
    assert (found["verdict"], found["passed"], found["accepted_points"]) == ("not tested", False, 15)


def test_what_cannot_be_compared_is_refused(source: Path, datasets: Path) -> None:
    other = str(bundled("event-type").path)
    code, text = seisedge("gate", str(source), other, "--data", str(datasets))
    assert code == 2 and "cannot be compared" in text
    code, text = seisedge("quantize", str(source), "--precision", "int8", "-o", str(source), "--data", str(datasets))
    assert code == 2 and "names the model itself" in text
    code, text = seisedge("quantize", str(source), "--precision", "fp16", "--data", str(source.parent))
    assert code == 2 and "Traceback" not in text


@pytest.mark.long
def test_int8_leaves_sensitive_layers_alone(tmp_path: Path, datasets: Path) -> None:
    parent, child = bundled("event-type").path, tmp_path / "int8.onnx"
    code, text = seisedge(
        "quantize", str(parent), "--precision", "int8", "--data", str(datasets), "-o", str(child), *ACCEPT
    )
    assert code == 0, text
    card = open_model(child).card
    assert card.quantization is not None and len(card.quantization.calibration_sha256) == 64
    assert 0 < len(card.quantization.kept) < 40
    code, text = seisedge("gate", str(parent), str(child), "--data", str(datasets), "--json", *ACCEPT)
    assert code == 0, text
    assert json.loads(text)["agreement"] >= 0.99

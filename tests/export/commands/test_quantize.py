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


def seisedge(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shutil.copy(bundled("magnitude").path, tmp_path)
    return tmp_path / "magnitude.onnx"


def test_fp16_of_the_bundled_model_passes_and_its_card_says_so(source: Path, datasets: Path) -> None:
    code, text = seisedge("quantize", str(source), "--precision", "fp16", "--data", str(datasets), "--windows", "2000")
    assert code == 0, text
    assert "inside the gate" in text
    made = open_model(source.with_name("magnitude-fp16.onnx"))
    parent = open_model(source)
    assert made.card.precision == "fp16"
    assert made.card.comparison is not None and made.card.quantization is not None
    assert made.card.comparison.parent_sha256 == parent.sha256
    assert made.card.comparison.passed and made.card.comparison.windows == 2_000
    assert made.card.front_end_macs == parent.card.front_end_macs == 366_336
    assert made.card.metrics == parent.card.metrics
    code, text = seisedge("quantize", str(made.path), "--precision", "int8", "--data", str(datasets))
    assert code == 2 and "is fp16 already" in text
    code, text = seisedge("inspect", str(made.path), "--roofline")
    assert code == 0 and "Jetson AGX Orin" in text and "projected, not measured" in text


def test_what_cannot_be_compared_is_told(source: Path, datasets: Path) -> None:
    other = str(bundled("event-type").path)
    code, text = seisedge("gate", str(source), other, "--data", str(datasets))
    assert code == 2 and "cannot be compared" in text
    code, text = seisedge("quantize", str(source), "--precision", "int8", "-o", str(source), "--data", str(datasets))
    assert code == 2 and "is the model itself" in text
    code, text = seisedge("quantize", str(source), "--precision", "fp16", "--data", str(source.parent))
    assert code == 2 and "Traceback" not in text


@pytest.mark.long
def test_int8_leaves_sensitive_layers_alone(tmp_path: Path, datasets: Path) -> None:
    parent, child = bundled("event-type").path, tmp_path / "int8.onnx"
    code, text = seisedge("quantize", str(parent), "--precision", "int8", "--data", str(datasets), "-o", str(child))
    assert code == 0, text
    card = open_model(child).card
    assert card.quantization is not None and len(card.quantization.calibration_sha256) == 64
    assert 0 < len(card.quantization.kept) < 40
    code, text = seisedge("gate", str(parent), str(child), "--data", str(datasets), "--json")
    assert code == 0, text
    assert json.loads(text)["agreement"] >= 0.99

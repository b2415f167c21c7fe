"""The two bundled model files, and real windows to compare on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from seisedge.export.gate_windows import HeldOut, gate_windows
from seisedge.export.graph import ModelFile, open_model
from seisedge.train.archive.archive import Archive, load_archive

DATASETS = Path(__file__).parents[2] / "datasets"
NAMES = ("event-type", "magnitude")


def bundled(name: str) -> ModelFile:
    return open_model(Path(str(resources.files("seisedge.runtime") / "models" / f"{name}.onnx")))


@pytest.fixture(scope="session")
def datasets() -> Path:
    return DATASETS


@pytest.fixture(scope="session")
def some_records() -> Archive:
    """About one record in five of the bundled set."""
    return load_archive([DATASETS], 40.0, 15.0, limit=360)


@pytest.fixture(scope="session", params=NAMES)
def model(request: pytest.FixtureRequest) -> ModelFile:
    return bundled(request.param)


@pytest.fixture(scope="session")
def windows(model: ModelFile, some_records: Archive) -> HeldOut:
    return gate_windows(model.card, some_records, 160)

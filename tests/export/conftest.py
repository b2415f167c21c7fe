"""One exported model a name, real windows to compare on."""

from __future__ import annotations

from pathlib import Path

import pytest

DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.fixture(scope="session")
def datasets() -> Path:
    return DATASETS

"""Models, and a part of the bundled recording."""

from pathlib import Path

import pytest
from tests.runtime.snippets.storing import part_of

from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.inference.infer import Models


@pytest.fixture(scope="session")
def models() -> Models:
    return Models.load(ModelsConfig())


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_of(tmp_path_factory.mktemp("snippets"))

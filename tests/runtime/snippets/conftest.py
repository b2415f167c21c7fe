"""Models, and a part of the bundled recording."""

from pathlib import Path

import pytest
from tests.runtime.snippets.storing import Kept, configs_of, part_of, records_in, run, snippets_in

from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.sources import open_source


@pytest.fixture(scope="session")
def models() -> Models:
    return Models.load(ModelsConfig())


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_of(tmp_path_factory.mktemp("snippets"))


@pytest.fixture(scope="session")
def expected(
    part: Path, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kept, dict[str, list[bytes]]]:
    """The events of a run without faults, and the records of each snippet."""
    folder = tmp_path_factory.mktemp("expected")
    done = run(open_source([part]), configs_of(folder), models)
    return done.kept, {event_id: records_in(path) for event_id, path in snippets_in(folder).items()}

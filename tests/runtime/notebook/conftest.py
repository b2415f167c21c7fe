"""Data of the notebook tests: the first minutes of the demo recording, as a file and as a Stream."""

from pathlib import Path
from typing import Any

import pytest

from seisedge import api
from seisedge.runtime.demo import RECORDING, STATIONS

PART_RECORDS = 320  # the first three minutes of both stations
RECORD_BYTES = 512
STATION_FILES = sorted(STATIONS.glob("*.toml"))


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("notebook") / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: RECORD_BYTES * PART_RECORDS])
    return path


@pytest.fixture(scope="session")
def stream(part: Path) -> Any:
    obspy = pytest.importorskip("obspy")
    return obspy.read(str(part))


@pytest.fixture(scope="session")
def model() -> api.Model:
    return api.open_model("event-type", "magnitude")


@pytest.fixture(scope="session")
def results(model: api.Model, part: Path) -> api.Results:
    """The events of the part, with the station files of the demo."""
    found = model.classify(part, station=STATION_FILES)
    assert len(found) > 5
    return found

"""StationXML and station files of a run over an archive; workers have none of these files."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest
from tests.fakes import described, stationxml
from tests.runtime.archive.conftest import STATION, records_of

from seisedge.runtime.archive.inputs import LocalFiles
from seisedge.runtime.archive.pool import answer
from seisedge.runtime.archive.run import ArchiveOptions, ArchiveRun
from seisedge.runtime.config import StationConfig
from seisedge.runtime.config.settings import StationIdentity
from seisedge.runtime.errors import DataError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.stationxml import StationXml

CHANNELS = [described(code, sensitivity=6e8) for code in ("EHZ", "EH1", "EH2")]


@pytest.fixture
def options(tmp_path: Path) -> ArchiveOptions:
    data = tmp_path / "few.mseed"
    data.write_bytes(b"".join(record for _, record in records_of(STATION, 120.0, ())))
    return ArchiveOptions(tmp_path / "out", (str(data),))


def magnitudes(run: ArchiveRun) -> list[bool]:
    """Whether each last magnitude is provisional, as a worker computes them without the files of this machine."""
    request = pickle.loads(pickle.dumps(run.plans[0].request(0, run.models)))
    result = answer(request, run.models, LocalFiles(), pickle.loads(pickle.dumps(dict(run.metadata)))).result
    assert result is not None
    last = [msgspec.json.decode(revisions[-1]) for revisions in result.revisions.values()]
    return [event["magnitude"].get("provisional", False) for event in last if "magnitude" in event]


def test_gains_of_stationxml(options: ArchiveOptions, models: Models, tmp_path: Path) -> None:
    path = stationxml(tmp_path / "meta.xml", STATION, CHANNELS)
    with_gain = ArchiveRun(options, models, {}, StationXml.read(path), LocalFiles())
    without = ArchiveRun(options, models, {}, None, LocalFiles())
    assert set(magnitudes(with_gain)) == {False} and set(magnitudes(without)) == {True}
    assert with_gain.settings.stations != without.settings.stations


def test_a_station_file_that_names_stationxml(options: ArchiveOptions, models: Models, tmp_path: Path) -> None:
    path = stationxml(tmp_path / "meta.xml", STATION, CHANNELS)
    config = StationConfig(station=StationIdentity(network="PB", station="B918", stationxml=str(path)))
    run = ArchiveRun(options, models, {STATION: config}, None, LocalFiles())
    path.unlink()
    assert set(magnitudes(run)) == {False}


def test_a_station_that_is_not_in_stationxml(options: ArchiveOptions, models: Models, tmp_path: Path) -> None:
    path = stationxml(tmp_path / "meta.xml", "XX.OTHER", CHANNELS)
    with pytest.raises(DataError, match=r"no station of the data can be analysed: PB\.B918: it is not in .*meta\.xml"):
        ArchiveRun(options, models, {}, StationXml.read(path), LocalFiles())

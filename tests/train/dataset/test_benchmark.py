"""`seisbench:NAME` with a local data set in the SeisBench cache; nothing is downloaded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import components_of, load_archive
from seisedge.train.dataset.benchmark import folders_from
from seisedge.train.dataset.store import Store

# seisbench calls functions of pandas and numpy that are deprecated in their present versions.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def seisbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, with its cache in a temporary folder and downloads disabled."""
    monkeypatch.setenv("SEISBENCH_CACHE_ROOT", str(tmp_path / "import"))  # the import writes to it
    module = pytest.importorskip("seisbench", reason="seisbench is not installed")
    monkeypatch.setattr(module, "cache_data_root", tmp_path / "datasets")

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no network in tests")

    util = importlib.import_module("seisbench.util")
    monkeypatch.setattr(util, "download_http", refuse)
    return module


def test_folders_are_unchanged() -> None:
    assert folders_from(["here", Path("there")]) == [Path("here"), Path("there")]


def test_a_cached_set_loads(seisbench: Any, tmp_path: Path) -> None:
    rows = make_rows(6, trace_component_order="ZNE", trace_start_time="2020-01-01T00:00:00Z")
    write_set(tmp_path / "datasets" / "ethz", rows, make_arrays(6), block=True)
    folders = folders_from(["seisbench:ETHZ"])
    assert folders == [tmp_path / "datasets" / "ethz"]
    archive = load_archive(folders, 40.0, 15.0)
    assert len(archive.records) == 6
    assert archive.sources == ["ethz"]


# The columns that these data sets have in SeisBench, as far as seisedge reads them.
COLUMNS: dict[str, dict[str, Any]] = {
    "STEAD": {
        "trace_sampling_rate_hz": 100, "trace_category": "earthquake_local", "source_magnitude": 2.3,
        "source_magnitude_type": "ml", "source_distance_km": 40.5, "trace_p_arrival_sample": 600.0,
        "trace_s_arrival_sample": 1200.0, "trace_coda_end_sample": "[[2896.]]", "trace_component_order": "ENZ",
        "source_id": "17001", "station_network_code": "TA", "station_code": "109C",
    },
    "PNW": {
        "trace_sampling_rate_hz": 100, "source_type": "explosion", "preferred_source_magnitude": 1.7,
        "preferred_source_magnitude_type": "ml", "trace_P_arrival_sample": 5000, "trace_S_arrival_sample": 6100,
        "trace_component_order": "ZNE", "event_id": "uw61", "station_network_code": "UW", "station_code": "LON",
    },
    "ETHZ": {
        "trace_sampling_rate_hz": 200.0, "source_magnitude": 0.9, "source_magnitude_type": "MLhc",
        "trace_Pg_arrival_sample": 700, "trace_Sg_arrival_sample": 1500, "trace_component_order": "ZNE",
        "source_id": "smi:ch.ethz.sed/12", "station_network_code": "CH", "station_code": "AIGLE",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_a_set_of_the_real_writer_is_read_as_seisbench_reads_it(seisbench: Any, tmp_path: Path, name: str) -> None:
    """Padded traces in blocks of one and of several traces; the columns of STEAD, PNW and ETHZ."""
    data = importlib.import_module("seisbench.data")
    rng = np.random.default_rng(1)
    for packed in (True, False):
        folder = tmp_path / "datasets" / name.lower()
        with data.WaveformDataWriter(folder / "metadata.csv", folder / "waveforms.hdf5") as writer:
            writer.data_format = {"dimension_order": "CW", "measurement": "velocity", "unit": "counts"}
            if not packed:
                writer.bucket_size = 1
            for k in range(5):
                start = f"2019-03-01T{k:02}:00:00.010000Z"
                trace = rng.normal(0, 1000, (3, 3000 + 17 * k)).astype(np.float32)
                writer.add_trace({"trace_name": f"t{k}", "trace_start_time": start} | COLUMNS[name], trace)
        (found,) = folders_from([f"seisbench:{name}"])
        theirs = getattr(data, name)(component_order="ZNE", dimension_order="NCW")
        with Store(found, labelled=name != "ETHZ") as ours:
            assert [row["trace_name"] for row in ours.rows] == list(theirs.metadata["trace_name"])
            assert ("$" in ours.rows[0]["trace_name"]) == packed
            for k, row in enumerate(ours.rows):
                expected, stated = theirs.get_sample(k)
                rows = components_of(ours.samples(row), row["trace_component_order"])
                assert expected.shape == (3, 3000 + 17 * k)
                assert np.array_equal([rows[place][1] for place in range(3)], expected)
                assert float(row["trace_sampling_rate_hz"]) == stated["trace_sampling_rate_hz"]
                texts = {key for key, value in COLUMNS[name].items() if isinstance(value, str)}
                assert {key: row[key] for key in texts} == {key: str(stated[key]) for key in texts}
                numbers = COLUMNS[name].keys() - texts
                assert {key: float(row[key]) for key in numbers} == {key: stated[key] for key in numbers}


def test_a_failed_download_gives_one_sentence(seisbench: Any) -> None:
    with pytest.raises(FailedError, match=r"seisbench:STEAD: seisbench could not load it .*not in the cache .*stead"):
        folders_from(["seisbench:STEAD"])


def test_an_unknown_name_gives_a_suggestion(seisbench: Any) -> None:
    with pytest.raises(InputError, match="did you mean 'seisbench:STEAD'"):
        folders_from(["seisbench:STEED"])


def test_without_seisbench_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seisbench", None)
    monkeypatch.delitem(sys.modules, "seisbench.data", raising=False)
    with pytest.raises(InputError, match=r"needs seisbench; run pip install seisbench"):
        folders_from(["seisbench:PNW"])

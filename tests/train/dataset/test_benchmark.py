"""`seisbench:NAME` with a local data set in the SeisBench cache; nothing is downloaded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.benchmark import folders_from


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

"""Data larger than the memory for them: the samples are in a file, and the archive is the same."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.archive import spool
from seisedge.train.archive.archive import load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.fit.distributed import World
from seisedge.train.fit.run import memory_of_process
from seisedge.train.fit.stage import Settings
from seisedge.train.models._base import Geometry

RECORDS, MB = 120, 1e6
CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """4.3 MB of samples and masks at 40 Hz; two records are shorter than the others."""
    arrays = make_arrays(RECORDS)
    arrays[3], arrays[50] = arrays[3][:, :4000], arrays[50][:1]
    rows = make_rows(RECORDS)
    rows[50]["trace_component_order"] = "Z"
    return write_set(tmp_path / "mine", rows, arrays)


def test_the_archive_is_the_same_in_a_file(data: Path) -> None:
    inside = load_archive([data], 40.0, 15.0)
    outside = load_archive([data], 40.0, 15.0, memory_gb=0.3 * MB / 1e9)
    assert isinstance(outside.waveform, np.memmap) and isinstance(outside.valid, np.memmap)
    assert not isinstance(inside.waveform, np.memmap)
    assert inside.records == outside.records
    assert np.array_equal(inside.waveform, outside.waveform)
    assert np.array_equal(inside.valid, outside.valid)
    assert inside.valid[50, 0].any() and not inside.valid[50, 1:].any()
    windows = []
    for archive in (inside, outside):
        cutter = WindowCutter(archive, Geometry(1000, 40.0, 7.0), CPU)
        windows.append(cutter.cut_at(torch.arange(RECORDS), torch.arange(RECORDS) * 7 - 100))
    assert all(torch.equal(a, b) for a, b in zip(*windows, strict=True))


def test_memory_does_not_grow_with_the_samples(data: Path) -> None:
    peak = {}
    for name, memory_gb in (("file", 0.3 * MB / 1e9), ("memory", 1.0)):
        tracemalloc.start()
        archive = load_archive([data], 40.0, 15.0, memory_gb=memory_gb)
        peak[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(archive.records) == RECORDS
    assert peak["memory"] > 4.3 * MB
    assert peak["file"] < 2.5 * MB  # the limit, one record, and the metadata


def test_a_part_of_the_records_may_fit_after_all(tmp_path: Path) -> None:
    """Records on neither side of the split are read, and left out of the arrays."""
    rows = make_rows(20, station_network_code="XX")
    for k, row in enumerate(rows):
        row["station_code"], row["source_id"] = f"S{k % 10}", f"e{k // 10}"
    folder = write_set(tmp_path / "mine", rows, make_arrays(20))
    few = load_archive([folder], 40.0, 15.0, split="station", memory_gb=0.6 * MB / 1e9)
    assert 0 < len(few.records) < 20 and not isinstance(few.waveform, np.memmap)
    assert np.array_equal(few.waveform, load_archive([folder], 40.0, 15.0, split="station").waveform)


def test_nothing_is_left_in_the_folder_of_temporary_files(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    archive = load_archive([data], 40.0, 15.0, memory_gb=0.0)
    assert str(scratch) in Path("/proc/self/maps").read_text()
    assert list(scratch.iterdir()) == []
    assert archive.valid.any()


def test_a_disk_that_is_full_is_one_sentence(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_new_file", lambda: Path("/dev/full").open("r+b"))  # noqa: SIM115 - the spool closes it
    with pytest.raises(InputError, match=r"temporary file for them cannot be written: No space left on device; set "):
        load_archive([data], 40.0, 15.0, memory_gb=0.001)
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    with pytest.raises(InputError, match=r"missing: .* No such file or directory; set TMPDIR"):
        load_archive([data], 40.0, 15.0, memory_gb=0.001)


def test_the_option_reaches_the_reader_and_processes_share_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []

    def run_training(*_: object, settings: Settings, **__: object) -> Any:
        given.append(settings)
        raise InputError("enough")

    monkeypatch.setattr("seisedge.train.commands.train.run_training", run_training)
    result = CliRunner().invoke(main, ["train", "magnitude", "--data", str(data), "--memory", "3", "--device", "cpu"])
    assert isinstance(result.exception, SystemExit) and "enough" in result.output
    assert given[0].memory_gb == 3.0 and given[0].device_memory_gb is None
    assert memory_of_process(3.0, World(1, 3)) == 1.0
    monkeypatch.setattr("seisedge.train.fit.run.default_limit_bytes", lambda: 8_000_000_000)
    assert memory_of_process(None, World(0, 2)) == 4.0

"""A disk that is full while a data set is written: one sentence, and nothing is left."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seisedge.runtime.commands._stopped import Stopped, stops_on_signals
from seisedge.runtime.errors import FailedError
from seisedge.train.dataset.fault_file import FaultFile
from seisedge.train.dataset.writer import BLOCK, Writer

NO_SPACE = OSError(28, "No space left on device")


class Disk:
    """A file of which only `limit` bytes can be written."""

    def __init__(self, file: Any, limit: int) -> None:
        self.file, self.limit = file, limit

    def write(self, data: bytes) -> int:
        if self.file.tell() + len(data) > self.limit:
            raise NO_SPACE
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def write_some(out: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = FaultFile.__init__

    def limited(self: FaultFile, path: Path) -> None:
        made(self, path)
        self._file = Disk(self._file, limit)  # type: ignore[assignment]

    monkeypatch.setattr(FaultFile, "__init__", limited)
    rng = np.random.default_rng(0)
    with Writer(out) as writer:
        for i in range(BLOCK + 5):
            writer.add({"trace_name": f"t{i}"}, rng.integers(-1000, 1000, (3, 500), dtype=np.int32))
        writer.finish(["trace_name", "trace_name_original"], {"dimension_order": "CW"}, "{}")


@pytest.mark.parametrize("limit", [0, 40, 700, 3000, 50_000, 150_000, 225_000])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FailedError, match="the data set cannot be written: No space left on device"):
        write_some(tmp_path / "out", limit, monkeypatch)
    assert not list(tmp_path.iterdir())


def test_enough_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_some(tmp_path / "out", 10**9, monkeypatch)
    size = (tmp_path / "out" / "waveforms.hdf5").stat().st_size
    assert 225_000 < size < 1_000_000  # the limits above are reached
    with h5py.File(tmp_path / "out" / "waveforms.hdf5") as file:
        assert file["data/block00000"].shape == (BLOCK, 3, 500)
        assert file["data/block00001"].shape == (5, 3, 500)
        assert np.array_equal(
            file["data/block00000"][0], np.random.default_rng(0).integers(-1000, 1000, (3, 500), dtype=np.int32)
        )


def test_a_signal_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Stopped), stops_on_signals(), Writer(tmp_path / "out") as writer:
        writer.add({"trace_name": "t"}, np.zeros((3, 100), dtype=np.int32))
        signal.raise_signal(signal.SIGTERM)
    assert not list(tmp_path.iterdir())


def test_what_is_written_after_an_error_can_be_read(tmp_path: Path) -> None:
    file = FaultFile(tmp_path / "x")
    file.write(b"0123456789")
    file._file = Disk(file._file, 0)  # type: ignore[assignment]
    file.seek(8)
    file.write(b"abcd")
    file.seek(6)
    assert file.read(10) == b"67abcd"
    assert file.seek(0, 2) == 12
    with pytest.raises(FailedError):
        file.check()
    file.close()

"""Waveform files that a stranger made: shapes, sizes and places of the samples are looked at before they are read."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive, require_space
from seisedge.train.dataset.store import Store


def own_set(folder: Path, transposed: bool = False) -> Path:
    return write_set(folder, make_rows(1), make_arrays(1), transposed=transposed)


def replaced(folder: Path) -> h5py.File:
    """The waveform file without its trace t0, for writing."""
    file = h5py.File(own_set(folder) / "waveforms.hdf5", "a")
    del file["data/t0"]
    return file


def first_trace(folder: Path) -> np.ndarray:
    with Store(folder) as store:
        return store.samples(store.rows[0])


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        first_trace(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_external_link_is_followed_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = own_set(tmp_path / "other") / "waveforms.hdf5"
    with replaced(tmp_path / "mine") as file:
        file["data/t0"] = h5py.ExternalLink(str(other), "/data/t0")
    assert "data/t0 is a link to another file" in refusal(tmp_path / "mine")
    monkeypatch.setenv("SEISEDGE_HDF5_LINKS", "1")
    assert np.array_equal(first_trace(tmp_path / "mine"), make_arrays(1)[0])


@pytest.mark.parametrize("name", ["data", "data_format"])
def test_a_group_that_is_an_external_link(tmp_path: Path, name: str) -> None:
    other = own_set(tmp_path / "other") / "waveforms.hdf5"
    with h5py.File(own_set(tmp_path / "mine") / "waveforms.hdf5", "a") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(other), f"/{name}")
    assert "is a link to another file" in refusal(tmp_path / "mine")


def test_a_soft_link_to_an_external_link(tmp_path: Path) -> None:
    other = own_set(tmp_path / "other") / "waveforms.hdf5"
    with replaced(tmp_path / "mine") as file:
        file["elsewhere"] = h5py.ExternalLink(str(other), "/data")
        file["data/t0"] = h5py.SoftLink("/elsewhere/t0")
    assert "is a link to another file" in refusal(tmp_path / "mine")


def test_soft_links_within_the_file(tmp_path: Path) -> None:
    with replaced(tmp_path / "mine") as file:
        file["there/x"] = make_arrays(1)[0]
        file["data/t0"] = h5py.SoftLink("/there/x")
    assert np.array_equal(first_trace(tmp_path / "mine"), make_arrays(1)[0])
    with replaced(tmp_path / "loop") as file:
        file["data/t0"] = h5py.SoftLink("/data/t0")
    assert "a link to a link" in refusal(tmp_path / "loop")


def test_external_storage_reads_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 600)
    with replaced(tmp_path / "mine") as file:
        file.create_dataset("data/t0", shape=(3, 200), dtype="i1", external=[(str(secret), 0, 600)])
    assert "data/t0: its samples are stored in other files" in refusal(tmp_path / "mine")


def test_a_virtual_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = h5py.VirtualLayout(shape=(3, 200), dtype="i4")
    layout[:] = h5py.VirtualSource("missing.hdf5", "x", shape=(3, 200))
    with replaced(tmp_path / "mine") as file:
        file.create_virtual_dataset("data/t0", layout)
    assert "data/t0: is a virtual data set" in refusal(tmp_path / "mine")
    monkeypatch.setenv("SEISEDGE_HDF5_LINKS", "1")
    assert "its samples are in missing.hdf5, which is missing" in refusal(tmp_path / "mine")  # not zeros


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks", "message"),
    [
        ((3, 10**12), "f4", (1, 10**6), "has 3000000000000 samples, at most 12000000 are read"),
        ((1, 8 * 10**8), "i1", (1, 10**6), "has 800000000 samples"),
        ((10**12,), "f4", (10**6,), "samples, at most 12000000"),
        ((6000, 3), "i4", None, "has 6000 components, at most 12 are possible; if the samples come first"),
        ((3, 10**7), "i4", (3, 10**8 // 4), "chunks are larger than 256 MiB"),
        ((3, 4, 5), "i4", None, "must be (components, samples); got (3, 4, 5)"),
        ((), "i4", None, "must be (components, samples); got ()"),
        ((3, 100), "S5", None, "must contain integers or floats"),
        ((3, 100), "c16", None, "must contain integers or floats"),
    ],
)
def test_shape_type_and_size_are_looked_at_first(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...] | None, message: str
) -> None:
    with replaced(tmp_path / "mine") as file:
        if chunks is not None:
            shape_of_file = tuple(max(n, c) for n, c in zip(shape, chunks, strict=True))
            file.create_dataset("data/t0", shape=shape_of_file, dtype=dtype, chunks=chunks, compression="gzip")
        else:
            file.create_dataset("data/t0", shape=shape, dtype=dtype)
    assert message in refusal(tmp_path / "mine")


def test_a_group_in_place_of_a_trace(tmp_path: Path) -> None:
    with replaced(tmp_path / "mine") as file:
        file.create_group("data/t0")
    assert "trace t0 of metadata.csv is missing" in refusal(tmp_path / "mine")


def test_a_large_text_in_data_format(tmp_path: Path) -> None:
    with h5py.File(own_set(tmp_path / "mine") / "waveforms.hdf5", "a") as file:
        file.create_dataset("data_format/unit", shape=(10**12,), dtype="i1", chunks=(10**6,), compression="gzip")
    assert "data_format/unit must be a text" in refusal(tmp_path / "mine")


@pytest.mark.parametrize("name", ["../other", "/tmp/x", "a\\b", "\x1b[31m"])
def test_names_of_chunks_have_no_separators(tmp_path: Path, name: str) -> None:
    (tmp_path / "chunks").write_text(f"{name}\n")
    with pytest.raises(InputError, match="is not the name of a chunk"):
        Store(tmp_path)


def test_a_byte_order_mark_hides_no_column(tmp_path: Path) -> None:
    path = own_set(tmp_path / "mine") / "metadata.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    with Store(tmp_path / "mine") as store:
        assert store.rows[0]["trace_name"] == "t0"


def test_too_many_columns(tmp_path: Path) -> None:
    path = own_set(tmp_path / "mine") / "metadata.csv"
    path.write_text(",".join(f"c{i}" for i in range(3000)) + "\n")
    with pytest.raises(InputError, match="has 3000 columns, at most 2000 are read"):
        Store(tmp_path / "mine")


@pytest.mark.parametrize("name", ["t\x1b[31m", "a" * 501, '"t\n0"'])
def test_names_that_a_terminal_cannot_show(tmp_path: Path, name: str) -> None:
    path = own_set(tmp_path / "mine") / "metadata.csv"
    path.write_text(path.read_text().replace("t0", name))
    with pytest.raises(InputError, match="the trace_name of record 1 must have at most 500 printable characters"):
        Store(tmp_path / "mine")


def test_control_characters_of_other_columns_are_escaped(tmp_path: Path) -> None:
    path = own_set(tmp_path / "mine") / "metadata.csv"
    path.write_text(path.read_text().replace("earthquake", "\x1b[31mearthquake"))
    with Store(tmp_path / "mine") as store:
        assert store.rows[0]["source_type"] == "\\x1b[31mearthquake"


def test_one_long_record_among_many_is_refused_before_space_is_used(tmp_path: Path) -> None:
    archive = load_archive([write_set(tmp_path / "mine", make_rows(4), make_arrays(4))], 40.0, 15.0)
    n, many = archive.records[0].n_samples, archive.records * 1000
    require_space(many, n, limit_bytes=1000 << 20, free_bytes=0)
    require_space(many, n, limit_bytes=1, free_bytes=1000 << 20)
    with pytest.raises(InputError, match=rf"4000 records as long as the longest \(t0, {n} samples .* need 135 MiB; "):
        require_space(many, n, limit_bytes=100 << 20, free_bytes=100 << 20)

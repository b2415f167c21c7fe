"""All layouts that SeisBench reads, and the error messages for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.store import Store


@pytest.mark.parametrize("layout", [{}, {"block": True}, {"transposed": True}, {"block": True, "transposed": True}])
def test_samples_are_read_exactly(tmp_path: Path, layout: dict[str, Any]) -> None:
    arrays = [make_arrays(1, length=5000)[0], make_arrays(1, components=2, length=4000, seed=1)[0]]
    write_set(tmp_path, make_rows(2), arrays, **layout)
    with Store(tmp_path) as store:
        for row, array in zip(store.rows, arrays, strict=True):
            assert np.array_equal(store.samples(row), array)


@pytest.mark.parametrize("listed", [True, False])
def test_chunks(tmp_path: Path, listed: bool) -> None:
    arrays = make_arrays(3)
    for chunk, i in (("2019", 0), ("2020", 1), ("2021", 2)):
        write_set(tmp_path, [make_rows(3)[i]], [arrays[i]], chunk=chunk)
    if listed:
        (tmp_path / "chunks").write_text("2019\n2020\n2021\n")
    with Store(tmp_path) as store:
        assert [row["trace_chunk"] for row in store.rows] == ["2019", "2020", "2021"]
        assert all(np.array_equal(store.samples(r), a) for r, a in zip(store.rows, arrays, strict=True))
    if listed:
        (tmp_path / "metadata2020.csv").unlink()
        with pytest.raises(InputError, match=r"metadata2020.csv is missing"):
            Store(tmp_path)


@pytest.mark.parametrize(
    ("columns", "onset", "kind"),
    [
        ({"source_type": "earthquake", "trace_p_arrival_sample": 2000}, 2000, "tectonic"),
        ({"source_event_category": "quarry blast", "trace_P1_arrival_sample": 2100}, 2100, "blast"),
        ({"trace_category": "earthquake_local", "trace_Pg_arrival_sample": 2200}, 2200, "tectonic"),
        ({"trace_category": "earthquake", "trace_Pn_arrival_sample": 900, "trace_Pg_arrival_sample": 950},
         900, "tectonic"),
        ({"trace_category": "earthquake", "trace_PmP_arrival_sample": 9, "trace_P_arrival_sample": 800},
         800, "tectonic"),
        ({"trace_category": "noise"}, 0, "noise"),
    ],
)  # fmt: skip
def test_spellings(tmp_path: Path, columns: dict[str, Any], onset: int, kind: str) -> None:
    rows = [{"trace_name": f"t{i}", "source_id": f"e{i}", "trace_sampling_rate_hz": 40} | columns for i in range(5)]
    archive = load_archive([write_set(tmp_path, rows, make_arrays(5))], 40.0, 15.0)
    record = archive.records[0]
    assert record.kind == kind
    if kind == "noise":
        assert record.noise_end == record.n_samples
    else:
        assert record.onset == pytest.approx(onset, abs=60)  # the resampler drops half its kernel at the start
        assert {r.onset - onset for r in archive.records} == {record.onset - onset}


def test_aliases_of_pnw(tmp_path: Path) -> None:
    rows = [
        {"trace_name": "x", "event_id": f"uw{i}", "source_type": "earthquake", "trace_P_arrival_sample": 2000,
         "preferred_source_magnitude": 1.5, "station_channel_code": "EH", "trace_sampling_rate_hz": 100}
        for i in range(5)
    ]  # fmt: skip
    archive = load_archive([write_set(tmp_path, rows, make_arrays(5), block=True)], 40.0, 15.0)
    assert [r.event for r in archive.records] == [f"uw{i}" for i in range(5)]
    assert archive.records[0].magnitude == 1.5


def test_rate_and_components_of_the_data_format(tmp_path: Path) -> None:
    rows = [make_rows(5)[i] | {"trace_p_arrival_sample": 2000} for i in range(5)]
    for row in rows:
        del row["trace_sampling_rate_hz"]
    folder = write_set(tmp_path, rows, make_arrays(5), data_format={"sampling_rate": 50, "component_order": "ENZ"})
    archive = load_archive([folder], 50.0, 15.0)
    assert archive.records[0].rate_hz == 50
    with Store(folder) as store:
        assert store.rows[0]["trace_component_order"] == "ENZ"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"trace_name": "gone", "trace_sampling_rate_hz": 100, "source_type": "earthquake",
           "trace_p_arrival_sample": 9}], "trace gone of metadata.csv is missing"),
        ([{"trace_name": "t0$9,:3,:100", "trace_sampling_rate_hz": 100, "source_type": "earthquake",
           "trace_p_arrival_sample": 9}], r"trace t0\$9,:3,:100 of metadata.csv is missing"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": 0, "source_type": "earthquake"}], "t0 has no sampling rate"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": "fast", "source_type": "earthquake"}],
         "t0: column trace_sampling_rate_hz must be a number; got 'fast'"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": 100, "source_type": "earthquake",
           "trace_p_arrival_sample": 9, "trace_start_time": "noon"}], "trace_start_time must be a time"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": 100}], r"no column source_type \(nor source_event_category"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": 100, "source_type": "rain", "trace_p_arrival_sample": 9}],
         "1 × no class for source type 'rain'"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": 100, "source_type": "earthquake", "source_class": "quake",
           "trace_p_arrival_sample": 9}], "source_class must be one of tectonic"),
        ([{"trace_name": "t0", "trace_sampling_rate_hz": 100, "source_type": "earthquake",
           "trace_p_arrival_sample": 9, "trace_missing": "Z:all"}], "trace_missing must have the form"),
    ],
)  # fmt: skip
def test_bad_sets(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    write_set(tmp_path, [{"trace_name": "t0"}], make_arrays(1))
    arrays = make_arrays(1)
    keep = (tmp_path / "waveforms.hdf5").read_bytes()
    write_set(tmp_path, [dict(row, trace_name="t0") for row in rows], arrays)
    (tmp_path / "waveforms.hdf5").write_bytes(keep)
    text = (tmp_path / "metadata.csv").read_text()
    (tmp_path / "metadata.csv").write_text(text.replace("\nt0", f'\n"{rows[0]["trace_name"]}"'))
    with pytest.raises(InputError, match=message):
        load_archive([tmp_path], 40.0, 15.0)


def test_nan_flat_and_missing_samples_are_masked_or_left_out_and_reported(tmp_path: Path) -> None:
    arrays = [a.astype(np.float32) for a in make_arrays(8)]
    arrays[0][:] = np.nan
    arrays[1][0] = 7.0
    arrays[2][1, 3000:3010] = np.nan
    rows = make_rows(8)
    rows[3]["trace_missing"] = "Z:1000-2000;E:0-50 90-100"
    archive = load_archive([write_set(tmp_path, rows, arrays)], 100.0, 15.0)
    assert archive.left_out == {"not a number in the vertical": 1, "flat vertical": 1}
    assert archive.notes == ["1 records contain NaN samples, which are masked"]
    assert np.isfinite(archive.waveform).all()
    by_name = {record.name: i for i, record in enumerate(archive.records)}
    lost = (~archive.valid).sum(-1) - (~archive.valid[by_name["t7"]]).sum(-1)
    reach = lost[by_name["t2"], 1] - 9  # of the kernel on both sides
    assert lost[by_name["t2"]].tolist() == [0, reach + 9, 0]
    assert lost[by_name["t3"], 0] == 1000 - 1 + reach
    assert lost[by_name["t3"], 2] > 0


def test_mixed_rates_are_resampled_and_reported(tmp_path: Path) -> None:
    rows = make_rows(6)
    rows[0]["trace_sampling_rate_hz"] = 200
    archive = load_archive([write_set(tmp_path, rows, make_arrays(6))], 40.0, 15.0)
    assert archive.notes == ["mixed sampling rates, all resampled to 40 Hz: 100 Hz (5), 200 Hz (1)"]


def test_borehole_horizontals_stand_in_the_rows_of_n_and_e(tmp_path: Path) -> None:
    arrays = [a * np.array([[1], [10], [100]], dtype=np.int32) for a in make_arrays(5)]
    folder = write_set(tmp_path, make_rows(5, trace_component_order="21Z"), arrays)
    archive = load_archive([folder], 40.0, 15.0)
    z, n, e = archive.waveform[0].std(-1)
    assert z > 5 * n > 25 * e
    assert archive.records[0].three

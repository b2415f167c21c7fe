"""Reading folders in SeisBench format: the bundled one by exact values, and one of a user."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.timeline.resample import resample_record
from seisedge.train.archive.archive import Archive, find_dataset, load_archive


def test_all_records_with_the_band_are_loaded(archive: Archive) -> None:
    assert len(archive.records) == 1713
    assert archive.left_out == {"Nyquist below 15 Hz": 80, "flat vertical": 1}
    assert archive.waveform.shape == archive.valid.shape
    assert np.isfinite(archive.waveform).all()
    assert (archive.waveform[~archive.valid] == 0).all()


def test_a_record_is_resampled_as_at_the_station(archive: Archive, datasets: Path) -> None:
    i = next(i for i, r in enumerate(archive.records) if r.name == "ridgecrest_01510")
    with h5py.File(datasets / "waveforms.hdf5") as file:
        counts = file["data/ridgecrest_01510"][0].astype(np.float64)
    start_ns = ns_from_iso("2019-07-07T07:50:30.297986")
    y, mask, first = resample_record(counts, np.ones(len(counts), bool), start_ns, 100.0, 40.0, 15.0)
    record = archive.records[i]
    assert record.n_samples == len(y)
    assert np.array_equal(archive.waveform[i, 0, : len(y)], y.astype(np.float32))
    assert mask.all()
    onset_ns = start_ns + 1656.7 / 100 * 1e9  # trace_p_predicted_sample
    assert record.onset == pytest.approx((onset_ns - first / 40 * 1e9) * 40 / 1e9, abs=1e-2)
    assert (record.three, record.station, record.gain, record.magnitude) == (True, "PB.B916", 7.81398e8, 1.74)


def test_distance_is_computed_from_picks_if_the_catalogue_has_none(archive: Archive) -> None:
    record = next(r for r in archive.records if r.name == "phasenet_ncedc_01670")
    assert record.distance_km == pytest.approx((3099 - 3000) / 100 * 8.22)


def write_set(folder: Path, n: int, **columns: str) -> None:
    """A small data set: `n` records of 60 s of noise at 100 Hz, components in the order E, N, Z."""
    rng = np.random.default_rng(0)
    base = {"trace_sampling_rate_hz": "100", "source_type": "earthquake", "trace_component_order": "ENZ"} | columns
    with h5py.File(folder / "waveforms.hdf5", "w") as file:
        for i in range(n):
            file[f"data/r{i}"] = rng.standard_normal((3, 6000)) * np.array([[1], [10], [100]])
    lines = [",".join(["trace_name", "source_id", *base])]
    lines += [",".join([f"r{i}", f"e{i}", *base.values()]) for i in range(n)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def test_a_set_without_split_is_split_by_event(tmp_path: Path) -> None:
    write_set(tmp_path, 10, trace_p_arrival_sample="2000")
    archive = load_archive([tmp_path], 40.0, 15.0)
    assert sum(r.split == "test" for r in archive.records) == 2
    assert {r.fold for r in archive.records if r.split == "train"} == {0, 1, 2, 3, 4}
    assert {r.source for r in archive.records} == {tmp_path.name}
    assert archive.records[0].onset == pytest.approx(800, abs=25)
    sizes = archive.waveform[0].std(-1)
    assert sizes[0] > 5 * sizes[1] > 25 * sizes[2]  # stored as E, N, Z, loaded as Z, N, E


def test_a_split_column_without_test_events_is_reported(tmp_path: Path) -> None:
    write_set(tmp_path, 10, trace_p_arrival_sample="2000", split="train")
    archive = load_archive([tmp_path], 40.0, 15.0)
    assert {r.split for r in archive.records} == {"train"}
    assert archive.notes[0].startswith("no event is held out by column split")
    assert load_archive([tmp_path], 40.0, 15.0, split="event").notes == []


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"trace_sampling_rate_hz": "20", "trace_p_arrival_sample": "9"}, "Nyquist below 15 Hz"),
        ({"source_magnitude": "1.0"}, "no onset"),
        ({"trace_p_arrival_sample": "9", "trace_component_order": "EN1"}, "no vertical"),
    ],
)
def test_a_set_without_a_usable_record_is_an_error_with_the_reasons(
    tmp_path: Path, columns: dict[str, str], reason: str
) -> None:
    write_set(tmp_path, 3, **columns)
    with pytest.raises(InputError, match=f"no usable record.*{reason}"):
        load_archive([tmp_path], 40.0, 15.0)


def test_the_bundled_set_is_found_from_a_subfolder(datasets: Path, tmp_path: Path) -> None:
    assert find_dataset(datasets.parent / "train" / "seisedge") == datasets
    with pytest.raises(InputError, match="give --data"):
        find_dataset(tmp_path)

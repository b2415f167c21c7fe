"""The bundled data set is as described in datasets/README.md."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from seisedge.runtime.clock import NS_PER_S, ns_from_iso

DEMO_START_NS = ns_from_iso("2019-07-07T08:16:00")
METADATA_SHA256 = "71822a54d767ed4869940a16a4fb96dd12347c3bbe17fcf0c17ef664e7c86d78"


@pytest.fixture(scope="module")
def rows(datasets: Path) -> list[dict[str, str]]:
    with (datasets / "metadata.csv").open() as file:
        return list(csv.DictReader(file))


def test_metadata_are_those_of_the_training_of_the_models(datasets: Path) -> None:
    assert hashlib.sha256((datasets / "metadata.csv").read_bytes()).hexdigest() == METADATA_SHA256


def test_counts(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 1794
    assert len({r["source_id"] for r in rows}) == 464
    kinds = Counter((r["subset"], r["source_class"]) for r in rows)
    assert kinds["pnw", "tectonic"] == 720
    assert kinds["pnw", "blast"] == 199
    assert kinds["esec", "mass movement"] == 591
    assert kinds["ridgecrest", "tectonic"] == 80
    assert sum(int(r["trace_noise_end_sample"]) > 0 for r in rows) == 282 + 314 + 90


def test_small_enough_to_clone(datasets: Path) -> None:
    assert sum(p.stat().st_size for p in datasets.iterdir()) < 45e6


def test_it_contains_no_sample_of_the_demo(rows: list[dict[str, str]]) -> None:
    ridgecrest = [r for r in rows if r["subset"] == "ridgecrest"]
    assert ridgecrest
    for r in ridgecrest:
        assert ns_from_iso(r["source_origin_time"]) < DEMO_START_NS
        last = ns_from_iso(r["trace_start_time"]) + (int(r["trace_npts"]) - 1) * NS_PER_S / float(
            r["trace_sampling_rate_hz"]
        )
        assert last < DEMO_START_NS, r["trace_name"]


def test_no_event_on_both_sides(rows: list[dict[str, str]]) -> None:
    sides: dict[str, set[tuple[str, str]]] = {}
    for r in rows:
        for key in ("source_id", "source_group"):
            sides.setdefault(r[key], set()).add((r["split"], r["fold"]))
    assert all(len(side) == 1 for side in sides.values())


def test_overlapping_records_of_a_station_share_a_side(rows: list[dict[str, str]]) -> None:
    spans: dict[str, list[tuple[int, float, str]]] = {}
    for r in rows:
        if r["trace_start_time"]:
            start = ns_from_iso(r["trace_start_time"])
            end = start + int(r["trace_npts"]) / float(r["trace_sampling_rate_hz"]) * NS_PER_S
            key = f"{r['station_network_code']}.{r['station_code']}"
            spans.setdefault(key, []).append((start, end, r["split"] + r["fold"]))
    overlaps = 0
    for parts in spans.values():
        parts.sort()
        for i, (_, end, side) in enumerate(parts):
            for start, _, other in parts[i + 1 :]:
                if start >= end:
                    break
                overlaps += 1
                assert side == other
    assert overlaps > 50  # Ridgecrest is a swarm, so overlaps exist


def test_arrays_are_complete_and_use_the_smallest_type(datasets: Path, rows: list[dict[str, str]]) -> None:
    with h5py.File(datasets / "waveforms.hdf5") as file:
        assert set(file["data"]) == {r["trace_name"] for r in rows}
        for r in rows[::40]:
            x = file["data"][r["trace_name"]]
            assert x.shape == (len(r["trace_component_order"]), int(r["trace_npts"]))
            whole = np.array_equal(x[()], np.round(x[()]))
            assert (x.dtype.kind == "i") == whole


def test_exact_samples_of_a_record(datasets: Path) -> None:
    with h5py.File(datasets / "waveforms.hdf5") as file:
        x = file["data/ridgecrest_01510"]
        assert x.dtype == np.int16
        assert x[:, :4].tolist() == [[148, 155, 164, 174], [-510, -513, -507, -483], [-3876, -3896, -3899, -3904]]

"""Rules for raw samples, on real records that hold what they look for, and on all those that do not."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from seisedge.runtime.detection.soundness import Unsound, clipped, repaired, unsound

WAVEFORMS = Path(__file__).parents[3] / "datasets" / "waveforms.hdf5"

# Of the 1794 records; most were plotted and looked at: bursts of analogue telemetry, electronic glitches, 12-bit rails,
# padding.
SPIKES = {
    "pnw": {9, 88, 149, 150, 238, 290, 291, 461, 475, 605, 609, 625, 700},
    "esec": {1182, 1485},
    "phasenet_ncedc": {1677},
}
STEPS = {"esec": {1182}, "phasenet_ncedc": {1686, 1696, 1721, 1731}}


def _record(name: str) -> np.ndarray:
    with h5py.File(WAVEFORMS) as file:
        return np.atleast_2d(file["data"][name][()]).astype(np.float64)


def _look(x: np.ndarray, rate_hz: float = 100.0) -> Unsound:
    return unsound(x, np.isfinite(x), rate_hz)


def test_real_spikes() -> None:
    """Three of analogue telemetry, one of a single sample on a trace of one count."""
    (x,) = _record("pnw_00150")
    assert _look(x[1400:1800]).spikes == [(193, 196)]
    (x,) = _record("pnw_00605")
    assert _look(x[6800:7100]).spikes == [(146, 147)]
    assert x[6946] == 967 and set(x[6900:6946]) == {974, 975, 976}


def test_a_repaired_spike_leaves_the_noise() -> None:
    (x,) = _record("pnw_00150")
    part = x[1400:1800]
    assert np.ptp(repaired(part, _look(part))) < 0.25 * np.ptp(part)


def test_a_real_step() -> None:
    x = _record("phasenet_ncedc_01721")[0]
    found = _look(x[7500:7800])
    assert found.steps == [(147, 159)] and not found.spikes
    assert found.flats == [(153, 300)]
    level = repaired(x[7500:7800], found)
    assert abs(level[200:].mean() - level[:100].mean()) < 0.01 * np.ptp(x[7500:7800])


@pytest.mark.parametrize("name", ["pnw_00013", "pnw_00016", "pnw_00154", "pnw_00166", "pnw_00228", "pnw_00408"])
def test_real_clipping(name: str) -> None:
    (x,) = _record(name)
    found = _look(x)
    assert found.rails is not None and clipped([found.rails])
    assert found.rails.top in (2047.0, 3582.0, 3583.0)


def test_a_smooth_crest_is_not_clipped() -> None:
    t = np.arange(3000) / 100
    found = _look(np.round(3000 * np.sin(2 * np.pi * 0.1 * t)))  # holds its extremes for many samples
    assert found.rails is not None and not clipped([found.rails])


def test_a_gap_is_not_an_extreme() -> None:
    x = np.random.default_rng(0).normal(0, 100, 1000).round()
    x[400:500] = np.nan
    assert _look(x) == _look(x) and not _look(x).flats and not _look(x).spikes


def test_a_trace_of_one_count_has_no_spikes() -> None:
    x = (np.random.default_rng(1).random(3000) < 0.02).astype(np.float64)
    assert not _look(x).spikes and not _look(x).steps


@pytest.mark.parametrize("first", [0, 5, pytest.param(None, marks=pytest.mark.long)])
def test_nothing_is_found_in_other_real_records(first: int | None) -> None:
    """Every tenth record of the training set (in the long run every one): earthquakes, blasts, mass movements."""
    with (WAVEFORMS.parent / "metadata.csv").open() as table:
        rates = {row["trace_name"]: float(row["trace_sampling_rate_hz"]) for row in csv.DictReader(table)}
    with h5py.File(WAVEFORMS) as file:
        names = sorted(file["data"])[first :: 10 if first is not None else 1]
        assert len(names) >= 179
        for name in names:
            subset, number = name.rsplit("_", 1)
            for row in np.atleast_2d(file["data"][name][()]).astype(np.float64):
                found = _look(row, rates[name])
                assert not found.spikes or int(number) in SPIKES.get(subset, ()), name
                assert not found.steps or int(number) in STEPS.get(subset, ()), name

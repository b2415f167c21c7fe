"""Records with picks for the benchmarks of detectors: which are unseen, and what follows their end."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.records import AFTER_S, GUARD_S, pick_groups
from seisedge.train.dataset.event_hashes import event_hash


def test_events_of_the_training_are_left_out(datasets: Path) -> None:
    groups = pick_groups([datasets])
    ncedc = groups["phasenet_ncedc"]
    assert {r.split for group in groups.values() for r in group} == {"test"}
    assert len(ncedc) == 24
    trained = {event_hash(r.key) for r in ncedc[:5]}
    assert [r.name for r in pick_groups([datasets], trained)["phasenet_ncedc"]] == [r.name for r in ncedc[5:]]


def test_a_record_that_ends_early_goes_on_with_its_own_noise(datasets: Path) -> None:
    whole = pick_groups([datasets])["phasenet_ncedc"][0]
    first, last = min(t for _, t in whole.picks), max(t for _, t in whole.picks)
    assert whole.continued() is whole
    end = round((last + 3.0) * whole.rate_hz)
    short = dataclasses.replace(whole, waveform=whole.waveform[:, :end])
    longer = short.continued()
    assert longer.length_s == pytest.approx(short.length_s + AFTER_S)
    assert np.array_equal(longer.waveform[:, :end], short.waveform)
    assert longer.picks == short.picks
    quiet = short.waveform[0, : round((first - GUARD_S) * whole.rate_hz)]
    added = longer.waveform[0, end:]
    assert added.std() < 3 * quiet.std() and added.std() > 0
    assert added.mean() == pytest.approx(quiet.mean(), abs=3 * float(quiet.std()))

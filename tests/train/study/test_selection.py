"""Selections of records: whole events, shuffled labels, a source or ten records of each bin held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.train.study.sets import make_types

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.study.rows import read_items, write_items
from seisedge.train.study.selection import Few, bin_of, leaking_events, selected
from seisedge.train.study.table import Selection


def test_shuffled_labels_are_those_of_other_events_and_stay_in_an_event(tmp_path: Path) -> None:
    data = make_types(tmp_path / "made")
    items = read_items([data])
    out = selected(items, Selection(), True, None)
    labels = {i.event: (i.get("source_class"), i.get("source_magnitude"), i.get("subset")) for i in out}
    assert all(labels[i.event] == (i.kind, i.get("source_magnitude"), i.get("subset")) for i in out)
    before = {i.event: (i.kind, i.get("source_magnitude"), i.get("subset")) for i in items}
    assert Counter(labels.values()) == Counter(before.values())
    changed = sum(labels[e][0] != before[e][0] for e in before)
    assert 12 <= changed <= 28  # of 40
    folders = write_items(out, [data], tmp_path / "out")
    records = load_archive(folders, 40.0, 15.0).records
    assert {r.event: r.kind for r in records} == {e: kind for e, (kind, _, _) in labels.items()}


def test_a_copy_by_record_divides_events_and_is_recognised(tmp_path: Path) -> None:
    data = make_types(tmp_path / "made")
    items = selected(read_items([data]), Selection(split="record"), False, None)
    folders = write_items(items, [data], tmp_path / "out")
    side = {r.name: r.split for r in load_archive(folders, 40.0, 15.0).records}
    assert len(leaking_events(items, side.__getitem__)) > 10
    side = {r.name: r.split for r in load_archive([data], 40.0, 15.0).records}
    assert leaking_events(items, side.__getitem__) == []


def test_a_source_is_held_out(tmp_path: Path) -> None:
    items = selected(read_items([make_types(tmp_path / "made")]), Selection(test_source="made1"), False, None)
    assert {(i.get("subset"), i.get("split")) for i in items} == {("made0", "train"), ("made1", "test")}


def test_bins_are_held_out_in_whole_events(tmp_path: Path) -> None:
    assert [bin_of(m) for m in (0.0, 0.01, 0.1, 0.11, 0.95, 1.0, 3.0, 3.01)] == [None, 1, 1, 2, 10, 10, 30, None]
    data = make_types(tmp_path / "made", events=60)  # magnitudes from 0.05 in steps of 0.07
    items = read_items([data])
    with pytest.raises(InputError, match=r"needs 3 records of each bin .* the data have 2 for \(0\.0, 0\.1\]"):
        selected(items, Selection(test_per_bin=3), False, None)
    out = selected(items, Selection(test_per_bin=2), False, None)
    held = Counter(bin_of(i.magnitude or 0) for i in out if i.get("split") == "test")
    assert held == Counter(dict.fromkeys(range(1, 31), 2))


def test_a_small_part_is_whole_events_of_both_classes(tmp_path: Path) -> None:
    out = selected(read_items([make_types(tmp_path / "made")]), Selection(), False, Few(train=10, test=4))
    assert Counter(i.kind for i in out) == {"tectonic": 10, "blast": 10}
    assert set(Counter(i.event for i in out).values()) == {2}

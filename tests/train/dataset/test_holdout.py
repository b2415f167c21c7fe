"""Training and test data of each rule, for records with a known result; columns with leaks raise an error."""

from __future__ import annotations

import dataclasses

import pytest

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.dataset.holdout import GIVEN, WHOLE, Place, hold_out, leaks, settle
from seisedge.train.dataset.split import N_FOLDS, RULE

N_TEST = 408  # of the bundled records that carry the band


def places(n_events: int = 60, n_stations: int = 10) -> list[Place]:
    """Every event at every station, one event a day, in ten cells of a degree."""
    start_ns, day_ns = ns_from_iso("2015-01-01"), 86_400 * 10**9
    return [
        Place(f"e{i}", f"e{i}", "tectonic/x", f"XX.S{j}", start_ns + i * day_ns, 30.5 + i % 10, 10.5)
        for i in range(n_events)
        for j in range(n_stations)
    ]


@pytest.mark.parametrize("rule", ["event", "time", "time:2015-02-01", "station", "region", "region:30,10,32,11"])
def test_no_rule_leaks(rule: str) -> None:
    all_places = places()
    sides = hold_out(rule, all_places)
    assert leaks(all_places, sides.side) == []
    assert {s for s in sides.side if s} == {"train", "test"}
    assert {f for f, s in zip(sides.fold, sides.side, strict=True) if s == "train"} == set(range(N_FOLDS))
    assert {f for f, s in zip(sides.fold, sides.side, strict=True) if s != "train"} <= {-1}
    by_fold = [s and f"{s}{f}" for s, f in zip(sides.side, sides.fold, strict=True)]
    assert leaks(all_places, by_fold) == []


def test_time_holds_out_the_latest_fifth() -> None:
    all_places = places()
    sides = hold_out("time", all_places)
    tests = {p.event for p, s in zip(all_places, sides.side, strict=True) if s == "test"}
    assert tests == {f"e{i}" for i in range(48, 60)}
    dated = hold_out("time:2015-02-01", all_places)
    assert {p.event for p, s in zip(all_places, dated.side, strict=True) if s == "test"} == {
        f"e{i}" for i in range(31, 60)
    }
    assert "2015-02-01" in dated.rule


def test_station_holds_out_stations_and_their_events() -> None:
    all_places = places()
    sides = hold_out("station", all_places)
    by_side = {
        side: {p.station for p, s in zip(all_places, sides.side, strict=True) if s == side}
        for side in ("train", "test")
    }
    assert len(by_side["test"]) == 2
    assert not by_side["test"] & by_side["train"]
    assert sides.side.count("test") == 2 * 12
    assert sides.side.count("train") == 8 * 48


def test_region_holds_out_whole_cells() -> None:
    all_places = places()
    for rule, count in (("region", 2), ("region:30,10,32,11", 2)):
        sides = hold_out(rule, all_places)
        cells = {p.latitude_deg for p, s in zip(all_places, sides.side, strict=True) if s == "test"}
        assert len(cells) == count
        assert not cells & {p.latitude_deg for p, s in zip(all_places, sides.side, strict=True) if s == "train"}


def test_groups_stay_together_and_events_of_unknown_time_or_place_are_left_out() -> None:
    all_places = places()
    joined = [dataclasses.replace(p, group="g") if p.event in ("e47", "e48") else p for p in all_places]
    sides = hold_out("time", joined)
    assert leaks(joined, sides.side) == []
    assert {s for p, s in zip(joined, sides.side, strict=True) if p.group == "g"} == {""}  # before and after the limit
    dated = hold_out("time:2015-02-16", joined)
    assert {s for p, s in zip(joined, dated.side, strict=True) if p.group == "g"} == {"test"}
    unplaced = [dataclasses.replace(p, time_ns=None, latitude_deg=None) if p.event == "e3" else p for p in all_places]
    for rule in ("time", "region"):
        sides = hold_out(rule, unplaced)
        assert {p.event for p, s in zip(unplaced, sides.side, strict=True) if not s} == {"e3"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("evnt", "split 'evnt': must be event, time"),
        ("event:3", "must be event, time"),
        ("time:soon", "must be a date"),
        ("time:2030-01-01", "leaves no record for test"),
        ("region:1,2,3", "must be SOUTH,WEST,NORTH,EAST"),
        ("region:32,10,30,11", "must be SOUTH,WEST,NORTH,EAST"),
        ("region:80,10,82,11", "leaves no record for test"),
    ],
)
def test_bad_rules(rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hold_out(rule, places())


def test_events_in_one_cell_need_a_box() -> None:
    here = [dataclasses.replace(p, latitude_deg=35.2, longitude_deg=-117.6) for p in places()]
    with pytest.raises(InputError, match="all events lie in one cell"):
        hold_out("region", here)


def test_two_cells_are_enough() -> None:
    two = [dataclasses.replace(p, latitude_deg=30.5 + (k // 10) % 2) for k, p in enumerate(places())]
    sides = hold_out("region", two)
    assert {s for p, s in zip(two, sides.side, strict=True) if p.latitude_deg == 30.5} != set(sides.side)
    assert set(sides.side) == {"test", "train"} and leaks(two, sides.side) == []


def test_all_records_as_test_data_have_no_fold() -> None:
    sides = settle(places(3, 2), ["train"] * 6, ["0"] * 6, WHOLE, "here")
    assert (sides.side, sides.fold) == (["test"] * 6, [-1] * 6)


def test_the_bundled_columns_are_kept(archive: Archive) -> None:
    assert archive.split_rule == RULE
    assert len(archive.indices(split="test")) == N_TEST


def test_columns_that_leak_raise_an_error() -> None:
    all_places = places(10, 2)
    side = ["test" if p.event == "e1" else "train" for p in all_places]
    fold = ["" for _ in all_places]
    assert settle(all_places, side, fold, "", "here").rule == GIVEN
    side[2] = "train"  # e1 at one of its stations
    with pytest.raises(InputError, match=r"here: column split has event e1 in two parts \(1 such"):
        settle(all_places, side, fold, "", "here")
    joined = [dataclasses.replace(p, group="g") if p.event in ("e1", "e2") else p for p in all_places]
    side[2] = "test"
    with pytest.raises(InputError, match="event g in two parts"):
        settle(joined, side, fold, "", "here")
    assert settle(joined, side, fold, "event", "here").rule == RULE


def test_dev_becomes_the_fold_for_calibration() -> None:
    all_places = places(30, 1)
    split = ["dev" if i < 4 else "test" if i < 10 else "train" for i in range(30)]
    sides = settle(all_places, split, [""] * 30, "", "here")
    assert sides.side == ["train"] * 4 + ["test"] * 6 + ["train"] * 20
    assert [i for i, f in enumerate(sides.fold) if f == 0] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="got 'holdout'"):
        settle(all_places, ["holdout"] * 30, [""] * 30, "", "here")


def test_records_without_a_side_follow_their_group() -> None:
    all_places = places(20, 2)
    split = ["test" if p.event == "e5" and p.station == "XX.S0" else "" for p in all_places]
    sides = settle(all_places, split, [""] * 40, "", "here")
    assert {s for p, s in zip(all_places, sides.side, strict=True) if p.event == "e5"} == {"test"}
    assert leaks(all_places, sides.side) == []
    assert "train" in sides.side


def test_a_box_includes_its_edges_and_may_cross_the_date_line() -> None:
    longitudes = [178.0, 179.0, 180.0, -179.0, -178.0, 0.0]
    across = [Place(f"e{i}", f"e{i}", "s", "XX.S", None, -17.0, longitude) for i, longitude in enumerate(longitudes)]
    sides = hold_out("region:-18,179,-16,-179", across)
    assert sides.side == ["train", "test", "test", "test", "train", "train"]
    along = [dataclasses.replace(across[1], event=f"e{i}", group=f"e{i}", latitude_deg=-19.0 + i) for i in range(5)]
    assert hold_out("region:-18,179,-16,-179", along).side == ["train", "test", "test", "test", "train"]


def test_an_event_at_the_limit_of_time_is_test() -> None:
    all_places = places(10, 1)
    assert hold_out("time:2015-01-09", all_places).side == ["train"] * 8 + ["test"] * 2
    assert hold_out("time", all_places).side == ["train"] * 8 + ["test"] * 2


def test_only_training_records_have_a_fold_and_dev_is_fold_0() -> None:
    all_places = places(30, 1)
    split = ["dev" if i < 4 else "test" if i < 10 else "train" for i in range(30)]
    sides = settle(all_places, split, [""] * 30, "", "here")
    assert sides.fold[:10] == [0] * 4 + [-1] * 6
    assert set(sides.fold[10:]) == {1, 2, 3, 4}
    given = [str(i % 3) if s == "train" else "" for i, s in enumerate(split)]
    kept = settle(all_places, [s if s != "dev" else "test" for s in split], given, "", "here")
    assert kept.fold == [-1] * 10 + [i % 3 for i in range(10, 30)]

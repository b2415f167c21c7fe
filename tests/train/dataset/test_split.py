"""The split by event: groups of overlapping records, and their assignment to test data and folds."""

from __future__ import annotations

import hashlib

import pytest

from seisedge.train.dataset.split import assign_split, group_overlapping, join_groups


def in_hash_order(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"seisedge-1:{name}".encode()).hexdigest())


def test_overlap_joins_events_of_one_station_only() -> None:
    groups = group_overlapping(["a", "b", "c", "d"], ["X.1", "X.1", "X.1", "X.2"], [0, 50, 100, 0], [60, 90, 160, 60])
    assert groups == ["a", "a", "c", "d"]


def test_a_long_record_overlaps_across_a_short_one() -> None:
    groups = group_overlapping(["a", "b", "c"], ["X.1"] * 3, [0, 10, 50], [100, 20, 60])
    assert len(set(groups)) == 1


def test_overlap_is_transitive_over_stations() -> None:
    groups = group_overlapping(["a", "b", "b", "c"], ["X.1", "X.1", "X.2", "X.2"], [0, 5, 0, 5], [10, 15, 10, 15])
    assert len(set(groups)) == 1


def test_records_of_unknown_time_do_not_overlap() -> None:
    assert group_overlapping(["a", "b"], ["X.1"] * 2, [0, 0], [0, 0]) == ["a", "b"]


def test_adjacent_and_empty_records_do_not_overlap() -> None:
    assert group_overlapping(["a", "b"], ["X.1"] * 2, [0, 50], [50, 100]) == ["a", "b"]
    assert group_overlapping(["a", "b"], ["X.1"] * 2, [0, 50], [100, 50]) == ["a", "b"]
    assert group_overlapping(["a", "b"], ["X.1"] * 2, [0, 49], [50, 100]) == ["a", "a"]


def test_lists_of_different_length_raise_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        group_overlapping(["a", "b"], ["X.1"] * 2, [0, 0], [9])
    with pytest.raises(ValueError, match="shorter"):
        join_groups(["a", "b"], ["x"])
    with pytest.raises(ValueError, match="shorter"):
        assign_split(["a", "b"], ["s"])


def test_the_first_fifth_in_hash_order_is_test_and_the_rest_five_folds_in_turn() -> None:
    names = [f"e{i}" for i in range(12)]
    order = in_hash_order(names)
    assert order != names
    groups = [name for name in names for _ in range(3)]
    sides, folds = assign_split(groups, ["s"] * 36)
    expected = dict.fromkeys(order[:2], ("test", -1))
    expected |= {name: ("train", i % 5) for i, name in enumerate(order[2:])}
    assert list(zip(sides, folds, strict=True)) == [expected[group] for group in groups]
    assert assign_split(groups[::-1], ["s"] * 36) == (sides[::-1], folds[::-1])


def test_a_group_in_two_strata_belongs_to_the_first() -> None:
    names = [f"e{i}" for i in range(20)]
    shared = in_hash_order(names[10:])[0]  # test data of the second stratum, unless it belongs to the first
    first, second = ["a"] * 10, ["b"] * 10
    alone, _ = assign_split([*names[:10], shared], [*first, "a"])
    for extra in ([shared], [shared, shared]):
        sides, _ = assign_split([*names, *extra], [*first, *second, *(["a"] * len(extra))])
        assert sides[:10] == alone[:10]
        assert sides[names.index(shared)] == alone[10] == sides[-1]
    rest = [name for name in names[10:] if name != shared]
    assert [sides[names.index(name)] for name in rest] == assign_split(rest, ["b"] * 9)[0]


def test_another_stratum_does_not_change_the_split() -> None:
    groups = [f"e{i}" for i in range(50)]
    before, _ = assign_split(groups, ["s"] * 50)
    after, _ = assign_split([*groups, "x", "y"], ["s"] * 50 + ["t"] * 2)
    assert after[:50] == before


def test_groups_are_joined_by_either_name() -> None:
    joined = join_groups(["a", "b", "c", "d"], ["x", "x", "y", "z"])
    assert joined[0] == joined[1]
    assert len(set(joined)) == 3
    assert len(set(join_groups(["a", "a", "b", "b"], ["x", "y", "y", "z"]))) == 1
    assert join_groups(["a", "x"], ["x", "q"]) == ["a", "x"]  # equal names in the two lists are unrelated

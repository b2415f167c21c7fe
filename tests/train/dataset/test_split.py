from __future__ import annotations

from seisedge.train.dataset.split import N_FOLDS, TEST_SHARE, assign_split, group_overlapping, join_groups


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


def test_split_shares_and_folds() -> None:
    groups = [f"e{i}" for i in range(100) for _ in range(3)]
    sides, folds = assign_split(groups, ["s"] * 300)
    assert sides.count("test") == round(300 * TEST_SHARE)
    assert sorted(set(folds)) == [-1, *range(N_FOLDS)]
    side_of = dict(zip(groups, sides, strict=True))
    assert all(side_of[g] == s for g, s in zip(groups, sides, strict=True))


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

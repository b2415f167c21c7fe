"""Split by event: all records of an event, and those that overlap it in time at a station, are on the same side.

The rule is a hash and needs no state: within a stratum (class and source) the groups are sorted by the SHA-256 of a
salt and their name; the first fifth is `test`, the others are assigned to folds in turn. Adding events to one stratum
does not change the split of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

SALT = "seisedge-1"
TEST_SHARE = 0.2
N_FOLDS = 5

RULE = (
    f"by event (and by whatever overlaps it at a station), within class and source in the order of "
    f"SHA-256('{SALT}:' + group): the first {TEST_SHARE:.0%} are test, the rest {N_FOLDS} folds in turn"
)


def group_overlapping(
    events: Sequence[str], stations: Sequence[str], starts_ns: Sequence[int], ends_ns: Sequence[int]
) -> list[str]:
    """The group name of each record: records of one event, and of events that share samples, have the same name.

    starts_ns, ends_ns: time span of each record; a record of unknown time has start >= end and overlaps no other.
    """
    parent = {event: event for event in events}

    def root(event: str) -> str:
        while parent[event] != event:
            parent[event] = parent[parent[event]]
            event = parent[event]
        return event

    spans = sorted(
        (station, start, end, event)
        for station, start, end, event in zip(stations, starts_ns, ends_ns, events, strict=True)
        if end > start
    )
    reach: tuple[str, int, str] | None = None  # station, latest end so far, its event
    for station, start, end, event in spans:
        if reach is not None and reach[0] == station and start < reach[1]:
            first, second = sorted((root(event), root(reach[2])))
            parent[second] = first
            if end <= reach[1]:
                continue
        reach = (station, end, event)
    return [root(event) for event in events]


def join_groups(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """A name for each record: the same if records have `first` or `second` in common, directly or through others."""
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def root(node: tuple[int, str]) -> tuple[int, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in zip(first, second, strict=True):
        low, high = sorted((root((0, a)), root((1, b))))
        parent[high] = low
    return [root((0, a))[1] for a in first]


def join_pairs(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """The groups, in which the groups of each pair of records (indices) are one."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for a, b in pairs:
        low, high = sorted((root(groups[a]), root(groups[b])))
        parent[high] = low
    return [root(group) for group in groups]


def assign_split(groups: Sequence[str], strata: Sequence[str]) -> tuple[list[str], list[int]]:
    """For each record `train` or `test`, and the fold (0 to N_FOLDS - 1; -1 for test).

    A group with records in several strata belongs to the alphabetically first of them.
    """
    home: dict[str, str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        home[group] = min(home.get(group, stratum), stratum)
    side: dict[str, tuple[str, int]] = {}
    for stratum in sorted(set(home.values())):
        members = [group for group in home if home[group] == stratum]
        members.sort(key=lambda group: hashlib.sha256(f"{SALT}:{group}".encode()).hexdigest())
        n_test = round(TEST_SHARE * len(members))
        for i, group in enumerate(members):
            side[group] = ("test", -1) if i < n_test else ("train", (i - n_test) % N_FOLDS)
    return [side[group][0] for group in groups], [side[group][1] for group in groups]

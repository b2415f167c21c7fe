"""Which records a row of a study uses, and on which side of the split: a changed copy of metadata.csv.

The copies are ordinary data folders, so that `seisedge train` and `seisedge evaluate` accept them, too.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seisedge.runtime.errors import InputError
from seisedge.train.dataset.columns import ALIASES
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND
from seisedge.train.study.rows import Item
from seisedge.train.study.table import Selection

N_BINS = 30  # of 0.1 magnitudes, (0.0, 0.1] to (2.9, 3.0]
SHUFFLED = ("subset", "source_class", "source_type", "source_magnitude", "source_magnitude_type")


@dataclass(frozen=True, slots=True)
class Few:
    """A small part of the data, for --smoke: at most this many records of each kind on each side, as whole events."""

    train: int = 16
    test: int = 4


def selected(
    items: Sequence[Item],
    selection: Selection,
    shuffle: bool,
    few: Few | None,
    useful: Callable[[Sequence[Item]], Sequence[Item]] = lambda items: items,
) -> list[Item]:
    """The items of a row, with changed columns. useful: those among which `few` chooses. Raises InputError."""
    out = [Item(i.folder, i.row, i.kind, i.event, i.group) for i in items]
    if shuffle:
        shuffle_labels(out)
    if selection.split == "record":
        split_by_record(out)
    if selection.test_source:
        out = hold_out_source(out, selection.test_source)
    if selection.test_per_bin:
        hold_out_bins(out, selection.test_per_bin if few is None else 1, strict=few is None)
    return out if few is None else some_of(useful(out), few)


def by_hash(names: set[str], salt: str) -> list[str]:
    """The names in the order of a hash."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).hexdigest())


def shuffle_labels(items: list[Item]) -> None:
    """Give each event the labels (type, source and magnitude) of another one: nothing can be learnt from them."""
    events: dict[str, Item] = {}
    for item in items:
        if item.kind != "noise":
            events.setdefault(item.event, item)
    givers = list(events.values())
    random.Random(1).shuffle(givers)
    giver = dict(zip(events, givers, strict=True))
    for item in items:
        if item.event not in giver or item.kind == "noise":
            continue
        other = giver[item.event]
        values = {key: other.row.get(key, "") for key in SHUFFLED}
        item.changed |= dict.fromkeys(ALIASES["source_magnitude"], "") | values | {"source_class": other.kind}
    for item in items:
        item.kind = item.changed.get("source_class", item.kind)


def split_by_record(items: list[Item]) -> None:
    """Make each record an event of its own, so that the rule `event` divides the records of an event."""
    blank = dict.fromkeys((*ALIASES["source_id"], "source_group", "source_origin_time", "split", "fold"), "")
    for item in items:
        item.changed |= blank | {"source_id": item.row["trace_name"]}


def hold_out_source(items: Sequence[Item], source: str) -> list[Item]:
    """The records of a source are the test side; other records of groups that it recorded are removed."""
    held = {item.group for item in items if item.get("subset") == source}
    out = [item for item in items if item.get("subset") == source or item.group not in held]
    for item in out:
        item.changed |= {"split": "test" if item.get("subset") == source else "train", "fold": ""}
    return out


def bin_of(magnitude: float) -> int | None:
    """Number of the bin, 1 to 30; None outside. Bin k is ((k - 1) / 10, k / 10]."""
    k = math.ceil(round(10 * magnitude, 6))
    return k if 1 <= k <= N_BINS else None


def hold_out_bins(items: Sequence[Item], per_bin: int, strict: bool) -> None:
    """Put whole groups with `per_bin` records of each bin on the test side, all others on the training side.

    strict: raises InputError if a bin has too few records; else a bin has what there is.
    """
    of_group: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        of_group[item.group].append(item)
    count = [0] * (N_BINS + 1)
    held = set()
    for group in by_hash(set(of_group), "bins"):
        bins = [bin_of(i.magnitude) for i in of_group[group] if i.kind != "noise" and i.magnitude is not None]
        used = [k for k in bins if k is not None]
        if used and all(count[k] < per_bin for k in used):
            held.add(group)
            for k in used:
                count[k] += 1
    least = min(range(1, N_BINS + 1), key=lambda k: count[k])
    if strict and count[least] < per_bin:
        raise InputError(
            f"needs {per_bin} records of each bin of 0.1 magnitudes from 0 to 3, in whole events; the data have "
            f"{count[least]} for ({(least - 1) / 10:.1f}, {least / 10:.1f}]"
            + ("; --scale lowers the number" if count[least] else "")
        )
    for item in items:
        item.changed |= {"split": "test" if item.group in held else "train", "fold": ""}


def some_of(items: Sequence[Item], few: Few) -> list[Item]:
    """Whole groups with about the wanted number of records of each kind and side."""
    of_group: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        of_group[item.group].append(item)
    taken: dict[tuple[str, bool], int] = defaultdict(int)
    kept = set()
    for group in by_hash(set(of_group), "few"):
        first = of_group[group][0]
        key = (LABEL_OF_KIND.get(first.kind, ""), first.get("split") == "test")
        if key[0] and taken[key] < (few.test if key[1] else few.train):
            kept.add(group)
            taken[key] += len(of_group[group])
    out = [item for item in items if item.group in kept]
    for item in out:
        item.changed["fold"] = ""  # dealt anew, so that a part is held out for the calibration
    return out


def leaking_events(items: Sequence[Item], side_of: Callable[[str], str]) -> list[str]:
    """Events, by their names in the data, with records on two sides. side_of: name of a record → its side, '' if it is
    not used.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if side := side_of(item.row["trace_name"]):
            sides[item.group].add(side)
    return sorted(group for group, found in sides.items() if len(found) > 1)

"""Other ways to hold events out than by chance: the latest, those at other stations, those of another region.

Each answers another question about a model: will it serve next year, a new station, a place it has not seen? All
keep the records of a group (an event, and what overlaps it at a station) on one side; what cannot be kept so is
left out, on no side. Within the training side the folds are by group, in the order of a hash, as in `split`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.train.dataset.split import N_FOLDS, RULE, SALT, TEST_SHARE, assign_split

CELL_DEG = 1.0
NOWHERE = ""  # the side of a record that is left out
WHOLE = "whole"  # no rule to train by: data that are only asked about are all on the test side
KNOWN = "event, time, time:DATE, station, region or region:SOUTH,WEST,NORTH,EAST"


@dataclass(frozen=True, slots=True)
class Place:
    """What a rule may look at of a record. The position is that of the source, for noise that of the station."""

    event: str
    group: str
    stratum: str
    station: str
    time_ns: int | None
    latitude_deg: float | None
    longitude_deg: float | None


@dataclass(frozen=True, slots=True)
class Sides:
    """Per record 'train', 'test' or NOWHERE, and its fold (-1 where not train); the rule in words."""

    side: list[str]
    fold: list[int]
    rule: str


def hold_out(rule: str, places: Sequence[Place]) -> Sides:
    """Apply a rule by name. Raises InputError where it is unknown, cannot be applied or leaves a side empty."""
    check_rule(rule)
    name, _, argument = rule.partition(":")
    sides = RULES[name](places, argument)
    for side in ("train", "test"):
        if side not in sides.side:
            raise InputError(f"split '{rule}' leaves no record for {side}; choose another of {KNOWN}")
    return sides


def check_rule(rule: str) -> None:
    """Raise InputError where a rule is unknown or its date or box cannot be read."""
    name, _, argument = rule.partition(":")
    if name not in RULES or (argument and name not in ("time", "region")):
        raise InputError(f"split '{rule}': must be {KNOWN}")
    if argument and name == "region":
        _box(argument)
    elif argument:
        _date(argument)


def leaks(places: Sequence[Place], side: Sequence[str]) -> list[str]:
    """Events, or groups of events that share samples, with records on more than one side; sorted."""
    seen: dict[tuple[str, str], set[str]] = {}
    for place, where in zip(places, side, strict=True):
        if where:
            seen.setdefault(("event", place.event), set()).add(where)
            seen.setdefault(("group", place.group), set()).add(where)
    return sorted({name for (_, name), sides in seen.items() if len(sides) > 1})


def folds_of(places: Sequence[Place], side: Sequence[str]) -> list[int]:
    """Folds of the training side, dealt to groups in the order of a hash."""
    groups = sorted({p.group for p, where in zip(places, side, strict=True) if where == "train"}, key=_hash)
    fold = {group: i % N_FOLDS for i, group in enumerate(groups)}
    return [fold[p.group] if where == "train" else -1 for p, where in zip(places, side, strict=True)]


def _hash(name: str) -> str:
    return hashlib.sha256(f"{SALT}:{name}".encode()).hexdigest()


def _by_event(places: Sequence[Place], _: str) -> Sides:
    side, fold = assign_split([p.group for p in places], [p.stratum for p in places])
    return Sides(side, fold, RULE)


def _by_time(places: Sequence[Place], date: str) -> Sides:
    """A group of which no time is known is on no side."""
    latest: dict[str, int] = {}
    earliest: dict[str, int] = {}
    for place in places:
        if place.time_ns is not None:
            latest[place.group] = max(latest.get(place.group, place.time_ns), place.time_ns)
            earliest[place.group] = min(earliest.get(place.group, place.time_ns), place.time_ns)
    if not latest:
        raise InputError("split 'time': no record has a source_origin_time or trace_start_time")
    if date:
        border_ns = _date(date)
    else:
        order = sorted(latest.values())
        border_ns = order[-max(round(TEST_SHARE * len(order)), 1)]
    where = {
        group: "test" if earliest[group] >= border_ns else "train" if latest[group] < border_ns else NOWHERE
        for group in latest
    }
    side = [where.get(place.group, NOWHERE) for place in places]
    return Sides(side, folds_of(places, side), f"by time: events from {iso_from_ns(border_ns)} on are test")


def _date(text: str) -> int:
    try:
        return ns_from_iso(text)
    except ValueError:
        raise InputError(f"split 'time:{text}': must be a date, as in time:2017-01-01") from None


def _by_station(places: Sequence[Place], _: str) -> Sides:
    """A station's records alone would leak: its neighbours saw the same events. So both are divided, a fifth of
    the stations and a fifth of the events, and a record counts where its station and its event agree.
    """
    stations, groups = _fifth({p.station for p in places}), _fifth({p.group for p in places})
    side = [
        NOWHERE if (p.station in stations) != (p.group in groups) else "test" if p.group in groups else "train"
        for p in places
    ]
    rule = f"by station: {len(stations)} stations held out, and no event of theirs in training"
    return Sides(side, folds_of(places, side), rule)


def _fifth(names: set[str]) -> set[str]:
    order = sorted(names, key=_hash)
    return set(order[: max(round(TEST_SHARE * len(order)), 1)])


def _by_region(places: Sequence[Place], box: str) -> Sides:
    """A group of which no place is known is on no side."""
    home: dict[str, tuple[float, float]] = {}
    for p in places:
        if p.latitude_deg is not None and p.longitude_deg is not None:
            home.setdefault(p.group, (p.latitude_deg, p.longitude_deg))
    if not home:
        raise InputError("split 'region': no record has source_latitude_deg and source_longitude_deg")
    if box:
        south, west, north, east = _box(box)
        held = {g for g, (lat, lon) in home.items() if south <= lat <= north and _east_of(west, lon, east)}
        rule = f"by region: events within {south:g} to {north:g} N, {west:g} to {east:g} E are test"
    else:
        cell = {g: f"{math.floor(lat / CELL_DEG)},{math.floor(lon / CELL_DEG)}" for g, (lat, lon) in home.items()}
        held, wanted = set(), TEST_SHARE * len(home)
        names = sorted(set(cell.values()), key=_hash)
        if len(names) < 2:
            raise InputError(
                f"split 'region': all events lie in one cell of {CELL_DEG:g} degree; give the box to hold out, "
                "as in region:35,-118,36,-117 (south, west, north, east)"
            )
        for name in names[:-1]:
            members = {g for g in home if cell[g] == name}
            if not held or abs(len(held) + len(members) - wanted) < abs(len(held) - wanted):
                held |= members
        rule = f"by region: cells of {CELL_DEG:g} degree, in the order of a hash until {TEST_SHARE:.0%} are test"
    side = ["test" if p.group in held else "train" if p.group in home else NOWHERE for p in places]
    return Sides(side, folds_of(places, side), rule)


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        south, west, north, east = (float(part) for part in text.split(","))
    except ValueError:
        south, west, north, east = 1.0, 0.0, 0.0, 0.0
    if not -90 <= south < north <= 90:
        raise InputError(f"split 'region:{text}': must be SOUTH,WEST,NORTH,EAST in degrees, as in 35,-118,36,-117")
    return south, west, north, east


def _east_of(west: float, longitude: float, east: float) -> bool:
    """Within the box, which may cross the date line."""
    return (longitude - west) % 360 <= (east - west) % 360


Rule = Callable[[Sequence[Place], str], Sides]
RULES: dict[str, Rule] = {"event": _by_event, "time": _by_time, "station": _by_station, "region": _by_region}


# What data sets call the part that a model is tuned on: fold 0 of the training side, which calibration uses.
TUNING = ("dev", "val", "valid", "validation")
GIVEN = "as the data set's column 'split' has it; no event is on two sides"


def settle(places: Sequence[Place], split: Sequence[str], fold: Sequence[str], rule: str, name: str) -> Sides:
    """The sides of all records: by `rule`, or where that is '' as the columns `split` and `fold` say, else by event.

    Records whose data set says nothing follow their group, else the rule by event. Raises InputError where the
    columns put one event, or events that share samples, on two sides. name: of the data, for messages.
    """
    if rule == WHOLE:
        return Sides(["test"] * len(places), [-1] * len(places), "all records are on the test side")
    if rule:
        return hold_out(rule, places)
    if not any(split):
        return hold_out("event", places)
    side = ["train" if s in TUNING else s for s in split]
    for word in sorted({s for s in side if s not in ("train", "test", "")}):
        raise InputError(f"{name}: column split must say train, dev or test; got '{word}'; or give --split event")
    home = {p.group: s for p, s in zip(places, side, strict=True) if s}
    free = [i for i, p in enumerate(places) if p.group not in home]
    others, _ = assign_split([places[i].group for i in free], [places[i].stratum for i in free])
    for i, s in zip(free, others, strict=True):
        side[i] = s
    side = [s or home[p.group] for p, s in zip(places, side, strict=True)]
    whole = all(f or s != "train" for f, s in zip(fold, side, strict=True))
    dealt = folds_of(places, side)
    if whole:
        dealt = [int(float(f)) if s == "train" else -1 for f, s in zip(fold, side, strict=True)]
    elif any(s in TUNING for s in split):
        tuning = {p.group for p, s in zip(places, split, strict=True) if s in TUNING}
        dealt = [0 if p.group in tuning else max(d, 1) if d >= 0 else -1 for p, d in zip(places, dealt, strict=True)]
    parts = [("dev" if s in TUNING else w) for s, w in zip(split, side, strict=True)]
    if whole:
        parts = [f"{w}, fold {d}" if w == "train" else w for w, d in zip(side, dealt, strict=True)]
    found = leaks(places, parts)
    if found:
        raise InputError(
            f"{name}: column split puts event {found[0]} on two sides ({len(found)} such), so a model would be "
            "tested on what it was trained on; give --split event"
        )
    return Sides(side, dealt, RULE if whole else GIVEN)

"""Rules that divide records into training and test data: by event, by time, by station, by region.

Each rule answers a different question about a model: does it work for new events, for later events, at a new
station, in a new region? All rules keep the records of a group (an event, and all that overlap it at a station)
together; records for which that is impossible are left out of both. The folds of the training data are by group, in
the order of a hash, as in `split`.
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
LEFT_OUT = ""  # the side of a record that is neither training nor test data
WHOLE = "whole"  # all records are test data; for an evaluation without training
KNOWN = "event, time, time:DATE, station, region or region:SOUTH,WEST,NORTH,EAST"


@dataclass(frozen=True, slots=True)
class Place:
    """The properties of a record that a rule uses. The position is that of the source; for noise, of the station."""

    event: str
    group: str
    stratum: str
    station: str
    time_ns: int | None
    latitude_deg: float | None
    longitude_deg: float | None


@dataclass(frozen=True, slots=True)
class Sides:
    """For each record 'train', 'test' or LEFT_OUT, and its fold (-1 unless 'train'); the rule as text."""

    side: list[str]
    fold: list[int]
    rule: str


def hold_out(rule: str, places: Sequence[Place]) -> Sides:
    """Apply a rule. Raises InputError if it is unknown, cannot be applied or leaves training or test data empty."""
    check_rule(rule)
    name, _, argument = rule.partition(":")
    sides = RULES[name](places, argument)
    for side in ("train", "test"):
        if side not in sides.side:
            raise InputError(f"split '{rule}' leaves no record for {side}; use another rule: {KNOWN}")
    return sides


def check_rule(rule: str) -> None:
    """Raise InputError if a rule is unknown or its date or box is invalid."""
    name, _, argument = rule.partition(":")
    if name not in RULES or (argument and name not in ("time", "region")):
        raise InputError(f"split '{rule}': must be {KNOWN}")
    if argument and name == "region":
        _box(argument)
    elif argument:
        _date(argument)


def leaks(places: Sequence[Place], side: Sequence[str]) -> list[str]:
    """Names of events, and of groups of events that share samples, that have records on more than one side; sorted."""
    seen: dict[tuple[str, str], set[str]] = {}
    for place, where in zip(places, side, strict=True):
        if where:
            seen.setdefault(("event", place.event), set()).add(where)
            seen.setdefault(("group", place.group), set()).add(where)
    return sorted({name for (_, name), sides in seen.items() if len(sides) > 1})


def folds_of(places: Sequence[Place], side: Sequence[str]) -> list[int]:
    """Fold of each record, -1 unless 'train'. Groups are assigned to folds in turn, in the order of a hash."""
    groups = sorted({p.group for p, where in zip(places, side, strict=True) if where == "train"}, key=_hash)
    fold = {group: i % N_FOLDS for i, group in enumerate(groups)}
    return [fold[p.group] if where == "train" else -1 for p, where in zip(places, side, strict=True)]


def _hash(name: str) -> str:
    return hashlib.sha256(f"{SALT}:{name}".encode()).hexdigest()


def _by_event(places: Sequence[Place], _: str) -> Sides:
    side, fold = assign_split([p.group for p in places], [p.stratum for p in places])
    return Sides(side, fold, RULE)


def _by_time(places: Sequence[Place], date: str) -> Sides:
    """By time. A group without a known time is left out."""
    latest: dict[str, int] = {}
    earliest: dict[str, int] = {}
    for place in places:
        if place.time_ns is not None:
            latest[place.group] = max(latest.get(place.group, place.time_ns), place.time_ns)
            earliest[place.group] = min(earliest.get(place.group, place.time_ns), place.time_ns)
    if not latest:
        raise InputError("split 'time': no record has a source_origin_time or trace_start_time; use another rule")
    if date:
        border_ns = _date(date)
    else:
        order = sorted(latest.values())
        border_ns = order[-max(round(TEST_SHARE * len(order)), 1)]
    where = {
        group: "test" if earliest[group] >= border_ns else "train" if latest[group] < border_ns else LEFT_OUT
        for group in latest
    }
    side = [where.get(place.group, LEFT_OUT) for place in places]
    return Sides(side, folds_of(places, side), f"by time: events from {iso_from_ns(border_ns)} on are test")


def _date(text: str) -> int:
    try:
        return ns_from_iso(text)
    except ValueError:
        raise InputError(f"split 'time:{text}': must be a date, as in time:2017-01-01") from None


def _by_station(places: Sequence[Place], _: str) -> Sides:
    """By station. Holding out only stations would leak, because other stations recorded the same events. So a fifth of
    the stations and a fifth of the events are held out, and a record whose station and event disagree is left out.
    """
    stations, groups = _fifth({p.station for p in places}), _fifth({p.group for p in places})
    side = [
        LEFT_OUT if (p.station in stations) != (p.group in groups) else "test" if p.group in groups else "train"
        for p in places
    ]
    rule = f"by station: {len(stations)} stations are test; their test events are not in the training data"
    return Sides(side, folds_of(places, side), rule)


def _fifth(names: set[str]) -> set[str]:
    order = sorted(names, key=_hash)
    return set(order[: max(round(TEST_SHARE * len(order)), 1)])


def _by_region(places: Sequence[Place], box: str) -> Sides:
    """By region. A group without a known position is left out."""
    home: dict[str, tuple[float, float]] = {}
    for p in places:
        if p.latitude_deg is not None and p.longitude_deg is not None:
            home.setdefault(p.group, (p.latitude_deg, p.longitude_deg))
    if not home:
        raise InputError("split 'region': no record has source_latitude_deg and source_longitude_deg; use another rule")
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
                f"split 'region': all events lie in one cell of {CELL_DEG:g} degree; give the box of the test data, "
                "as in region:35,-118,36,-117 (south, west, north, east)"
            )
        for name in names[:-1]:
            members = {g for g in home if cell[g] == name}
            if not held or abs(len(held) + len(members) - wanted) < abs(len(held) - wanted):
                held |= members
        rule = f"by region: cells of {CELL_DEG:g} degree, in the order of a hash until {TEST_SHARE:.0%} are test"
    side = ["test" if p.group in held else "train" if p.group in home else LEFT_OUT for p in places]
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
    """True if a longitude is between west and east; the box may cross the date line."""
    return (longitude - west) % 360 <= (east - west) % 360


Rule = Callable[[Sequence[Place], str], Sides]
RULES: dict[str, Rule] = {"event": _by_event, "time": _by_time, "station": _by_station, "region": _by_region}


# Names of the validation part in data sets; it becomes fold 0 of the training data, which calibration uses.
TUNING = ("dev", "val", "valid", "validation")
GIVEN = "by the column 'split' of the data set; no event is in both training and test data"


def settle(places: Sequence[Place], split: Sequence[str], fold: Sequence[str], rule: str, name: str) -> Sides:
    """The sides of all records: by `rule`; if it is '', by the columns `split` and `fold`; without those, by event.

    Records with an empty `split` follow their group, or else the rule by event. name: of the data, for messages.
    Raises InputError if the columns put one event, or events that share samples, in two parts.
    """
    if rule == WHOLE:
        return Sides(["test"] * len(places), [-1] * len(places), "all records are test data")
    if rule:
        return hold_out(rule, places)
    if not any(split):
        return hold_out("event", places)
    side = ["train" if s in TUNING else s for s in split]
    for word in sorted({s for s in side if s not in ("train", "test", "")}):
        raise InputError(f"{name}: column split must be train, dev or test; got '{word}'; or use --split event")
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
            f"{name}: column split has event {found[0]} in two parts ({len(found)} such events), so the model would "
            "be tested or calibrated on what it was trained on; correct the column, or use --split event"
        )
    return Sides(side, dealt, RULE if whole else GIVEN)

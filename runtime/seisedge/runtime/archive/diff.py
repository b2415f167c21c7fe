"""What another model or version changes: two outputs over the same data, compared event by event.

Events of one station are the same where their onsets are close: the nearest pair first, each event once. Of the others
those of the first output are lost, those of the second found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seisedge.runtime.archive.output import Manifest, event_files, read_manifest
from seisedge.runtime.archive.table import read_facts, read_tables
from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.errors import InputError

TOLERANCE_S = 1.0  # between the onsets of one event in both outputs
SHIFT = 0.1  # smallest difference of two magnitudes that counts as a shift
COLUMNS = ("id", "onset", "status", "type", "magnitude")

KINDS = ("found", "lost", "type", "magnitude")  # of changes

Times = npt.NDArray[np.int64]


class EventRow(msgspec.Struct, frozen=True):
    """One event of an output, as far as it is compared."""

    id: str
    onset: str
    type: str | None
    magnitude: float | None


class Change(msgspec.Struct, frozen=True):
    """An event that differs; old or new is None where it is in one output only."""

    station: str
    kind: str  # one of KINDS
    old: EventRow | None
    new: EventRow | None


@dataclass(slots=True)
class Difference:
    """Result of a comparison.

    units: in both outputs; only these are compared. other_data: those of them whose channels cover other times.
    shifts: new - old magnitude of all pairs with magnitudes.
    """

    old: Manifest
    new: Manifest
    units: int
    units_of_one: int
    other_data: int
    same: int
    changes: list[Change]
    shifts: list[float]

    @property
    def other_settings(self) -> list[str]:
        """Stations whose settings or metadata differ."""
        old, new = self.old.settings.stations, self.new.settings.stations
        return sorted(station for station in old.keys() & new.keys() if old[station] != new[station])

    def count(self, kind: str) -> int:
        return sum(change.kind == kind for change in self.changes)


def compare(old: Path, new: Path, *, tolerance_s: float = TOLERANCE_S, shift: float = SHIFT) -> Difference:
    """Compare two outputs of `seisedge archive`. Raises InputError where they have no unit in common."""
    manifests = read_manifest(old), read_manifest(new)
    files = [{f"{path.parent.name} {path.stem}": path for path in event_files(folder)} for folder in (old, new)]
    common = sorted(files[0].keys() & files[1].keys())
    if not common:
        raise InputError(f"{old} and {new}: no unit is in both outputs; compare runs over the same stations and days")
    other_data = sum(_data_of(files[0][name]) != _data_of(files[1][name]) for name in common)
    result = Difference(*manifests, len(common), len(files[0].keys() ^ files[1].keys()), other_data, 0, [], [])
    by_station: dict[str, list[str]] = {}
    for name in common:
        by_station.setdefault(name.partition(" ")[0].removeprefix("station="), []).append(name)
    for station, names in by_station.items():
        tables = [read_tables([of[name] for name in names], COLUMNS) for of in files]
        _compare_station(station, tables[0], tables[1], result, tolerance_s, shift)
    return result


def _data_of(path: Path) -> object:
    facts = read_facts(path)
    return facts.coverage if facts is not None else None


def _compare_station(
    station: str, old: pa.Table, new: pa.Table, result: Difference, tolerance_s: float, shift: float
) -> None:
    rows = [_rows(old), _rows(new)]
    pairs = match(rows[0][1], rows[1][1], round(tolerance_s * NS_PER_S))
    matched = {i for i, _ in pairs}, {k for _, k in pairs}
    changes = [
        (rows[0][1][i], Change(station, "lost", row, None)) for i, row in enumerate(rows[0][0]) if i not in matched[0]
    ]
    changes += [
        (rows[1][1][k], Change(station, "found", None, row)) for k, row in enumerate(rows[1][0]) if k not in matched[1]
    ]
    for i, k in pairs:
        one, other = rows[0][0][i], rows[1][0][k]
        moved = 0.0
        if one.magnitude is not None and other.magnitude is not None:
            moved = round(other.magnitude - one.magnitude, 6)
            result.shifts.append(moved)
        if one.type != other.type:
            changes.append((rows[0][1][i], Change(station, "type", one, other)))
        elif (one.magnitude is None) != (other.magnitude is None) or abs(moved) >= shift - 1e-9:
            changes.append((rows[0][1][i], Change(station, "magnitude", one, other)))
        else:
            result.same += 1
    result.changes += [change for _, change in sorted(changes, key=lambda each: int(each[0]))]


def _rows(table: pa.Table) -> tuple[list[EventRow], Times]:
    """Events that are not retracted, in order of onset."""
    onsets = table["onset"].cast("int64").to_pylist()
    plain = zip(*(table[name].to_pylist() for name in ("id", "status", "type", "magnitude")), onsets, strict=True)
    kept = sorted((onset, id_, kind, size) for id_, status, kind, size, onset in plain if status != "retracted")
    rows = [EventRow(id_, iso_from_ns(onset), kind, size) for onset, id_, kind, size in kept]
    return rows, np.array([onset for onset, *_ in kept], dtype=np.int64)


def match(old: Times, new: Times, tolerance_ns: int) -> list[tuple[int, int]]:
    """Pairs of indices of two sorted lists of times, each used once: the nearest pairs first."""
    candidates: list[tuple[int, int, int]] = []
    for i, time_ns in enumerate(old.tolist()):
        first = int(np.searchsorted(new, time_ns - tolerance_ns))
        last = int(np.searchsorted(new, time_ns + tolerance_ns, side="right"))
        candidates += [(abs(int(new[k]) - time_ns), i, k) for k in range(first, last)]
    pairs, used_old, used_new = [], set(), set()
    for _, i, k in sorted(candidates):
        if i not in used_old and k not in used_new:
            pairs.append((i, k))
            used_old.add(i)
            used_new.add(k)
    return sorted(pairs)


def text_lines(difference: Difference, most: int) -> Iterator[str]:
    """The comparison as text: totals, then up to `most` changes."""
    one = difference
    yield f"{one.units} unit(s) compared" + (
        f"; {one.units_of_one} are in only one of the outputs and are left out" if one.units_of_one else ""
    )
    if one.other_data:
        yield f"the data of {one.other_data} unit(s) differ: their changes are not only those of models or versions"
    yield f"old: {_models(one.old)}"
    yield f"new: {_models(one.new)}"
    if others := one.other_settings:
        yield f"settings or metadata of {len(others)} station(s) differ, the first is {others[0]}"
    yield (
        f"{one.same} the same, {one.count('found')} found, {one.count('lost')} lost, "
        f"{one.count('type')} of another type, {one.count('magnitude')} of another magnitude"
    )
    if one.shifts:
        shifts = np.array(one.shifts)
        yield (
            f"magnitude new - old of {len(shifts)} pairs: median {np.median(shifts):+.2f}, "
            f"90 % of them from {np.quantile(shifts, 0.05):+.2f} to {np.quantile(shifts, 0.95):+.2f}"
        )
    for change in one.changes[:most]:
        yield f"  {change.kind:<9} {change.station:<9} {_event_text(change.old)} -> {_event_text(change.new)}"
    if len(one.changes) > most:
        yield f"  and {len(one.changes) - most} more; --table FILE writes all of them"


def _models(manifest: Manifest) -> str:
    models = ", ".join(f"{model.name} {model.sha256[:8]}" for model in manifest.settings.models)
    return f"{models}; seisedge {manifest.settings.seisedge}"


def _event_text(event: EventRow | None) -> str:
    if event is None:
        return "none"
    size = "no magnitude" if event.magnitude is None else f"{event.magnitude:.2f}"
    return f"{event.onset[:23]} {event.type or 'no type'} {size}"


def table_lines(changes: Sequence[Change]) -> Iterator[list[object]]:
    """Rows of a CSV file, the header first."""
    yield [
        "station", "kind", "old_id", "old_onset", "old_type", "old_magnitude", "new_id", "new_onset", "new_type",
        "new_magnitude",
    ]  # fmt: skip
    for change in changes:
        cells: list[object] = [change.station, change.kind]
        for event in (change.old, change.new):
            cells += ["", "", "", ""] if event is None else [event.id, event.onset, event.type, event.magnitude]
        yield ["" if cell is None else cell for cell in cells]

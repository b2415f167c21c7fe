"""Sentinels and implausible values of metadata: they are missing values, and are counted.

Catalogues write -9, -99.9, -999, 99.99 or 1e20 for an unknown magnitude, depth, distance or position, SAC writes -12345
for an unknown time. Such a value is outside the range of the quantity below, or in the list of sentinels of arrivals.
`build`, `info`, `check` and `train` use this module: the value is left out, the rest of the record is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.text import shortened

# Smallest and largest plausible value. A depth is negative above sea level.
RANGES: dict[str, tuple[float, float]] = {
    "source_magnitude": (-4.0, 9.6),
    "source_depth_km": (-8.0, 800.0),
    "path_ep_distance_km": (0.0, 20_040.0),
    "source_latitude_deg": (-90.0, 90.0),
    "source_longitude_deg": (-180.0, 360.0),
    "station_latitude_deg": (-90.0, 90.0),
    "station_longitude_deg": (-180.0, 360.0),
    "station_elevation_m": (-11_100.0, 9_000.0),
}
FIRST_NS, LAST_NS = ns_from_iso("1880-01-01"), ns_from_iso("2100-01-01")  # the first recordings; two-digit years
EPOCH = "1970-01-01T00:00:00, which stands for an unknown time"
ARRIVAL_SENTINELS = (-99.0, -999.0, -9999.0, -99999.0, -12345.0)  # samples
FARTHEST_SAMPLE = 1e9


@dataclass(frozen=True, slots=True)
class Implausible:
    """A value that was left out. where: the trace or event. column: its canonical name. value: as stated."""

    where: str
    column: str
    value: str


def is_implausible(column: str, value: float) -> bool:
    """True if `value` is outside the range of the column; also if it is infinite or not a number."""
    low, high = RANGES[column]
    return not low <= value <= high


def is_implausible_arrival(sample: float) -> bool:
    """True if an arrival sample is a sentinel or not finite."""
    return sample in ARRIVAL_SENTINELS or not abs(sample) <= FARTHEST_SAMPLE


def is_implausible_time(time_ns: int) -> bool:
    """True if a time is outside 1880 to 2100, or exactly the start of 1970."""
    return time_ns == 0 or not FIRST_NS <= time_ns <= LAST_NS


def is_implausible_text(column: str, text: str, arrival: bool) -> bool:
    """As above for the text of a column. Text that is no number or no time is not judged here."""
    try:
        if arrival:
            return is_implausible_arrival(float(text))
        if column in RANGES:
            return is_implausible(column, float(text))
        return is_implausible_time(ns_from_iso(text))
    except (ValueError, OverflowError):
        return False


def texts_of(found: Iterable[Implausible]) -> list[str]:
    """One sentence for each column: how many values of which kind were left out, and what was expected."""
    by_column: dict[str, list[Implausible]] = {}
    for one in found:
        by_column.setdefault(one.column, []).append(one)
    out = []
    for column, ones in sorted(by_column.items()):
        values = Counter(shortened(one.value, 30) for one in ones).most_common(4)
        listed = ", ".join(f"{value} ({n})" for value, n in values)
        out.append(
            f"{len(ones)} implausible values of {column} are treated as missing: {listed}; {_expected(column)}; "
            f"the first is in {shortened(ones[0].where)}"
        )
    return out


def _expected(column: str) -> str:
    if column in RANGES:
        low, high = RANGES[column]
        return f"expected {low:g} to {high:g}"
    if column.endswith("_sample"):
        return "expected a sample of the trace"
    return f"expected {iso_from_ns(FIRST_NS)[:4]} to {iso_from_ns(LAST_NS)[:4]}, and not {EPOCH}"

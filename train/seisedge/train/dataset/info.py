"""Count the events and records of data sets by type, magnitude, station and other properties."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seisedge.train.dataset.plausible import texts_of
from seisedge.train.dataset.survey import Trace
from seisedge.train.dataset.vocabulary import KINDS, LABEL_OF_KIND, UNUSED

BIN = 0.5  # magnitude units; (low, high] as for the labels of the magnitude model
SHOWN_STATIONS = 20


@dataclass(frozen=True, slots=True)
class Count:
    """Number of events and records that have one value."""

    value: str
    events: int
    records: int


@dataclass(frozen=True, slots=True)
class Info:
    """Counts. An event with several values (for example stations) counts for each. Noise has records but no events."""

    records: int
    events: int
    noise_stretches: int  # records of events with usable noise before the onset
    by_kind: list[Count]
    by_word: list[Count]
    by_magnitude: list[Count]
    by_station: list[Count]
    by_source: list[Count]
    by_components: list[Count]
    by_rate: list[Count]
    by_split: list[Count]
    by_licence: list[Count]
    implausible: list[str]  # values treated as missing, one sentence for each column
    by_gain_fault: list[Count]  # records whose gain is not used


def info(traces: Sequence[Trace]) -> Info:
    """Count the traces."""
    kinds = {kind: i for i, kind in enumerate((*KINDS, UNUSED))}
    return Info(
        records=len(traces),
        events=len({t.event for t in traces if t.kind != "noise"}),
        noise_stretches=sum(t.noise_samples > 0 for t in traces if t.kind != "noise"),
        by_kind=_counts(traces, lambda t: t.kind, lambda c: kinds.get(c.value, len(kinds))),
        by_word=_counts(traces, lambda t: t.word or "(empty)"),
        by_magnitude=_counts([t for t in traces if t.kind != "noise"], magnitude_bin, _bin_order),
        by_station=_counts(traces, lambda t: t.station),
        by_source=_counts(traces, lambda t: t.source),
        by_components=_counts(traces, lambda t: t.components),
        by_rate=_counts(traces, lambda t: f"{t.rate_hz:g} Hz"),
        by_split=_counts(traces, lambda t: t.split or "(none)"),
        by_licence=_counts(traces, lambda t: t.licence or "(not stated)"),
        implausible=texts_of(one for t in traces for one in t.implausible),
        by_gain_fault=_counts([t for t in traces if t.gain_fault], lambda t: t.gain_fault),
    )


def magnitude_bin(trace: Trace) -> str:
    """The magnitude bin as text, for example `(1, 1.5]`; `none` without a magnitude."""
    if trace.magnitude is None:
        return "none"
    # rounded to ten decimals, so that 2.0 / 0.5 is not slightly above 4
    high = math.ceil(round(trace.magnitude / BIN, 10)) * BIN
    return f"({high - BIN:g}, {high:g}]"


def _bin_order(count: Count) -> float:
    return math.inf if count.value == "none" else float(count.value[1:].partition(",")[0])


def _counts(
    traces: Sequence[Trace], value: Callable[[Trace], str], key: Callable[[Count], float] | None = None
) -> list[Count]:
    """Counts sorted by `key`; by default in descending number of records."""
    events: dict[str, set[str]] = {}
    records: dict[str, int] = {}
    for t in traces:
        v = value(t)
        records[v] = records.get(v, 0) + 1
        events.setdefault(v, set())
        if t.kind != "noise":
            events[v].add(t.event)
    counts = [Count(v, len(events[v]), n) for v, n in records.items()]
    return sorted(sorted(counts, key=lambda c: c.value), key=key or (lambda c: -c.records))


def text_from_info(found: Info) -> str:
    """Text for the terminal."""
    lines = [
        f"{found.records} records of {found.events} events, {found.noise_stretches} with usable noise before the onset"
    ]
    tables = (
        ("type", found.by_kind, 99),
        ("label in the data set", found.by_word, 12),
        ("magnitude", found.by_magnitude, 99),
        ("source", found.by_source, 12),
        ("station", found.by_station, SHOWN_STATIONS),
        ("components", found.by_components, 12),
        ("sampling rate", found.by_rate, 12),
        ("split", found.by_split, 12),
        ("licence", found.by_licence, 12),
        *([("gain that is not used", found.by_gain_fault, 12)] if found.by_gain_fault else []),
    )
    for name, counts, shown in tables:
        lines.append(f"\n{name:34}  events  records")
        for c in counts[:shown]:
            note = f" ({LABEL_OF_KIND.get(c.value, 'not used')})" if counts is found.by_kind else ""
            lines.append(f"  {(c.value + note)[:32]:32} {c.events:7} {c.records:8}")
        if len(counts) > shown:
            lines.append(f"  and {len(counts) - shown} more")
    if found.implausible:
        lines += ["", *found.implausible]
    return "\n".join(lines)

"""The lines of a station beside the schedule of the digitizer: latency and its stages."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from seisedge.runtime.bench.stream_report import STAGES
from seisedge.runtime.clock import ns_from_iso

TOLERANCE_NS = 20_000_000  # between a record's end by the station's account and the schedule
ROUNDING_NS = 1_000_000
NS_PER_MS = 1_000_000
BEFORE_EMITTED = ("transport", "wait", "assemble", "host_to_device", "infer", "device_to_host")


@dataclass(slots=True)
class Matched:
    """Series of a run in ns, in the order of the lines; see `stream_report.StreamRun`."""

    latency: list[int] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    stages: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in STAGES})
    unmatched: int = 0


def match(lines: Sequence[tuple[int, bytes]], schedule: Mapping[str, Sequence[int]], start_ns: int) -> Matched:
    """Latencies of event lines.

    lines: time of arrival at the reader and JSON. schedule: by station the times in ns after `start_ns` at which its
    records are due, sorted. All times are of UTC, by the clock of this machine.
    """
    found = Matched()
    for received_ns, text in lines:
        line = msgspec.json.decode(text)
        parts = line["latency_ms"]
        due_ns = _due(line, parts, schedule.get(line["station"], ()), start_ns)
        if due_ns is None:
            found.unmatched += 1
            continue
        emitted_ns = ns_from_iso(line["emitted"])
        inside = {name: round(parts[name] * NS_PER_MS) for name in STAGES if name in parts}
        work_ns = sum(inside.values())
        latency_ns = received_ns - due_ns
        output_ns = max(received_ns - emitted_ns - inside["emit"], 0)
        values = inside | {"output": output_ns, "delivery": max(latency_ns - work_ns - output_ns, 0)}
        found.latency.append(max(latency_ns, 0))
        found.due.append(due_ns - start_ns)
        for name in STAGES:
            found.stages[name].append(values[name])
    return found


def _due(line: Mapping[str, Any], parts: Mapping[str, Any], times: Sequence[int], start_ns: int) -> int | None:
    """When the record that completed a line was due, from the schedule; None if it is not there.

    The station states its arrival and its delay after the record's end; that only finds the record.
    """
    if parts.get("transport") is None or parts.get("wait") is None:
        return None
    before_ms = sum(parts[name] for name in BEFORE_EMITTED)
    end_ns = ns_from_iso(line["emitted"]) - round(before_ms * NS_PER_MS) - start_ns
    k = bisect.bisect_right(times, end_ns + ROUNDING_NS) - 1
    return start_ns + times[k] if k >= 0 and end_ns - times[k] <= TOLERANCE_NS else None

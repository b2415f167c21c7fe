"""The last part of the demo's report: operations, memory and start-up time on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from seisedge.runtime import machine
from seisedge.runtime.bench.start import describe, measure_start
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.station.run_report import RunReport

MAX_DURATION_RATIO = 1.05  # of the run, to the duration of the replay: above it the station did not keep up


def cost_lines(models: Models, events: Sequence[Event], report: RunReport, speed: float) -> list[str]:
    """Models, rate of operations, memory and start-up; with a speed also whether the station kept up."""
    lines = []
    for engine in models.engines:
        card = engine.card
        lines.append(
            f"{card.name}: {card.flops / 1e6:.1f} MFLOP per inference, {card.parameters / 1e3:.0f} k parameters, "
            f"{engine.path.stat().st_size / 1e3:.0f} kB, {engine.name}, {card.precision}"
        )
    if models.onset is not None:
        card, runs = models.onset.card, sum(models.onset.inference_ms.counts)
        share = runs * card.answers_s[0] / (sum(station.data_ns for station in report.stations.values()) / NS_PER_S)
        lines.append(
            f"{card.name}: run on {share:.0%} of the seconds, {share * card.flops / card.answers_s[0] / 1e6:.1f} MFLOP "
            "per second of data of a station"
        )
    rates = sorted(event.cost.gflops_per_s for event in events if event.cost.inferences)
    if rates:
        lines.append(f"computing rate: {rates[len(rates) // 2]:.1f} GFLOP/s (median over the revisions)")
    resident = machine.resident_mib()
    if resident is not None:
        lines.append(f"resident memory {resident:.0f} MiB, including the virtual digitizer")
    lines.append("a station alone, measured in a new process:")
    lines += [f"  {line}" for line in describe(measure_start())]
    lines.append(f"measured on {machine.describe()}")
    if speed:
        kept_up = report.wall_s <= MAX_DURATION_RATIO * report.stream_s / speed
        lines.append(
            f"the station {'kept up' if kept_up else 'did NOT keep up'} with the stream at {speed:g} times real time; "
            "latencies are measured at that load"
        )
    return lines

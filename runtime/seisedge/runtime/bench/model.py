"""Latency of one model on real windows; defines what `seisedge bench model` reports.

Windows: cut at the onsets that the station's trigger finds in the bundled (or a given) recording, one for each answer
length of the model, in random order with a fixed seed. Batch 1, one stream. The time of an inference is from the arrays
in host memory to the probabilities in host memory. The first `warm_up` inferences are not counted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter_ns

import numpy as np

from seisedge.runtime.engines import Engine
from seisedge.runtime.engines._base import Pair
from seisedge.runtime.machine import peak_mib, resident_mib

HALF_WIDTH = 0.05  # stop when the half width of the p99's 95 % interval is below this share of the p99


@dataclass(frozen=True, slots=True)
class ModelBench:
    """One row of the report; times in milliseconds."""

    windows: int
    warm_up: int
    inferences: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    p99_half_width: float | None  # share of the p99, by order statistics; None for too few inferences
    host_to_device_ms: float  # medians
    infer_ms: float
    device_to_host_ms: float
    cold_load_ms: float  # from file to session
    cold_first_ms: float  # first inference after loading
    gflops_per_s: float  # at the median
    resident_mib: float | None
    peak_mib: float | None


def bench_model(
    make_engine: Callable[[], Engine], windows: list[Pair], *, seconds: float, warm_up: int = 50
) -> ModelBench:
    """Measure for `seconds`, or until the p99 is known within 5 %, whichever is first."""
    begin = perf_counter_ns()
    engine = make_engine()
    loaded = perf_counter_ns()
    engine.infer(*windows[0])
    first = perf_counter_ns()
    order = random.Random(0)
    for _ in range(warm_up):
        engine.infer(*order.choice(windows))
    totals: list[float] = []
    parts: list[tuple[float, float, float]] = []
    began = monotonic()
    half_width: float | None = None
    while (elapsed := monotonic() - began) < seconds:
        window = order.choice(windows)
        start = perf_counter_ns()
        _, cost = engine.infer(*window)
        totals.append((perf_counter_ns() - start) / 1e6)
        parts.append((cost.host_to_device_ms, cost.infer_ms, cost.device_to_host_ms))
        if len(totals) % 1000 == 0:
            half_width = p99_half_width(totals)
            if half_width is not None and half_width < HALF_WIDTH:
                break
    half_width = p99_half_width(totals)
    percentiles = np.percentile(totals, [50, 90, 95, 99])
    to_device, infer, from_device = np.median(parts, axis=0)
    return ModelBench(
        windows=len(windows),
        warm_up=warm_up,
        inferences=len(totals),
        seconds=elapsed,
        p50_ms=float(percentiles[0]),
        p90_ms=float(percentiles[1]),
        p95_ms=float(percentiles[2]),
        p99_ms=float(percentiles[3]),
        max_ms=max(totals),
        p99_half_width=half_width,
        host_to_device_ms=float(to_device),
        infer_ms=float(infer),
        device_to_host_ms=float(from_device),
        cold_load_ms=(loaded - begin) / 1e6,
        cold_first_ms=(first - loaded) / 1e6,
        gflops_per_s=engine.card.flops / float(percentiles[0]) / 1e6,
        resident_mib=resident_mib(),
        peak_mib=peak_mib(),
    )


def p99_half_width(values: list[float]) -> float | None:
    """Half width of the p99's 95 % interval, as a share of the p99; None below 1,000 values.

    From binomial order statistics.
    """
    n = len(values)
    if n < 1000:
        return None
    ordered = sorted(values)
    spread = 1.96 * math.sqrt(n * 0.99 * 0.01)
    low = ordered[max(math.floor(n * 0.99 - spread), 0)]
    high = ordered[min(math.ceil(n * 0.99 + spread), n - 1)]
    middle = ordered[min(math.ceil(n * 0.99), n) - 1]
    return (high - low) / 2 / middle

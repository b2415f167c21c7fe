"""Is it faster? Models side by side on one thread, in turns, so that what else the machine does hits all alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns

import numpy as np

from seisedge.export.gate_windows import HeldOut
from seisedge.runtime.engines.onnxruntime import session_from

ROUND = 10  # inferences of a model before the next has its turn


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one inference at batch 1. cpu: of the thread's own time, which a busy machine disturbs less."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float
    inferences: int


def side_by_side(models: Mapping[str, bytes], windows: HeldOut, rounds: int = 30) -> dict[str, Latency]:
    """Each model on the same real windows, `rounds` turns of ROUND inferences each."""
    sessions = {name: session_from(data) for name, data in models.items()}
    wall: dict[str, list[int]] = {name: [] for name in models}
    cpu: dict[str, list[int]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, session in sessions.items():
            for k in range(ROUND):
                i = (turn * ROUND + k) % len(windows)
                feed = {"waveform": windows.waveform[i : i + 1], "valid": windows.valid[i : i + 1]}
                begin, used = perf_counter_ns(), thread_time_ns()
                session.run(None, feed)
                if turn:  # the first turn warms up
                    wall[name].append(perf_counter_ns() - begin)
                    cpu[name].append(thread_time_ns() - used)
    return {
        name: Latency(
            float(np.percentile(wall[name], 50)) / 1e6,
            float(np.percentile(wall[name], 99)) / 1e6,
            float(np.median(cpu[name])) / 1e6,
            len(wall[name]),
        )
        for name in models
    }

"""Latency of models side by side on one thread, in turns, so that other load on the machine affects all alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns

import numpy as np

from seisedge.export.gate_windows import HeldOut
from seisedge.runtime.engines.onnxruntime import session_from

ROUND = 10  # inferences of a model in one turn


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one inference at batch 1. cpu: the thread's processor time, which other load affects less."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float
    inferences: int


def side_by_side(models: Mapping[str, bytes], windows: HeldOut, rounds: int = 30) -> dict[str, Latency]:
    """Time each model on the same real windows, in `rounds` turns of ROUND inferences."""
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
                if turn:  # the first turn is a warm-up and not counted
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

"""Reports of made samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from seisedge.runtime.bench.report import (
    Accuracy,
    Energy,
    Machine,
    Model,
    Peak,
    Report,
    Round,
    Row,
    RowRound,
    Setting,
    cold_figures_of,
    figures_of,
    packed,
)
from seisedge.runtime.bench.stream_report import STAGES, Generator, StreamRun

PEAK = Peak(gflops=50, cache_gb_s=80, cache_bytes=10**6, memory_gb_s=10, memory_bytes=10**8, last_cache_bytes=2**25)


def made_model(**changes: Any) -> Model:
    facts: dict[str, Any] = {
        "name": "made",
        "task": "event_type",
        "sha256": "a" * 64,
        "file": "made.onnx",
        "file_bytes": 100_000,
        "weight_bytes": 50_000,
        "io_bytes": 72_000,
        "precision": "fp32",
        "parameters": 12_000,
        "flops": 2_000_000,
        "flops_by_operator": {"Conv": 1_900_000, "Mul": 100_000},
        "accuracy": [Accuracy(measure="right answers", value=0.9, low=0.8, high=0.95, windows=30)],
    }
    return Model(**(facts | changes))


def made_report(
    seed: int = 0, *, slower: float = 1.0, rounds: int = 10, machine: str = "box", **of_model: Any
) -> Report:
    """Rounds with a speed of their own (sd 3 %), times `slower`."""
    random = np.random.default_rng(seed)
    model = made_model(**of_model)
    speeds = np.exp(random.normal(0.0, 0.03, rounds)) * slower
    latencies = [np.rint(2e5 * speed * np.exp(random.normal(0, 0.1, 1000))).astype(int).tolist() for speed in speeds]
    cold = [{"numpy": 10**8, "import": 10**8, "load": int(5e7 * speed), "first": 10**6} for speed in speeds]
    conditions = {"seconds": 1.0, "temperature_c": [40.0, 45.0, 50.0], "marks": []}
    row = Row(
        batch=1,
        pace_ms=0.0,
        rounds=[
            RowRound(samples=packed(x), seconds=0.2, parts_ms=[0.0, 0.2, 0.0], preemptions=0, processor_s=0.2)
            for x in latencies
        ],
        figures=figures_of(latencies, 1),
        roof=None,
    )
    setting = Setting(
        model=model.sha256,
        engine="onnxruntime",
        engine_name="onnxruntime-cpu",
        threads=1,
        versions={"seisedge": "0.2"},
        rounds=[
            Round(
                began="2026-01-01T00:00:00Z",
                cold_ns=x,
                resident_kib=70_000,
                peak_kib=90_000,
                page_cache=1.0,
                conditions=conditions,
            )
            for x in cold
        ],
        stopped="limit of rounds",
        cold=cold_figures_of(cold),
        peak=PEAK,
        energy=Energy(gross_mj=None, reason="no sensor"),
        rows=[row],
    )
    return Report(
        created="2026-01-01T00:00:00Z",
        seisedge="0.2",
        command=["seisedge", "bench", "model"],
        machine=Machine(
            description=machine, board=None, processor="x", cores=2, memory_mib=4000.0, system="Linux", power_mode=None
        ),
        method={"interval": "95 %"},
        windows="200 real windows",
        models=[model],
        settings=[setting],
    )


def made_stream_run(
    latencies_ms: list[float] | None = None, invalid: list[str] | None = None, dropped_windows: int = 0
) -> StreamRun:
    """A run of 200 lines of 10 ms each, 3 ms of them the inference and the rest the delivery."""
    latencies = [10.0] * 200 if latencies_ms is None else latencies_ms
    stages = {name: packed([0] * len(latencies)) for name in STAGES}
    stages["infer"] = packed([3_000_000] * len(latencies))
    stages["delivery"] = packed([round((ms - 3) * 1e6) for ms in latencies])
    return StreamRun(
        began="2026-01-01T00:00:00Z",
        seconds=10.0,
        invalid=invalid or [],
        generator=Generator(packets=10, lag_ms=[0.1, 0.2, 0.3], pulse_ms=0.1, blocked_ms=0.0, clock_step_ms=0.0),
        latency=packed([round(ms * 1e6) for ms in latencies]),
        due=packed([0] * len(latencies)),
        stages=stages,
        unmatched=0,
        triggers=len(latencies),
        inferences=len(latencies),
        dropped_windows=dropped_windows,
        processor=[0.1, 0.2],
        generator_processor=[0.1, 0.1],
        resident_mib=[90.0, 91.0],
        conditions={"marks": []},
    )


def made_machine(description: str = "box") -> Machine:
    return Machine(
        description=description,
        board=None,
        processor=description,
        cores=2,
        memory_mib=None,
        system="Linux",
        power_mode=None,
    )

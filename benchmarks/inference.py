"""One inference of the bundled models beside SeisBench's PhaseNet: `python -m benchmarks.inference --peer PYTHON`.

PYTHON is the interpreter of a virtual environment with torch, seisbench and onnx; seisedge's own has no need of them.
Rounds of fresh processes take turns: our models by onnxruntime, PhaseNet by torch, as SeisBench runs it, and PhaseNet's
graph by onnxruntime. One thread, batch 1, back to back, from arrays in host memory to arrays in host memory. PhaseNet
takes only its own window of 30 s; figures per second of data are beside those per window. The networks do different
work: our onset detector and PhaseNet find onsets, the others classify an event.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from seisedge.runtime import machine
from seisedge.runtime.bench.intervals import between_rounds, percentile
from seisedge.runtime.bench.model import stored_windows
from seisedge.runtime.bench.processes import run_round
from seisedge.runtime.bench.recorded import trial_windows
from seisedge.runtime.engines import open_engine
from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model

PEER_ROUND = Path(__file__).with_name("_phasenet_round.py")
PHASENET_S = 30.0
OURS = {"onset": "our onset detector", "event_type": "our event type", "magnitude": "our magnitude"}
BY_ONNXRUNTIME = """
import json, os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
from seisedge.runtime.engines.onnxruntime import session_from
session = session_from(open(sys.argv[1], "rb").read())
window = np.random.default_rng(0).normal(0, 1, (1, 3, 3001)).astype(np.float32)
latencies, until_s = [], time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < until_s or len(latencies) < 23:
    began_ns = time.perf_counter_ns()
    session.run(["y"], {"x": window})
    latencies.append(time.perf_counter_ns() - began_ns)
print(json.dumps({"samples_ns": latencies[20:]}))
"""


def output_of(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[:3]}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="python with torch, seisbench and onnx")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--row-s", type=float, default=0.5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, row_s = Path(name), str(arguments.row_s)
        graph = str(folder / "phasenet.onnx")
        output_of([arguments.peer, str(PEER_ROUND), "export", graph])
        measures: dict[str, tuple[float, Callable[[], list[int]]]] = {}
        for task in BUNDLED_FILES:
            card = open_engine(bundled_model(task)).card
            windows = stored_windows(folder / f"{task}.npz", trial_windows(card))
            row = {"batch": 1, "pace_ms": 0.0, "seconds": arguments.row_s, "least": 3, "warm_up": 20, "slow_us": 0.0}
            request = {"model": str(bundled_model(task)), "engine": "onnxruntime", "threads": 1, "engine_cache": None}
            request |= {"windows": str(windows), "seed": 0, "rows": [row]}
            measures[OURS[task]] = card.window_s, lambda r=request: run_round(r)["rows"][0]["samples_ns"]  # type: ignore[misc]
        by_torch = [arguments.peer, str(PEER_ROUND), "torch", row_s]
        by_onnxruntime = [sys.executable, "-c", BY_ONNXRUNTIME, graph, row_s]
        for label, command in (("PhaseNet, torch", by_torch), ("PhaseNet, onnxruntime", by_onnxruntime)):
            measures[label] = PHASENET_S, lambda c=command: json.loads(output_of(c))["samples_ns"]  # type: ignore[misc]
        rounds: dict[str, list[list[float]]] = {label: [] for label in measures}
        for _ in range(arguments.rounds):
            for label, (_, measure) in measures.items():
                rounds[label].append(sorted(ns / 1e6 for ns in measure()))
        versions = json.loads(output_of([arguments.peer, str(PEER_ROUND), "torch", "0"]))["versions"]
    print(f"{machine.describe()}; {versions}; {arguments.rounds} rounds in turn, one thread, batch 1, back to back")
    print(f"{'':24}{'window':>8}{'p50, ms':>10}{'95 %':>20}{'p99, ms':>10}{'per s of data':>15}{'to torch':>10}")
    base = between_rounds([percentile(each, 0.5) for each in rounds["PhaseNet, torch"]])
    assert base is not None
    for label, (window_s, _) in measures.items():
        medians = between_rounds([percentile(each, 0.5) for each in rounds[label]])
        p99 = between_rounds([percentile(each, 0.99) for each in rounds[label]])
        assert medians is not None and p99 is not None
        interval = f"{medians.low:.3f} to {medians.high:.3f}"
        ratio = medians.value / base.value
        print(
            f"{label:24}{window_s:>6.0f} s{medians.value:>10.3f}{interval:>20}{p99.value:>10.3f}"
            f"{medians.value / window_s * 1e3:>12.1f} µs{ratio:>10.2f}"
        )


if __name__ == "__main__":
    main()

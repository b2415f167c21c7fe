"""Options of an onnxruntime session, by measurement: `python -m benchmarks.session_options [--rounds N]`.

Each round runs every variant in a fresh process: the bundled models back to back, and one inference every 100 ms, as a
station infers. Prints the smallest median of the rounds back to back and the median of those paced, and whether all
variants give the same bits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

VARIANTS: dict[str, dict[str, int]] = {
    "as shipped: 1 thread, no arena, memory pattern": {},
    "arena": {"arena": 1},
    "arena, no memory pattern": {"arena": 1, "pattern": 0},
    "no memory pattern": {"pattern": 0},
    "2 threads, no spinning": {"threads": 2, "spinning": 0},
}
TASKS = ("event_type", "magnitude", "onset")
WARM_UP, BACK_TO_BACK, PACED, PACE_S = 20, 150, 10, 0.1


def measured(variant: dict[str, int]) -> dict[str, tuple[float, float, str]]:
    """By task: median in ms back to back and paced, and the bits of the output."""
    import numpy as np
    import onnxruntime as ort

    from seisedge.runtime.engines import open_engine
    from seisedge.runtime.inference.infer import bundled_model

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = variant.get("threads", 1), 1
    options.enable_cpu_mem_arena = bool(variant.get("arena", 0))
    options.enable_mem_pattern = bool(variant.get("pattern", 1))
    if "spinning" in variant:
        options.add_session_config_entry("session.intra_op.allow_spinning", str(variant["spinning"]))
    found = {}
    for task in TASKS:
        path = bundled_model(task)
        session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        window = np.random.default_rng(0).normal(0, 500, (1, 3, open_engine(path).card.n_samples)).astype(np.float32)
        feed = {"waveform": window, "valid": np.ones_like(window)}
        times_ms: dict[float, list[float]] = {0.0: [], PACE_S: []}
        for pause_s, count in ((0.0, WARM_UP + BACK_TO_BACK), (PACE_S, PACED)):
            for _ in range(count):
                time.sleep(pause_s)
                began_s = time.perf_counter()
                output: Any = session.run(["probabilities"], feed)[0]
                times_ms[pause_s].append((time.perf_counter() - began_s) * 1e3)
        back_to_back, paced = statistics.median(times_ms[0.0][WARM_UP:]), statistics.median(times_ms[PACE_S])
        found[task] = back_to_back, paced, output.tobytes().hex()
    return found


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variant", help=argparse.SUPPRESS)  # of a child process
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measured(VARIANTS[arguments.variant])))
        return
    found: dict[tuple[str, str], list[list[Any]]] = {}
    for _ in range(arguments.rounds):
        for name in VARIANTS:
            command = [sys.executable, "-m", "benchmarks.session_options", "--variant", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            for task, values in json.loads(done.stdout).items():
                found.setdefault((task, name), []).append(values)
    print(f"{'':62}{'back to back':>14}{'every 100 ms':>14}")
    for task in TASKS:
        for name in VARIANTS:
            rows = found[task, name]
            back_to_back, paced = min(row[0] for row in rows), statistics.median(row[1] for row in rows)
            print(f"{task:12}{name:50}{back_to_back:>11.3f} ms{paced:>11.3f} ms")
        bits = {row[2] for name in VARIANTS for row in found[task, name]}
        print(f"{task:12}{'the same bits from all' if len(bits) == 1 else 'DIFFERENT BITS'}")


if __name__ == "__main__":
    main()

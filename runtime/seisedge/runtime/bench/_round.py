"""One round of a model benchmark, in a fresh process: `python -P _round.py < request.json > result.json`.

This file is run by its path, so that it can measure the seisedge of another virtual environment. It therefore uses only
names that have existed since version 0.2: `open_engine`, `OnnxRuntimeEngine` and `Engine.infer`.

Request: model, engine, threads, engine_cache, windows (npz with `waveform` and `valid`, (n, 3, samples) each), seed,
rows: a list of {batch, pace_ms (0: back to back), seconds, least, warm_up, slow_us (added to each inference, for
experiments)}. The inferences of a paced row start at
scheduled times; one that starts late does not delay the later ones.
"""

import time

BEGAN_NS = time.perf_counter_ns()

import json  # noqa: E402  (the time of the imports is measured)
import resource  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

MAX_SAMPLES = 200_000  # of a row in a round: bounds the report


def main() -> None:
    """Read the request, measure, write the result."""
    request = json.load(sys.stdin)
    start_ns = time.perf_counter_ns()
    import numpy as np

    numpy_ns = time.perf_counter_ns()
    engine, import_ns, load_ns = _open(request)
    with np.load(request["windows"]) as file:
        windows = file["waveform"], file["valid"]
    first_began_ns = time.perf_counter_ns()
    engine.infer(windows[0][:1], windows[1][:1])
    first_ns = time.perf_counter_ns() - first_began_ns
    resident = _resident_kib()
    random = np.random.default_rng(request["seed"])
    rows = [_measure(engine, windows, row, random) for row in request["rows"]]
    result = {
        "cold_ns": {"numpy": numpy_ns - start_ns, "import": import_ns, "load": load_ns, "first": first_ns},
        "resident_kib": resident,
        "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "engine": engine.name,
        "sha256": engine.sha256,
        "versions": _versions(),
        "rows": rows,
    }
    json.dump(result, sys.stdout)


def _open(request: dict[str, Any]) -> tuple[Any, int, int]:
    """The engine, and the times of its import and of its loading."""
    from pathlib import Path

    began_ns = time.perf_counter_ns()
    if request["engine"] == "onnxruntime":
        from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine

        imported_ns = time.perf_counter_ns()
        engine: Any = OnnxRuntimeEngine(Path(request["model"]), request["threads"])
    else:
        from seisedge.runtime.bench.recorded import trial_windows
        from seisedge.runtime.engines import open_engine

        imported_ns = time.perf_counter_ns()
        folder = Path(request["engine_cache"]) if request["engine_cache"] else None
        engine = open_engine(
            Path(request["model"]), request["engine"], folder, trial_windows=trial_windows, allow_fallback=False
        )
    return engine, imported_ns - began_ns, time.perf_counter_ns() - imported_ns


def _measure(engine: Any, windows: Any, row: dict[str, Any], random: Any) -> dict[str, Any]:
    """The times of one row: from arrays in host memory to probabilities in host memory, in nanoseconds."""
    import numpy as np

    batch, pace_ns = row["batch"], round(row["pace_ms"] * 1e6)
    count = len(windows[0])
    slow_ns = round(row["slow_us"] * 1e3)
    batches = []
    for _ in range(min(64, max(8, count // batch))):
        chosen = random.integers(count, size=batch)
        batches.append((np.ascontiguousarray(windows[0][chosen]), np.ascontiguousarray(windows[1][chosen])))
    order = random.integers(len(batches), size=4096).tolist()
    for k in range(row["warm_up"]):
        engine.infer(*batches[order[k % len(order)]])
    samples: list[int] = []
    parts: list[tuple[float, float, float]] = []
    before = resource.getrusage(resource.RUSAGE_SELF)
    began_ns = time.perf_counter_ns()
    end_ns = began_ns + round(row["seconds"] * 1e9)
    while len(samples) < MAX_SAMPLES:
        if pace_ns:
            wait_ns = began_ns + (len(samples) + 1) * pace_ns - time.perf_counter_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
        start_ns = time.perf_counter_ns()
        if start_ns >= end_ns and len(samples) >= row["least"]:
            break
        _, cost = engine.infer(*batches[order[len(samples) % len(order)]])
        if slow_ns:
            while time.perf_counter_ns() - start_ns < slow_ns + cost.infer_ms * 1e6:
                pass
        samples.append(time.perf_counter_ns() - start_ns)
        parts.append((cost.host_to_device_ms, cost.infer_ms, cost.device_to_host_ms))
    seconds = (time.perf_counter_ns() - began_ns) / 1e9
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "samples_ns": samples,
        "seconds": seconds,
        "parts_ms": np.median(parts, axis=0).tolist(),
        "preemptions": after.ru_nivcsw - before.ru_nivcsw,
        "processor_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def _resident_kib() -> int | None:
    try:
        with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123 (pathlib is imported later)
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None


def _versions() -> dict[str, str]:
    """Versions of what takes part in an inference; packages that are not installed are left out."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("seisedge", "numpy", "onnxruntime", "tensorrt", "tensorrt-rtx-cu12", "pycuda"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()

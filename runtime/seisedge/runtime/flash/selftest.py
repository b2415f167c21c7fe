"""The self-test of an installed version: `python -m seisedge.runtime.flash.selftest MODELS [STATION.toml …]`.

The launcher runs it with the Python and the packages of a new slot before the switch, and again before the version is
confirmed. It computes the golden windows beside the models, measures an inference and the memory, and loads the station
files. Prints one JSON object; exit status 0 where the outputs are within the tolerance, else 1 or 2 and one sentence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from seisedge.runtime.bench.recorded import trial_windows
from seisedge.runtime.config import load_config
from seisedge.runtime.engines import Engine, open_engine
from seisedge.runtime.errors import FailedError, InputError, SeisedgeError
from seisedge.runtime.flash.golden import TOLERANCE, golden_path, read_golden
from seisedge.runtime.machine import peak_mib

REPEATS = 9  # of each golden window, for the latency


def self_test(models: Path, stations: list[Path], engine: str, precision: str) -> dict[str, str | float]:
    """golden: SHA-256 of all outputs. memory_mib: peak. latency_ms: median of the slowest model, without the first run.

    Raises InputError, FailedError for outputs beyond the tolerance.
    """
    for path in stations:
        load_config(path)
    paths = sorted(models.glob("*.onnx"))
    if not paths:
        raise InputError(f"{models}: it contains no model files (*.onnx)")
    digest, latencies_ms = hashlib.sha256(), []
    opened = [open_engine(path, engine, trial_windows=trial_windows, allow_fallback=False) for path in paths]
    for path, model in zip(paths, opened, strict=True):  # all in memory at once, as in a run
        outputs, latency_ms = _golden_outputs(path, model, precision)
        digest.update(path.name.encode() + b"\0" + outputs.tobytes())
        latencies_ms.append(latency_ms)
    return {
        "golden": digest.hexdigest(),
        "memory_mib": round(peak_mib() or 0.0, 1),
        "latency_ms": round(max(latencies_ms), 3),
    }


def _golden_outputs(path: Path, model: Engine, precision: str) -> tuple[np.ndarray, float]:
    """The outputs for the golden windows of a model, and the median time of an inference in ms."""
    golden = read_golden(golden_path(path), model.sha256)
    outputs, times_ms = [], []
    for waveform, valid in zip(golden["waveform"], golden["valid"], strict=True):
        outputs.append(model.infer(waveform[None], valid[None])[0][0].copy())
        for _ in range(REPEATS):
            began_s = time.perf_counter()
            model.infer(waveform[None], valid[None])
            times_ms.append((time.perf_counter() - began_s) * 1e3)
    found = np.stack(outputs)
    # a difference that is no number is not within a tolerance
    worst = (
        float(np.max(np.abs(found - golden["probabilities"]))) if found.shape == golden["probabilities"].shape else 2
    )
    tolerance = TOLERANCE[precision]
    if not worst <= tolerance:
        raise FailedError(
            f"{path.name}: on this device a probability of a golden window differs by {worst:.4g} from that of the "
            f"release, {tolerance:g} is allowed; the model file, the engine or a package is not that of the release"
        )
    return found, statistics.median(times_ms)


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="selftest", description="Test an installed version.")
    parser.add_argument("models", type=Path)
    parser.add_argument("stations", type=Path, nargs="*")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--precision", choices=sorted(TOLERANCE), default="fp32")
    given = parser.parse_args(arguments)
    try:
        print(json.dumps(self_test(given.models, given.stations, given.engine, given.precision)))
    except SeisedgeError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

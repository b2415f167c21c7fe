"""What a station pays before its first packet: imports, both models, memory; measured in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from seisedge.runtime.errors import FailedError

IMPORT_TARGET_S = 0.25  # above bare numpy
READY_TARGET_S = 2.0
MEMORY_TARGET_MIB = 120.0

_SCRIPT = """
import time; began = time.perf_counter()
import numpy as np; numpy_there = time.perf_counter()
import seisedge.runtime.service.loop, seisedge.runtime.sources; imported = time.perf_counter()
from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.inference.infer import Models
for engine in Models.load(ModelsConfig()).engines:
    engine.infer(*(np.zeros((1, 3, engine.card.n_samples), np.float32) for _ in range(2)))
ready = time.perf_counter()
import json, sys
from seisedge.runtime.machine import resident_mib
loaded = {name.partition('.')[0] for name in sys.modules}
print(json.dumps({
    'import_s': imported - numpy_there, 'ready_s': ready - began, 'resident_mib': resident_mib(),
    'heavy': sorted({'torch', 'scipy', 'obspy', 'matplotlib', 'pandas', 'h5py', 'onnx'} & loaded),
}))
"""


@dataclass(frozen=True, slots=True)
class Start:
    """import_s: above bare numpy. ready_s: from nothing to both bundled models having answered once."""

    import_s: float
    ready_s: float
    resident_mib: float | None
    heavy: list[str]  # workstation libraries that were loaded; none should be


def measure_start() -> Start:
    """Start a station in a fresh process. Raises FailedError with its last line where it does not come up."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"a station does not start here: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return Start(**json.loads(done.stdout))


def describe(start: Start) -> list[str]:
    """A line a figure, beside its target."""
    return [
        _against("import above numpy", start.import_s, IMPORT_TARGET_S, "s"),
        _against("ready, both models", start.ready_s, READY_TARGET_S, "s"),
        _against("resident memory", start.resident_mib, MEMORY_TARGET_MIB, "MiB"),
        f"{'heavy imports':24}{', '.join(start.heavy) or 'none'}",
    ]


def _against(what: str, value: float | None, target: float, unit: str) -> str:
    if value is None:
        return f"{what:24}not readable here"
    verdict = "ok" if value <= target else "over"
    return f"{what:24}{value:8.2f} {unit:4} (target {target:g} {unit}: {verdict})"

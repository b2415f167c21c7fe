"""Start-up cost of a station: imports, the bundled models, memory; measured in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from seisedge.runtime.errors import FailedError

IMPORT_TARGET_S = 0.25  # without the import of numpy
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
    """import_s: without numpy. ready_s: from the start of Python to the first inference of the bundled models."""

    import_s: float
    ready_s: float
    resident_mib: float | None
    heavy: list[str]  # workstation libraries that were imported; should be empty


def measure_start() -> Start:
    """Start a station in a new process. Raises FailedError with its last output line if that fails."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(
            f"a station cannot start on this machine: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        )
    return Start(**json.loads(done.stdout))


def describe(start: Start) -> list[str]:
    """One line per figure, with its target."""
    return [
        _compared("imports without numpy", start.import_s, IMPORT_TARGET_S, "s"),
        _compared("ready with all models", start.ready_s, READY_TARGET_S, "s"),
        _compared("resident memory", start.resident_mib, MEMORY_TARGET_MIB, "MiB"),
        f"{'workstation libraries':24}{', '.join(start.heavy) or 'none loaded'}",
    ]


def _compared(what: str, value: float | None, target: float, unit: str) -> str:
    if value is None:
        return f"{what:24}unavailable on this machine"
    verdict = "ok" if value <= target else "exceeded"
    return f"{what:24}{value:8.2f} {unit:4} (target {target:g} {unit}: {verdict})"

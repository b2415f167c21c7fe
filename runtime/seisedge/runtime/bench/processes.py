"""Starts the fresh processes of a benchmark: rounds of a model, and the peak rates of the machine."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seisedge.runtime.bench.report import Peak
from seisedge.runtime.errors import FailedError

ROUND = Path(__file__).with_name("_round.py")
PEAK = Path(__file__).with_name("_peak.py")
MIN_COPY_BYTES = 64 * 2**20
CACHE_TIMES = 4  # the copy in memory is this many times larger than the last cache
TIMEOUT_S = 3600.0


def run_round(request: Mapping[str, Any], python: Path | None = None) -> dict[str, Any]:
    """One round in a fresh process. python: of another environment, whose seisedge is measured. Raises FailedError."""
    command = [str(python or sys.executable), "-P", str(ROUND)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=None if python is None else foreign_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailedError(f"{command[0]}: a round of the benchmark cannot run: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        of = "" if python is None else f" of {python}"
        raise FailedError(
            f"a round{of} with the engine '{request['engine']}' failed: {last.partition('Error: ')[2] or last}"
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def foreign_environment() -> dict[str, str]:
    """The variables for a process of another virtual environment: PYTHONPATH would bring this build there."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def measure_peak(threads: int, cache_bytes: int, memory_limit_mib: float | None) -> Peak:
    """The best rates with a number of threads. cache_bytes: working set of a model, for the copy in the cache."""
    last = last_cache_bytes()
    wanted = max(CACHE_TIMES * (last or 0), MIN_COPY_BYTES)
    allowed = int((memory_limit_mib or 4096) * 2**20 / 4)
    sizes = [cache_bytes, min(wanted, allowed)]
    environment = dict(os.environ) | {
        name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
    command = [sys.executable, "-P", str(PEAK), str(threads), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FailedError(f"the peak rates of this machine cannot be measured: {last_line}")
    rates = json.loads(done.stdout)
    cache, memory = rates["copy_gb_s"]
    return Peak(
        gflops=rates["gflops"],
        cache_gb_s=cache,
        cache_bytes=sizes[0],
        memory_gb_s=memory,
        memory_bytes=sizes[1],
        last_cache_bytes=last,
    )


def last_cache_bytes(root: Path = Path("/")) -> int | None:
    """Size of the largest cache of the first processor; None where the kernel does not state it."""
    sizes = []
    for path in root.glob("sys/devices/system/cpu/cpu0/cache/index*/size"):
        text = path.read_text(encoding="utf-8").strip()
        unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * unit)
    return max(sizes, default=None)


def cached_share(path: Path) -> float | None:
    """Share of a file's pages in the page cache (mincore); None where the system does not tell."""
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    if not pages:
        return None
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as view,
        ):
            states = (ctypes.c_ubyte * pages)()
            start = ctypes.c_char.from_buffer(view)
            try:
                failed = ctypes.CDLL(None, use_errno=True).mincore(
                    ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), states
                )
            finally:
                del start
    except (OSError, ValueError, AttributeError):
        return None
    return None if failed else sum(state & 1 for state in states) / pages

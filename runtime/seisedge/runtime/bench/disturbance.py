"""What disturbs a measurement, sampled while it runs: clocks, temperature, throttling, pressure, steal, preemption.

`LIMITS` states from when on a round counts as disturbed. A disturbed round stays in the report, and is marked.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from seisedge.runtime import machine
from seisedge.runtime.bench.power import Meter, open_meter
from seisedge.runtime.threads import Worker, start_worker

PERIOD_S = 0.2
LIMITS = {  # a round is disturbed above these
    "processor_pressure": 0.10,  # share of the time in which some task waited for a processor (PSI)
    "memory_pressure": 0.01,
    "io_pressure": 0.10,
    "steal": 0.01,  # share of the processors' time that the hypervisor gave to others
    "cgroup_throttled_s": 0.0,
    "throttle_events": 0,
    "throttled": 0,  # share of the samples in which the board limits its clock
    "clock_drop": 0.10,  # share by which a clock fell below its median of this round
    "power_mode_changes": 0,
}


class Sampler:
    """Samples the machine in a thread of its own between `start` and `stop`. root: of the file system, for tests."""

    def __init__(self, root: Path = Path("/"), board: str | None = None) -> None:
        self.root = root
        self.board = board or machine.board()
        self.meter: Meter = open_meter(self.board, root)
        self._samples: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._worker: Worker | None = None

    def __enter__(self) -> Sampler:
        self._samples = [self.read()]
        self._ended.clear()
        self._worker = start_worker("bench sampler", self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        assert self._worker is not None
        self._worker.join(10 * PERIOD_S)
        self._samples.append(self.read())

    def _run(self) -> None:
        while not self._ended.wait(PERIOD_S):
            self._samples.append(self.read())

    def read(self) -> dict[str, Any]:
        """One sample: the time, and what this machine has of clocks, temperatures and counters."""
        root, now_s = self.root, time.monotonic()
        return {
            "s": now_s,
            "clock_mhz": _clock_mhz(root),
            "gpu_clock_mhz": _gpu_clock_mhz(root),
            "temperature_c": _temperature_c(root),
            "throttle_events": _throttle_events(root),
            "throttled": _throttled(root),
            "power_mode": power_mode(root),
            "pressure_us": {kind: _pressure_us(root / "proc/pressure" / kind) for kind in ("cpu", "memory", "io")},
            "jiffies": _jiffies(root),
            "cgroup_throttled_us": _cgroup_throttled_us(root),
            "joules": self.meter.sample(now_s),
        }

    @property
    def summary(self) -> dict[str, Any]:
        """The facts of the time between `start` and `stop`; None for what this machine does not have."""
        return summarise(self._samples)


def summarise(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts of a series of samples, and in `marks` the limits that were exceeded."""
    first, last = samples[0], samples[-1]
    elapsed_s = max(last["s"] - first["s"], 1e-9)
    modes = [sample["power_mode"] for sample in samples]
    facts: dict[str, Any] = {
        "seconds": round(elapsed_s, 3),
        "clock_mhz": _range_of(samples, "clock_mhz"),
        "gpu_clock_mhz": _range_of(samples, "gpu_clock_mhz"),
        "temperature_c": _range_of(samples, "temperature_c"),
        "power_mode": modes[0],
        "power_mode_changes": None if modes[0] is None else sum(a != b for a, b in pairwise(modes)),
        "throttle_events": _difference(first, last, lambda sample: sample["throttle_events"]),
        "throttled": _share_of(samples, "throttled"),
        "steal": _steal(first["jiffies"], last["jiffies"]),
        "cgroup_throttled_s": _difference(first, last, lambda sample: sample["cgroup_throttled_us"], 1e-6),
        "joules": _difference(first, last, lambda sample: sample["joules"]),
    }
    for kind, name in (("cpu", "processor"), ("memory", "memory"), ("io", "io")):
        waited_s = _difference(first, last, _pressure_of(kind), 1e-6)
        facts[f"{name}_pressure"] = None if waited_s is None else round(waited_s / elapsed_s, 4)
    drops = [1 - facts[name][0] / facts[name][1] for name in ("clock_mhz", "gpu_clock_mhz") if facts[name]]
    facts["clock_drop"] = round(max(drops), 4) if drops else None
    facts["marks"] = [
        f"{name} {facts[name]:g} above {limit:g}"
        for name, limit in LIMITS.items()
        if facts[name] is not None and facts[name] > limit
    ]
    return facts


def power_mode(root: Path = Path("/")) -> str | None:
    """The power mode of a Jetson (nvpmodel), else the frequency governor; None where there is neither."""
    found = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status"))
    if found:
        number = int(found[1])
        names = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", _text(root / "etc/nvpmodel.conf"))
        return next((name for key, name in names if int(key) == number), f"mode {number}")
    return _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None


def _range_of(samples: list[dict[str, Any]], key: str) -> list[float] | None:
    """Smallest, median and largest value of a quantity; None where there is none."""
    values = sorted(sample[key] for sample in samples if sample[key] is not None)
    return [values[0], values[len(values) // 2], values[-1]] if values else None


def _share_of(samples: list[dict[str, Any]], key: str) -> float | None:
    values = [sample[key] for sample in samples if sample[key] is not None]
    return round(sum(values) / len(values), 4) if values else None


def _difference(
    first: dict[str, Any], last: dict[str, Any], of: Callable[[dict[str, Any]], Any], unit: float = 1
) -> float | None:
    before, after = of(first), of(last)
    return None if before is None or after is None else round((after - before) * unit, 6)


def _pressure_of(kind: str) -> Callable[[dict[str, Any]], Any]:
    return lambda sample: sample["pressure_us"][kind]


def _steal(before: list[int] | None, after: list[int] | None) -> float | None:
    if before is None or after is None:
        return None
    total = sum(after[:8]) - sum(before[:8])
    return round((after[7] - before[7]) / total, 4) if total > 0 else 0.0


def _clock_mhz(root: Path) -> float | None:
    """The highest of the processors' clocks now; those of idle processors are low."""
    values = _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    return max(values) / 1e3 if values else None


def _gpu_clock_mhz(root: Path) -> float | None:
    values = _numbers(root, "sys/class/devfreq/*gpu*/cur_freq")
    return max(values) / 1e6 if values else None


def _temperature_c(root: Path) -> float | None:
    """The hottest zone; a zone of a sleeping device reads as -256 or fails."""
    values = [value / 1000 for value in _numbers(root, "sys/class/thermal/thermal_zone*/temp") if value > -50_000]
    return max(values) if values else None


def _throttle_events(root: Path) -> float | None:
    """Counted events of throttling: thermal on x86, over-current on Jetson."""
    values = [
        *_numbers(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"),
        *_numbers(root, "sys/class/hwmon/hwmon*/oc*_event_cnt"),
    ]
    return sum(values) if values else None


def _throttled(root: Path) -> float | None:
    """1 while a Raspberry Pi limits its clock (low voltage or temperature), else 0; None on other boards."""
    flags = re.fullmatch(r"(?:0x)?([0-9a-f]+)", _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled"))
    return float(int(flags[1], 16) & 0xF > 0) if flags else None


def _pressure_us(path: Path) -> int | None:
    found = re.search(r"^some .*total=(\d+)", _text(path), re.MULTILINE)
    return int(found[1]) if found else None


def _jiffies(root: Path) -> list[int] | None:
    line = _text(root / "proc/stat").partition("\n")[0].split()
    return [int(word) for word in line[1:9]] if len(line) >= 9 else None


def _cgroup_throttled_us(root: Path) -> int | None:
    """Time for which the processor limits of the control groups of this process stopped it (version 2)."""
    group = next((line[3:] for line in _text(root / "proc/self/cgroup").split("\n") if line.startswith("0::")), None)
    if group is None:
        return None
    base = root / "sys/fs/cgroup"
    folder = base / group.lstrip("/")
    found = [re.search(r"^throttled_usec (\d+)", _text(path / "cpu.stat"), re.MULTILINE) for path in (folder, base)]
    values = [int(match[1]) for match in found if match]
    return max(values) if values else None


def _numbers(root: Path, pattern: str) -> list[float]:
    values = []
    for path in root.glob(pattern):
        try:
            values.append(float(path.read_text()))
        except (OSError, ValueError):
            continue
    return values


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return ""

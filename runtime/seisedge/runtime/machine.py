"""What can be read of this machine and this process, without anything beyond the standard library."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def resident_mib() -> float | None:
    """Resident memory of this process in MiB; None where /proc does not tell."""
    return _status_mib("VmRSS:")


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, in MiB."""
    return _status_mib("VmHWM:")


def processor() -> str:
    """Name of the processor as the kernel tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def board() -> str | None:
    """Name of the board where a device tree tells it (Jetson, Raspberry Pi)."""
    try:
        return Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ") or None
    except OSError:
        return None


def temperatures_c() -> dict[str, float]:
    """Thermal zones that can be read, in degrees Celsius."""
    found: dict[str, float] = {}
    for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone*")):
        try:
            name = (zone / "type").read_text(encoding="utf-8").strip()
            found[f"{zone.name.removeprefix('thermal_zone')} {name}"] = int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):
            continue  # some zones exist but cannot be read while their device sleeps
    return found


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> str:
    """Machine in one line, for the head of a report."""
    names = [name for name in (board(), processor()) if name]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{', '.join(names)}, {cores()} core(s), {system}"


def _status_mib(key: str) -> float | None:
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None

"""Facts about this machine and this process, read with the standard library only."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def install_command(extra: str) -> str:
    """The command that installs an extra from where this copy of seisedge was installed from."""
    import json
    import shlex
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote

    try:
        stated = distribution("seisedge").read_text("direct_url.json")
        source = json.loads(stated or "{}")
    except (PackageNotFoundError, ValueError):
        source = {}
    url, editable = source.get("url", ""), source.get("dir_info", {}).get("editable", False)
    if not url:
        return f"pip install 'seisedge[{extra}]'"
    if url.startswith("file://") and "dir_info" in source:
        folder = unquote(url.removeprefix("file://"))
        return f"pip install {'-e ' if editable else ''}{shlex.quote(f'{folder}[{extra}]')}"
    return f"pip install {shlex.quote(f'seisedge[{extra}] @ {url}')}"


def resident_mib() -> float | None:
    """Resident memory of this process in MiB; None where /proc does not have it."""
    return _status_mib("VmRSS:")


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, in MiB."""
    return _status_mib("VmHWM:")


def memory_limit_mib(root: Path = Path("/")) -> float | None:
    """Memory that this process may use, in MiB: that of the machine, or less where a control group limits it.

    None where /proc does not have it. root: of the file system, for tests.
    """
    limits = [_status_mib("MemTotal:", root / "proc/meminfo")]
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            limits.append(_mib_of(folder / name))
            if folder == base:
                break
    return min((limit for limit in limits if limit is not None), default=None)


def _mib_of(path: Path) -> float | None:
    """A number of bytes in a file; None where there is none, or no limit."""
    try:
        return int(path.read_text(encoding="utf-8")) / 2**20
    except (OSError, ValueError):  # `max`: no limit
        return None


def processor() -> str:
    """Name of the processor, as the kernel reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def board() -> str | None:
    """Name of the board, from the device tree (Jetson, Raspberry Pi); None where there is no device tree."""
    try:
        return Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ") or None
    except OSError:
        return None


def temperatures_c() -> dict[str, float]:
    """Temperature of each readable thermal zone, in degrees Celsius."""
    found: dict[str, float] = {}
    for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone*")):
        try:
            name = (zone / "type").read_text(encoding="utf-8").strip()
            found[f"{zone.name.removeprefix('thermal_zone')} {name}"] = int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):
            continue  # a zone cannot be read while its device sleeps
    return found


def cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> str:
    """The machine in one line, for the head of a report."""
    names = [name for name in (board(), processor()) if name]
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{', '.join(names)}, {cores()} core(s), {system}"


def _status_mib(key: str, path: Path = Path("/proc/self/status")) -> float | None:
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None

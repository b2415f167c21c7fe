"""`seisedge doctor`"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from seisedge.runtime import machine
from seisedge.runtime.bench.start import Start, describe, measure_start
from seisedge.runtime.errors import EngineError, FailedError

STATION_PACKAGES = ("numpy", "click", "msgspec", "pymseed", "onnxruntime")
OPTIONAL_PACKAGES = ("tensorrt", "tensorrt-rtx-cu12", "pycuda", "torch", "onnx", "obspy")
DISK_WARNING_MB = 500

EPILOG = """\b
Examples:
  seisedge doctor
  seisedge doctor --json
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(as_json: bool) -> None:
    """Check this machine: packages, engines, clock, disk, temperature, and the start-up cost of a station.

    Exit status: 0 if a station can run here, 1 if a requirement is missing.
    """
    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo("\n".join(_lines(facts)))
    if facts["missing"]:
        sys.exit(1)


def examine() -> dict[str, object]:
    """All results, as plain values; None if unavailable on this machine."""
    packages = {name: _version(name) for name in (*STATION_PACKAGES, *OPTIONAL_PACKAGES)}
    missing = [name for name in STATION_PACKAGES if packages[name] is None]
    start: dict[str, object] | None = None
    if not missing:
        try:
            start = asdict(measure_start())
        except FailedError as error:
            missing.append(str(error))
    disk = shutil.disk_usage(Path.cwd())
    return {
        "seisedge": version("seisedge"),
        "machine": machine.describe(),
        "packages": packages,
        "engines": _engines(packages),
        "start": start,
        "clock_synchronised": clock_synchronised(),
        "disk_free_mb": round(disk.free / 1e6),
        "temperatures_c": machine.temperatures_c(),
        "load_1min": round(os.getloadavg()[0], 2),
        "missing": missing,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return "present" if spec is not None and spec.origin is not None else None  # no origin: only type stubs


def _engines(packages: dict[str, str | None]) -> dict[str, str]:
    """State of each engine on this machine, as text."""
    from seisedge.runtime.engines._library import MODULES, examine

    found = {"onnxruntime": "ready" if packages["onnxruntime"] else "onnxruntime is not installed"}
    for name in MODULES:
        try:
            here = examine(name)
        except EngineError as error:
            found[name] = str(error)
            continue
        jetson = f", Jetson Linux {here.l4t}" if here.l4t else ""
        found[name] = f"ready: {here.version} on {here.gpu} ({here.compute_capability}), driver {here.driver}{jetson}"
    return found


def clock_synchronised() -> bool | None:
    """True if the system clock is synchronised; None if unknown."""
    try:
        done = subprocess.run(["timedatectl", "show"], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^NTPSynchronized=(yes|no)$", done.stdout, re.MULTILINE)
    return found.group(1) == "yes" if found else None


def _lines(facts: dict[str, object]) -> list[str]:
    packages, engines, start = facts["packages"], facts["engines"], facts["start"]
    assert isinstance(packages, dict) and isinstance(engines, dict)
    lines = [f"seisedge {facts['seisedge']} on {facts['machine']}", "", "packages"]
    for name, found in packages.items():
        need = "required" if name in STATION_PACKAGES else "optional"
        lines.append(f"  {name:19}{found or '-':14}{need}")
    lines += ["", "engines", *(f"  {name:18}{state}" for name, state in engines.items())]
    if isinstance(start, dict):
        lines += ["", "start-up, measured in a new process", *(f"  {line}" for line in describe(Start(**start)))]
    synchronised = {True: "synchronised", False: "NOT synchronised", None: "unknown (timedatectl reports nothing)"}
    lines += ["", f"clock:       {synchronised[facts['clock_synchronised']]}"]  # type: ignore[index]  # bool or None
    free = facts["disk_free_mb"]
    assert isinstance(free, int)
    lines.append(f"disk:        {free:,} MB free in this folder{' - LOW' if free < DISK_WARNING_MB else ''}")
    zones = facts["temperatures_c"]
    assert isinstance(zones, dict)
    hottest = max(zones.items(), key=lambda item: item[1], default=None)
    lines.append(f"temperature: {f'{hottest[1]:.0f} °C ({hottest[0]})' if hottest else 'no readable sensor'}")
    missing = facts["missing"]
    assert isinstance(missing, list)
    lines.append("")
    lines.append(f"Missing: {'; '.join(missing)}" if missing else "This machine can run a station.")
    return lines

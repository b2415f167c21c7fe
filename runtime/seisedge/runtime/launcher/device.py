"""The device that a bundle is for: what it is, what it has, and why a bundle cannot be used on it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.bundle.manifest import STATION_ID, Hardware, Manifest
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.launcher.timebound import clock_is_synchronised, timesyncd_time
from seisedge.runtime.text import quoted

ROOT, SETTINGS, DATA = Path("/opt/seisedge"), Path("/etc/seisedge"), Path("/var/lib/seisedge")
IDENTITY = "station"  # in the folder of settings: NET.STA, one in a line
PYTHON_FOLDERS = ("usr/bin", "usr/local/bin")
TENSORRT_LIBRARIES = ("usr/lib", "usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu")


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of a device. root: slots and launcher. settings: identity and secrets. data: state of the stations."""

    root: Path = ROOT
    settings: Path = SETTINGS
    data: Path = DATA


@dataclass(frozen=True, slots=True)
class Device:
    """board, l4t, tensorrt: '' where the machine is none or has none. pythons: version → interpreter.

    timesyncd: the time that it stored, '' for none. clock_ok: the kernel says that the clock is synchronised.
    """

    machine: str
    board: str
    l4t: str
    tensorrt: str
    pythons: dict[str, Path]
    stations: tuple[str, ...]
    timesyncd: str = ""
    clock_ok: bool = False


def this_device(place: Place, system: Path = Path("/"), stations: tuple[str, ...] = ()) -> Device:
    """Read what this device is. Raises InputError without an identity.

    system: root of the file system, for tests. stations: the identity that it will have; (): the one that it has.
    """
    board = _text(system / "proc/device-tree/model").strip("\0")
    release = re.search(r"R(\d+).*REVISION: ([0-9.]+)", _text(system / "etc/nv_tegra_release"))
    return Device(
        machine=platform.machine(),
        board=board,
        l4t=f"{release[1]}.{release[2]}" if release else "",
        tensorrt=_tensorrt(system),
        pythons=_pythons(system),
        stations=stations or station_ids(place),
        timesyncd=timesyncd_time(system),
        clock_ok=clock_is_synchronised(),
    )


def station_ids(place: Place) -> tuple[str, ...]:
    """The stations that this device runs. Raises InputError."""
    path = place.settings / IDENTITY
    lines = [line.strip() for line in _text(path).splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(
            f"{path}: this device has no identity; write NET.STA into that file, as in the name of its station file"
        )
    for line in lines:
        if not STATION_ID.fullmatch(line):
            raise InputError(f"{path}: {quoted(line)} is no station; expected NET.STA, for example PB.B918")
    return tuple(lines)


def check_device(manifest: Manifest, device: Device) -> Path:
    """The interpreter that the slot will use. Raises InputError with the first reason why the bundle is unsuitable."""
    hardware = manifest.hardware
    if hardware.machine != device.machine:
        raise InputError(f"the bundle is for {hardware.machine}, this device is {device.machine}; use its own bundle")
    if hardware.boards and not any(board in device.board for board in hardware.boards):
        raise InputError(
            f"the bundle is for {' or '.join(hardware.boards)} ({hardware.profile}), this device is "
            f"{quoted(device.board or 'an unknown board')}; use its own bundle"
        )
    _check_range("Jetson Linux", hardware.l4t, device.l4t)
    if hardware.engine == "tensorrt":
        _check_range("TensorRT", hardware.tensorrt, device.tensorrt)
    python = _python(hardware, device)
    for station in device.stations:
        if station not in manifest.stations:
            raise InputError(
                f"the bundle has no station file for {station}, the identity of this device; it has "
                f"{', '.join(sorted(manifest.stations)[:10])}"
            )
    return python


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written to the file system of a folder. Raises OSError."""
    usage = os.statvfs(folder)
    return usage.f_bavail * usage.f_frsize


def check_space(folder: Path, needed: int, what: str, freed: int = 0) -> None:
    """Raises InputError where the file system of a folder has less space than needed, OSError.

    freed: bytes that the previous version takes, which is removed first.
    """
    free = free_bytes(folder) + freed
    if needed > free:
        without = " without the previous version" if freed else ""
        raise InputError(
            f"{folder}: {what} needs {-(-needed // MIB)} MiB, {free // MIB} MiB are free{without}; remove old versions "
            "with 'flash.pyz gc', or other files"
        )


def stored_bytes(folder: Path) -> int:
    """The space that the files of a folder take. Raises OSError."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _python(hardware: Hardware, device: Device) -> Path:
    usable = sorted((version for version in device.pythons if version in hardware.python), key=_numbers)
    if not usable:
        raise InputError(
            f"the bundle has packages for Python {', '.join(hardware.python)}, this device has "
            f"{', '.join(device.pythons) or 'none'}; build a bundle with wheels for it"
        )
    return device.pythons[usable[-1]]


def _check_range(what: str, limits: tuple[str, str], found: str) -> None:
    """'39.2' covers 39.2.1: a version is compared in as many parts as the limit has."""
    low, high = limits
    if not low:
        return
    numbers = _numbers(found)
    if not found or numbers < _numbers(low) or numbers[: len(_numbers(high))] > _numbers(high):
        raise InputError(
            f"the bundle is for {what} {low} to {high}, this device has {found or 'none'}; update the device or use "
            "another bundle"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _pythons(system: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in PYTHON_FOLDERS:
        for path in sorted((system / folder).glob("python3.*")):
            version = path.name.removeprefix("python")
            if re.fullmatch(r"3\.[0-9]+", version):
                found.setdefault(version, path)
    return dict(sorted(found.items(), key=lambda item: _numbers(item[0])))


def _tensorrt(system: Path) -> str:
    """The version of libnvinfer, from its name: 10.13.3 of libnvinfer.so.10.13.3."""
    names = [path.name for folder in TENSORRT_LIBRARIES for path in (system / folder).glob("libnvinfer.so.*.*")]
    versions = [name.removeprefix("libnvinfer.so.") for name in names]
    return max(versions, key=_numbers, default="")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError:
        return ""

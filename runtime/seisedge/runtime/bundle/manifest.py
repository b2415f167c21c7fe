"""The manifest of a bundle: what it is, for which hardware and stations, and every file with its size and SHA-256."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from seisedge.runtime.bundle.canonical import fields_of, json_bytes, tree_from_json
from seisedge.runtime.text import quoted

SCHEMA = "seisedge.bundle/1"
PAYLOAD_TYPE = "application/vnd.seisedge.bundle+json"

PART = r"[A-Za-z0-9][A-Za-z0-9._+@-]*"
PATH = re.compile(rf"{PART}(/{PART}){{0,5}}")
MAX_PATH, MAX_NAME = 150, 100  # characters of a path and of its last part; a ustar header holds 155 + 100
MAX_FILES = 2000
MAX_BUNDLE = 4 * 2**30
MAX_SERIAL = 2**53
STATION_ID = re.compile(r"[A-Z0-9]{1,8}\.[A-Z0-9-]{1,8}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~-]{0,63}")
DIGITS = re.compile(r"[0-9a-f]{64}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
PYTHON = re.compile(r"3\.[0-9]{1,2}")
MACHINES = ("aarch64", "x86_64")


@dataclass(frozen=True, slots=True)
class File:
    """A file of the bundle. path: relative, of plain parts. sha256: 64 hexadecimal digits."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a device must be and have. From a hardware profile, see `firmware_configs/hardware`.

    boards: texts of which one must occur in /proc/device-tree/model; empty: any board of this machine.
    l4t, tensorrt: lowest and highest version, as '36.4'; '' where there is no such limit.
    precision: of the engines. threads: of an inference. power_mode: as nvpmodel names it; '': not set.
    disk_mib, memory_mib: that an installed station may take. latency_ms: of a self-test's inference, at most.
    """

    profile: str
    machine: str
    python: tuple[str, ...]
    boards: tuple[str, ...]
    l4t: tuple[str, str]
    tensorrt: tuple[str, str]
    engine: str
    precision: str
    threads: int
    power_mode: str
    disk_mib: int
    memory_mib: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """serial: orders the bundles of a fleet. version: for people. built, not_after: ISO 8601 UTC, seconds; '': none.

    stations: station id → path of its station file. installed_bytes: of all files after installation.
    """

    serial: int
    version: str
    built: str
    not_after: str
    seisedge: str
    hardware: Hardware
    stations: dict[str, str]
    installed_bytes: int
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.serial <= MAX_SERIAL:
            raise ValueError(f"serial must be 1 or higher; got {self.serial}")
        for name, value, form in (
            ("version", self.version, VERSION),
            ("seisedge", self.seisedge, VERSION),
            ("built", self.built, DATE),
        ):
            if not form.fullmatch(value):
                raise ValueError(f"{name} has the wrong form: {quoted(value)}")
        if self.not_after and not DATE.fullmatch(self.not_after):
            raise ValueError(f"not_after has the wrong form: {quoted(self.not_after)}; expected '2027-01-31T00:00:00Z'")
        if self.hardware.machine not in MACHINES:
            raise ValueError(
                f"hardware.machine must be one of {', '.join(MACHINES)}; got {quoted(self.hardware.machine)}"
            )
        if not self.hardware.python or not all(PYTHON.fullmatch(v) for v in self.hardware.python):
            raise ValueError(f"hardware.python lists versions as '3.12'; got {quoted(self.hardware.python)}")
        _check_files(self.files)
        known = {file.path for file in self.files}
        for station, path in self.stations.items():
            if not STATION_ID.fullmatch(station) or path not in known:
                raise ValueError(f"stations: {quoted(station)} names {quoted(path)}, which is no file of the bundle")
        if not 0 <= self.installed_bytes <= MAX_BUNDLE:
            raise ValueError(f"installed_bytes must be 0 to {MAX_BUNDLE}; got {self.installed_bytes}")

    def to_bytes(self) -> bytes:
        """The manifest as canonical JSON."""
        return json_bytes({"schema": SCHEMA, **asdict(self)})


def manifest_from_bytes(data: bytes) -> Manifest:
    """Read a manifest. Raises ValueError, as a clause."""
    tree = tree_from_json(data)
    if isinstance(tree, dict) and tree.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {quoted(tree.get('schema'))}, this seisedge reads '{SCHEMA}'; upgrade")
    text = (str,)
    kinds: dict[str, type | tuple[type, ...]] = {
        "schema": text, "serial": int, "version": text, "built": text, "not_after": text, "seisedge": text,
        "hardware": dict, "stations": dict, "installed_bytes": int, "files": list,
    }  # fmt: skip
    fields_of(tree, kinds, "the manifest")
    files = tuple(File(**fields_of(f, {"path": str, "size": int, "sha256": str}, "a file")) for f in tree["files"])
    stations = {key: _text(value, "stations") for key, value in tree["stations"].items()}
    rest = {key: tree[key] for key in ("serial", "version", "built", "not_after", "seisedge", "installed_bytes")}
    return Manifest(hardware=_hardware(tree["hardware"]), stations=stations, files=files, **rest)


def _hardware(tree: Any) -> Hardware:
    kinds: dict[str, type | tuple[type, ...]] = {
        "str": str, "int": int, "float": (int, float), "tuple[str, ...]": list, "tuple[str, str]": list,
    }  # fmt: skip
    values = fields_of(tree, {f.name: kinds[str(f.type)] for f in fields(Hardware)}, "hardware")
    lists = {
        key: tuple(_text(v, f"hardware.{key}") for v in value)
        for key, value in values.items()
        if isinstance(value, list)
    }
    for key in ("l4t", "tensorrt"):
        if len(lists[key]) != 2:
            raise ValueError(f"hardware.{key} has a lowest and a highest version; got {quoted(lists[key])}")
    return Hardware(**{**values, **lists})


def _check_files(files: tuple[File, ...]) -> None:
    """Raises ValueError for a path, a size or a hash that no bundle has."""
    if len(files) > MAX_FILES:
        raise ValueError(f"at most {MAX_FILES} files are allowed; got {len(files)}")
    seen: dict[str, str] = {}
    for file in files:
        name = file.path.rpartition("/")[2]
        if len(file.path) > MAX_PATH or len(name) > MAX_NAME or not PATH.fullmatch(file.path):
            raise ValueError(
                f"the path {quoted(file.path)} is not allowed: it has to be relative, of letters, digits, ._+@-, its "
                f"last part of at most {MAX_NAME} characters"
            )
        if file.size < 0 or not DIGITS.fullmatch(file.sha256):
            raise ValueError(f"{file.path}: size or sha256 has the wrong form")
        folded = file.path.casefold()
        if folded in seen:
            raise ValueError(
                f"the paths {quoted(seen[folded])} and {quoted(file.path)} are the same file on some systems"
            )
        seen[folded] = file.path
    for folded in seen:
        parents = folded.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if "/".join(parents[:depth]) in seen:
                raise ValueError(f"{seen[folded]}: one of its folders is a file of the bundle as well")
    if list(files) != sorted(files, key=lambda file: file.path):
        raise ValueError("the files are not sorted by path")
    if sum(file.size for file in files) > MAX_BUNDLE:
        raise ValueError(f"the files have more than {MAX_BUNDLE // 2**30} GiB")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what}: expected text; got {quoted(value)}")
    return value
